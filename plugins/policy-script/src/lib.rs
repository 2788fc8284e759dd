//! A policy that is one plain file of JavaScript. This crate is the engine around it; what the gateway reads from
//! `config.file` comes as text, is evaluated once when the policy is loaded, and each call starts from there.
//!
//! The engine itself, its clock and its chance are in `engine.rs`, what a script finds beside its arguments in `globals.rs`,
//! what it is given in `shown.rs`, what it may return in `returned.rs`, and how its mistakes are told in `mistake.rs`.

mod engine;
mod globals;
mod mistake;
mod returned;
mod shown;

use std::cell::RefCell;

use engine::Engine;
use pointsman_plugin::{Candidate, Opinion, Policy, Request, Review, Reviewed, Verdict, export_policy};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Which script runs, and what it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The script's file, relative to the configuration's. The gateway reads it, and reads it again whenever it changes.
    file: Option<String>,
    /// The script's text: what the gateway has read from `file`, or a short script without a file of its own.
    source: Option<String>,
    /// What the script's `configure` is given.
    #[serde(default = "no_settings")]
    settings: Value,
}

fn no_settings() -> Value {
    Value::Object(serde_json::Map::new())
}

struct Script {
    /// A call is the engine's only user while it lasts.
    engine: RefCell<Engine>,
    warnings: Vec<String>,
}

impl Policy for Script {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let Some(source) = config.source else {
            return Err("`file` is missing: name the script, `file = \"policy.js\"`".into());
        };
        let name = config.file.as_deref().unwrap_or("script");
        let (engine, warnings) = Engine::load(name, &source, &config.settings)?;
        Ok(Script {
            engine: RefCell::new(engine),
            warnings,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        self.engine.borrow_mut().decide(request, candidates)
    }
}

impl Review for Script {
    fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
        self.engine.borrow_mut().review(request, answer)
    }
}

export_policy!(Script, review);

#[cfg(test)]
mod tests;
