//! What the gateway refuses of a verdict, as a fault of the policy: here too, so that golden runs see it.

use serde::de::IgnoredAny;

use super::imports::Times;
use crate::limits::{self, EDITS, LABELS, POINTER_BYTES, STEPS};
use crate::{Candidate, Edit, Plan, Verdict};

/// The verdict, or what is wrong with it.
pub(super) fn check(verdict: Verdict, times: &Times, candidates: &[Candidate]) -> Result<Verdict, String> {
    match &verdict {
        Verdict::Pass => {}
        Verdict::Plan(plan) => check_plan(plan, times, candidates)?,
        Verdict::Reject(rejection) if limits::is_code(&rejection.code) => {}
        Verdict::Reject(rejection) => return Err(format!("`{}` is no error code", rejection.code)),
    }
    Ok(verdict)
}

fn check_plan(plan: &Plan, times: &Times, candidates: &[Candidate]) -> Result<(), String> {
    let is_offered = |name: &String| candidates.iter().any(|candidate| candidate.id == *name);
    for (index, step) in plan.steps.iter().enumerate() {
        let name = &step.candidate;
        if !is_offered(name) {
            return Err(format!("step {} names `{name}`, which was not offered", index + 1));
        }
        if plan.steps[..index].iter().any(|earlier| earlier.candidate == *name) {
            return Err(format!("step {} names `{name}` again", index + 1));
        }
    }
    if let Some(name) = times.keys().find(|name| !is_offered(name)) {
        return Err(format!("a time is said of `{name}`, which was not offered"));
    }
    let counts = [
        ("steps", plan.steps.len(), STEPS),
        ("edits", plan.edits.len(), EDITS),
        ("labels", plan.labels.len(), LABELS),
    ];
    if let Some((what, count, most)) = counts.iter().find(|(_, count, most)| count > most) {
        return Err(format!("{count} {what}; the limit is {most}"));
    }
    plan.edits.iter().try_for_each(check_edit)?;
    let is_fit = |(key, value): &&(String, String)| !key.is_empty() && limits::is_label(key) && limits::is_label(value);
    match plan.labels.iter().find(|label| !is_fit(label)) {
        Some((key, _)) => Err(format!("label `{key}` is empty, too long or not printable")),
        None => Ok(()),
    }
}

fn check_edit(Edit { pointer, value }: &Edit) -> Result<(), String> {
    let escapes_are_whole = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !pointer.starts_with('/') || pointer.len() > POINTER_BYTES || !escapes_are_whole {
        return Err(format!("`{pointer}` is not a JSON pointer to a part of the request"));
    }
    if let Some(field @ ("model" | "stream")) = pointer.split('/').nth(1) {
        return Err(format!("`/{field}` is the host's and cannot be edited"));
    }
    if !value.is_empty() && serde_json::from_str::<IgnoredAny>(value).is_err() {
        return Err(format!("the value for `{pointer}` is not JSON"));
    }
    Ok(())
}
