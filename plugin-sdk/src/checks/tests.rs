//! What the checks say of answers, good and bad.

use serde_json::{Value, json};

use super::*;
use crate::testing::{Case, TestHost};

/// An answer of the text alone.
fn answer(text: &str) -> Reviewed {
    Reviewed {
        candidate: "a/small".into(),
        text: text.into(),
        refusal: None,
        finish_reason: "stop".into(),
        tool_calls: Vec::new(),
        mean_logprob: None,
        input_tokens: 10,
        output_tokens: 5,
        cost: None,
        total_ms: 9,
        steps_left: 1,
        extras: Vec::new(),
    }
}

fn checks(config: &Value) -> Checks {
    crate::config::parse(&config.to_string()).unwrap()
}

/// What the checks say of an answer to a request.
fn complaint(config: &Value, request: &Value, answer: &Reviewed) -> Option<String> {
    let host = TestHost::new();
    let request = host.show(&Case::json(json!({ "request": request })));
    checks(config).complaint(&request, answer)
}

fn says(config: Value, answer: &Reviewed) -> Option<String> {
    complaint(&config, &json!({ "messages": [] }), answer)
}

#[test]
fn nothing_is_checked_that_is_not_named() {
    assert!(checks(&json!({})).is_empty());
    let poor = Reviewed {
        finish_reason: "content_filter".into(),
        ..answer("")
    };
    assert_eq!(says(json!({}), &poor), None);
}

#[test]
fn a_refusal_is_what_the_provider_says_or_how_the_text_begins() {
    let check = || json!({ "refusal": true });
    let said = Reviewed {
        refusal: Some("No.".into()),
        ..answer("")
    };
    assert_eq!(says(check(), &said).unwrap(), "the model refused");
    let filtered = Reviewed {
        finish_reason: "content_filter".into(),
        ..answer("Well")
    };
    assert_eq!(says(check(), &filtered).unwrap(), "the provider's filter stopped it");
    for text in [
        "I’m sorry, but I can’t help with that.",
        "**I am sorry, but I cannot** do this.",
        "  I  cannot\nassist with this request.",
        "Sorry, I can not say.",
        "I am unable to open files.",
    ] {
        assert!(says(check(), &answer(text)).is_some(), "{text}");
    }
    for text in [
        "I can't help but notice that the loop never ends.",
        "I'm sorry to hear that. Try to restart it.",
        "He said: I'm sorry, but I can't come.",
        "",
    ] {
        assert_eq!(says(check(), &answer(text)), None, "{text}");
    }
}

#[test]
fn phrases_of_ones_own_replace_those_that_are_built_in() {
    let own = || json!({ "refusal": true, "refusal_phrases": ["Dazu CANNOT ich"] });
    assert_eq!(
        says(own(), &answer("dazu can’t ich nichts sagen")).unwrap(),
        "it begins with `dazu can't ich`"
    );
    assert_eq!(says(own(), &answer("I'm sorry, but I can't.")), None);
    let own = || json!({ "refusal": true, "refusal_phrases": ["Who do you think I am", "Cannot"] });
    assert_eq!(
        says(own(), &answer("Who do you think I am? Ask another.")).unwrap(),
        "it begins with `who do you think i'm`"
    );
    assert_eq!(says(own(), &answer("Who do you think I ample for?")), None);
    let none = json!({ "refusal": true, "refusal_phrases": [] });
    assert_eq!(says(none, &answer("I'm sorry, but I can't.")), None);
    let idle = checks(&json!({ "refusal_phrases": ["no"] }));
    assert_eq!(
        idle.warnings(),
        ["`checks.refusal_phrases` does nothing without `checks.refusal`"]
    );
}

#[test]
fn an_answer_is_empty_without_text_and_without_calls() {
    let calls = Reviewed {
        tool_calls: vec![("look".into(), "{}".into())],
        ..answer(" ")
    };
    assert_eq!(says(json!({ "empty": true }), &answer(" \n")).unwrap(), "it is empty");
    assert_eq!(says(json!({ "empty": true }), &calls), None);
}

#[test]
fn a_cut_at_the_clients_own_limit_is_what_it_asked_for() {
    let cut = Reviewed {
        finish_reason: "length".into(),
        ..answer("once upon")
    };
    let check = json!({ "truncated": true });
    let of = |limit: u32| complaint(&check, &json!({ "messages": [], "max_tokens": limit }), &cut);
    assert_eq!(says(check.clone(), &cut).unwrap(), "it was cut after 5 tokens");
    assert_eq!(of(5), None);
    assert_eq!(
        of(100).unwrap(),
        "it was cut after 5 tokens",
        "the model's own limit came first"
    );
    assert_eq!(says(check.clone(), &answer("whole")), None);
}

#[test]
fn json_is_expected_where_it_was_asked_for_or_always() {
    let asked = json!({ "messages": [], "response_format": { "type": "json_object" } });
    let plain = json!({ "messages": [] });
    let when_asked = json!({ "invalid_json": "when-asked" });
    let always = json!({ "invalid_json": "always" });
    let prose = answer("Here you are: {}");
    assert_eq!(complaint(&when_asked, &plain, &prose), None);
    assert!(
        complaint(&when_asked, &asked, &prose)
            .unwrap()
            .starts_with("it is no JSON: ")
    );
    assert!(complaint(&always, &plain, &prose).is_some());
    assert!(complaint(&always, &plain, &answer("```json\n{}\n```")).is_some());
    assert_eq!(complaint(&always, &plain, &answer("[1]")), None);
    assert_eq!(
        complaint(&when_asked, &asked, &answer("[1]")).unwrap(),
        "it is no JSON object"
    );
    assert_eq!(complaint(&when_asked, &asked, &answer(" {\"a\": 1}\n")), None);
}

#[test]
fn the_keys_that_a_schema_requires_must_be_there() {
    let schema = json!({ "name": "city", "schema": { "type": "object", "required": ["city", "land"] } });
    let asked = json!({ "messages": [], "response_format": { "type": "json_schema", "json_schema": schema } });
    let check = json!({ "invalid_json": "when-asked" });
    assert_eq!(
        complaint(&check, &asked, &answer(r#"{"city": "Bonn"}"#)).unwrap(),
        "its JSON has no `land`"
    );
    assert_eq!(complaint(&check, &asked, &answer(r#"{"city": 1, "land": 2}"#)), None);
}

#[test]
fn arguments_of_calls_are_json_whatever_was_asked() {
    let called = |arguments: &str| Reviewed {
        tool_calls: vec![("look".into(), "{}".into()), ("find".into(), arguments.into())],
        ..answer("")
    };
    let check = || json!({ "invalid_json": "when-asked" });
    assert_eq!(
        says(check(), &called("{\"q\": ")).unwrap(),
        "the arguments of `find` are no JSON"
    );
    assert_eq!(says(check(), &called("{\"q\": 1}")), None);
    assert_eq!(
        says(check(), &called("")),
        None,
        "some models call so what takes no arguments"
    );
    assert_eq!(says(json!({ "invalid_json": "always" }), &called("{}")), None);
}

#[test]
fn expressions_must_be_found_or_must_not() {
    let check = || json!({ "must_match": ["(?i)answer: \\d+"], "must_not_match": ["as an AI"] });
    assert_eq!(says(check(), &answer("Answer: 5")), None);
    assert_eq!(says(check(), &answer("5")).unwrap(), "`(?i)answer: \\d+` is not in it");
    assert_eq!(
        says(check(), &answer("Answer: 5, as an AI")).unwrap(),
        "`as an AI` is in it"
    );
}

#[test]
fn an_answer_of_which_its_model_was_not_sure_is_found_by_its_logprobs() {
    let of = |mean| Reviewed {
        mean_logprob: mean,
        ..answer("perhaps")
    };
    let check = || json!({ "low_logprob": -0.5 });
    assert_eq!(
        says(check(), &of(Some(-0.75))).unwrap(),
        "its mean logprob -0.75 is under -0.5"
    );
    assert_eq!(says(check(), &of(Some(-0.5))), None);
    assert_eq!(
        says(check(), &of(None)),
        None,
        "a provider without logprobs says nothing"
    );
}

#[test]
fn logprobs_are_asked_for_where_the_client_did_not() {
    let prepared = |config: Value, request: Value| {
        let host = TestHost::new();
        let request = host.show(&Case::json(json!({ "request": request })));
        checks(&config).prepare(&request, Plan::keep()).unwrap()
    };
    let plan = prepared(
        json!({ "low_logprob": -1 }),
        json!({ "messages": [], "logprobs": false }),
    );
    assert!(plan.review);
    assert_eq!((&*plan.edits[0].pointer, &*plan.edits[0].value), ("/logprobs", "true"));
    let plan = prepared(
        json!({ "low_logprob": -1 }),
        json!({ "messages": [], "logprobs": true }),
    );
    assert!(plan.review && plan.edits.is_empty());
    assert_eq!(prepared(json!({}), json!({ "messages": [] })), Plan::keep());
}

#[test]
fn a_bad_configuration_says_what_is_wrong_with_which_key() {
    for (config, expected) in [
        (
            r#"{"low_logprob": 0.5}"#,
            "`low_logprob`: 0.5 is no logprob, expected 0 or less",
        ),
        (
            r#"{"must_match": ["a", "("]}"#,
            "`must_match[1]`: `(` is no regular expression: ",
        ),
        (r#"{"refusal_phrases": [" "]}"#, "`refusal_phrases[0]`: it is empty"),
        (
            r#"{"invalid_json": true}"#,
            "`invalid_json`: invalid type: boolean `true`",
        ),
        (
            r#"{"refusals": true}"#,
            "`refusals`: unknown field `refusals`, expected one of `empty`, `refusal`",
        ),
    ] {
        let error = crate::config::parse::<Checks>(config).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
