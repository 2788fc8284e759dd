//! Routes by words: rules in order, each with the words that it looks for and the models that it then prefers.
//!
//! All rules' words are searched for in one pass over the text. Regular expressions cost a pass each, and are looked at
//! only in rules whose words leave the answer open. What can be configured is in `config.rs`, the search in `rules.rs`.

mod config;
mod rules;

use config::{Action, Config, Mode};
use pointsman_plugin::{Candidate, Plan, Policy, Rejection, Request, Verdict, export_policy, named};
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
        let idle = config.rules.iter().enumerate().filter(|(_, rule)| rule.is_idle());
        let mut warnings: Vec<String> = idle
            .map(|(index, _)| format!("`rules[{index}]` changes nothing where it matches"))
            .collect();
        if config.rules.is_empty() {
            warnings.push("there are no `rules`, so none will match".into());
        }
        let rules = Rules::new(&mut config)?;
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
        let enough = match self.mode {
            Mode::First => 1,
            Mode::All => usize::MAX,
        };
        let mut outcome = Outcome::new(candidates);
        let mut reasons = String::new();
        for found in self.rules.matching(request).take(enough) {
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

/// What the actions so far add up to.
struct Outcome<'a> {
    left: Vec<&'a Candidate>,
    prefer: Vec<&'a str>,
    labels: Vec<(String, String)>,
    is_narrowed: bool,
}

impl<'a> Outcome<'a> {
    fn new(candidates: &'a [Candidate]) -> Self {
        Outcome {
            left: candidates.iter().collect(),
            prefer: Vec::new(),
            labels: Vec::new(),
            is_narrowed: false,
        }
    }

    fn add(&mut self, action: &'a Action) -> Result<(), Rejection> {
        if let Some(refusal) = &action.reject {
            return Err(Rejection::new(refusal.status, &*refusal.code, &*refusal.message));
        }
        if !action.only.is_empty() {
            self.left = named(&action.only, self.left.iter().copied());
            self.is_narrowed = true;
            if self.left.is_empty() {
                let wanted = action.only.join(", ");
                let message = format!("only {wanted} may serve this request, and none of them can");
                return Err(Rejection::new(403, "no_candidate", message));
            }
        }
        self.prefer.extend(action.prefer.iter().map(String::as_str));
        self.labels
            .extend(action.label.iter().flat_map(|labels| labels.0.iter().cloned()));
        Ok(())
    }

    /// A plan that neither narrows nor reorders names no candidate.
    fn plan(self) -> Plan {
        let left = self.left.iter().copied();
        let is_reordered = !named(&self.prefer, left.clone()).is_empty();
        let plan = if self.is_narrowed || is_reordered {
            Plan::prefer(&self.prefer, left)
        } else {
            Plan::keep()
        };
        Plan {
            labels: self.labels,
            ..plan
        }
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
