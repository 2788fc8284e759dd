//! What becomes of requests, answers and streams on their way into Anthropic's dialect and out of it.

use bytes::{Bytes, BytesMut};
use serde_json::{Value as Json, json};

use super::super::{Request, Surface, Telling, Wording};
use crate::json::{Document, Limits};
use crate::money::{Service, Usage};

fn wording() -> Wording {
    Wording::canonical(Surface::Messages)
}

fn read(body: &Json) -> Result<Request, String> {
    let document = Document::parse(Bytes::from(body.to_string()), Limits::default()).unwrap();
    let read = Surface::Messages.read(document, None, Limits::default());
    read.map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
}

fn canonical(body: &Json) -> (Json, Vec<String>) {
    let request = read(body).unwrap();
    let text = serde_json::from_slice(request.document.text()).unwrap();
    (text, request.wording.lost)
}

#[test]
fn a_conversation_becomes_canonical() {
    let mark = json!({ "type": "ephemeral" });
    let body = json!({
        "model": "auto", "max_tokens": 100, "stream": true, "temperature": 0.5, "top_k": 4, "stop_sequences": ["END"],
        "metadata": { "user_id": "u-1" }, "thinking": { "type": "enabled", "budget_tokens": 2048 }, "speed": "fast",
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
        "tools": [
            { "name": "weather", "description": "d", "input_schema": { "type": "object" }, "cache_control": mark },
            { "type": "web_search_20250305", "name": "web_search" },
        ],
        "tool_choice": { "type": "tool", "name": "weather", "disable_parallel_tool_use": true },
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "Where is \"Köln\"?" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "document", "title": "t.pdf", "source": { "type": "url", "url": "https://x/t.pdf" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "sig" },
                { "type": "text", "text": "Let me look." },
                { "type": "tool_use", "id": "t1", "name": "weather", "input": { "city": "Köln" } },
                { "type": "tool_use", "id": "t2", "name": "weather", "input": {} },
                { "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "rain" }] },
                { "type": "tool_result", "tool_use_id": "t2", "content": "no city", "is_error": true },
                { "type": "text", "text": "Go on." },
            ] },
        ],
    });
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } });
    let expected = json!({
        "model": "auto", "max_completion_tokens": 100, "stream": true, "stream_options": { "include_usage": true },
        "temperature": 0.5, "top_k": 4, "stop": ["END"], "user": "u-1",
        "thinking": { "type": "enabled", "budget_tokens": 2048 },
        "tools": [
            { "type": "function", "cache_control": mark,
              "function": { "name": "weather", "description": "d", "parameters": { "type": "object" } } },
            { "type": "web_search_20250305", "name": "web_search" },
        ],
        "tool_choice": { "type": "function", "function": { "name": "weather" } }, "parallel_tool_calls": false,
        "messages": [
            { "role": "system", "content": [{ "type": "text", "text": "Be brief.", "cache_control": mark }] },
            { "role": "user", "content": [
                { "type": "text", "text": "Where is \"Köln\"?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
                { "type": "file", "file": { "file_data": "https://x/t.pdf", "filename": "t.pdf" } },
            ] },
            { "role": "assistant", "content": "Let me look.", "reasoning_content": "hm",
              "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "sig" }],
              "tool_calls": [call("t1", "{\"city\":\"Köln\"}"), call("t2", "{}")] },
            { "role": "tool", "tool_call_id": "t1", "content": [{ "type": "text", "text": "rain" }] },
            { "role": "tool", "tool_call_id": "t2", "content": "Error: no city" },
            { "role": "user", "content": [{ "type": "text", "text": "Go on." }] },
        ],
    });
    let (found, lost) = canonical(&body);
    assert_eq!(found, expected);
    assert_eq!(lost, ["content of type server_tool_use", "speed"]);
}

#[test]
fn words_that_have_an_openai_counterpart_are_put_into_it() {
    let ask = |more: Json| {
        let mut body = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        canonical(&body).0
    };
    for (kind, expected) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
        assert_eq!(ask(json!({ "tool_choice": { "type": kind } }))["tool_choice"], expected);
    }
    let schema = json!({ "type": "object", "properties": { "b": {}, "a": {} } });
    let structured =
        ask(json!({ "output_config": { "effort": "low", "format": { "type": "json_schema", "schema": schema } } }));
    assert_eq!(structured["reasoning_effort"], "low");
    assert_eq!(structured["response_format"]["json_schema"]["schema"], schema);
    assert_eq!(structured["messages"][0], json!({ "role": "user", "content": "hi" }));
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let body = |change: &dyn Fn(&mut Json)| {
        let mut body = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }] });
        change(&mut body);
        read(&body).unwrap_err()
    };
    type Change<'c> = &'c dyn Fn(&mut Json);
    let wrong: [(Change<'_>, &str); 10] = [
        (
            &|body| drop(body.as_object_mut().unwrap().remove("max_tokens")),
            "`max_tokens` is missing [max_tokens]",
        ),
        (&|body| body["max_tokens"] = json!(0), "[max_tokens]"),
        (
            &|body| drop(body.as_object_mut().unwrap().remove("model")),
            "`model` is missing [model]",
        ),
        (&|body| body["messages"] = json!([]), "at least one message [messages]"),
        (
            &|body| body["messages"][0]["role"] = json!("tool"),
            "[messages[0].role]",
        ),
        (
            &|body| body["messages"][0]["content"] = json!(7),
            "[messages[0].content]",
        ),
        (
            &|body| body["messages"][0]["content"] = json!([{}]),
            "[messages[0].content[0]]",
        ),
        (
            &|body| body["messages"][0]["content"] = json!([{ "type": "image" }]),
            "[messages[0].content[0].source]",
        ),
        (&|body| body["tools"] = json!([{ "type": "custom" }]), "[tools[0].name]"),
        (&|body| body["tool_choice"] = json!("auto"), "[tool_choice.type]"),
    ];
    for (change, expected) in wrong {
        let found = body(change);
        assert!(found.ends_with(expected), "{found}: {expected}");
    }
}

const USAGE: Usage = Usage {
    input: 10,
    audio_input: 0,
    cache_read: 4,
    cache_write: 2,
    cache_write_1h: 0,
    output: 7,
    reasoning: 0,
    audio_output: 0,
    image_input: 0,
    image_output: 0,
    characters: 0,
    searches: 0,
    service: Service::Ordinary,
};

#[test]
fn a_whole_answer_is_a_message() {
    let thought = json!({ "type": "thinking", "thinking": "hm", "signature": "sig" });
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1.0}" } });
    let broken = json!({ "id": "c2", "type": "function", "function": { "name": "g", "arguments": "{\"a\":" } });
    let answer = json!({ "id": "chatcmpl-1", "model": "m-1", "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "one", "reasoning_content": "hm", "thinking_blocks": [thought], "tool_calls": [call, broken] } }] });
    let told = wording().whole(answer.to_string().into(), Some(&USAGE));
    let expected = json!({ "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "m-1", "content": [
            thought,
            { "type": "text", "text": "one" },
            { "type": "tool_use", "id": "c1", "name": "f", "input": { "a": 1.0 } },
            { "type": "tool_use", "id": "c2", "name": "g", "input": { "arguments": "{\"a\":" } },
        ], "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4, "output_tokens": 7 } });
    assert_eq!(serde_json::from_slice::<Json>(&told).unwrap(), expected);
    for (finish, expected) in [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
    ] {
        let answer = json!({ "choices": [{ "finish_reason": finish, "message": { "content": null, "reasoning_content": "hm" } }] });
        let told: Json = serde_json::from_slice(&wording().whole(answer.to_string().into(), None)).unwrap();
        assert_eq!(told["stop_reason"], expected);
        assert_eq!(
            told["content"],
            json!([{ "type": "thinking", "thinking": "hm", "signature": "" }])
        );
    }
}

fn chunk(delta: Json, finish: Option<&str>) -> String {
    let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "choices": choices });
    format!("data: {chunk}\n\n")
}

/// Names of events with what matters of each.
fn told(pieces: &[&[u8]]) -> Vec<String> {
    let mut telling = wording().telling(false, 12);
    let mut all = BytesMut::new();
    for piece in pieces {
        let mut events = BytesMut::from(*piece);
        telling.tell(&mut events);
        all.extend_from_slice(&events);
    }
    telling.end(Some(&USAGE), &mut all);
    let text = String::from_utf8(all.to_vec()).unwrap();
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Json = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        let index = data["index"].as_u64().map_or(String::new(), |index| index.to_string());
        match name {
            "content_block_start" => format!("start {index} {}", data["content_block"]),
            "content_block_delta" => {
                let delta = data["delta"].as_object().unwrap();
                let said = delta.iter().find(|(name, _)| *name != "type").unwrap().1;
                format!("{} {index} {said}", delta["type"].as_str().unwrap())
            }
            "content_block_stop" => format!("stop {index}"),
            "message_delta" => format!("message_delta {} {}", data["delta"]["stop_reason"], data["usage"]),
            "message_start" => {
                assert_eq!(data["message"]["usage"]["input_tokens"], 12);
                format!("message_start {}", data["message"]["model"])
            }
            name => name.to_owned(),
        }
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[test]
fn a_stream_has_anthropics_events_wherever_it_is_cut() {
    let call = |index: u64, id: &str, arguments: &str| {
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function",
        "function": { "name": "f", "arguments": arguments } }] })
    };
    let more = |index: u64, arguments: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] });
    let signed =
        json!({ "thinking_blocks": [{ "index": 0, "type": "thinking", "thinking": "hm so", "signature": "sig" }] });
    let stream = [
        ": a comment\n\n".to_owned(),
        chunk(json!({ "role": "assistant", "content": "" }), None),
        chunk(json!({ "reasoning_content": "hm " }), None),
        chunk(json!({ "reasoning_content": "so" }), None),
        chunk(signed, None),
        chunk(json!({ "content": "Grüß" }), None),
        chunk(json!({ "content": " Gott\n" }), None),
        chunk(call(0, "c1", ""), None),
        chunk(more(0, "{\"ci"), None),
        chunk(more(0, "ty\":1}"), None),
        chunk(call(1, "c2", "{}"), None),
        chunk(json!({}), Some("tool_calls")),
        "data: {\"choices\":[],\"usage\":{}}\n\n".to_owned(),
    ]
    .concat();
    let expected = [
        "message_start \"m-1\"",
        "start 0 {\"signature\":\"\",\"thinking\":\"\",\"type\":\"thinking\"}",
        "thinking_delta 0 \"hm \"",
        "thinking_delta 0 \"so\"",
        "signature_delta 0 \"sig\"",
        "stop 0",
        "start 1 {\"text\":\"\",\"type\":\"text\"}",
        "text_delta 1 \"Grüß\"",
        "text_delta 1 \" Gott\\n\"",
        "stop 1",
        "start 2 {\"id\":\"c1\",\"input\":{},\"name\":\"f\",\"type\":\"tool_use\"}",
        "input_json_delta 2 \"{\\\"ci\"",
        "input_json_delta 2 \"ty\\\":1}\"",
        "stop 2",
        "start 3 {\"id\":\"c2\",\"input\":{},\"name\":\"f\",\"type\":\"tool_use\"}",
        "input_json_delta 3 \"{}\"",
        "stop 3",
        "message_delta \"tool_use\" {\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":4,\"input_tokens\":10,\"output_tokens\":7}",
        "message_stop",
    ];
    let bytes = stream.as_bytes();
    for at in 0..=bytes.len() {
        assert_eq!(told(&[&bytes[..at], &bytes[at..]]), expected, "cut at {at}");
    }
}

#[test]
fn calls_that_come_side_by_side_keep_their_pieces_apart() {
    let piece = |index: u64, name: Option<&str>, arguments: &str| {
        chunk(
            json!({ "tool_calls": [{ "index": index, "id": name, "function": { "name": name, "arguments": arguments } }] }),
            None,
        )
    };
    let stream = [
        piece(0, Some("f"), "{\"a\":"),
        piece(1, Some("g"), "{\"b\":"),
        piece(0, None, "1}"),
        piece(1, None, "2}"),
    ]
    .concat();
    let found = told(&[stream.as_bytes()]);
    let of = |block: &str| -> String {
        let start = format!("input_json_delta {block} ");
        found.iter().filter_map(|event| event.strip_prefix(&start)).collect()
    };
    assert_eq!(of("0"), r#""{\"a\":""1}""#);
    assert_eq!(of("1"), r#""{\"b\":""2}""#);
    assert!(found.contains(&"stop 0".to_owned()) && found.contains(&"stop 1".to_owned()));
}

#[test]
fn a_stream_without_a_word_is_still_a_message() {
    let found = told(&[b"data: {\"choices\":[]}\n\n"]);
    assert_eq!(found[0], "message_start \"\"");
    assert!(found[1].starts_with("message_delta \"end_turn\""), "{found:?}");
    assert!(matches!(wording().telling(true, 0), Telling::Own));
}

/// Wording of a request that stops at these.
fn stopping(sequences: &Json) -> Wording {
    let body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }], "stop_sequences": sequences });
    let document = Document::parse(Bytes::from(body.to_string()), Limits::default()).unwrap();
    Surface::Messages
        .read(document, None, Limits::default())
        .unwrap()
        .wording
}

#[test]
fn why_a_model_stopped_is_told_as_far_as_anybody_knows() {
    let two = json!([".", "!"]);
    for (sequences, choice, reason, sequence) in [
        (&two, json!({ "finish_reason": "stop" }), "end_turn", Json::Null),
        (
            &two,
            json!({ "finish_reason": "stop", "stop_reason": "!" }),
            "stop_sequence",
            json!("!"),
        ),
        (
            &two,
            json!({ "finish_reason": "stop", "matched_stop": "." }),
            "stop_sequence",
            json!("."),
        ),
        // The number of a token, and another thing of that name.
        (
            &two,
            json!({ "finish_reason": "stop", "stop_reason": 7 }),
            "end_turn",
            Json::Null,
        ),
        (
            &two,
            json!({ "finish_reason": "stop", "stop_reason": "eos" }),
            "end_turn",
            Json::Null,
        ),
        (
            &two,
            json!({ "finish_reason": "stop", "native_finish_reason": "stop_sequence" }),
            "stop_sequence",
            Json::Null,
        ),
        (
            &json!(["."]),
            json!({ "finish_reason": "stop", "native_finish_reason": "stop_sequence" }),
            "stop_sequence",
            json!("."),
        ),
        (
            &two,
            json!({ "finish_reason": "stop", "native_finish_reason": "pause_turn" }),
            "pause_turn",
            Json::Null,
        ),
        (
            &two,
            json!({ "finish_reason": "stop", "native_finish_reason": "STOP" }),
            "end_turn",
            Json::Null,
        ),
        (
            &two,
            json!({ "finish_reason": "content_filter" }),
            "refusal",
            Json::Null,
        ),
        (
            &two,
            json!({ "finish_reason": "length", "native_finish_reason": "pause_turn" }),
            "max_tokens",
            Json::Null,
        ),
    ] {
        let mut whole = choice.clone();
        whole["message"] = json!({ "content": "Yes" });
        let answer = json!({ "id": "c", "choices": [whole] }).to_string();
        let told: Json = serde_json::from_slice(&stopping(sequences).whole(answer.into(), None)).unwrap();
        assert_eq!(
            (&told["stop_reason"], &told["stop_sequence"]),
            (&json!(reason), &sequence),
            "{choice}"
        );
        let mut telling = stopping(sequences).telling(false, 0);
        let mut piece = choice.clone();
        piece["delta"] = json!({ "content": "Yes" });
        let mut events = BytesMut::from(format!("data: {}\n\n", json!({ "choices": [piece] })).as_str());
        telling.tell(&mut events);
        telling.end(None, &mut events);
        let text = String::from_utf8(events.to_vec()).unwrap();
        let delta = text.lines().find_map(|line| {
            line.strip_prefix("data: ")
                .filter(|data| data.contains("message_delta"))
        });
        let delta: Json = serde_json::from_str(delta.unwrap()).unwrap();
        let delta = &delta["delta"];
        assert_eq!(
            (&delta["stop_reason"], &delta["stop_sequence"]),
            (&json!(reason), &sequence),
            "{choice}"
        );
    }
    let declined = json!({ "id": "c", "choices": [{ "finish_reason": "stop", "message": { "content": null, "refusal": "No." } }] });
    let told: Json = serde_json::from_slice(&stopping(&two).whole(declined.to_string().into(), None)).unwrap();
    let details = json!({ "type": "refusal", "category": null, "explanation": "No." });
    assert_eq!(
        (&told["stop_reason"], &told["stop_details"]),
        (&json!("refusal"), &details)
    );
    assert_eq!(told["content"], json!([{ "type": "text", "text": "No." }]));
}

#[test]
fn what_has_no_place_in_a_message_is_named_and_begins_none() {
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let answer = |said: Json| Bytes::from(json!({ "id": "c", "choices": [{ "message": said }] }).to_string());
    let wording = stopping(&json!([]));
    assert_eq!(wording.unsaid(&answer(json!({ "content": "\"images\"" }))), None);
    assert_eq!(
        wording.unsaid(&answer(json!({ "images": [image] }))),
        Some("images of the answer")
    );
    let mut telling = wording.telling(false, 0);
    let before = json!({ "id": "", "model": "", "choices": [], "prompt_filter_results": [] });
    let mut events = BytesMut::from(format!("data: {before}\n\n").as_str());
    telling.tell(&mut events);
    assert!(events.is_empty(), "{events:?}");
}
