//! What becomes of requests, answers and streams on their way into Gemini's dialect and out of it.

use bytes::{Bytes, BytesMut};
use serde_json::{Value as Json, json};

use super::super::{Address, Request, Wording};
use crate::json::{Document, Limits};
use crate::money::{Service, Usage};

const GENERATE: &str = "/v1beta/models/auto:generateContent";
const STREAM: &str = "/v1beta/models/auto:streamGenerateContent?alt=sse";

fn read_at(address: &str, body: &Json) -> Result<Request, String> {
    let document = Document::parse(Bytes::from(body.to_string()), Limits::default()).unwrap();
    let address = Address::of(&address.parse().unwrap()).unwrap();
    let read = address.read(document, Limits::default());
    read.map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
}

fn canonical(body: &Json) -> (Json, Wording) {
    let request = read_at(GENERATE, body).unwrap();
    let text = serde_json::from_slice(request.document.text()).unwrap();
    (text, request.wording)
}

fn hi(more: Json) -> Json {
    let mut body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_conversation_becomes_canonical() {
    let body = json!({
        "system_instruction": { "parts": [{ "text": "Be brief." }] },
        "tools": [
            { "functionDeclarations": [{ "name": "weather", "description": "d",
                "parameters": { "type": "OBJECT", "properties": { "city": { "type": "STRING", "nullable": true } }, "required": ["city"] } }] },
            { "google_search": {} },
        ],
        "toolConfig": { "functionCallingConfig": { "mode": "ANY", "allowedFunctionNames": ["weather"] } },
        "generationConfig": { "maxOutputTokens": 100, "temperature": 0.5, "topK": 4.0, "stop_sequences": ["END"], "candidateCount": 2,
            "thinkingConfig": { "thinkingBudget": 2048 }, "of_tomorrow": 1 },
        "safetySettings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF" }],
        "labels": { "team": "a" },
        "contents": [
            { "role": "user", "parts": [
                { "text": "Where is \"Köln\"?" },
                { "inlineData": { "mimeType": "image/png", "data": "-_8=" } },
                { "inline_data": { "mime_type": "audio/mpeg", "data": "AAAA" } },
                { "fileData": { "mimeType": "application/pdf", "fileUri": "https://x/t.pdf", "displayName": "t.pdf" } },
            ] },
            { "role": "model", "parts": [{ "text": "hm", "thought": true }, { "text": "Let me " }] },
            { "role": "model", "parts": [{ "text": "look." }, { "functionCall": { "name": "weather", "args": { "city": "Köln" } }, "thoughtSignature": "c2ln" },
                { "functionCall": { "id": "b", "name": "weather" } }, { "executableCode": { "code": "1" } }] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "weather", "response": { "result": "rain" } } },
                { "functionResponse": { "id": "b", "name": "weather", "response": { "result": "sun" } } }, { "text": "Go on." }] },
        ],
    });
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } });
    let mut signed = call("call_1", "{\"city\":\"Köln\"}");
    signed["extra_content"] = json!({ "google": { "thought_signature": "c2ln" } });
    let parameters = json!({ "type": "object", "properties": { "city": { "type": ["string", "null"] } }, "required": ["city"], "additionalProperties": false });
    let expected = json!({
        "model": "auto", "max_completion_tokens": 100, "temperature": 0.5, "top_k": 4, "stop": ["END"], "n": 2,
        "thinking": { "type": "enabled", "budget_tokens": 2048 },
        "safety_settings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF" }],
        "tools": [
            { "type": "function", "function": { "name": "weather", "description": "d", "parameters": parameters } },
            { "google_search": {} },
        ],
        "tool_choice": { "type": "function", "function": { "name": "weather" } },
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "Where is \"Köln\"?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,+/8=" } },
                { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "mp3" } },
                { "type": "file", "file": { "file_data": "https://x/t.pdf", "filename": "t.pdf" } },
            ] },
            { "role": "assistant", "content": "Let me look.", "reasoning_content": "hm", "tool_calls": [signed, call("b", "{}")] },
            { "role": "tool", "tool_call_id": "call_1", "content": "{\"result\":\"rain\"}" },
            { "role": "tool", "tool_call_id": "b", "content": "{\"result\":\"sun\"}" },
            { "role": "user", "content": [{ "type": "text", "text": "Go on." }] },
        ],
    });
    let (found, wording) = canonical(&body);
    assert_eq!(found, expected);
    assert_eq!(
        wording.lost,
        ["generationConfig.of_tomorrow", "labels", "parts of type executableCode"]
    );
    assert_eq!(wording.needs, None);
}

#[test]
fn words_that_have_an_openai_counterpart_are_put_into_it() {
    let config = |config: Json| canonical(&hi(json!({ "generationConfig": config }))).0;
    let subset = json!({ "type": "OBJECT", "properties": { "a": { "type": "ARRAY", "items": { "type": "INTEGER" }, "minItems": "1" } },
        "required": ["a"], "propertyOrdering": ["a"] });
    let structured = config(json!({ "responseMimeType": "application/json", "responseSchema": subset }));
    let format = &structured["response_format"]["json_schema"];
    let expected = json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "type": "integer" }, "minItems": 1 } },
        "additionalProperties": false, "required": ["a"] });
    assert_eq!((&format["schema"], &format["strict"]), (&expected, &json!(true)));
    let open = json!({ "type": "object", "properties": { "a": {} } });
    let structured = config(json!({ "responseMimeType": "application/json", "responseJsonSchema": open }));
    let format = &structured["response_format"]["json_schema"];
    assert_eq!((&format["schema"], &format["strict"]), (&open, &Json::Null));
    assert_eq!(
        config(json!({ "responseMimeType": "application/json" }))["response_format"],
        json!({ "type": "json_object" })
    );
    let thinking = |config_of: Json| config(json!({ "thinkingConfig": config_of }));
    assert_eq!(thinking(json!({ "thinkingLevel": "LOW" }))["reasoning_effort"], "low");
    assert_eq!(
        thinking(json!({ "thinkingBudget": 0 }))["thinking"],
        json!({ "type": "disabled" })
    );
    assert_eq!(thinking(json!({ "thinkingBudget": -1 })).get("thinking"), None);
    let stream = read_at(STREAM, &hi(json!({}))).unwrap();
    assert!(stream.ask.is_stream && stream.ask.wants_usage);
    let counted = json!({ "generateContentRequest": hi(json!({ "model": "models/x" })) });
    let counted = read_at("/v1beta/models/auto:countTokens", &counted).unwrap();
    assert_eq!(
        (counted.ask.model.as_str(), counted.ask.billed_input_tokens()),
        ("auto", 0)
    );
    for kept in [
        json!({ "cachedContent": "cachedContents/x" }),
        json!({ "generationConfig": { "responseModalities": ["AUDIO"] } }),
    ] {
        assert!(canonical(&hi(kept)).1.needs.is_some());
    }
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    for (body, expected) in [
        (json!({}), "`contents` is missing [contents]"),
        (json!({ "contents": [] }), "at least one part [contents]"),
        (json!({ "contents": "hi" }), "[contents]"),
        (
            json!({ "contents": [{ "role": "assistant", "parts": [] }] }),
            "[contents[0].role]",
        ),
        (json!({ "contents": [{ "parts": ["hi"] }] }), "[contents[0].parts[0]]"),
        (
            json!({ "contents": [{ "parts": [{ "text": 1 }] }] }),
            "[contents[0].parts[0].text]",
        ),
        (
            json!({ "contents": [{ "parts": [{ "inlineData": { "data": "" } }] }] }),
            "[contents[0].parts[0].inlineData.mimeType]",
        ),
        (
            json!({ "contents": [{ "parts": [{ "functionResponse": { "name": "f" } }] }] }),
            "[contents[0].parts[0].functionResponse]",
        ),
        (
            hi(json!({ "generationConfig": { "maxOutputTokens": 0 } })),
            "[generationConfig.maxOutputTokens]",
        ),
        (hi(json!({ "generationConfig": [] })), "[generationConfig]"),
        (
            hi(json!({ "generationConfig": { "responseSchema": 1 } })),
            "[generationConfig.responseSchema]",
        ),
        (
            hi(json!({ "tools": [{ "functionDeclarations": [{}] }] })),
            "[tools[0].functionDeclarations[0].name]",
        ),
        (
            hi(json!({ "toolConfig": { "functionCallingConfig": { "mode": "SOME" } } })),
            "[toolConfig.functionCallingConfig.mode]",
        ),
    ] {
        let found = read_at(GENERATE, &body).unwrap_err();
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

fn thinking_aloud() -> Wording {
    canonical(&hi(
        json!({ "generationConfig": { "thinkingConfig": { "includeThoughts": true } } }),
    ))
    .1
}

#[test]
fn a_whole_answer_has_candidates_and_signed_thinking_comes_back() {
    let thought = json!({ "type": "thinking", "thinking": "hm", "signature": "sig" });
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1.0}" } });
    let broken = json!({ "id": "c2", "type": "function", "function": { "name": "g", "arguments": "{\"a\":" }, "extra_content": { "google": { "thought_signature": "c2ln" } } });
    let logprobs =
        json!({ "content": [{ "token": "o", "logprob": -0.5, "top_logprobs": [{ "token": "x", "logprob": -2.0 }] }] });
    let answer = json!({ "id": "chatcmpl-1", "model": "m-1", "choices": [
        { "index": 0, "finish_reason": "tool_calls", "logprobs": logprobs, "message": {
            "role": "assistant", "content": "one", "reasoning_content": "hm", "thinking_blocks": [thought], "tool_calls": [call, broken] } },
        { "index": 1, "finish_reason": "content_filter", "message": { "content": "", "refusal": "no" } },
    ] });
    let told = thinking_aloud().whole(answer.to_string().into(), Some(&USAGE));
    let mut told: Json = serde_json::from_slice(&told).unwrap();
    let signature = told["candidates"][0]["content"]["parts"][1]["thoughtSignature"].take();
    let expected = json!({ "modelVersion": "m-1", "responseId": "chatcmpl-1", "candidates": [
            { "index": 0, "finishReason": "STOP", "content": { "role": "model", "parts": [
                { "text": "hm", "thought": true },
                { "text": "one", "thoughtSignature": null },
                { "functionCall": { "id": "c1", "name": "f", "args": { "a": 1.0 } } },
                { "functionCall": { "id": "c2", "name": "g", "args": { "arguments": "{\"a\":" } }, "thoughtSignature": "c2ln" },
            ] }, "logprobsResult": { "chosenCandidates": [{ "token": "o", "logProbability": -0.5 }],
                "topCandidates": [{ "candidates": [{ "token": "x", "logProbability": -2.0 }] }] } },
            { "index": 1, "finishReason": "SAFETY", "finishMessage": "no", "content": { "role": "model", "parts": [{ "text": "" }] } },
        ], "usageMetadata": { "promptTokenCount": 16, "cachedContentTokenCount": 4, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 23 } });
    assert_eq!(told, expected);
    // Google's SDK for Python writes Base64 in the alphabet for URLs.
    let signature = signature.as_str().unwrap().replace('+', "-").replace('/', "_");
    told["candidates"][0]["content"]["parts"][1]["thoughtSignature"] = signature.into();
    let body = json!({ "contents": [{ "parts": { "text": "hi" } }, told["candidates"][0]["content"]] });
    let back = &canonical(&body).0["messages"][1];
    assert_eq!(back["thinking_blocks"], json!([thought]));
    assert_eq!(
        back["tool_calls"][1]["extra_content"]["google"]["thought_signature"],
        "c2ln"
    );
    // Who did not ask for thoughts is not shown any.
    let quiet: Json =
        serde_json::from_slice(&canonical(&hi(json!({}))).1.whole(answer.to_string().into(), None)).unwrap();
    assert_eq!(quiet["candidates"][0]["content"]["parts"][0]["text"], "one");
}

fn chunk(delta: Json, finish: Option<&str>) -> String {
    let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "choices": choices });
    format!("data: {chunk}\n\n")
}

/// The parts and the end of each event.
fn told(pieces: &[&[u8]]) -> Vec<Json> {
    let mut telling = thinking_aloud();
    telling.surface = super::super::Surface::StreamGenerateContent;
    let mut telling = telling.telling(false, 0);
    let mut all = BytesMut::new();
    for piece in pieces {
        let mut events = BytesMut::from(*piece);
        telling.tell(&mut events);
        all.extend_from_slice(&events);
    }
    telling.end(Some(&USAGE), &mut all);
    let text = String::from_utf8(all.to_vec()).unwrap();
    let event = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    text.split_terminator("\n\n").map(event).collect()
}

#[test]
fn a_stream_has_geminis_events_wherever_it_is_cut() {
    let call = |index: u64, id: Option<&str>, arguments: &str| json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": id.map(|_| "f"), "arguments": arguments } }] });
    let stream = [
        ": a comment\n\n".to_owned(),
        chunk(json!({ "role": "assistant", "content": "" }), None),
        chunk(json!({ "reasoning_content": "hm" }), None),
        chunk(json!({ "content": "Grüß" }), None),
        chunk(call(0, Some("c1"), "{\"a\":"), None),
        chunk(call(1, Some("c2"), ""), None),
        chunk(call(0, None, "1}"), None),
        chunk(json!({}), Some("length")),
        "data: {\"choices\":[],\"usage\":{}}\n\n".to_owned(),
    ]
    .concat();
    let bytes = stream.as_bytes();
    for at in 0..=bytes.len() {
        let events = told(&[&bytes[..at], &bytes[at..]]);
        let parts: Vec<&Json> = events
            .iter()
            .map(|event| &event["candidates"][0]["content"]["parts"])
            .collect();
        let calls = json!([
            { "functionCall": { "id": "c1", "name": "f", "args": { "a": 1 } } },
            { "functionCall": { "id": "c2", "name": "f", "args": {} } },
        ]);
        let expected = [
            json!([{ "text": "hm", "thought": true }]),
            json!([{ "text": "Grüß" }]),
            calls,
        ];
        assert_eq!(parts, expected.iter().collect::<Vec<_>>(), "cut at {at}");
        let last = &events[2];
        assert_eq!(last["candidates"][0]["finishReason"], "MAX_TOKENS");
        assert_eq!(last["usageMetadata"]["totalTokenCount"], 23);
        assert!(
            events[..2]
                .iter()
                .all(|event| event["candidates"][0].get("finishReason").is_none())
        );
    }
    let nothing = told(&[b"data: {\"choices\":[]}\n\n"]);
    assert_eq!(nothing[0]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn a_stream_in_geminis_own_words_is_heard_to_its_end() {
    let mut hearing = super::Hearing::default();
    let half = br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":9}}"#;
    hearing.event(half).unwrap();
    assert!(!hearing.is_whole());
    let rest =
        br#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"cachedContentTokenCount":4,
        "candidatesTokenCount":5,"thoughtsTokenCount":2,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":3}],
        "serviceTier":"flex"}}"#;
    hearing.event(rest).unwrap();
    assert!(hearing.is_whole());
    let expected = Usage {
        input: 5,
        audio_input: 3,
        cache_read: 4,
        output: 7,
        reasoning: 2,
        service: Service::Batch,
        ..Usage::default()
    };
    assert_eq!(hearing.usage(), Some(expected));
    let mut blocked = super::Hearing::default();
    blocked
        .event(br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#)
        .unwrap();
    assert!(blocked.is_whole() && blocked.event(b"no json").is_err());
    let error = super::super::Heard::Error(r#"{"code":500,"message":"gone"}"#.to_owned());
    assert_eq!(blocked.event(br#"{"error":{"code":500,"message":"gone"}}"#), Ok(error));
}
