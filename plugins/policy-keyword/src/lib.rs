//! Routes by words: rules in order, each with the words that it looks for and the models that it then prefers.
//!
//! All rules' words are searched for in one pass over the text. Regular expressions cost a pass each, and are looked at
//! only in rules whose words leave the answer open; conditions on headers, fields and the like come last. What can be
//! configured is in `config.rs`, the search in `rules.rs`.

mod config;
mod rules;

use config::Config;
use pointsman_plugin::{
    Candidate, Policy, Request, Verdict,
    action::{Action, Mode, Outcome},
    export_policy,
};
use rules::Rules;

struct Keyword {
    rules: Rules,
    default: Option<Action>,
    mode: Mode,
    warnings: Vec<String>,
}

impl Policy for Keyword {
    type Config = Config;

    fn new(mut config: Config) -> Result<Self, String> {
        if let Some(default) = &config.default {
            default.check().map_err(|error| format!("`default.{error}"))?;
        }
        let has_rules = !config.rules.is_empty();
        let rules = Rules::new(&mut config)?;
        config.mode.check(rules.actions(), 0)?;
        let mut warnings: Vec<String> = rules
            .idle()
            .map(|index| format!("`rules[{index}]` changes nothing where it matches"))
            .collect();
        if !has_rules {
            warnings.push("there are no `rules`, so none will match".into());
        }
        Ok(Keyword {
            rules,
            default: config.default,
            mode: config.mode,
            warnings,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let mut outcome = Outcome::new(candidates);
        let mut reasons = String::new();
        for found in self.rules.matching(request).take(self.mode.enough()) {
            if !reasons.is_empty() {
                reasons.push_str(", ");
            }
            reasons.push_str(&format!("rule {}", found.number));
            if let Some(word) = found.by {
                reasons.push_str(&format!(" found `{word}`"));
            }
            if let Err(rejection) = outcome.add(found.action) {
                return Ok(rejection.into());
            }
        }
        if reasons.is_empty() {
            let Some(default) = &self.default else {
                return Ok(Verdict::Pass);
            };
            reasons.push_str("no rule matches");
            if let Err(rejection) = outcome.add(default) {
                return Ok(rejection.into());
            }
        }
        Ok(outcome.plan().reason(reasons).into())
    }
}

export_policy!(Keyword);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::golden;

    use super::*;

    #[test]
    fn golden_files() {
        golden::<Keyword>(env!("CARGO_MANIFEST_DIR"));
    }
}
