//! What a golden file expects of a policy, and how a verdict differs from it. Both sides are brought to one JSON form and
//! compared as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::diff;
use crate::plugins::Fault;
use crate::plugins::words::{Opinion, Step, Verdict};

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    Pass(bool),
    Plan(ExpectedPlan),
    Reject(ExpectedRejection),
    Fault(String),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

/// What is expected of a review: text that its reason, or its fault, contains.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExpectedOpinion {
    Accept,
    Next(String),
    Fault(String),
}

impl ExpectedOpinion {
    /// What is wrong with an opinion, if anything is.
    pub(super) fn complaint(&self, opinion: &Result<Opinion, Fault>) -> Option<String> {
        let is_right = match (self, opinion) {
            (Self::Accept, Ok(Opinion::Accept)) => true,
            (Self::Next(text), Ok(Opinion::Next(reason))) => reason.contains(text),
            (Self::Fault(text), Err(fault)) => fault.to_string().contains(text),
            _ => false,
        };
        let got = match opinion {
            Ok(Opinion::Accept) => "accept".to_owned(),
            Ok(Opinion::Next(reason)) => format!("next, since {reason}"),
            Err(fault) => format!("fault: {fault}"),
        };
        (!is_right).then(|| format!("    - expected {self:?}\n    + got {got}"))
    }
}

impl Expected {
    /// What is wrong with a verdict, if anything is.
    pub(super) fn complaint(&self, verdict: &Result<Verdict, Fault>) -> Option<String> {
        let mut actual = show(verdict);
        let expected = match self {
            Expected::Fault(text) => match verdict {
                Err(fault) if fault.to_string().contains(text) => return None,
                _ => json!({ "fault": text }),
            },
            Expected::Pass(is_pass) => json!({ "pass": is_pass }),
            Expected::Plan(plan) => plan.beside(&mut actual),
            Expected::Reject(rejection) => rejection.beside(&mut actual),
        };
        diff::of(&expected, &actual)
    }
}

impl ExpectedPlan {
    fn beside(&self, actual: &mut Value) -> Value {
        let step = |step: &Value| match step.as_str() {
            Some(id) => json!({ "candidate": id }),
            None => step.clone(),
        };
        let steps: Vec<Value> = self.steps.iter().map(step).collect();
        let mut plan = json!({
            "steps": steps, "edits": self.edits, "labels": self.labels, "review": self.review,
        });
        match &self.reason {
            Some(reason) => plan["reason"] = json!(reason),
            None => forget(actual, "plan", "reason"),
        }
        json!({ "plan": plan })
    }
}

impl ExpectedRejection {
    fn beside(&self, actual: &mut Value) -> Value {
        let mut rejection = json!({ "status": self.status, "code": self.code });
        match &self.message {
            Some(message) => rejection["message"] = json!(message),
            None => forget(actual, "reject", "message"),
        }
        match self.retry_after_ms {
            Some(milliseconds) => rejection["retry_after_ms"] = json!(milliseconds),
            None => forget(actual, "reject", "retry_after_ms"),
        }
        json!({ "reject": rejection })
    }
}

/// What is not expected to be anything is not compared.
fn forget(verdict: &mut Value, kind: &str, field: &str) {
    if let Some(fields) = verdict.get_mut(kind).and_then(Value::as_object_mut) {
        fields.remove(field);
    }
}

fn show(verdict: &Result<Verdict, Fault>) -> Value {
    match verdict {
        Err(fault) => json!({ "fault": fault.to_string() }),
        Ok(Verdict::Pass) => json!({ "pass": true }),
        Ok(Verdict::Reject(rejection)) => json!({ "reject": {
            "status": rejection.status, "code": rejection.code, "message": rejection.message,
            "retry_after_ms": rejection.retry_after_ms,
        } }),
        Ok(Verdict::Plan(plan)) => {
            let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            let edits: Vec<(String, Value)> = plan
                .edits
                .iter()
                .map(|edit| (edit.pointer.clone(), parsed(&edit.value)))
                .collect();
            let labels: Vec<(String, Value)> = plan
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect();
            json!({ "plan": {
                "steps": plan.steps.iter().map(show_step).collect::<Vec<_>>(),
                "edits": members(edits), "labels": members(labels),
                "reason": plan.reason, "review": plan.review,
            } })
        }
    }
}

/// An object; a name that is there twice keeps both of its values, and so differs from what can be expected.
fn members(list: Vec<(String, Value)>) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in list {
        match object.get_mut(&name) {
            Some(first) => *first = json!([first.take(), value]),
            None => {
                object.insert(name, value);
            }
        }
    }
    object.into()
}

fn show_step(step: &Step) -> Value {
    let mut shown = json!({ "candidate": step.candidate });
    for (name, time) in step.times() {
        shown[name] = json!(time);
    }
    shown
}
