//! Whatever comes, nothing here may panic: a panic is a trap, and a trap costs an answer. And what goes out is valid,
//! however odd the conversation.

#[path = "rules/validity.rs"]
mod validity;

use adapter_gemini::{Gemini, Stream};
use pointsman_plugin::testing::check_unended;
use pointsman_plugin::{Adapter, Event, Operation, Target};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const MODELS: [(&str, u32); 5] = [
    ("gemini-2.0-flash", 2),
    ("gemini-2.5-flash", 2),
    ("gemini-2.5-pro", 2),
    ("gemini-3-pro-preview", 3),
    ("gemini-flash-latest", 3),
];

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: Some(8192),
        request_id: "r".to_owned(),
        now_ms: 0,
    }
}

fn text() -> impl Strategy<Value = Value> {
    select(vec!["", " ", "\n", "Hello", "{\"a\": 1}", "[1]", "é\u{0}\"\\", "日本"]).prop_map(Value::from)
}

fn part() -> impl Strategy<Value = Value> {
    let url = select(vec![
        "https://a.example/x.png",
        "gs://bucket/film.mp4",
        "data:image/jpg;base64,AAAA",
        "data:image/png;base64,AA\\/A",
        "data:;base64,AAAA",
        "data:é",
    ]);
    prop_oneof![
        text().prop_map(|text| json!({ "type": "text", "text": text, "cache_control": {} })),
        url.prop_map(|url| json!({ "type": "image_url", "image_url": { "url": url } })),
        Just(json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AAAA" } })),
        Just(json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } })),
    ]
}

fn id() -> impl Strategy<Value = &'static str> {
    select(vec!["call_1", "call_2", "functions.x:0", "é", ""])
}

fn call() -> impl Strategy<Value = Value> {
    let arguments = select(vec![
        "",
        "{}",
        " {\"a\": 12345678901234567890} ",
        "[1]",
        "{\"a\"",
        "null",
    ]);
    let signed = select(vec![
        json!(null),
        json!({ "google": { "thought_signature": "c2ln" } }),
        json!({}),
    ]);
    (arguments, id(), signed).prop_map(|(arguments, id, extra)| {
        let function = json!({ "name": "look", "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function, "extra_content": extra })
    })
}

fn message() -> impl Strategy<Value = Value> {
    let parts = || prop::collection::vec(part(), 0..4).prop_map(Value::from);
    let content = || prop_oneof![text(), Just(Value::Null)];
    let signed = select(vec![json!(null), json!({ "google": { "thought_signature": "c2ln" } })]);
    prop_oneof![
        (select(vec!["system", "developer"]), content())
            .prop_map(|(role, content)| json!({ "role": role, "content": content })),
        prop_oneof![content(), parts()].prop_map(|content| json!({ "role": "user", "content": content })),
        (content(), prop::collection::vec(call(), 0..3), signed).prop_map(|(content, calls, extra)| {
            json!({ "role": "assistant", "content": content, "tool_calls": calls, "extra_content": extra })
        }),
        (prop_oneof![content(), parts()], id()).prop_map(|(content, id)| {
            json!({ "role": "tool", "content": content, "tool_call_id": id, "name": "look" })
        }),
    ]
}

/// Odd schemas too, and some that are none.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = select(vec![
        json!(true),
        json!({}),
        json!({ "type": ["string", "null"], "minLength": 2, "format": "uri" }),
        json!({ "type": "array" }),
        json!({ "const": 7 }),
        json!({ "enum": ["a", null] }),
        json!({ "$ref": "#/$defs/node" }),
        json!({ "$ref": "#" }),
        json!({ "type": "array", "prefixItems": [{ "type": "null" }, { "type": "integer" }] }),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "anyOf": any })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "allOf": all, "description": "d" })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({
                "type": "object", "properties": { "b": b, "a": a }, "required": ["a", "c"],
                "$defs": { "node": { "type": "object", "properties": { "x": { "type": "number" } } } },
            })),
        ]
    })
}

fn chat() -> impl Strategy<Value = Value> {
    let tools = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!([{ "google_search": {} }])),
        schema().prop_map(|schema| json!([
            { "type": "function", "function": { "name": "look", "strict": true, "parameters": schema } },
        ])),
    ];
    let choice = select(vec![
        json!(null),
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({ "type": "function", "function": { "name": "look" } }),
    ]);
    let format = prop_oneof![
        Just(json!(null)),
        Just(json!({ "type": "json_object" })),
        schema().prop_map(|schema| json!({ "type": "json_schema", "json_schema": { "schema": schema } })),
    ];
    let effort = select(vec![json!(null), json!("none"), json!("medium"), json!("xhigh")]);
    let number = prop_oneof![Just(Value::Null), (-1.0..3.0f64).prop_map(Value::from)];
    let most = prop_oneof![Just(Value::Null), any::<u64>().prop_map(Value::from)];
    let stop = select(vec![json!(null), json!("x"), json!(["", "y"]), json!([])]);
    let messages = prop::collection::vec(message(), 1..8);
    (messages, tools, choice, format, effort, number, most, stop).prop_map(
        |(messages, tools, tool_choice, format, effort, temperature, most, stop)| {
            json!({
                "model": "m", "messages": messages, "tools": tools, "tool_choice": tool_choice, "response_format": format,
                "reasoning_effort": effort, "temperature": temperature, "max_tokens": most, "stop": stop, "seed": i64::MAX,
            })
        },
    )
}

/// The events of an answer with everything in it.
fn events() -> Vec<Value> {
    let event = |parts: Value| {
        json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }], "responseId": "m",
            "usageMetadata": { "promptTokenCount": 3 } })
    };
    vec![
        event(json!([{ "text": "hm", "thought": true }])),
        event(json!([{ "text": "Hello" }, { "text": "", "thoughtSignature": "c2ln" }])),
        event(
            json!([{ "executableCode": { "code": "1" } }, { "inlineData": { "mimeType": "image/png", "data": "AA" } }]),
        ),
        event(json!([{ "functionCall": { "name": "look", "willContinue": true } }])),
        event(json!([{ "functionCall": { "partialArgs": [{ "jsonPath": "$.a[1]", "numberValue": 1 }] } }])),
        event(json!([{ "functionCall": { "name": "look", "args": { "a": 1 } }, "thoughtSignature": "c2ln" }])),
        json!({ "candidates": [{ "finishReason": "STOP" }], "usageMetadata": { "promptTokenCount": 3 } }),
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let shapes = select(vec![
        r#"{"candidates":null}"#,
        r#"{"candidates":[{"content":null,"index":4294967295}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":5}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"x","partialArgs":[{"jsonPath":"$["}]}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"tomorrow":{}}]}}]}"#,
        r#"{"usageMetadata":{"promptTokenCount":-4}}"#,
        r#"{"usageMetadata":{"promptTokenCount":18446744073709551615,"toolUsePromptTokenCount":18446744073709551615}}"#,
        r#"{"error":7}"#,
        r#"{"promptFeedback":{}}"#,
        "[]",
        "null",
        "[DONE]",
    ]);
    prop_oneof![
        shapes.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
        (any::<Index>(), any::<Index>()).prop_map(|(which, cut)| {
            let event = which.get(&events()).to_string();
            event.as_bytes()[..cut.index(event.len())].to_vec()
        }),
    ]
}

proptest! {
    // The same cases in every run, and nothing written beside the sources.
    #![proptest_config(ProptestConfig {
        cases: 1024,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_goes_out_is_valid(chat in chat(), (model, major) in select(MODELS.to_vec())) {
        if let Ok(outgoing) = Gemini::encode(Operation::Chat, &target(model), true, chat.to_string().as_bytes()) {
            let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
            if let Err(complaint) = validity::check(&body, major) {
                prop_assert!(false, "{complaint}\n{body:#}");
            }
        }
    }

    #[test]
    fn no_request_panics(chat in chat(), at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let mut body = chat.to_string().into_bytes();
        let place = at.index(body.len());
        body[place] = byte;
        let _ = Gemini::encode(Operation::Chat, &target("gemini-2.0-flash"), false, &body);
        body.truncate(cut.index(body.len()));
        let _ = Gemini::encode(Operation::CountTokens, &target("gemini-3-pro"), false, &body);
        let _ = Gemini::decode(Operation::Chat, &target("gemini-3-pro"), &body);
        let _ = Gemini::explain(400, &[("retry-after".to_owned(), "1e400".to_owned())], &body);
    }

    #[test]
    fn no_answer_panics(body in garbage(), status in any::<u16>()) {
        if let Ok(answer) = Gemini::decode(Operation::Chat, &target("m"), &body) {
            prop_assert!(serde_json::from_slice::<Value>(&answer.body).is_ok());
        }
        let _ = Gemini::decode(Operation::CountTokens, &target("m"), &body);
        let _ = Gemini::explain(status, &[], &body);
    }

    #[test]
    fn a_stream_is_whole_or_it_fails(
        cut in 0usize..7,
        inserts in prop::collection::vec((any::<Index>(), garbage(), any::<bool>()), 0..4),
    ) {
        let mut events: Vec<Event> = events()[..cut].iter().map(|event| Event::new(event.to_string())).collect();
        for (at, data, is_named) in inserts {
            let name = is_named.then(|| "tomorrow".to_owned());
            events.insert(at.index(events.len() + 1), Event { name, data });
        }
        check_unended::<Stream>(&events);
    }
}
