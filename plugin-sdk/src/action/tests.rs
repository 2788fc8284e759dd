//! What may be written, what is refused, and how actions add up.

use super::*;

fn settings(json: &str) -> Result<Vec<(String, String)>, String> {
    let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(settings.0.into_iter().map(|edit| (edit.pointer, edit.value)).collect())
}

#[test]
fn fields_are_named_plainly_or_by_pointer() {
    let read = settings(r#"{ "temperature": 0.2, "a/b": "x", "/metadata/plan": {"k": [1]} }"#).unwrap();
    let expected = [
        ("/temperature", "0.2"),
        ("/a~1b", "\"x\""),
        ("/metadata/plan", r#"{"k": [1]}"#),
    ];
    assert_eq!(
        read,
        expected.map(|(pointer, value)| (pointer.to_owned(), value.to_owned()))
    );
}

#[test]
fn what_is_the_hosts_or_no_field_is_refused() {
    for (json, error) in [
        (r#"{ "model": "x" }"#, "`model` is the host's and cannot be set"),
        (r#"{ "/stream": true }"#, "`stream` is the host's and cannot be set"),
        (r#"{ "": 1 }"#, "a field has no name"),
        (r#"{ "/a~2": 1 }"#, "`/a~2` is no JSON pointer"),
        (r#"{ "a": 1, "/a": 2 }"#, "`/a` is set twice"),
        ("3", "expected a table of fields"),
    ] {
        let said = settings(json).unwrap_err();
        assert!(said.contains(error), "{json}: {said}");
    }
    let many: Vec<String> = (0..33).map(|n| format!("\"f{n}\": {n}")).collect();
    assert!(
        settings(&format!("{{{}}}", many.join(",")))
            .unwrap_err()
            .contains("33 fields")
    );
}

#[test]
fn a_code_or_a_label_that_the_host_would_not_take_is_refused() {
    let long = "x".repeat(257);
    for (json, error) in [
        (
            serde_json::json!({ "reject": { "code": "no cards", "message": "m" } }),
            "reject.code`: `no cards` is no error code",
        ),
        (
            serde_json::json!({ "reject": { "code": "", "message": "m" } }),
            "reject.code`: `` is no error code",
        ),
        (
            serde_json::json!({ "reject": { "code": "x", "message": "m", "status": 399 } }),
            "reject.status`: 399",
        ),
        (
            serde_json::json!({ "label": "a\nb" }),
            "label`: `a b` cannot be the value of `class`",
        ),
        (
            serde_json::json!({ "label": { "": "x" } }),
            "label`: `` is no label's name",
        ),
        (
            serde_json::json!({ "label": { "a": long } }),
            "cannot be the value of `a`, expected at most 256 bytes",
        ),
        (
            serde_json::json!({ "label": (0..33).map(|n| (n.to_string(), "x".to_owned())).collect::<std::collections::BTreeMap<_, _>>() }),
            "label`: 33 labels",
        ),
    ] {
        let said = serde_json::from_value::<Action>(json).unwrap().check().unwrap_err();
        assert!(said.contains(error), "{said}");
    }
}

#[test]
fn what_all_rules_add_up_to_has_to_fit_into_one_plan() {
    let actions = |each: fn(usize) -> serde_json::Value| -> Vec<Action> {
        (0..20).map(|n| serde_json::from_value(each(n)).unwrap()).collect()
    };
    let same = actions(|_| serde_json::json!({ "label": { "a": "1", "b": "2" } }));
    let different = actions(|n| serde_json::json!({ "label": { (format!("a{n}")): "1", (format!("b{n}")): "2" } }));
    assert_eq!(Mode::All.check(&same, 1), Ok(()));
    assert_eq!(Mode::First.check(&different, 1), Ok(()));
    let error = Mode::All.check(&different, 1).unwrap_err();
    assert_eq!(error, "`match`: together all rules set 41 labels, expected at most 32");
    let mut outcome = Outcome::new([]);
    same.iter().for_each(|action| outcome.add(action).unwrap());
    assert_eq!(
        outcome.plan().labels.len(),
        2,
        "a label that is set again is there once"
    );
}

#[test]
fn a_field_that_two_actions_set_has_the_later_value() {
    let action = |json: &str| serde_json::from_str::<Action>(json).unwrap();
    let actions = [
        action(r#"{ "set": { "temperature": 1, "top_p": 0.5 } }"#),
        action(r#"{ "set": { "temperature": 0 } }"#),
    ];
    let mut outcome = Outcome::new([]);
    actions.iter().for_each(|action| outcome.add(action).unwrap());
    let edits: Vec<_> = outcome
        .plan()
        .edits
        .into_iter()
        .map(|edit| (edit.pointer, edit.value))
        .collect();
    assert_eq!(
        edits,
        [
            ("/top_p".to_owned(), "0.5".to_owned()),
            ("/temperature".into(), "0".into())
        ]
    );
}
