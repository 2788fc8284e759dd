//! What a policy says of times beside its plan.

use super::guests::{PolicyText, REASON, REASON_ITEMS, ZEROS};
use super::*;

const WORLD: &str = "include pointsman:plugin/policy@0.1.0; import pointsman:plugin/timeouts@0.1.0;";
const CONNECT: &str = "(call $connect (i32.const 600) (i32.const 1) (i32.const 40))";
const STRANGER: &str = "(call $gap (i32.const 604) (i32.const 4) (i32.const 5))";

/// Returns a plan without steps, or what else stands at its end.
fn saying(load: &str, decide: &str) -> Vec<u8> {
    let items = format!(
        r#"(import "pointsman:plugin/timeouts@0.1.0" "connect" (func $connect (param i32 i32 i32)))
           (import "pointsman:plugin/timeouts@0.1.0" "gap" (func $gap (param i32 i32 i32)))
           {REASON_ITEMS}
           (data (i32.const 600) "b") (data (i32.const 604) "none")"#
    );
    let (items, load, decide) = (&items, load, decide);
    guests::policy_of(WORLD, "", PolicyText { items, load, decide })
}

fn policy(decide: &str) -> Policy {
    load(spec(saying(ZEROS, decide))).unwrap()
}

async fn decided(policy: &Policy) -> Result<Verdict, Fault> {
    let candidates = ["a", "b"].map(candidate).to_vec();
    policy.decide(&Call { candidates, ..call() }).await
}

/// The steps of a plan, each with its times.
async fn steps(policy: &Policy) -> Vec<(String, Vec<(&'static str, u32)>)> {
    let Ok(Verdict::Plan(plan)) = decided(policy).await else {
        panic!("no plan")
    };
    let steps = plan.steps.iter();
    steps
        .map(|step| (step.candidate.clone(), step.times().collect()))
        .collect()
}

#[tokio::test]
async fn however_often_times_are_said_the_last_is_the_plans() {
    let often = "(local $ms i32)
        (loop $again
            (call $gap (i32.const 600) (i32.const 1) (local.get $ms))
            (local.set $ms (i32.add (local.get $ms) (i32.const 1)))
            (br_if $again (i32.le_u (local.get $ms) (i32.const 20000))))";
    let said = steps(&policy(&format!("{often} {CONNECT} {REASON}"))).await;
    let times = vec![("connect_timeout_ms", 40), ("gap_timeout_ms", 20_000)];
    assert_eq!(said, [("a".to_owned(), vec![]), ("b".to_owned(), times)]);
}

#[tokio::test]
async fn a_plan_beside_which_a_time_is_said_of_a_stranger_is_refused() {
    let refused = decided(&policy(&format!("{STRANGER} {CONNECT} {STRANGER} {REASON}"))).await;
    let why = "a time is said of `none`, which was not offered";
    assert_eq!(refused, Err(Fault::InvalidOutput(why.into())));
    // Without a plan nothing was said.
    let passed = decided(&policy(&format!("{STRANGER} {CONNECT} {ZEROS}"))).await;
    assert_eq!(passed, Ok(Verdict::Pass));
}

#[tokio::test]
async fn a_kept_instance_begins_without_what_its_last_call_said() {
    let first = "(if (i32.eq (global.get $digit) (i32.const 48)) (then SAY))".replace("SAY", CONNECT);
    let decide = format!("{first} (global.set $digit (i32.const 49)) {REASON}");
    let kept = load(PolicySpec {
        instances: KEPT,
        ..spec(saying(ZEROS, &decide))
    })
    .unwrap();
    assert_eq!(steps(&kept).await[1].1, [("connect_timeout_ms", 40)]);
    assert_eq!(steps(&kept).await, []);
}

#[test]
fn nothing_can_be_said_while_configuring() {
    let refusal = refusal(spec(saying(&format!("{CONNECT} {ZEROS}"), ZEROS)));
    assert!(
        refusal.contains("the times of a step are said in `decide`, and at no other time"),
        "{refusal}"
    );
}

#[test]
fn inspecting_says_that_nobody_has_to_give_it() {
    let seen = inspect(&engine(), &saying(ZEROS, ZEROS)).unwrap();
    let named = |import: &&Import| import.name == "pointsman:plugin/timeouts@0.1.0";
    let import = seen.imports.iter().find(named);
    let import = import.map(|import| (import.needs.as_str(), import.is_offered));
    assert_eq!(import, Some(("nothing (policies alone)", true)));
    assert!(seen.grants.is_empty());
}
