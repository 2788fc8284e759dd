//! What a policy may decide. A verdict that breaks a rule is refused whole, so that no half of a plan is ever carried
//! out; texts for people are cut instead.

use serde::de::IgnoredAny;

use super::bindings::exports::pointsman::plugin::route::{Plan as Given, Verdict as Said};
use super::fault::Fault;
use super::timeouts::Timeouts;
use super::words::{Candidate, Edit, Opinion, Plan, Rejection, Verdict};

/// Steps of a plan; a route has no more candidates, so that a policy can always name all of them.
pub const STEPS: usize = 64;
const EDITS: usize = 32;
const LABELS: usize = 32;
const LABEL_BYTES: usize = 256;
const POINTER_BYTES: usize = 1 << 10;
const TEXT_BYTES: usize = 1 << 10;
const CODE_BYTES: usize = 64;
/// Answered where a policy rejects with a status that is no rejection.
const FORBIDDEN: u16 = 403;

/// One line of bounded length.
pub(super) fn check_opinion(opinion: Opinion) -> Opinion {
    match opinion {
        Opinion::Accept => Opinion::Accept,
        Opinion::Next(reason) => Opinion::Next(for_people(&reason)),
    }
}

/// Holds a verdict, and what was said of times beside it, to the rules, to the candidates that were offered, and to what the
/// policy can do.
pub(super) fn check(
    verdict: Said,
    timeouts: Option<Timeouts>,
    candidates: &[Candidate],
    can_review: bool,
) -> Result<Verdict, Fault> {
    match verdict {
        Said::Pass => Ok(Verdict::Pass),
        Said::Plan(plan) if plan.review && !can_review => {
            Err("the plan asks for a review, and the policy does not export `review`".to_owned())
        }
        Said::Plan(plan) => check_plan(plan, timeouts.as_ref(), candidates).map(Verdict::Plan),
        Said::Reject(rejection) => check_rejection(rejection).map(Verdict::Reject),
    }
    .map_err(Fault::InvalidOutput)
}

fn check_plan(mut plan: Given, timeouts: Option<&Timeouts>, candidates: &[Candidate]) -> Result<Plan, String> {
    check_steps(&plan, candidates)?;
    if let Some(name) = timeouts.and_then(Timeouts::stranger) {
        return Err(format!("a time is said of `{}`, which was not offered", shown(name)));
    }
    check_edits(&plan.edits)?;
    at_most("labels", plan.labels.len(), LABELS)?;
    plan.labels.iter().try_for_each(check_label)?;
    plan.reason = for_people(&plan.reason);
    Ok(Plan::new(plan, timeouts))
}

fn check_steps(plan: &Given, candidates: &[Candidate]) -> Result<(), String> {
    at_most("steps", plan.steps.len(), STEPS)?;
    for (index, step) in plan.steps.iter().enumerate() {
        let name = &step.candidate;
        if !candidates.iter().any(|candidate| candidate.id == *name) {
            return Err(format!(
                "step {} names `{}`, which was not offered",
                index + 1,
                shown(name)
            ));
        }
        if plan.steps[..index].iter().any(|earlier| earlier.candidate == *name) {
            return Err(format!("step {} names `{}` again", index + 1, shown(name)));
        }
    }
    Ok(())
}

/// Holds the edits of one request to the rules.
pub(super) fn check_edits(edits: &[Edit]) -> Result<(), String> {
    at_most("edits", edits.len(), EDITS)?;
    edits.iter().try_for_each(check_edit)
}

/// The host chose the model and knows whether the answer is streamed; a policy that could change either would undo
/// what the host checked.
fn check_edit(edit: &Edit) -> Result<(), String> {
    let Edit { pointer, value } = edit;
    if !is_pointer(pointer) {
        return Err(format!(
            "`{}` is not a JSON pointer to a part of the request",
            shown(pointer)
        ));
    }
    if let Some(field @ ("model" | "stream")) = pointer.split('/').nth(1) {
        return Err(format!("`/{field}` is the host's and cannot be edited"));
    }
    if !value.is_empty() && serde_json::from_str::<IgnoredAny>(value).is_err() {
        return Err(format!("the value for `{}` is not JSON", shown(pointer)));
    }
    Ok(())
}

/// RFC 6901, without the pointer to the whole document.
fn is_pointer(pointer: &str) -> bool {
    let escapes_are_whole = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    pointer.starts_with('/') && pointer.len() <= POINTER_BYTES && escapes_are_whole
}

fn check_label((key, value): &(String, String)) -> Result<(), String> {
    let is_fit = |text: &str| text.len() <= LABEL_BYTES && !text.chars().any(char::is_control);
    if key.is_empty() || !is_fit(key) || !is_fit(value) {
        return Err(format!("label `{}` is empty, too long or not printable", shown(key)));
    }
    Ok(())
}

fn check_rejection(mut rejection: Rejection) -> Result<Rejection, String> {
    let code = &rejection.code;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if code.len() > CODE_BYTES || !code.chars().all(is_word) {
        return Err(format!(
            "`{}` is no error code: letters, digits, `_`, `-` and `.`, up to {CODE_BYTES}",
            shown(code)
        ));
    }
    if !(400..=599).contains(&rejection.status) {
        rejection.status = FORBIDDEN;
    }
    rejection.message = for_people(&rejection.message);
    Ok(rejection)
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), String> {
    match count > limit {
        true => Err(format!("{count} {what}; the limit is {limit}")),
        false => Ok(()),
    }
}

/// One line of bounded length.
fn for_people(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].replace(char::is_control, " ")
}

/// What a guest wrote, for use inside an error text.
fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(80)].escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::bindings::exports::pointsman::plugin::route::Step;
    use crate::plugins::tests::candidate;

    fn candidates(ids: &[&str]) -> Vec<Candidate> {
        ids.iter().map(|id| candidate(id)).collect()
    }

    fn plan(steps: &[&str]) -> Given {
        let step = |id: &&str| Step {
            candidate: id.to_string(),
            first_token_timeout_ms: None,
            timeout_ms: None,
            hedge_after_ms: None,
        };
        Given {
            steps: steps.iter().map(step).collect(),
            edits: vec![],
            labels: vec![],
            reason: String::new(),
            review: false,
        }
    }

    fn refusal(plan: Given) -> String {
        match check(Said::Plan(plan), None, &candidates(&["a", "b"]), false) {
            Err(Fault::InvalidOutput(why)) => why,
            other => panic!("it was taken: {other:?}"),
        }
    }

    fn edited(pointer: &str, value: &str) -> Given {
        Given {
            edits: vec![Edit {
                pointer: pointer.into(),
                value: value.into(),
            }],
            ..plan(&[])
        }
    }

    #[test]
    fn a_plan_may_order_and_leave_out_what_was_offered() {
        assert!(check(Said::Plan(plan(&["b", "a"])), None, &candidates(&["a", "b"]), false).is_ok());
        assert_eq!(refusal(plan(&["a", "c"])), "step 2 names `c`, which was not offered");
        assert_eq!(refusal(plan(&["a", "b", "a"])), "step 3 names `a` again");
    }

    #[test]
    fn a_plan_may_ask_for_a_review_where_the_policy_has_one() {
        let reviewed = || {
            Said::Plan(Given {
                review: true,
                ..plan(&[])
            })
        };
        assert!(check(reviewed(), None, &[], true).is_ok());
        assert!(check(reviewed(), None, &[], false).is_err());
    }

    #[test]
    fn edits_are_valid_pointers_and_json_and_leave_the_hosts_fields_alone() {
        for (pointer, value) in [
            ("/temperature", "0.5"),
            ("/metadata/a~1b", ""),
            ("/messages/0/content", "\"x\""),
        ] {
            assert!(
                check(Said::Plan(edited(pointer, value)), None, &[], false).is_ok(),
                "{pointer} was refused"
            );
        }
        for pointer in ["", "temperature", "/a~2", "/a~", "/model", "/model/x", "/stream"] {
            refusal(edited(pointer, "1"));
        }
        assert_eq!(refusal(edited("/top_p", "{")), "the value for `/top_p` is not JSON");
    }

    #[test]
    fn lists_are_bounded() {
        let label = ("k".to_string(), "v".to_string());
        assert_eq!(
            refusal(Given {
                labels: vec![label; 33],
                ..plan(&[])
            }),
            "33 labels; the limit is 32"
        );
        assert_eq!(
            refusal(Given {
                edits: vec![edited("/a", "1").edits.remove(0); 33],
                ..plan(&[])
            }),
            "33 edits; the limit is 32"
        );
        refusal(Given {
            labels: vec![("k\n".into(), "v".into())],
            ..plan(&[])
        });
    }

    #[test]
    fn a_reason_is_one_line_cut_on_a_characters_edge() {
        let reason = format!("a\r\n{}", "ä".repeat(1000));
        let Ok(Verdict::Plan(plan)) = check(Said::Plan(Given { reason, ..plan(&[]) }), None, &[], false) else {
            panic!("refused")
        };
        assert!(plan.reason.starts_with("a  ä") && plan.reason.len() == 1023);
    }

    #[test]
    fn a_rejection_with_another_status_is_a_403() {
        let rejection = |status, code: &str| {
            Said::Reject(Rejection {
                status,
                code: code.into(),
                message: "no".into(),
                retry_after_ms: None,
            })
        };
        for (given, answered) in [(200, 403), (400, 400), (599, 599), (600, 403)] {
            let Ok(Verdict::Reject(checked)) = check(rejection(given, "no"), None, &[], false) else {
                panic!("refused")
            };
            assert_eq!(checked.status, answered);
        }
        assert!(check(rejection(400, "a b"), None, &[], false).is_err());
    }
}
