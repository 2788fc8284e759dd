//! Decides what its configuration says: for tests of what the gateway makes of a verdict.

use std::collections::BTreeMap;

use pointsman_plugin::{Candidate, Edit, Plan, Policy, Rejection, Request, Step, Verdict, export_policy, timeouts};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    steps: Vec<Rung>,
    /// Pointers and JSON texts.
    edits: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    /// Gaps that it says of these names, whatever its steps are.
    gaps: BTreeMap<String, u32>,
    reason: String,
    /// Asks for a review, which it does not have.
    review: bool,
    /// Status, code and message.
    reject: Option<(u16, String, String)>,
    retry_after_ms: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rung {
    candidate: String,
    connect_timeout_ms: Option<u32>,
    gap_timeout_ms: Option<u32>,
    first_token_timeout_ms: Option<u32>,
    timeout_ms: Option<u32>,
    hedge_after_ms: Option<u32>,
}

struct DecidesAsTold(Config);

impl Policy for DecidesAsTold {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(DecidesAsTold(config))
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        let config = &self.0;
        if let Some((status, code, message)) = &config.reject {
            let rejection = Rejection::new(*status, code, message);
            return Ok(Rejection {
                retry_after_ms: config.retry_after_ms,
                ..rejection
            }
            .into());
        }
        let step = |rung: &Rung| Step {
            candidate: rung.candidate.clone(),
            first_token_timeout_ms: rung.first_token_timeout_ms,
            timeout_ms: rung.timeout_ms,
            hedge_after_ms: rung.hedge_after_ms,
        };
        for rung in &config.steps {
            if let Some(ms) = rung.connect_timeout_ms {
                timeouts::connect(&rung.candidate, ms);
            }
            if let Some(ms) = rung.gap_timeout_ms {
                timeouts::gap(&rung.candidate, ms);
            }
        }
        for (name, ms) in &config.gaps {
            timeouts::gap(name, *ms);
        }
        let edit = |(pointer, value): &(String, String)| Edit {
            pointer: pointer.clone(),
            value: value.clone(),
        };
        Ok(Verdict::Plan(Plan {
            steps: config.steps.iter().map(step).collect(),
            edits: config.edits.iter().map(edit).collect(),
            labels: config.labels.clone(),
            reason: config.reason.clone(),
            review: config.review,
        }))
    }
}

export_policy!(DecidesAsTold);
