//! Routes by words: where the user's last message has one of them, preferred candidates come first.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use std::cell::RefCell;

use exports::pointsman::plugin::{configure, route};
use pointsman::plugin::catalog::Candidate;
use pointsman::plugin::prompt;
use pointsman::plugin::request::Summary;
use route::{Plan, Step, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which words are looked for, and what follows where one is found.
// The doc comments become the descriptions in the configuration's JSON Schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What is looked for, in any case.
    words: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference.
    prefer: Vec<String>,
    /// The request's label `class`.
    label: Option<String>,
}

thread_local! {
    /// Set by `load`; every call begins with the memory that `load` left, and nothing is kept from call to call.
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

struct Plugin;

impl configure::Guest for Plugin {
    /// The error of a configuration that cannot be used, or warnings.
    fn load(text: String) -> Result<Vec<String>, String> {
        let mut config: Config = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if config.words.is_empty() {
            return Err("`words` is empty, expected at least one".into());
        }
        for word in &mut config.words {
            *word = word.to_lowercase();
        }
        CONFIG.set(Some(config));
        Ok(Vec::new())
    }

    fn schema() -> String {
        serde_json::to_string(&schemars::schema_for!(Config)).unwrap_or_default()
    }
}

impl route::Guest for Plugin {
    fn decide(_: Summary, candidates: Vec<Candidate>) -> Result<Verdict, String> {
        CONFIG.with_borrow(|config| {
            let config = config.as_ref().ok_or("a request came before the configuration")?;
            let text = prompt::last_user_text().to_lowercase();
            let found = config.words.iter().find(|word| text.contains(*word));
            Ok(match found {
                Some(word) => Verdict::Plan(plan(config, word, &candidates)),
                None => Verdict::Pass,
            })
        })
    }
}

fn plan(config: &Config, word: &str, candidates: &[Candidate]) -> Plan {
    let mut order: Vec<&str> = Vec::new();
    for name in &config.prefer {
        order.extend(candidates.iter().filter(|one| is_meant(one, name)).map(|one| &*one.id));
    }
    // The others stay behind as fallbacks; no steps at all leave the candidates as they are.
    if !order.is_empty() {
        order.extend(candidates.iter().map(|candidate| &*candidate.id));
    }
    let mut steps: Vec<Step> = Vec::new();
    for id in order {
        if steps.iter().all(|step| step.candidate != id) {
            steps.push(Step {
                candidate: id.into(),
                first_token_timeout_ms: None,
                timeout_ms: None,
                hedge_after_ms: None,
            });
        }
    }
    Plan {
        steps,
        edits: Vec::new(),
        labels: config.label.iter().map(|label| ("class".into(), label.clone())).collect(),
        reason: format!("found `{word}`"),
        review: false,
    }
}

fn is_meant(candidate: &Candidate, name: &str) -> bool {
    match name.strip_prefix("tag:") {
        Some(tag) => candidate.tags.iter().any(|own| own == tag),
        None => candidate.id == name,
    }
}

export!(Plugin);
