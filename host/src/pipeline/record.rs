//! Decision records: what was decided for a request and why, and what came of it, for whoever asks later. Written only where
//! `[store] decisions` asks for it, after the request has ended.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Call;
use super::decide::{Said, Trace};
use crate::config::DecisionsConfig;
use crate::generation::Route;
use crate::money::Nanodollars;
use crate::plugins::words;
use crate::store::Document;

/// The documents' kind. Their ids are the requests'.
pub const KIND: &str = "decision";

/// What policies said, the reason, and the steps.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) trace: Vec<Trace>,
    pub(super) reason: String,
    pub(super) steps: Vec<String>,
}

/// What there is to tell of a request that has ended.
pub(super) struct Told<'a> {
    pub(super) call: &'a Call,
    pub(super) route: &'a Route,
    pub(super) decision: &'a Decision,
    pub(super) labels: &'a [(String, String)],
    pub(super) attempts: &'a [words::Attempt],
    pub(super) cost: Option<Nanodollars>,
}

/// The record as a document of the store.
pub(super) fn of(told: &Told<'_>, config: &DecisionsConfig) -> Document {
    let Told { call, route, .. } = told;
    let offered: Vec<&str> = route.candidates.iter().map(|(model, _)| model.id.as_str()).collect();
    let labels: Map<String, Value> = told
        .labels
        .iter()
        .map(|(label, value)| (label.clone(), value.as_str().into()))
        .collect();
    let record = json!({
        "id": &*call.id,
        "now_ms": call.now_ms,
        "seed": call.seed,
        "key": &*call.caller.id,
        "team": call.caller.team.as_deref(),
        "route": route.name,
        "model": call.ask.model,
        "is_stream": call.ask.is_stream,
        "estimated_input_tokens": call.ask.estimated_input_tokens(),
        "candidates": offered,
        "policies": told.decision.trace.iter().map(policy).collect::<Vec<_>>(),
        "labels": labels,
        "reason": told.decision.reason,
        "steps": told.decision.steps,
        "attempts": told.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "cost_nano_usd": told.cost.map(|cost| cost.0),
    });
    let keep_ms = u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX);
    Document {
        kind: KIND,
        id: call.id.to_string(),
        content: Some(Arc::from(record.to_string().into_bytes())),
        expires_ms: Some(call.now_ms.saturating_add(keep_ms)),
    }
}

fn policy(trace: &Trace) -> Value {
    let mut told = json!({ "policy": trace.policy, "digest": trace.digest });
    let (word, more) = match &trace.said {
        Said::Pass => ("pass", Value::Null),
        Said::Reject => ("reject", Value::Null),
        Said::Fault(reason) => ("fault", json!({ "reason": reason })),
        Said::Plan {
            candidates,
            timed,
            reason,
            reviews,
        } => (
            "plan",
            json!({ "candidates": candidates, "times": times(timed), "reason": reason, "reviews": reviews }),
        ),
    };
    told["said"] = word.into();
    if let Value::Object(more) = more {
        told.as_object_mut()
            .into_iter()
            .for_each(|told| told.extend(more.clone()));
    }
    told
}

/// What a plan says of times, by candidate.
pub fn times(steps: &[words::Step]) -> Map<String, Value> {
    let of = |step: &words::Step| {
        let times = step.times().map(|(name, ms)| (name.to_owned(), ms.into()));
        (step.candidate.clone(), Value::Object(times.collect()))
    };
    steps.iter().map(of).collect()
}

fn attempt(attempt: &words::Attempt) -> Value {
    json!({
        "candidate": attempt.candidate,
        "status": attempt.status,
        "error": attempt.error,
        "first_token_ms": attempt.first_token_ms,
        "total_ms": attempt.total_ms,
        "cost_nano_usd": attempt.cost,
    })
}
