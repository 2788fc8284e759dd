//! The golden files, and what takes more than one request: who served, and what is kept of it.

use pointsman_plugin::{
    Attempt, Verdict,
    testing::{Case, TestHost, golden},
};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_750_000_000_000;

fn policy(config: Value) -> Sticky {
    pointsman_plugin::policy::load(&config.to_string()).unwrap()
}

/// A session's request with the candidates `a`, `b` and `c`, in that order.
fn case(session: &str, now_ms: u64) -> Case {
    Case::json(json!({
        "request": { "messages": [{ "role": "user", "content": "hello" }] },
        "session": session, "now_ms": now_ms,
        "candidates": [{ "id": "a" }, { "id": "b" }, { "id": "c" }],
    }))
}

/// The labels of the session's next request, and the candidate that comes first.
fn turn(host: &TestHost, policy: &Sticky, session: &str, now_ms: u64) -> (Vec<(String, String)>, String) {
    match host.decide(policy, &case(session, now_ms)) {
        Ok(Verdict::Plan(plan)) => {
            let first = plan.steps.first().map_or("a".into(), |step| step.candidate.clone());
            (plan.labels, first)
        }
        other => panic!("no plan but {other:?}"),
    }
}

fn ended(labels: Vec<(String, String)>, attempts: &[(&str, Option<&str>)], now_ms: u64) -> Ended {
    let attempt = |(candidate, error): &(&str, Option<&str>)| Attempt {
        candidate: candidate.to_string(),
        status: 200,
        error: error.map(str::to_owned),
        first_token_ms: None,
        total_ms: 5,
        cost: None,
    };
    Ended {
        request_id: "test".into(),
        key_id: "anonymous".into(),
        route: "auto".into(),
        now_ms,
        labels,
        attempts: attempts.iter().map(attempt).collect(),
        input_tokens: 0,
        output_tokens: 0,
        score: None,
        extras: Vec::new(),
    }
}

#[test]
fn golden_files() {
    golden::<Sticky>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn whoever_really_served_is_remembered_and_not_who_was_planned() {
    let (host, policy) = (TestHost::new(), policy(json!({ "mode": "always" })));
    let (labels, first) = turn(&host, &policy, "s", NOW);
    assert_eq!(first, "a");
    let attempts = [("a", Some("overloaded")), ("b", None)];
    host.observe(&policy, &ended(labels, &attempts, NOW));
    assert_eq!(turn(&host, &policy, "s", NOW + 1).1, "b");
    assert_eq!(
        turn(&host, &policy, "other", NOW + 1).1,
        "a",
        "another session is another"
    );
}

#[test]
fn a_request_that_nobody_answered_moves_nobody() {
    let (host, policy) = (TestHost::new(), policy(json!({ "mode": "always" })));
    let (labels, _) = turn(&host, &policy, "s", NOW);
    host.observe(&policy, &ended(labels, &[("b", None)], NOW));
    let (labels, _) = turn(&host, &policy, "s", NOW + 1);
    host.observe(
        &policy,
        &ended(labels, &[("b", Some("upstream")), ("a", Some("upstream"))], NOW + 1),
    );
    assert_eq!(turn(&host, &policy, "s", NOW + 2).1, "b");
}

#[test]
fn a_client_that_goes_away_stays_where_it_was_being_served() {
    let (host, policy) = (TestHost::new(), policy(json!({ "mode": "always" })));
    let (labels, _) = turn(&host, &policy, "s", NOW);
    let attempts = [("a", Some("overloaded")), ("b", Some("client_disconnected"))];
    host.observe(&policy, &ended(labels, &attempts, NOW));
    assert_eq!(turn(&host, &policy, "s", NOW + 1).1, "b");
}

#[test]
fn after_a_while_nobody_is_known() {
    let (host, policy) = (TestHost::new(), policy(json!({ "mode": "always", "keep_s": 60 })));
    let (labels, _) = turn(&host, &policy, "s", NOW);
    host.observe(&policy, &ended(labels, &[("b", None)], NOW));
    assert_eq!(turn(&host, &policy, "s", NOW + 59_999).1, "b");
    assert_eq!(turn(&host, &policy, "s", NOW + 60_000).1, "a");
}

#[test]
fn what_was_billed_counts_and_else_the_estimate() {
    let (host, policy) = (TestHost::new(), policy(json!({})));
    let (labels, _) = turn(&host, &policy, "s", NOW);
    let key = host_key(&labels);
    host.observe(&policy, &ended(labels.clone(), &[("b", None)], NOW));
    let estimated = json!({ "model": "b", "at_ms": NOW, "input": 6, "output": 0 });
    assert_eq!(held(&host, &key), estimated);
    let billed = Ended {
        input_tokens: 77,
        output_tokens: 8,
        ..ended(labels, &[("b", None)], NOW)
    };
    host.observe(&policy, &billed);
    let expected = json!({ "model": "b", "at_ms": NOW, "input": 77, "output": 8 });
    assert_eq!(held(&host, &key), expected);
}

#[test]
fn a_session_is_one_key_of_fixed_length_however_often_it_comes() {
    let (host, policy) = (TestHost::new(), policy(json!({ "mode": "always" })));
    let long = "s".repeat(5000);
    for now_ms in NOW..NOW + 20 {
        let (labels, _) = turn(&host, &policy, &long, now_ms);
        host.observe(&policy, &ended(labels, &[("c", None)], now_ms));
    }
    let keys = host.keys();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].len(), 16);
}

#[test]
fn a_request_that_the_policy_passed_writes_nothing() {
    let (host, policy) = (TestHost::new(), policy(json!({})));
    host.observe(&policy, &ended(Vec::new(), &[("b", None)], NOW));
    assert!(host.keys().is_empty());
}

fn host_key(labels: &[(String, String)]) -> String {
    let own = labels.iter().find(|(label, _)| label == FOR).unwrap();
    own.1.split_once('/').unwrap().0.to_owned()
}

fn held(host: &TestHost, key: &str) -> Value {
    serde_json::from_slice(&host.state(key).unwrap()).unwrap()
}
