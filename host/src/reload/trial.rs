//! Trials: decisions that a policy's configuration says it must make (`[[policies.x.tests]]`). They run through the very
//! chain that requests take, before a generation is put in service; one that goes wrong keeps it out.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::config::{Expectation, PolicyTest, RouteConfig};
use crate::generation::{Generation, LoadedPolicy, Route};
use crate::json::{Document, Limits};
use crate::keys::Caller;
use crate::operation::Operation;
use crate::pipeline::{Call, decide};
use crate::reports::Problem;
use crate::surfaces::chat::Ask;
use crate::surfaces::{Surface, Wording};

/// Runs every trial of a generation.
pub(super) fn run(runtime: &tokio::runtime::Handle, generation: &Generation) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, config) in &generation.config.policies {
        let Some(policy) = generation.policies.get(name) else {
            continue;
        };
        for (index, test) in config.tests.iter().enumerate() {
            if let Err(reason) = runtime.block_on(try_one(generation, policy, test)) {
                let message = format!("test {} of [policies.{name}]: {reason}", index + 1);
                problems.push(Problem {
                    plugin: name.clone(),
                    digest: Some(policy.policy.digest()),
                    message,
                });
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

async fn try_one(generation: &Generation, policy: &LoadedPolicy, test: &PolicyTest) -> Result<(), String> {
    let text = Bytes::from(test.request.to_string());
    let document = Document::parse(text, Limits::default()).map_err(|error| error.to_string())?;
    let ask = Ask::read(&document, Operation::Chat).map_err(|error| error.message)?;
    let candidates = test
        .candidates
        .iter()
        .filter_map(|id| generation.models.get(id).map(|model| (model.clone(), 1)));
    let candidates: Vec<_> = candidates.collect();
    let route = Route {
        name: ask.model.clone(),
        label: ask.model.clone(),
        config: RouteConfig::direct(&ask.model),
        candidates: candidates.clone(),
        policies: vec![policy.clone()],
        served: prometheus_client::metrics::counter::Counter::default(),
        budgets: Vec::new(),
        counted_as: Arc::default(),
        reference: None,
    };
    let id: Arc<str> = "trial".into();
    let call = Arc::new(Call {
        seed: Call::seed_of(&id),
        id,
        received: Instant::now(),
        now_ms: 0,
        headers: hyper::HeaderMap::new(),
        document,
        ask,
        policy_headers: Vec::new(),
        caller: Caller::anonymous().into(),
        wording: Wording::canonical(Surface::ChatCompletions),
        sent: Arc::default(),
        tried: Arc::default(),
        is_told: Arc::default(),
    });
    let decided = decide::chain(&route, &call, candidates, None).await;
    compare(&test.expect, decided)
}

fn compare(expected: &Expectation, decided: decide::Decided) -> Result<(), String> {
    match (expected, decided.outcome) {
        (Expectation::Reject(code), Err(error)) if error.code == *code => Ok(()),
        (Expectation::Reject(code), Err(error)) => Err(format!("rejected with `{}`, not `{code}`", error.code)),
        (Expectation::Reject(code), Ok(_)) => Err(format!("served, not rejected with `{code}`")),
        (Expectation::First { .. }, Err(error)) => Err(error.to_string()),
        (Expectation::First { model, labels }, Ok(decision)) => {
            let first = decision.steps.first().map_or("nothing", |step| step.model.id.as_str());
            if let Some(model) = model.as_ref().filter(|model| *model != first) {
                return Err(format!("went to `{first}`, not `{model}`"));
            }
            let missing = labels.iter().find(|label| !decision.labels.contains(label));
            missing.map_or(Ok(()), |(key, value)| {
                Err(format!("no label {key} = {value}, but {:?}", decision.labels))
            })
        }
    }
}
