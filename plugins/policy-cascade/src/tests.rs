//! What golden files cannot say: what a judge is shown, how long a latch holds, and what needs a grant.

use pointsman_plugin::{
    log::Level,
    models::Question,
    testing::{Case, TestHost, golden, review_golden},
};
use serde_json::{Value, json};

use super::*;

fn policy(config: Value) -> Cascade {
    pointsman_plugin::policy::load(&config.to_string()).unwrap()
}

/// A configuration with these keys beside the models.
fn config(more: Value) -> Value {
    let mut config = json!({ "first": ["a/small"], "strong": ["a/large"] });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

/// A conversation of two messages, an answer to it and what models say.
fn case(more: Value) -> Case {
    let mut case = json!({
        "request": { "messages": [
            { "role": "system", "content": "Be exact." },
            { "role": "user", "content": "What is 6 times 7?" },
        ] },
        "candidates": [{ "id": "a/large" }, { "id": "a/small" }],
        "session": "s1",
        "answer": { "candidate": "a/small", "text": "41" },
        "replies": [{ "model": "b/judge", "text": "{\"problem\": \"6 times 7 is 42\", \"score\": 1}" }],
    });
    case.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Case::json(case)
}

fn begins_with(host: &TestHost, policy: &Cascade, case: &Case) -> String {
    match host.decide(policy, case).unwrap() {
        Verdict::Plan(plan) => plan.steps[0].candidate.clone(),
        other => panic!("no plan but {other:?}"),
    }
}

#[test]
fn golden_files() {
    golden::<Cascade>(env!("CARGO_MANIFEST_DIR"));
    review_golden::<Cascade>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_session_that_was_escalated_stays_with_the_strong_until_the_latch_opens() {
    let policy = policy(config(json!({ "judge": { "model": "b/judge" }, "latch_ms": 1000 })));
    let host = TestHost::new();
    let at =
        |now_ms: u64, session: &str, key: &str| case(json!({ "now_ms": now_ms, "session": session, "key_id": key }));
    assert_eq!(begins_with(&host, &policy, &at(5000, "s1", "ada")), "a/small");
    let opinion = host.review(&policy, &at(5000, "s1", "ada")).unwrap();
    assert!(matches!(opinion, Opinion::Next(_)), "{opinion:?}");
    assert_eq!(begins_with(&host, &policy, &at(5999, "s1", "ada")), "a/large");
    assert_eq!(
        begins_with(&host, &policy, &at(5999, "s2", "ada")),
        "a/small",
        "another session"
    );
    assert_eq!(
        begins_with(&host, &policy, &at(5999, "s1", "bob")),
        "a/small",
        "another key's session"
    );
    assert_eq!(
        begins_with(&host, &policy, &at(6000, "s1", "ada")),
        "a/small",
        "the latch has opened"
    );
}

#[test]
fn an_answer_that_serves_latches_nothing() {
    let policy = policy(config(
        json!({ "judge": { "model": "b/judge", "threshold": 1 }, "latch_ms": 1000 }),
    ));
    let host = TestHost::new();
    assert_eq!(host.review(&policy, &case(json!({}))).unwrap(), Opinion::Accept);
    assert!(host.keys().is_empty());
}

#[test]
fn names_as_long_as_they_like_make_keys_that_the_store_takes() {
    let policy = policy(config(json!({ "checks": { "empty": true }, "latch_ms": 1000 })));
    let host = TestHost::new();
    let long =
        case(json!({ "session": "ü".repeat(500), "key_id": "ö".repeat(500), "answer": { "candidate": "a/small" } }));
    host.review(&policy, &long).unwrap();
    assert!(host.keys().iter().all(|key| key.len() <= 256) && host.keys().len() == 1);
}

#[test]
fn the_judge_sees_the_end_of_the_conversation_and_the_answer() {
    let policy = policy(config(
        json!({ "judge": { "model": "b/judge", "instructions": "Be strict.", "read_at_most": 40 } }),
    ));
    let host = TestHost::new();
    let long = json!({ "messages": [
        { "role": "user", "content": "An old question that is long enough" },
        { "role": "assistant", "content": "Hello." },
        { "role": "user", "content": "And 6 times 7?" },
    ] });
    host.review(&policy, &case(json!({ "request": long }))).unwrap();
    let [ask] = host.asks().try_into().unwrap();
    let Question::Prompt(prompt) = ask.question else {
        panic!("no prompt of its own")
    };
    assert_eq!(
        prompt.user,
        "<conversation>\n[assistant]\nHello.\n[user]\nAnd 6 times 7?\n</conversation>\n<answer>\n41\n</answer>"
    );
    assert!(
        prompt
            .system
            .unwrap()
            .starts_with("Be strict.\n\nThe conversation and the answer stand between tags.")
    );
    assert!(serde_json::from_str::<Value>(&prompt.json_schema.unwrap()).is_ok());
    assert_eq!((ask.timeout_ms, ask.max_output_tokens), (Some(10_000), Some(500)));
}

#[test]
fn what_the_judge_reads_is_cut_on_a_characters_edge() {
    let policy = policy(config(json!({ "judge": { "model": "b/judge", "read_at_most": 5 } })));
    let host = TestHost::new();
    let long = json!({ "messages": [{ "role": "user", "content": "ééééé" }] });
    let answer = json!({ "candidate": "a/small", "text": "", "tool_calls": [["look", "{}"]] });
    host.review(&policy, &case(json!({ "request": long, "answer": answer })))
        .unwrap();
    let [ask] = host.asks().try_into().unwrap();
    let Question::Prompt(prompt) = ask.question else {
        panic!("no prompt of its own")
    };
    assert_eq!(
        prompt.user,
        "<conversation>\n[user]\néé [cut]\n</conversation>\n<answer>\n\n[cal [cut]\n</answer>"
    );
}

#[test]
fn an_answer_that_serves_because_the_judge_failed_is_in_the_log() {
    let policy = policy(config(json!({ "judge": { "model": "b/judge" } })));
    let host = TestHost::new();
    let failed = case(json!({ "replies": [{ "model": "b/judge", "failure": "timed-out" }] }));
    assert_eq!(host.review(&policy, &failed).unwrap(), Opinion::Accept);
    let line = "the answer serves unchecked: judge b/judge took too long".to_owned();
    assert_eq!(host.log_lines(), [(Level::Warn, line)]);
}

#[test]
fn what_needs_a_grant_says_which() {
    let host = TestHost::new();
    let load = |grants: Value, more: Value| {
        host.show(&Case::json(json!({ "grants": grants })));
        pointsman_plugin::policy::load::<Cascade>(&config(more).to_string()).map(|_| ())
    };
    let checks = || json!({ "checks": { "empty": true } });
    assert_eq!(load(json!([]), checks()), Ok(()));
    let latched = json!({ "checks": { "empty": true }, "latch_ms": 5 });
    assert_eq!(
        load(json!(["models"]), latched.clone()).unwrap_err(),
        "`latch_ms` needs the grant `state`: add it to `grants`, or leave `latch_ms` out"
    );
    assert_eq!(load(json!(["state"]), latched), Ok(()));
    assert_eq!(
        load(json!(["state"]), json!({ "judge": { "model": "b/judge" } })).unwrap_err(),
        "`judge` needs the grant `models`: add it to `grants`"
    );
    assert_eq!(
        load(json!([]), json!({ "agreement": { "witness": "b/judge" } })).unwrap_err(),
        "`agreement` needs the grant `models`: add it to `grants`"
    );
}
