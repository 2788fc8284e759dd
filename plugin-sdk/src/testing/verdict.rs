//! The verdict that a golden file expects, and what is wrong with another one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::imports::Times;
use crate::{Candidate, Opinion, Step, Verdict};

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    Pass(bool),
    Plan(ExpectedPlan),
    Reject(ExpectedRejection),
    Fault(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct ExpectedPlan {
    steps: Vec<Value>,
    edits: BTreeMap<String, Value>,
    labels: BTreeMap<String, String>,
    reason: Option<String>,
    review: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedRejection {
    status: u16,
    code: String,
    message: Option<String>,
    retry_after_ms: Option<u32>,
}

/// The opinion that a golden file expects of an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExpectedOpinion {
    Accept,
    /// Text that the reason contains.
    Next(String),
    /// Text that the fault contains.
    Fault(String),
}

impl ExpectedOpinion {
    /// What is wrong with an opinion, if anything is.
    pub(super) fn complaint(&self, opinion: &Result<Opinion, String>) -> Option<String> {
        let is_right = match (self, opinion) {
            (ExpectedOpinion::Accept, Ok(Opinion::Accept)) => true,
            (ExpectedOpinion::Next(text), Ok(Opinion::Next(reason))) => reason.contains(text),
            (ExpectedOpinion::Fault(text), Err(fault)) => fault.contains(text),
            _ => false,
        };
        (!is_right).then(|| format!("  expected {self:?}\n  got      {opinion:?}"))
    }
}

impl Expected {
    /// What is wrong with a verdict, if anything is. Both sides are brought to one JSON form and compared as a whole.
    pub(super) fn complaint(
        &self,
        verdict: &Result<(Verdict, Times), String>,
        candidates: &[Candidate],
    ) -> Option<String> {
        let shown = show(verdict, candidates);
        let (expected, actual) = match (self, verdict) {
            (Expected::Fault(text), Err(fault)) if fault.contains(text) => return None,
            (Expected::Fault(text), _) => (json!({ "fault": text }), shown),
            (Expected::Pass(is_pass), _) => (json!({ "pass": is_pass }), shown),
            (Expected::Plan(plan), _) => plan.beside(shown),
            (Expected::Reject(rejection), _) => rejection.beside(shown),
        };
        (expected != actual).then(|| format!("  expected {expected}\n  got      {actual}"))
    }
}

impl ExpectedPlan {
    fn beside(&self, mut actual: Value) -> (Value, Value) {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                step.as_str()
                    .map_or_else(|| step.clone(), |id| json!({ "candidate": id }))
            })
            .collect();
        let edits: Vec<Value> = self
            .edits
            .iter()
            .map(|(pointer, value)| json!([pointer, value]))
            .collect();
        let labels: Vec<Value> = self.labels.iter().map(|(key, value)| json!([key, value])).collect();
        let mut plan = json!({ "steps": steps, "edits": edits, "labels": labels, "review": self.review });
        match &self.reason {
            Some(reason) => plan["reason"] = json!(reason),
            None => forget(&mut actual, "plan", "reason"),
        }
        (json!({ "plan": plan }), actual)
    }
}

impl ExpectedRejection {
    fn beside(&self, mut actual: Value) -> (Value, Value) {
        let mut rejection = json!({ "status": self.status, "code": self.code });
        match &self.message {
            Some(message) => rejection["message"] = json!(message),
            None => forget(&mut actual, "reject", "message"),
        }
        match self.retry_after_ms {
            Some(milliseconds) => rejection["retry_after_ms"] = json!(milliseconds),
            None => forget(&mut actual, "reject", "retry_after_ms"),
        }
        (json!({ "reject": rejection }), actual)
    }
}

fn forget(verdict: &mut Value, kind: &str, field: &str) {
    if let Some(fields) = verdict.get_mut(kind).and_then(Value::as_object_mut) {
        fields.remove(field);
    }
}

/// A plan without steps whose policy said times has all candidates as its steps, as the gateway has it.
fn show(verdict: &Result<(Verdict, Times), String>, candidates: &[Candidate]) -> Value {
    match verdict {
        Err(fault) => json!({ "fault": fault }),
        Ok((Verdict::Pass, _)) => json!({ "pass": true }),
        Ok((Verdict::Reject(rejection), _)) => json!({ "reject": {
            "status": rejection.status, "code": rejection.code, "message": rejection.message,
            "retry_after_ms": rejection.retry_after_ms,
        } }),
        Ok((Verdict::Plan(plan), times)) => {
            let mut edits: Vec<Value> = plan
                .edits
                .iter()
                .map(|edit| json!([edit.pointer, parsed(&edit.value)]))
                .collect();
            edits.sort_by_key(Value::to_string);
            let mut labels = plan.labels.clone();
            labels.sort();
            let all = || candidates.iter().map(|candidate| Step::new(&*candidate.id)).collect();
            let steps: Vec<Step> = match plan.steps.is_empty() && !times.is_empty() {
                true => all(),
                false => plan.steps.clone(),
            };
            let steps: Vec<Value> = steps.iter().map(|step| show_step(step, times)).collect();
            json!({ "plan": {
                "steps": steps, "edits": edits, "labels": labels, "reason": plan.reason, "review": plan.review,
            } })
        }
    }
}

/// An edit's value is JSON text; the empty text, which removes, is shown as null.
fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or(Value::Null)
}

fn show_step(step: &Step, said: &Times) -> Value {
    let mut shown = json!({ "candidate": step.candidate });
    let (connect, gap) = said.get(&step.candidate).copied().unwrap_or_default();
    let times = [
        ("connect_timeout_ms", connect),
        ("gap_timeout_ms", gap),
        ("first_token_timeout_ms", step.first_token_timeout_ms),
        ("timeout_ms", step.timeout_ms),
        ("hedge_after_ms", step.hedge_after_ms),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            shown[name] = json!(time);
        }
    }
    shown
}
