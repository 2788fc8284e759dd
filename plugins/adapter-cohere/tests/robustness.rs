//! Whatever comes, nothing here may panic: a panic is a trap, and a trap costs an answer. And what goes out is valid,
//! however odd the conversation.

#[path = "rules/validity.rs"]
mod validity;

use adapter_cohere::{Cohere, Stream};
use pointsman_plugin::testing::check_unended;
use pointsman_plugin::{Adapter, Event, Operation, Target};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const MODELS: [&str; 3] = ["command-r-08-2024", "command-a-03-2025", "command-a-plus-05-2026"];

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: Some(4000),
        request_id: "r".to_owned(),
        now_ms: 0,
    }
}

fn text() -> impl Strategy<Value = Value> {
    select(vec!["", " ", "\n", "Hello", "Hello ", "é\u{0}\"\\", "日本"]).prop_map(Value::from)
}

fn part() -> impl Strategy<Value = Value> {
    let url = select(vec![
        "https://a.example/x.png",
        "data:image/jpg;base64,AAAA",
        "data:image/png;base64,AA\\/A",
    ]);
    prop_oneof![
        text().prop_map(|text| json!({ "type": "text", "text": text })),
        url.prop_map(|url| json!({ "type": "image_url", "image_url": { "url": url, "detail": "low" } })),
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
        "{\"a\":1}x",
    ]);
    (arguments, id()).prop_map(|(arguments, id)| {
        json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": arguments } })
    })
}

fn message() -> impl Strategy<Value = Value> {
    let content = || prop_oneof![text(), Just(Value::Null)];
    let texts = || {
        prop::collection::vec(text(), 0..3).prop_map(|texts| {
            let part = |text| json!({ "type": "text", "text": text });
            texts.into_iter().map(part).collect::<Value>()
        })
    };
    let parts = prop::collection::vec(part(), 0..4).prop_map(Value::from);
    prop_oneof![
        (select(vec!["system", "developer"]), prop_oneof![content(), texts()])
            .prop_map(|(role, content)| json!({ "role": role, "content": content })),
        prop_oneof![content(), parts].prop_map(|content| json!({ "role": "user", "content": content })),
        (content(), prop::collection::vec(call(), 0..3), content()).prop_map(|(content, calls, thoughts)| {
            json!({ "role": "assistant", "content": content, "tool_calls": calls, "reasoning_content": thoughts })
        }),
        (prop_oneof![content(), texts()], id())
            .prop_map(|(content, id)| json!({ "role": "tool", "content": content, "tool_call_id": id })),
    ]
}

fn chat() -> impl Strategy<Value = Value> {
    let tools = select(vec![
        json!(null),
        json!([]),
        json!([{ "type": "function", "function": { "name": "look", "strict": true } }]),
        json!([{ "type": "function", "function": { "name": "look", "strict": true, "parameters": {
            "type": "object", "properties": { "a": {} }, "required": ["a"] } } }]),
    ]);
    let choice = select(vec![
        json!(null),
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({ "type": "function", "function": { "name": "look" } }),
        json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [{ "function": { "name": "look" } }] } }),
    ]);
    let effort = select(vec![
        json!(null),
        json!("none"),
        json!("minimal"),
        json!("medium"),
        json!("xhigh"),
    ]);
    let number = || prop_oneof![Just(Value::Null), (-2.0..2.0f64).prop_map(Value::from)];
    let most = prop_oneof![Just(Value::Null), (1u64..40_000).prop_map(Value::from)];
    let stop = select(vec![json!(null), json!("x"), json!(["", "y"]), json!([])]);
    let messages = prop::collection::vec(message(), 1..8);
    let (first, second) = (number(), number());
    (messages, tools, choice, effort, first, second, most, stop, any::<Option<i64>>()).prop_map(
        |(messages, tools, tool_choice, effort, temperature, penalty, most, stop, seed)| {
            json!({
                "model": "m", "messages": messages, "tools": tools, "tool_choice": tool_choice, "reasoning_effort": effort,
                "temperature": temperature, "top_p": temperature, "frequency_penalty": penalty, "max_tokens": most,
                "stop": stop, "seed": seed,
            })
        },
    )
}

/// The events of an answer with everything in it.
fn events() -> Vec<Value> {
    let content = |kind: &str, content: Value| json!({ "type": kind, "index": 0, "delta": { "message": { "content": content } } });
    let call =
        |kind: &str, call: Value| json!({ "type": kind, "index": 0, "delta": { "message": { "tool_calls": call } } });
    vec![
        json!({ "type": "message-start", "id": "m", "delta": { "message": { "content": [], "tool_calls": [], "citations": [] } } }),
        content("content-start", json!({ "type": "thinking", "thinking": "" })),
        content("content-delta", json!({ "thinking": "hm" })),
        json!({ "type": "content-end", "index": 0 }),
        content("content-delta", json!({ "text": "Hello" })),
        json!({ "type": "citation-start", "index": 0, "delta": { "message": { "citations": { "start": 0 } } } }),
        json!({ "type": "tool-plan-delta", "delta": { "message": { "tool_plan": "I look." } } }),
        call(
            "tool-call-start",
            json!({ "id": "c", "type": "function", "function": { "name": "look", "arguments": "" } }),
        ),
        call("tool-call-delta", json!({ "function": { "arguments": "{}" } })),
        json!({ "type": "tool-call-end", "index": 0 }),
        json!({ "type": "message-end", "delta": { "finish_reason": "TOOL_CALL", "usage": { "tokens": { "input_tokens": 3 } } } }),
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let shapes = select(vec![
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":7}}}"#,
        r#"{"type":"content-delta","index":-1,"delta":null}"#,
        r#"{"type":"content-delta","delta":{"message":{"content":{"text":5}}}}"#,
        r#"{"type":"tool-call-delta","index":9,"delta":{"message":{"tool_calls":[]}}}"#,
        r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{}}}}"#,
        r#"{"type":"citation-start","delta":{"message":{"citations":"x"}}}"#,
        "{\"type\":\"citation-start\",\"delta\":{\"message\":{\"citations\":{\n\"start\":\n0}}}}",
        r#"{"type":"tomorrow","delta":{}}"#,
        r#"{"type":"error"}"#,
        r#"{"message":"internal server error"}"#,
        r#"{"type":7}"#,
        "{}",
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
    fn what_goes_out_is_valid(chat in chat(), model in select(MODELS.to_vec())) {
        if let Ok(outgoing) = Cohere::encode(Operation::Chat, &target(model), true, chat.to_string().as_bytes()) {
            let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
            if let Err(complaint) = validity::check(&body) {
                prop_assert!(false, "{complaint}\n{body:#}");
            }
        }
    }

    #[test]
    fn no_request_and_no_answer_panics(chat in chat(), at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let answer = json!({
            "id": "m", "message": chat["messages"][0], "finish_reason": "COMPLETE", "logprobs": [{ "logprobs": [-1e308, -1e308] }],
            "usage": { "tokens": { "input_tokens": -3, "output_tokens": 1e300 }, "billed_units": { "input_tokens": 1.5 } },
        });
        for body in [chat, answer] {
            let mut body = body.to_string().into_bytes();
            let place = at.index(body.len());
            let _ = Cohere::decode(Operation::Chat, &target("command"), &body);
            body[place] = byte;
            let _ = Cohere::encode(Operation::Chat, &target("command"), false, &body);
            let _ = Cohere::decode(Operation::Chat, &target("command"), &body);
            body.truncate(cut.index(body.len()));
            let _ = Cohere::encode(Operation::Chat, &target("command-a-plus-05-2026"), true, &body);
            let _ = Cohere::decode(Operation::Chat, &target("command"), &body);
            let _ = Cohere::explain(400, &[("retry-after".to_owned(), "1e400".to_owned())], &body);
        }
    }

    #[test]
    fn a_stream_is_whole_or_it_fails(
        cut in 0usize..11,
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
