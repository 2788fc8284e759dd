//! Whatever comes, nothing here may panic: a panic is a trap, and a trap costs an answer. And what goes out is valid,
//! however odd the conversation.

#[path = "rules/validity.rs"]
mod validity;

use adapter_anthropic::{Anthropic, Stream};
use pointsman_plugin::testing::check_unended;
use pointsman_plugin::{Adapter, Event, Operation, Target};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const MODELS: [&str; 4] = [
    "claude-3-5-haiku-20241022",
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-opus-5",
];

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
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
    let marked = json!({ "type": "text", "text": "kept", "cache_control": { "type": "ephemeral" } });
    prop_oneof![
        text().prop_map(|text| json!({ "type": "text", "text": text })),
        Just(marked),
        url.prop_map(|url| json!({ "type": "image_url", "image_url": { "url": url } })),
        Just(
            json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf" } })
        ),
    ]
}

fn id() -> impl Strategy<Value = &'static str> {
    select(vec!["call_1", "call_2", "functions.x:0", "functions.x:1", "é", ""])
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
    (arguments, id()).prop_map(|(arguments, id)| {
        json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": arguments } })
    })
}

fn message() -> impl Strategy<Value = Value> {
    let parts = || prop::collection::vec(part(), 0..4).prop_map(Value::from);
    let texts = prop::collection::vec(text(), 0..3).prop_map(|texts| {
        texts
            .into_iter()
            .map(|text| json!({ "type": "text", "text": text }))
            .collect::<Value>()
    });
    let content = || prop_oneof![text(), Just(Value::Null)];
    let thoughts = select(vec![
        json!(null),
        json!([{ "type": "thinking", "thinking": "hm", "signature": "s" }, { "type": "redacted_thinking", "data": "d" }]),
        json!([{ "type": "thinking", "thinking": "unsigned" }]),
    ]);
    prop_oneof![
        (select(vec!["system", "developer"]), prop_oneof![content(), texts])
            .prop_map(|(role, content)| json!({ "role": role, "content": content })),
        prop_oneof![content(), parts()].prop_map(|content| json!({ "role": "user", "content": content })),
        (content(), prop::collection::vec(call(), 0..3), thoughts).prop_map(|(content, calls, thoughts)| {
            json!({ "role": "assistant", "content": content, "tool_calls": calls, "thinking_blocks": thoughts })
        }),
        (prop_oneof![content(), parts()], id())
            .prop_map(|(content, id)| json!({ "role": "tool", "content": content, "tool_call_id": id })),
    ]
}

fn chat() -> impl Strategy<Value = Value> {
    let tools = select(vec![
        json!(null),
        json!([]),
        json!([{ "type": "function", "function": { "name": "look", "strict": true } }]),
        json!([{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }]),
    ]);
    let choice = select(vec![
        json!(null),
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({ "type": "function", "function": { "name": "look" } }),
    ]);
    let effort = select(vec![
        json!(null),
        json!("none"),
        json!("minimal"),
        json!("medium"),
        json!("xhigh"),
    ]);
    let number = prop_oneof![Just(Value::Null), (0.0..2.0f64).prop_map(Value::from)];
    let most = prop_oneof![Just(Value::Null), (1u64..40_000).prop_map(Value::from)];
    let stop = select(vec![json!(null), json!("x"), json!([" ", "y"]), json!([])]);
    let is_parallel = select(vec![json!(null), json!(true), json!(false)]);
    let messages = prop::collection::vec(message(), 1..8);
    (messages, tools, choice, effort, number, most, stop, is_parallel).prop_map(
        |(messages, tools, tool_choice, effort, temperature, most, stop, is_parallel)| {
            json!({
                "model": "m", "messages": messages, "tools": tools, "tool_choice": tool_choice, "reasoning_effort": effort,
                "temperature": temperature, "top_p": 0.5, "max_tokens": most, "stop": stop, "parallel_tool_calls": is_parallel,
            })
        },
    )
}

/// The events of an answer with everything in it.
fn events() -> Vec<Value> {
    let start =
        |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: u64| json!({ "type": "content_block_stop", "index": index });
    let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
    vec![
        json!({ "type": "message_start", "message": { "id": "m", "model": "c", "content": [], "usage": usage } }),
        start(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "hm" })),
        delta(0, json!({ "type": "signature_delta", "signature": "s" })),
        stop(0),
        json!({ "type": "ping" }),
        start(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "Hello" })),
        stop(1),
        start(2, json!({ "type": "tool_use", "id": "t", "name": "look", "input": {} })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "{}" })),
        stop(2),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let shapes = select(vec![
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":5}}"#,
        r#"{"type":"content_block_start","index":-1,"content_block":null}"#,
        r#"{"type":"content_block_delta","index":9,"delta":{"type":"text_delta"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"tomorrow_delta","text":{}}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":-4}}"#,
        r#"{"type":"message_start","message":{"content":null}}"#,
        r#"{"type":"error"}"#,
        r#"{"type":7}"#,
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
        if let Ok(outgoing) = Anthropic::encode(Operation::Chat, &target(model), true, chat.to_string().as_bytes()) {
            let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
            if let Err(complaint) = validity::check(&body) {
                prop_assert!(false, "{complaint}\n{body:#}");
            }
        }
    }

    #[test]
    fn no_request_panics(chat in chat(), at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let mut body = chat.to_string().into_bytes();
        let place = at.index(body.len());
        body[place] = byte;
        let _ = Anthropic::encode(Operation::Chat, &target("claude-opus-5"), false, &body);
        body.truncate(cut.index(body.len()));
        let _ = Anthropic::encode(Operation::CountTokens, &target("claude-opus-5"), false, &body);
        let _ = Anthropic::decode(Operation::Chat, &target("claude-opus-5"), &body);
        let _ = Anthropic::explain(400, &[("retry-after".to_owned(), "1e400".to_owned())], &body);
    }

    #[test]
    fn a_stream_is_whole_or_it_fails(
        cut in 0usize..14,
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
