//! The canonical request as it is read and settled, and the canonical stream as it is told.

use serde_json::{Value, json};

use super::*;

fn losses(mode: OnUnsupported) -> Losses {
    Losses::of("Moon", mode)
}

fn dropped(losses: &Losses) -> String {
    let told = losses.tell(crate::Outgoing::json("/", Vec::new()));
    let header = told.headers.into_iter().find(|(name, _)| name == DROPPED);
    header.map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn what_nobody_takes_is_named_and_what_changes_nothing_is_not() {
    let body = json!({
        "model": "m", "stream": true, "stream_options": {}, "messages": [], "n": 1, "temperature": 1, "seed": null, "logprobs": false,
        "presence_penalty": 0, "logit_bias": {}, "parallel_tool_calls": true, "store": false, "service_tier": "auto",
        "modalities": ["text"], "stop": [], "response_format": { "type": "text" }, "frequency_penalty": 1, "top_logprobs": 2,
        "user": "u", "moonlight": 1, "own": "taken",
    });
    let body = body.to_string();
    let mut chat = Chat::read(body.as_bytes()).unwrap();
    assert_eq!(chat.own.take::<Text>("own").unwrap().unwrap().0, "taken");
    let gentle = losses(OnUnsupported::Drop);
    chat.settle(&["temperature"], &gentle).unwrap();
    assert_eq!(dropped(&gentle), "frequency_penalty, top_logprobs, user, moonlight");
    let failure = chat
        .settle(&["temperature"], &losses(OnUnsupported::Refuse))
        .unwrap_err();
    assert_eq!(
        failure.message,
        "frequency_penalty cannot be asked of Moon; leave it out"
    );
}

#[test]
fn what_no_answer_could_honour_is_refused_always() {
    for (member, value, expected) in [
        ("n", json!(2), "n is 2, but Moon gives one answer per request"),
        ("audio", json!({ "voice": "v" }), "audio cannot be asked of Moon"),
        ("modalities", json!(["text", "audio"]), "modalities other than `text`"),
        (
            "functions",
            json!([]),
            "functions is not known to Moon; send tools instead",
        ),
    ] {
        let body = json!({ "messages": [], member: value }).to_string();
        let chat = Chat::read(body.as_bytes()).unwrap();
        let failure = chat.settle(&[], &losses(OnUnsupported::Drop)).unwrap_err();
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn a_member_of_another_type_is_refused_by_its_name() {
    for (body, expected) in [
        (r#"{"temperature": "hot"}"#, "temperature cannot be read"),
        (r#"{"messages": [{"content": "x"}]}"#, "messages cannot be read"),
        ("[]", "the request cannot be read"),
        ("{", "the request cannot be read"),
    ] {
        let failure = Chat::read(body.as_bytes()).unwrap_err();
        assert!(failure.message.starts_with(expected), "{}", failure.message);
    }
    assert!(Chat::read(b"\xff").is_err());
}

#[test]
fn a_choice_among_tools_is_read_and_offers_only_what_it_allows() {
    let body = json!({
        "tools": [{ "type": "function", "function": { "name": "look" } }, { "type": "function", "function": { "name": "wait" } }],
        "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
            { "type": "function", "function": { "name": "wait" } }] } },
    });
    let body = body.to_string();
    let chat = Chat::read(body.as_bytes()).unwrap();
    let choice = chat.choice("Moon").unwrap();
    let offered = choice.offered(chat.functions("Moon").unwrap()).unwrap();
    assert_eq!(choice.mode, Mode::Required);
    assert_eq!(offered.iter().map(|tool| &*tool.name.0).collect::<Vec<_>>(), ["wait"]);
    assert!(choice.offered(Vec::new()).unwrap_err().message.contains("names `wait`"));
}

#[test]
fn a_stream_has_one_role_one_finish_and_must_be_closed() {
    let target = Target {
        model: "m".into(),
        settings: "{}".into(),
        max_output_tokens: None,
        request_id: "r".into(),
        now_ms: 7000,
    };
    let mut telling = Telling::of(&target).unwrap();
    let mut chunks = Vec::new();
    assert!(telling.say("early", &mut chunks).is_err() && telling.finish().is_err());
    telling.start(Some("id"), None, &mut chunks).unwrap();
    telling.start(Some("again"), None, &mut chunks).unwrap();
    telling.say("", &mut chunks).unwrap();
    telling.say("a", &mut chunks).unwrap();
    assert!(telling.start(Some("late"), None, &mut chunks).is_err());
    let index = telling.call(None, "look", &mut chunks).unwrap();
    telling.add_arguments(index, "{}", &mut chunks).unwrap();
    telling.end(Finish::ToolCalls, &mut chunks).unwrap();
    telling.end(Finish::Stop, &mut chunks).unwrap();
    assert!(telling.finish().is_err());
    let used = crate::Usage {
        input: 3,
        cache_read: 2,
        ..crate::Usage::none()
    };
    let counts = Counts::of(&used);
    telling.stop(Some((used, counts)), &mut chunks).unwrap();
    assert!(telling.finish().is_ok());
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_slice(&chunk.data).unwrap())
        .collect();
    let deltas: Vec<String> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].to_string())
        .collect();
    let expected = [
        r#"{"content":"","role":"assistant"}"#,
        r#"{"content":"a"}"#,
        r#"{"tool_calls":[{"function":{"arguments":"","name":"look"},"id":"call_r_0","index":0,"type":"function"}]}"#,
        r#"{"tool_calls":[{"function":{"arguments":"{}"},"index":0}]}"#,
        "{}",
        "null",
    ];
    assert_eq!(deltas, expected);
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        (&chunks[5]["usage"]["prompt_tokens"], &chunks[5]["id"]),
        (&json!(5), &json!("id"))
    );
}
