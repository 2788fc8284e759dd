//! Errors after a status that promised success, in the place of an answer or in the midst of one: they mean what the same words
//! mean under a status of their own, whichever way the answer takes to its client.

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{anthropic, gemini, openai, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const WHOLE: &str = "/v1beta/models/g/model:generateContent";
const STREAMED: &str = "/v1beta/models/g/model:streamGenerateContent?alt=sse";

fn hello(model: &str, is_stream: bool) -> Value {
    json!({ "model": model, "stream": is_stream, "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] })
}

fn contents() -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] })
}

/// An error as each of the dialects tells that there is too much to do.
fn overloaded(provider: &str) -> Value {
    match provider {
        "a" => json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        "g" => json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "Overloaded" } }),
        _ => json!({ "error": { "code": 503, "message": "Overloaded" } }),
    }
}

/// Where each of them is asked.
fn place(provider: &str, is_stream: bool) -> &'static str {
    match (provider, is_stream) {
        ("a", _) => MESSAGES,
        ("g", false) => "/v1beta/models/upstream-model:generateContent",
        ("g", true) => "/v1beta/models/upstream-model:streamGenerateContent",
        _ => CHAT,
    }
}

fn streamed(events: &[Value]) -> Answer {
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    Answer::events(events.iter().map(String::as_str))
}

fn config(provider: &FakeProvider) -> String {
    let url = provider.url();
    openai("o", &url)
        + &openai("rest", &format!("{url}/rest"))
        + &anthropic("a", &url)
        + &gemini("g", &url)
        + &route("next", &["o", "rest"], "")
}

#[tokio::test]
async fn an_error_in_place_of_an_answer_has_its_kind_on_every_way() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&config(&provider)).await;
    let client = gateway.data();
    // The surface, whom it is asked of, and so whether the answer is forwarded, passed as it is, or translated.
    let ways = [
        (CHAT, "o"),
        (CHAT, "a"),
        (CHAT, "g"),
        (MESSAGES, "a"),
        (MESSAGES, "o"),
        (WHOLE, "g"),
    ];
    for (surface, asked) in ways {
        for is_stream in [false, true] {
            let error = overloaded(asked);
            let answer = match (is_stream, asked) {
                (false, _) => Answer::json(200, &error),
                (true, "a") => Answer::typed_events([&error]),
                (true, _) => streamed(&[error]),
            };
            provider.on(place(asked, is_stream), [answer]);
            let body = match surface {
                WHOLE => contents(),
                _ => hello(&format!("{asked}/model"), is_stream),
            };
            let surface = if is_stream && surface == WHOLE {
                STREAMED
            } else {
                surface
            };
            let json = [("content-type", "application/json")];
            let reply = client.send(Method::POST, surface, &json, body.to_string()).await;
            let case = format!("{surface} of {asked}, streamed: {is_stream}: {}", reply.text());
            assert_eq!(reply.status, 503, "{case}");
            let error = &reply.json()["error"];
            let word = match surface {
                CHAT => (&error["code"], "overloaded"),
                MESSAGES => (&error["type"], "overloaded_error"),
                _ => (&error["status"], "UNAVAILABLE"),
            };
            assert_eq!(word, (&json!(word.1), word.1), "{case}");
            assert!(error["message"].as_str().unwrap().contains("Overloaded"), "{case}");
        }
    }
}

#[tokio::test]
async fn an_error_that_comes_first_in_a_stream_is_answered_by_the_next_candidate_and_one_that_is_the_requests_is_not() {
    let provider = FakeProvider::start().await;
    provider.on("/rest/v1/chat/completions", [Answer::chat_stream(["it rains"])]);
    provider.on(CHAT, [streamed(&[overloaded("o")])]);
    let gateway = Gateway::start(&config(&provider)).await;
    let client = gateway.data();
    let (events, ending) = client.chat_stream(&hello("next", true)).await.rest().await;
    assert_eq!((events.is_empty(), ending), (false, Ending::Whole));
    let filtered = json!({ "error": { "code": "invalid_prompt", "type": "invalid_request_error", "message": "no" } });
    let too_long = json!({ "error": { "code": "context_length_exceeded", "message": "too long" } });
    for (error, status, code) in [
        (too_long, 400, "context_length_exceeded"),
        (filtered, 502, "upstream_error"),
    ] {
        provider.on(CHAT, [streamed(&[error])]);
        let reply = client.post(CHAT, &hello("o/model", true)).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (status, &json!(code)));
    }
}

#[tokio::test]
async fn an_error_in_the_midst_of_an_answer_is_told_by_its_kind_on_every_way() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&config(&provider)).await;
    let client = gateway.data();
    let said = json!({ "choices": [{ "index": 0, "delta": { "content": "it" } }] });
    let from_openai = streamed(&[said, overloaded("o")]);
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": null,
        "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let begun = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "it" } }),
        overloaded("a"),
    ];
    let from_anthropic = Answer::typed_events(begun.iter());
    for (surface, asked) in [(CHAT, "o"), (CHAT, "a"), (MESSAGES, "a"), (MESSAGES, "o")] {
        let gate = Gate::shut();
        provider.on(CHAT, [from_openai.clone().held_after(1, &gate)]);
        provider.on(MESSAGES, [from_anthropic.clone().held_after(3, &gate)]);
        let stream = client.stream(surface, &hello(&format!("{asked}/model"), true)).await;
        gate.open();
        assert_eq!(stream.status, 200, "{surface} of {asked}");
        let (events, ending) = stream.rest().await;
        let error = &events.last().unwrap().json()["error"];
        let word = match surface {
            CHAT => (&error["code"], "overloaded"),
            _ => (&error["type"], "overloaded_error"),
        };
        assert_eq!(word, (&json!(word.1), word.1), "{surface} of {asked}: {events:?}");
        assert_ne!(ending, Ending::Whole, "{surface} of {asked}");
    }
}
