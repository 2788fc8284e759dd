//! What becomes of requests, answers and streams on their way into the words of OpenAI's Responses and out of them.

mod made;

use bytes::{Bytes, BytesMut};
use serde_json::{Value as Json, json};

use super::super::{Heard, Request, Surface, Wording};
use super::Hearing;
use crate::error::ApiError;
use crate::json::{Document, Limits};
use crate::money::{Service, Usage};

fn read(body: &Json) -> Result<Request, String> {
    let document = Document::parse(Bytes::from(body.to_string()), Limits::default()).unwrap();
    let read = Surface::Responses.read(document, None, Limits::default());
    read.map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
}

fn canonical(body: &Json) -> Json {
    serde_json::from_slice(read(body).unwrap().document.text()).unwrap()
}

#[test]
fn items_become_messages() {
    let signed = json!([{ "type": "thinking", "thinking": "hm", "signature": "sig" }]);
    let told = wording(&json!({ "model": "m", "input": "hi" })).whole(
        json!({ "id": "chatcmpl-1", "choices": [{ "message": { "reasoning_content": "hm", "thinking_blocks": signed } }] })
            .to_string()
            .into(),
        None,
    );
    let reasoning = serde_json::from_slice::<Json>(&told).unwrap()["output"][0].clone();
    let body = json!({
        "model": "auto", "instructions": "Be brief.", "max_output_tokens": 100, "stream": true, "store": true, "include": [],
        "reasoning": { "effort": "low", "summary": "auto" }, "metadata": {}, "of_tomorrow": 1,
        "text": { "verbosity": "low", "format": { "type": "json_schema", "name": "n", "strict": true, "schema": { "type": "object" } } },
        "tools": [{ "type": "function", "name": "weather", "parameters": { "type": "object" }, "strict": true }, { "type": "web_search" }],
        "tool_choice": { "type": "function", "name": "weather" },
        "input": [
            { "role": "user", "content": [
                { "type": "input_text", "text": "Where?" },
                { "type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low" },
                { "type": "input_file", "filename": "t.pdf", "file_data": "data:application/pdf;base64,AA" },
            ] },
            reasoning,
            { "type": "message", "id": "msg", "status": "completed", "role": "assistant", "content": [{ "type": "output_text", "text": "Let me look.", "annotations": [] }] },
            { "type": "function_call", "id": "fc", "call_id": "c1", "name": "weather", "arguments": "{\"city\":1}" },
            { "type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "rain" },
            { "type": "function_call_output", "call_id": "c2", "output": [{ "type": "input_text", "text": "sun" }] },
            { "type": "web_search_call", "id": "ws" },
            { "role": "developer", "content": "Go on." },
        ],
    });
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } });
    let expected = json!({
        "model": "auto", "stream": true, "stream_options": { "include_usage": true }, "max_completion_tokens": 100,
        "reasoning_effort": "low", "verbosity": "low",
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": { "type": "object" } } },
        "tools": [
            { "type": "function", "function": { "name": "weather", "parameters": { "type": "object" }, "strict": true } },
            { "type": "web_search" },
        ],
        "tool_choice": { "type": "function", "function": { "name": "weather" } },
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "Where?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "low" } },
                { "type": "file", "file": { "filename": "t.pdf", "file_data": "data:application/pdf;base64,AA" } },
            ] },
            { "role": "assistant", "content": "Let me look.", "reasoning_content": "hm", "thinking_blocks": signed,
              "tool_calls": [call("c1", "{\"city\":1}"), call("c2", "{}")] },
            { "role": "tool", "tool_call_id": "c1", "content": "rain" },
            { "role": "tool", "tool_call_id": "c2", "content": "sun" },
            { "role": "developer", "content": "Go on." },
        ],
    });
    assert_eq!(canonical(&body), expected);
    let lost = read(&body).unwrap().wording.lost;
    assert_eq!(lost, ["items of type web_search_call", "of_tomorrow"]);
}

#[test]
fn what_only_a_provider_has_kept_is_marked_and_what_is_wrong_is_named() {
    for (more, needs) in [
        (json!({}), None),
        (json!({ "store": true, "previous_response_id": null }), None),
        (
            json!({ "previous_response_id": "resp_1" }),
            Some("previous_response_id"),
        ),
        (json!({ "conversation": "conv_1" }), Some("conversation")),
        (json!({ "background": true, "stream": true }), Some("background")),
        (
            json!({ "input": [{ "type": "item_reference", "id": "x" }] }),
            Some("item_reference"),
        ),
    ] {
        let mut body = json!({ "model": "m", "input": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if needs == Some("item_reference") {
            body["instructions"] = "x".into();
        }
        assert_eq!(read(&body).unwrap().wording.needs, needs, "{body}");
    }
    for (body, expected) in [
        (json!({ "model": "m" }), "`input` is missing [input]"),
        (json!({ "input": "hi" }), "`model` is missing [model]"),
        (
            json!({ "model": "m", "input": 7 }),
            "`input` must be a text or an array of items [input]",
        ),
        (json!({ "model": "m", "input": [7] }), "[input[0]]"),
        (
            json!({ "model": "m", "input": [{ "role": "user" }] }),
            "`input[0].content` is missing [input[0].content]",
        ),
        (
            json!({ "model": "m", "input": [{ "role": "nobody", "content": "a" }] }),
            "[input[0].role]",
        ),
        (
            json!({ "model": "m", "input": [{ "type": "function_call", "call_id": "c", "name": "n" }] }),
            "[input[0].arguments]",
        ),
        (
            json!({ "model": "m", "input": "a", "tools": [{ "type": "function" }] }),
            "[tools[0].name]",
        ),
        (json!({ "model": "m", "input": "a", "stream": "yes" }), "[stream]"),
    ] {
        let found = read(&body).unwrap_err();
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
    reasoning: 3,
    audio_output: 0,
    image_input: 0,
    image_output: 0,
    characters: 0,
    searches: 0,
    service: Service::Ordinary,
};

fn wording(body: &Json) -> Wording {
    read(body).unwrap().wording
}

#[test]
fn a_whole_answer_is_a_response() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let answer = |finish: &str| {
        json!({ "id": "chatcmpl-1", "created": 5, "model": "m-1", "choices": [{ "index": 0, "finish_reason": finish,
            "message": { "content": "one", "reasoning_content": "hm", "tool_calls": [call] } }] })
    };
    let wording = wording(&json!({ "model": "m", "input": "hi", "temperature": 0.5, "instructions": "Be\nbrief." }));
    let told = wording.whole(answer("tool_calls").to_string().into(), Some(&USAGE));
    let told: Json = serde_json::from_slice(&told).unwrap();
    let expected = json!([
        { "id": "rs_1", "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }] },
        { "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
          "content": [{ "type": "output_text", "text": "one", "annotations": [], "logprobs": [] }] },
        { "id": "fc_1_0", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}" },
    ]);
    assert_eq!(told["output"], expected);
    let said = [
        "id",
        "object",
        "status",
        "model",
        "created_at",
        "temperature",
        "store",
        "instructions",
    ]
    .map(|name| &told[name]);
    let expected = json!(["resp_1", "response", "completed", "m-1", 5, 0.5, false, "Be\nbrief."]);
    assert_eq!(json!(said), expected);
    let usage = json!({ "input_tokens": 16, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 7,
        "output_tokens_details": { "reasoning_tokens": 3 }, "total_tokens": 23 });
    assert_eq!(told["usage"], usage);
    let told = wording.whole(answer("length").to_string().into(), None);
    let told: Json = serde_json::from_slice(&told).unwrap();
    assert_eq!(
        (&told["status"], &told["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

fn chunk(delta: Json, finish: Option<&str>) -> String {
    let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "created": 5, "choices": choices });
    format!("data: {chunk}\n\n")
}

fn told(pieces: &[&[u8]]) -> Vec<Json> {
    let mut telling = wording(&json!({ "model": "m", "input": "hi", "stream": true })).telling(false, 0);
    let mut all = BytesMut::new();
    for piece in pieces {
        let mut events = BytesMut::from(*piece);
        telling.tell(&mut events);
        all.extend_from_slice(&events);
    }
    telling.end(Some(&USAGE), &mut all);
    let text = String::from_utf8(all.to_vec()).unwrap();
    let event = |(number, event): (usize, &str)| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Json = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
        data
    };
    text.split_terminator("\n\n").enumerate().map(event).collect()
}

#[test]
fn a_stream_has_the_events_of_a_response_wherever_it_is_cut() {
    let call = |index: u64, id: &str, arguments: &str| {
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function",
        "function": { "name": "f", "arguments": arguments } }] })
    };
    let more = |index: u64, arguments: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] });
    let stream = [
        chunk(json!({ "role": "assistant", "content": "" }), None),
        chunk(json!({ "reasoning_content": "hm" }), None),
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
    let item = ["output_item.added", "output_item.done"];
    let text = |part: &str, text: &str, deltas: usize| -> Vec<String> {
        let deltas = std::iter::repeat_n(format!("{text}.delta"), deltas);
        let begun = [item[0].to_owned(), format!("{part}.added")].into_iter();
        begun
            .chain(deltas)
            .chain([format!("{text}.done"), format!("{part}.done"), item[1].to_owned()])
            .collect()
    };
    let called = |deltas: usize| -> Vec<String> {
        let name = "function_call_arguments";
        let deltas = std::iter::repeat_n(format!("{name}.delta"), deltas);
        let begun = [item[0].to_owned()].into_iter();
        begun
            .chain(deltas)
            .chain([format!("{name}.done"), item[1].to_owned()])
            .collect()
    };
    let expected = [
        vec!["created".to_owned(), "in_progress".to_owned()],
        text("reasoning_summary_part", "reasoning_summary_text", 1),
        text("content_part", "output_text", 2),
        called(2),
        called(1),
        vec!["completed".to_owned()],
    ]
    .concat();
    let bytes = stream.as_bytes();
    let whole = told(&[bytes]);
    let names: Vec<&str> = whole
        .iter()
        .map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap())
        .collect();
    assert_eq!(names, expected);
    for at in 0..=bytes.len() {
        assert_eq!(told(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
    }
    let output = whole.last().unwrap()["response"]["output"].clone();
    assert_eq!(output[1]["content"][0]["text"], "Grüß Gott\n");
    assert_eq!(
        (&output[2]["call_id"], &output[2]["arguments"]),
        (&json!("c1"), &json!("{\"city\":1}"))
    );
    assert_eq!(output.as_array().unwrap().len(), 4);
    let done = |event: &&Json| event["type"] == "response.output_item.done";
    let items: Vec<&Json> = whole.iter().filter(done).map(|event| &event["item"]).collect();
    assert_eq!(json!(items), output);
}

#[test]
fn a_tool_that_takes_a_text_is_a_function_on_the_way_out_and_a_text_again_on_the_way_back() {
    let format = json!({ "type": "grammar", "syntax": "lark", "definition": "start: /.+/" });
    let body = json!({
        "model": "m", "include": ["message.output_text.logprobs"], "top_logprobs": 2,
        "tools": [{ "type": "custom", "name": "patch", "description": "Patches.", "format": format }],
        "tool_choice": { "type": "custom", "name": "patch" },
        "input": [
            { "role": "user", "content": "Patch it." },
            { "type": "custom_tool_call", "id": "ctc", "call_id": "c0", "name": "patch", "input": "a \"b\"\n" },
            { "type": "custom_tool_call_output", "call_id": "c0", "output": "done" },
        ],
    });
    let asked = canonical(&body);
    let function = &asked["tools"][0]["function"];
    assert_eq!(
        (&function["name"], &function["description"]),
        (&json!("patch"), &json!("Patches."))
    );
    let input = &function["parameters"]["properties"]["input"];
    assert_eq!(
        (&input["type"], &function["parameters"]["required"]),
        (&json!("string"), &json!(["input"]))
    );
    assert!(
        input["description"].as_str().unwrap().ends_with("start: /.+/"),
        "{function}"
    );
    assert_eq!(
        asked["tool_choice"],
        json!({ "type": "function", "function": { "name": "patch" } })
    );
    assert_eq!((&asked["logprobs"], &asked["top_logprobs"]), (&json!(true), &json!(2)));
    let arguments = asked["messages"][1]["tool_calls"][0]["function"]["arguments"]
        .as_str()
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Json>(arguments).unwrap(),
        json!({ "input": "a \"b\"\n" })
    );
    assert_eq!(
        asked["messages"][2],
        json!({ "role": "tool", "tool_call_id": "c0", "content": "done" })
    );
    assert_eq!(read(&body).unwrap().wording.lost, ["tools[].format"]);
    let token = json!({ "token": "ok", "logprob": -0.5, "bytes": [111, 107], "top_logprobs": [] });
    let called = |arguments: &str| json!([{ "index": 0, "id": "c1", "type": "function", "function": { "name": "patch", "arguments": arguments } }]);
    let answer = json!({ "id": "chatcmpl-1", "choices": [{ "index": 0, "finish_reason": "tool_calls", "logprobs": { "content": [token] },
        "message": { "content": "ok", "tool_calls": called("{\"input\":\"x\\ny\"}") } }] });
    let whole: Json = serde_json::from_slice(&wording(&body).whole(answer.to_string().into(), None)).unwrap();
    assert_eq!(whole["output"][0]["content"][0]["logprobs"], json!([token]));
    let call = json!({ "id": "ctc_1_0", "type": "custom_tool_call", "status": "completed", "call_id": "c1", "name": "patch", "input": "x\ny" });
    assert_eq!(whole["output"][1], call);
    let mut telling = wording(&body).telling(false, 0);
    let mut out = BytesMut::new();
    let said = json!({ "id": "chatcmpl-1", "choices": [{ "index": 0, "delta": { "content": "ok" }, "logprobs": { "content": [token] } }] });
    out.extend_from_slice(format!("data: {said}\n\n").as_bytes());
    out.extend_from_slice(chunk(json!({ "tool_calls": called("{\"input\":") }), None).as_bytes());
    let rest = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "\"x\\ny\"}" } }] });
    out.extend_from_slice(chunk(rest, Some("tool_calls")).as_bytes());
    telling.tell(&mut out);
    telling.end(Some(&USAGE), &mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let events = text
        .split_terminator("\n\n")
        .filter_map(|event| event.split_once("\ndata: "));
    let events: Vec<Json> = events.map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    let of = |name: &str| {
        events
            .iter()
            .find(|event| event["type"] == name)
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert_eq!(of("response.output_text.delta")["logprobs"], json!([token]));
    assert_eq!(of("response.output_text.done")["logprobs"], json!([token]));
    assert_eq!(of("response.custom_tool_call_input.delta")["delta"], "x\ny");
    assert_eq!(of("response.custom_tool_call_input.done")["input"], "x\ny");
    let output = &of("response.completed")["response"]["output"];
    assert_eq!(
        (&output[1]["type"], &output[1]["input"]),
        (&json!("custom_tool_call"), &json!("x\ny"))
    );
}

#[test]
fn a_stream_that_breaks_says_so_with_its_number() {
    let mut telling = wording(&json!({ "model": "m", "input": "hi" })).telling(false, 0);
    let mut out = BytesMut::from(chunk(json!({ "content": "a" }), None).as_bytes());
    telling.tell(&mut out);
    out.clear();
    telling.fail(Surface::Responses, &ApiError::upstream("it broke"), "req", &mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let event: Json = serde_json::from_str(text.strip_prefix("event: error\ndata: ").unwrap()).unwrap();
    assert_eq!(
        (&event["type"], &event["sequence_number"]),
        (&json!("error"), &json!(5))
    );
    assert_eq!(
        (&event["message"], &event["error"]["code"]),
        (&json!("it broke"), &json!("upstream_error"))
    );
}

#[test]
fn an_answer_in_the_providers_own_words_is_heard() {
    let mut hearing = Hearing::default();
    assert_eq!(
        hearing.event(Some("response.output_text.delta"), b"anything"),
        Ok(Heard::Progress)
    );
    let end = json!({ "type": "response.completed", "response": { "service_tier": "flex", "usage": { "input_tokens": 10,
        "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 7, "output_tokens_details": { "reasoning_tokens": 3 } } } });
    assert_eq!(
        hearing.event(Some("response.completed"), end.to_string().as_bytes()),
        Ok(Heard::Closing)
    );
    let expected = Usage {
        input: 6,
        cache_read: 4,
        output: 7,
        reasoning: 3,
        service: Service::Batch,
        ..Usage::default()
    };
    assert_eq!(hearing.usage(), Some(expected));
    let failed =
        json!({ "type": "response.failed", "response": { "error": { "code": "server_error", "message": "sorry" } } });
    assert_eq!(
        hearing.event(None, failed.to_string().as_bytes()),
        Ok(Heard::Error(r#"{"code":"server_error","message":"sorry"}"#.to_owned()))
    );
    let error = json!({ "type": "error", "message": "gone" });
    assert_eq!(
        hearing.event(Some("error"), error.to_string().as_bytes()),
        Ok(Heard::Error(error.to_string()))
    );
}

#[test]
fn what_comes_before_the_first_choice_begins_no_response() {
    let mut telling = wording(&json!({ "model": "m", "input": "hi" })).telling(false, 0);
    let before = json!({ "id": "", "model": "", "choices": [], "prompt_filter_results": [] });
    let mut events = BytesMut::from(format!("data: {before}\n\n").as_str());
    telling.tell(&mut events);
    assert!(events.is_empty(), "{events:?}");
}
