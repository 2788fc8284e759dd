//! The runners of golden files must be able to fail: each mistake here is one that they have to tell.

use std::{fs, panic, path::PathBuf};

use pointsman_plugin::{
    Adapter, Candidate, Edit, Empty, Passthrough, Plan, Policy, Profile, Rejection, Request, Verdict, state,
    testing::{adapter_golden, golden},
};
use serde_json::{Value, json};

/// Does as the user says, to have every kind of verdict.
struct Obedient;

impl Policy for Obedient {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Obedient)
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        Ok(match request.last_user_text().as_str() {
            "pass" => Verdict::Pass,
            "reject" => Rejection::new(429, "slowly", "wait a bit").retry_after_ms(5).into(),
            "fault" => return Err("it broke".into()),
            "count" => Plan::keep()
                .label("count", state::add("visits", 2, None).to_string())
                .into(),
            "edit" => Plan {
                edits: vec![Edit {
                    pointer: "/n".into(),
                    value: "1".into(),
                }],
                ..Plan::keep()
            }
            .into(),
            _ => Plan::prefer(&["tag:good"], candidates)
                .label("user", &*request.key_id)
                .reason("as told")
                .into(),
        })
    }
}

struct Plain;

impl Adapter for Plain {
    type Stream = Passthrough;

    fn describe() -> Profile {
        Profile::openai()
    }
}

/// What a runner says about a plugin with this one golden file; nothing where it is content.
fn run(name: &str, file: &Value, runner: fn(&str)) -> Option<String> {
    let plugin = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(plugin.join("golden")).unwrap();
    fs::write(plugin.join("golden/one.json"), file.to_string()).unwrap();
    let path = plugin.to_string_lossy().into_owned();
    let complaint = panic::catch_unwind(|| runner(&path)).err()?;
    Some(complaint.downcast_ref::<String>().cloned().unwrap_or_default())
}

fn policy_file(text: &str, rest: Value) -> Value {
    let mut case = json!({
        "name": "the case", "request": { "messages": [{ "role": "user", "content": text }] },
        "candidates": [{ "id": "a" }, { "id": "b", "tags": ["good"] }],
    });
    case.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({ "cases": [case] })
}

#[test]
fn what_a_policy_does_is_what_its_file_says() {
    let plan = json!({ "steps": ["b", { "candidate": "a" }], "labels": { "user": "anonymous" }, "reason": "as told" });
    for (index, (text, rest)) in [
        ("pass", json!({ "verdict": { "pass": true } })),
        ("plan", json!({ "verdict": { "plan": plan } })),
        ("reject", json!({ "verdict": { "reject": { "status": 429, "code": "slowly" } } })),
        ("fault", json!({ "verdict": { "fault": "broke" } })),
        ("edit", json!({ "verdict": { "plan": { "edits": { "/n": 1 } } } })),
        ("count", json!({ "state": { "visits": 3 }, "state_after": { "visits": 5 }, "verdict": { "plan": { "labels": { "count": "5" } } } })),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(run(&format!("right-{index}"), &policy_file(text, rest), golden::<Obedient>), None, "{text}");
    }
}

#[test]
fn a_policy_that_does_something_else_is_told_by_case() {
    for (index, (text, rest)) in [
        ("pass", json!({ "verdict": { "plan": {} } })),
        ("plan", json!({ "verdict": { "pass": true } })),
        ("plan", json!({ "verdict": { "plan": { "steps": ["a", "b"], "labels": { "user": "anonymous" } } } })),
        ("plan", json!({ "verdict": { "plan": { "steps": ["b", "a"] } } })),
        ("plan", json!({ "verdict": { "plan": { "steps": ["b", "a"], "labels": { "user": "anonymous" }, "reason": "no" } } })),
        ("reject", json!({ "verdict": { "reject": { "status": 403, "code": "slowly" } } })),
        ("reject", json!({ "verdict": { "reject": { "status": 429, "code": "slowly", "retry_after_ms": 6 } } })),
        ("fault", json!({ "verdict": { "pass": true } })),
        ("fault", json!({ "verdict": { "fault": "something else" } })),
        ("edit", json!({ "verdict": { "plan": {} } })),
        ("count", json!({ "state_after": { "visits": 3 }, "verdict": { "plan": { "labels": { "count": "2" } } } })),
        ("pass", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let complaint = run(&format!("wrong-{index}"), &policy_file(text, rest.clone()), golden::<Obedient>);
        assert!(complaint.is_some_and(|text| text.contains("one.json: the case")), "{text}: {rest}");
    }
}

#[test]
fn a_file_that_proves_nothing_is_a_mistake() {
    for (index, (file, expected)) in [
        (json!({}), "no cases"),
        (
            json!({ "config": {}, "error": "anything" }),
            "the configuration was accepted",
        ),
        (
            json!({ "config": { "a": 1 } }),
            "the configuration was refused: `a`: unknown field `a`",
        ),
        (
            json!({ "config": { "a": 1 }, "error": "unknown field `b`" }),
            "the configuration was refused",
        ),
        (json!({ "warnings": ["mind the gap"] }), "expected the warnings"),
        (json!({ "case": [] }), "unknown field `case`"),
        (policy_file("pass", json!({ "verdict": { "pass": false } })), "the case"),
    ]
    .into_iter()
    .enumerate()
    {
        let complaint = run(&format!("idle-{index}"), &file, golden::<Obedient>).unwrap_or_default();
        assert!(complaint.contains(expected), "{file}: {complaint}");
    }
}

#[test]
fn a_plugin_without_golden_files_is_told_so() {
    let plugin = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("none");
    fs::create_dir_all(plugin.join("golden")).unwrap();
    let path = plugin.to_string_lossy().into_owned();
    for runner in [golden::<Obedient>, adapter_golden::<Plain>] {
        let complaint = panic::catch_unwind(|| runner(&path)).unwrap_err();
        assert!(complaint.downcast_ref::<String>().unwrap().contains("no golden file"));
    }
}

#[test]
fn an_adapters_files_are_run_and_its_mistakes_told() {
    let chunk = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": { "prompt_tokens": 2, "completion_tokens": 1 } });
    let events = json!({ "events": [{ "data": chunk }, { "data": "[DONE]" }] });
    let right = json!([
        { "name": "encode", "encode": { "target": { "model": "m" }, "body": { "model": "auto" } },
          "outgoing": { "path": "/chat/completions", "body": { "model": "m" } } },
        { "name": "decode", "decode": { "body": { "usage": { "prompt_tokens": 2 } } },
          "answer": { "body": { "usage": { "prompt_tokens": 2 } }, "usage": { "input": 2 } } },
        { "name": "stream", "stream": events, "chunks": [{ "data": chunk, "usage": { "input": 2, "output": 1 } }] },
        { "name": "broken", "stream": { "events": [] }, "failure": { "kind": "upstream", "message": "broke off" } },
        { "name": "explain", "explain": { "status": 429, "headers": { "retry-after": "2" }, "body": "busy" },
          "failure": { "kind": "rate-limited", "retry_after_ms": 2000 } },
    ]);
    assert_eq!(run("adapter-right", &right, adapter_golden::<Plain>), None);
    for (case, wrong) in [
        (
            0,
            json!({ "outgoing": { "path": "/chat/completions", "body": { "model": "auto" } } }),
        ),
        (
            0,
            json!({ "outgoing": { "path": "/chat/completions", "headers": {}, "body": { "model": "m" } } }),
        ),
        (1, json!({ "answer": { "body": { "usage": { "prompt_tokens": 2 } } } })),
        (2, json!({ "chunks": [] })),
        (2, json!({ "chunks": [{ "data": chunk }] })),
        (2, json!({ "failure": { "kind": "upstream" } })),
        (3, json!({ "failure": { "kind": "overloaded" } })),
        (3, json!({ "failure": null })),
        (4, json!({ "failure": { "kind": "rate-limited" } })),
    ] {
        let mut file = right[case].clone();
        file.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let complaint = run("adapter-wrong", &file, adapter_golden::<Plain>).unwrap_or_default();
        assert!(
            complaint.contains(right[case]["name"].as_str().unwrap()),
            "{file}: {complaint}"
        );
    }
}
