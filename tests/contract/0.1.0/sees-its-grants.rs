//! Says what it was granted, and counts in its state if it was granted that or is told to all the same.

use pointsman_plugin::{Candidate, Plan, Policy, Request, Verdict, export_policy, grants, state};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Uses its state without asking whether it may.
    blindly: bool,
}

struct SeesItsGrants {
    config: Config,
    /// As they were when it was configured.
    given: Vec<&'static str>,
}

impl Policy for SeesItsGrants {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(SeesItsGrants { config, given: given() })
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        let count = (grants::is_given("state") || self.config.blindly).then(|| state::add("calls", 1, None));
        Ok(Plan::keep()
            .reason(format!("{:?} {:?} {count:?}", self.given, given()))
            .into())
    }
}

fn given() -> Vec<&'static str> {
    let known = ["state", "spend", "models", "fetch"];
    known.into_iter().filter(|grant| grants::is_given(grant)).collect()
}

export_policy!(SeesItsGrants);
