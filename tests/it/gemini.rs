//! `/v1beta/models/{model}:generateContent` and its sisters: Gemini's dialect as a surface, to providers that speak it and to those
//! that do not. An application written for Google cannot tell the difference.

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{gemini, openai};
use tests::{Answer, End, Ending, Event, FakeProvider, Gate, Gateway};

use super::keys::with_key;

const SIMULATED: &str = "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n\
                         price = { input = 1.0, output = 4.0 }\n";

/// A path of the surface.
fn at(model: &str, method: &str) -> String {
    format!("/v1beta/models/{model}:{method}")
}

fn hello() -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] })
}

/// `hello` with more fields.
fn hello_with(more: Value) -> Value {
    let mut body = hello();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// An answer as Google writes one, or an event of one, with a field that nobody knows.
fn content(parts: Value, finish: Option<&str>) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": finish, "index": 0 }], "of_tomorrow": 1.0,
        "modelVersion": "upstream-model", "responseId": "r-1", "usageMetadata": { "promptTokenCount": 16, "cachedContentTokenCount": 4,
            "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 23 } })
}

fn streamed(events: &[Value]) -> Answer {
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    Answer::events(events.iter().map(String::as_str))
}

fn events() -> Vec<Value> {
    let signed = json!([{ "text": "rains.", "thoughtSignature": "c2ln" }]);
    vec![content(json!([{ "text": "It " }]), None), content(signed, Some("STOP"))]
}

fn data(events: &[Event]) -> Vec<Value> {
    events.iter().map(Event::json).collect()
}

/// Panics unless this is an error as Google's APIs tell it; returns its message.
#[track_caller]
fn refused(body: &Value, code: u16, status: &str, reason: &str) -> String {
    let error = &body["error"];
    assert_eq!(
        (&error["code"], &error["status"]),
        (&json!(code), &json!(status)),
        "{body}"
    );
    let info = &error["details"][0];
    assert_eq!(info["reason"], reason, "{body}");
    assert!(info["metadata"]["request_id"].is_string(), "{body}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_provider_that_speaks_the_dialect_gets_the_request_and_gives_the_answer_as_they_are() {
    let provider = FakeProvider::start().await;
    let answer = content(json!([{ "text": "It rains." }]), Some("STOP"));
    provider.on(&at("upstream-model", "generateContent"), [Answer::json(200, &answer)]);
    let stream = at("upstream-model", "streamGenerateContent");
    provider.on(&stream, [streamed(&events()).in_pieces_of(7)]);
    let counted = json!({ "totalTokens": 321, "of_tomorrow": 1 });
    provider.on(&at("upstream-model", "countTokens"), [Answer::json(200, &counted)]);
    let gateway = Gateway::start(&gemini("p1", &provider.url())).await;
    let client = gateway.data();
    let body = hello_with(
        json!({ "system_instruction": { "parts": [{ "text": "Be brief." }] }, "unknown": { "kept": 1.0 },
        "contents": [{ "parts": [{ "of_tomorrow": 1 }] }, { "role": "model", "parts": [{ "text": "", "thoughtSignature": "c2ln" }] }] }),
    );
    let reply = client.post(&at("p1/model", "generateContent"), &body).await;
    assert_eq!((reply.status, reply.json()), (200, answer), "{}", reply.text());
    // 12 tokens at 1 USD a million, 4 at a tenth, and 7 at twice as much.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.0000264"));
    assert_eq!(reply.header("x-pointsman-dropped"), None);
    let path = at("p1%2Fmodel", "streamGenerateContent");
    let (seen, ending) = client.stream(&format!("{path}?alt=sse"), &body).await.rest().await;
    assert_eq!((data(&seen), ending), (events(), Ending::Whole));
    // Whoever does not ask for events gets one array.
    let array = client.post(&path, &body).await;
    assert_eq!((array.status, array.json()), (200, json!(events())));
    assert_eq!(array.header("content-type"), Some("application/json"));
    let count = |model: &str| json!({ "generateContentRequest": hello_with(json!({ "model": model })) });
    let reply = client
        .post("/v1/models/p1/model:countTokens", &count("models/p1/model"))
        .await;
    assert_eq!((reply.status, reply.json()), (200, counted), "{}", reply.text());
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00"));
    let journal = provider.journal();
    assert_eq!(journal[0].json(), body);
    assert_eq!(journal[0].header("x-goog-api-key"), Some("key-of-p1"));
    assert_eq!(
        (journal[1].path.as_str(), journal[1].json()),
        (format!("{stream}?alt=sse").as_str(), body.clone())
    );
    assert_eq!(journal[2].path, journal[1].path);
    assert_eq!(journal[3].json(), count("models/upstream-model"));
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

#[tokio::test]
async fn gemini_on_google_cloud_gets_a_conversation_in_its_own_words_unless_more_is_set() {
    let provider = FakeProvider::start().await;
    let answer = content(json!([{ "text": "It rains." }]), Some("STOP"));
    provider.on("/models/upstream-model:generateContent", [Answer::json(200, &answer)]);
    provider.on(
        "/models/upstream-model:countTokens",
        [Answer::json(200, &json!({ "totalTokens": 7 }))],
    );
    let vertex = gemini("v", &provider.url())
        .replace("\"gemini\"", "\"vertex\"")
        .replace("/v1beta", "");
    let set = "[models.\"v/set\"]\nprovider = \"v\"\nupstream = \"upstream-model\"\nsettings = { include_thoughts = false }\n";
    let gateway = Gateway::start(&(vertex + set)).await;
    let client = gateway.data();
    let body = hello_with(json!({ "unknown": { "kept": 1.0 } }));
    let reply = client.post(&at("v/model", "generateContent"), &body).await;
    assert_eq!((reply.status, reply.json()), (200, answer), "{}", reply.text());
    let translated = client.post(&at("v/set", "generateContent"), &body).await;
    assert_eq!(translated.header("x-pointsman-dropped"), Some("unknown"));
    let counted = client.post(&at("v/model", "countTokens"), &body).await;
    assert_eq!(counted.json()["totalTokens"], 7);
    let sent = provider.journal();
    assert_eq!(sent[0].json(), body);
    assert_eq!(sent[0].header("authorization"), Some("Bearer key-of-v"));
    assert_eq!(
        (&sent[1].json()["unknown"], &sent[2].json()["unknown"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn any_other_provider_is_asked_in_openais_words_and_answers_in_geminis() {
    let provider = FakeProvider::start().await;
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "c", "object": "chat.completion.chunk", "model": "m-1",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    let call = json!({ "id": "call_1", "index": 0, "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Köln\"}" } });
    let usage =
        json!({ "prompt_tokens": 30, "completion_tokens": 9, "prompt_tokens_details": { "cached_tokens": 20 } });
    let message =
        json!({ "role": "assistant", "content": "Looking.", "reasoning_content": "hm", "tool_calls": [call] });
    let whole = json!({ "id": "c", "object": "chat.completion", "model": "m-1", "usage": usage,
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": message }] });
    let pieces = [
        chunk(json!({ "role": "assistant", "reasoning_content": "hm" }), Value::Null),
        chunk(json!({ "content": "Looking." }), Value::Null),
        chunk(json!({ "tool_calls": [call] }), Value::Null),
        chunk(json!({}), json!("tool_calls")),
        json!({ "id": "c", "choices": [], "usage": usage }),
    ]
    .map(|piece| piece.to_string());
    let pieces = Answer::events(pieces.iter().map(String::as_str).chain(["[DONE]"]));
    provider.on("/v1/chat/completions", [Answer::json(200, &whole), pieces]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let body = hello_with(json!({
        "safetySettings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF" }],
        "tools": [{ "functionDeclarations": [{ "name": "weather" }] }, { "googleSearch": {} }],
        "generationConfig": { "maxOutputTokens": 50, "topK": 3.0, "mediaResolution": "LOW", "thinkingConfig": { "includeThoughts": true } },
        "contents": [
            { "role": "user", "parts": [{ "text": "weather?" }] },
            { "role": "model", "parts": [{ "functionCall": { "name": "weather", "args": {} }, "thoughtSignature": "c2ln" }] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "weather", "response": { "result": "rain" } } }] },
        ],
    }));
    let reply = gateway.data().post(&at("p1/model", "generateContent"), &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let dropped = "generation_config, safety_settings, tools of type googleSearch, top_k";
    let mut named: Vec<&str> = reply
        .header("x-pointsman-dropped")
        .unwrap_or_default()
        .split(", ")
        .collect();
    named.sort_unstable();
    assert_eq!(named.join(", "), dropped);
    let sent = provider.only().json();
    let call = json!({ "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{}" } });
    let expected = json!({ "model": "upstream-model", "max_tokens": 50, "tools": [{ "type": "function", "function": { "name": "weather" } }],
        "messages": [{ "role": "user", "content": "weather?" }, { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "content": "{\"result\":\"rain\"}", "tool_call_id": "call_1" }] });
    assert_eq!(sent, expected);
    let parts = json!([{ "text": "hm", "thought": true }, { "text": "Looking." },
        { "functionCall": { "id": "call_1", "name": "weather", "args": { "city": "Köln" } } }]);
    let usage = json!({ "promptTokenCount": 30, "cachedContentTokenCount": 20, "candidatesTokenCount": 9, "totalTokenCount": 39 });
    let told = reply.json();
    assert_eq!(
        (&told["candidates"][0]["content"]["parts"], &told["usageMetadata"]),
        (&parts, &usage)
    );
    let array = gateway
        .data()
        .post(&at("p1/model", "streamGenerateContent"), &body)
        .await;
    let events = array.json();
    let events = events.as_array().unwrap();
    let told = events
        .iter()
        .flat_map(|event| event["candidates"][0]["content"]["parts"].as_array().unwrap());
    assert_eq!(&Value::from(told.cloned().collect::<Vec<_>>()), &parts);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["candidates"][0]["finishReason"], &last["usageMetadata"]),
        (&json!("STOP"), &usage)
    );
    let kept = hello_with(json!({ "cachedContent": "cachedContents/x" }));
    let reply = gateway.data().post(&at("p1/model", "generateContent"), &kept).await;
    let message = refused(&reply.json(), 400, "INVALID_ARGUMENT", "invalid_request");
    assert!(message.contains("`cachedContent`"), "{message}");
}

#[tokio::test]
async fn a_stream_that_breaks_never_ends_whoever_speaks() {
    let own = FakeProvider::start().await;
    let other = FakeProvider::start().await;
    let stream = at("upstream-model", "streamGenerateContent");
    let gateway = Gateway::start(&(gemini("own", &own.url()) + &openai("other", &other.url()))).await;
    let gone = json!({ "error": { "code": 503, "message": "gone", "status": "UNAVAILABLE" } });
    let first = events()[0].clone();
    let unfinished = streamed(&[first.clone(), first.clone()]);
    let said = (503, "overloaded");
    for (answer, (status, code)) in [(streamed(&[first, gone]), said), (unfinished, (502, "upstream_error"))] {
        let gate = Gate::shut();
        own.on(&stream, [answer.held_after(1, &gate)]);
        let stream = gateway
            .data()
            .stream(&at("own/model", "streamGenerateContent?alt=sse"), &hello())
            .await;
        gate.open();
        let (seen, ending) = stream.rest().await;
        assert_eq!((seen[0].json(), ending), (events()[0].clone(), Ending::Aborted));
        refused(&seen.last().unwrap().json(), status, "UNAVAILABLE", code);
    }
    let gate = Gate::shut();
    let cut = Answer::chat_stream(["one", "two"]).cut_after_pieces(2, End::Close);
    other.on("/v1/chat/completions", [cut.held_after(1, &gate)]);
    let stream = gateway
        .data()
        .stream(&at("other/model", "streamGenerateContent?alt=sse"), &hello())
        .await;
    gate.open();
    let (seen, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Aborted);
    refused(&seen.last().unwrap().json(), 502, "UNAVAILABLE", "upstream_error");
}

#[tokio::test]
async fn errors_have_googles_shape_and_a_key_in_an_address_is_in_no_log() {
    let (_provider, gateway, key) = with_key("", "[server]\naccess_log = true").await;
    let path = at("auto", "generateContent");
    let client = gateway.data();
    let keyless = client.post(&path, &hello()).await;
    refused(&keyless.json(), 401, "UNAUTHENTICATED", "invalid_api_key");
    let with = |path: &str| format!("{path}?key={}", key.text);
    let reply = client.post(&with(&path), &hello()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let counted = client.post(&with(&at("auto", "countTokens")), &hello()).await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    for (path, body, expected) in [
        (
            at("nobody", "generateContent"),
            hello(),
            (404, "NOT_FOUND", "model_not_found"),
        ),
        (
            path.clone(),
            json!({}),
            (400, "INVALID_ARGUMENT", "missing_required_parameter"),
        ),
        (path.clone(), json!([]), (400, "INVALID_ARGUMENT", "invalid_type")),
        (
            at("auto", "embedText"),
            hello(),
            (405, "INVALID_ARGUMENT", "method_not_allowed"),
        ),
        ("/v1beta/nothing".to_owned(), hello(), (404, "NOT_FOUND", "not_found")),
    ] {
        let (code, status, reason) = expected;
        let reply = client.post(&with(&path), &body).await;
        assert_eq!(reply.status, code, "{path}: {}", reply.text());
        refused(&reply.json(), code, status, reason);
    }
    let wrong = client.get(&with(&path)).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let json = [("content-type", "application/json")];
    let broken = client.send(Method::POST, &with(&path), &json, "{").await;
    refused(&broken.json(), 400, "INVALID_ARGUMENT", "invalid_json");
    let listed = client.get(&with("/v1beta/models")).await.json();
    assert_eq!(listed["models"][0]["name"], "models/auto", "{listed}");
    let one = client.get(&with("/v1beta/models/one%2Fmodel")).await.json();
    assert_eq!(
        one["supportedGenerationMethods"],
        json!(["generateContent", "countTokens"])
    );
    // Other paths take no keys from addresses.
    let chat = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
    client
        .post(&with("/v1/chat/completions"), &chat)
        .await
        .refused(401, "invalid_api_key");
    gateway.logged(&["POST /v1beta/nothing"]).await;
    gateway.logged(&["POST /v1/chat/completions"]).await;
    let log = gateway.log();
    let secret = key.text.rsplit('-').next().unwrap();
    assert!(!log.contains(secret) && !log.contains("?key="), "{log}");
}

#[tokio::test]
async fn an_answer_is_kept_and_replayed_in_the_form_that_is_asked_for() {
    let config = SIMULATED.to_owned() + "[routes.kept]\ncandidates = [\"simulated/any\"]\ncache = {}\n";
    let gateway = Gateway::start(&config).await;
    let body = hello_with(json!({ "generationConfig": { "temperature": 0 } }));
    let stream = at("kept", "streamGenerateContent");
    let events = format!("{stream}?alt=sse");
    let first = gateway.data().post(&stream, &body).await;
    assert_eq!(first.header("x-pointsman-cache"), Some("miss"));
    let again = gateway.data().stream(&events, &body).await;
    assert_eq!(again.header("x-pointsman-cache"), Some("hit"));
    let (seen, ending) = again.rest().await;
    assert_eq!((Value::from(data(&seen)), ending), (first.json(), Ending::Whole));
    let array = gateway.data().post(&stream, &body).await;
    assert_eq!(
        (array.header("x-pointsman-cache"), array.json()),
        (Some("hit"), first.json())
    );
    let whole = gateway.data().post(&at("kept", "generateContent"), &body).await;
    assert_eq!(whole.header("x-pointsman-cache"), Some("miss"));
    let keyed = gateway
        .data()
        .with_header("idempotency-key", "once")
        .with_header("cache-control", "no-cache");
    let first = keyed.post(&stream, &body).await;
    let again = keyed.post(&stream, &body).await;
    assert_eq!(
        (again.header("idempotent-replayed"), again.json()),
        (Some("true"), first.json())
    );
    // The model and the form stand in the path, and make another request of it.
    for path in [events, at("simulated/any", "streamGenerateContent")] {
        let other = keyed.post(&path, &body).await;
        refused(&other.json(), 422, "INVALID_ARGUMENT", "idempotency_mismatch");
    }
    let counted = gateway.data().post(&at("kept", "countTokens"), &hello()).await;
    assert_eq!(counted.header("x-pointsman-estimated"), Some("true"));
    assert!(counted.json()["totalTokens"].as_u64().is_some_and(|tokens| tokens > 0));
}

#[tokio::test]
async fn texts_become_vectors_in_geminis_words_at_any_provider() {
    let provider = FakeProvider::start().await;
    let vectors = json!({ "object": "list", "model": "m", "usage": { "prompt_tokens": 5, "total_tokens": 5 },
        "data": [{ "object": "embedding", "index": 0, "embedding": [1.0, 2.0] }, { "object": "embedding", "index": 1, "embedding": [3.0] }] });
    provider.on("/v1/embeddings", [Answer::json(200, &vectors)]);
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let client = gateway.data();
    let text = |text: &str| json!({ "content": { "parts": [{ "text": text }] }, "outputDimensionality": 2, "taskType": "CLUSTERING" });
    let batch = json!({ "requests": [text("a"), text("b")] });
    let reply = client.post(&at("one/model", "batchEmbedContents"), &batch).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-pointsman-dropped"), Some("task_type"));
    let expected = json!({ "embeddings": [{ "values": [1.0, 2.0] }, { "values": [3.0] }], "usageMetadata": { "promptTokenCount": 5 } });
    assert_eq!(reply.json(), expected);
    assert_eq!(
        provider.only().json(),
        json!({ "model": "upstream-model", "input": ["a", "b"], "dimensions": 2 })
    );
    let one = client.post(&at("one/model", "embedContent"), &text("a")).await.json();
    assert_eq!(one["embedding"]["values"], json!([1.0, 2.0]));
    let image = json!({ "content": { "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AA==" } }] } });
    let reply = client.post(&at("one/model", "embedContent"), &image).await;
    refused(&reply.json(), 400, "INVALID_ARGUMENT", "invalid_type");
}
