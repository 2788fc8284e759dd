//! `/v1/messages` and `/v1/messages/count_tokens`: Anthropic's dialect as a surface, to providers that speak it and to those that
//! do not. An application written for Anthropic cannot tell the difference.

use serde_json::{Value, json};
use tests::config::{anthropic, openai, policy, route};
use tests::sdk::sdks;
use tests::{Answer, End, Ending, Event, FakeProvider, Gate, Gateway, Home, guests};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";
const SIMULATED: &str = "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n\
                         price = { input = 1.0, output = 4.0 }\n";

fn hello(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] })
}

/// `hello` with more fields.
fn hello_with(model: &str, more: Value) -> Value {
    let mut body = hello(model);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// As Claude Code asks: marks, own tools, fields and blocks that the gateway does not know.
fn rich(model: &str) -> Value {
    let mark = json!({ "type": "ephemeral" });
    hello_with(
        model,
        json!({
            "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
            "tools": [{ "name": "weather", "input_schema": { "type": "object", "properties": { "z": {}, "a": {} } }, "cache_control": mark }],
            "unknown": { "kept": 1.0 },
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "and now?", "cache_control": mark }] },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "hm", "signature": "c2ln" },
                    { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "z": 1.0 } },
                    { "type": "of_tomorrow", "data": [1] },
                ] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "rain" }] },
            ],
        }),
    )
}

/// A message as Anthropic writes one, with a field that nobody knows.
fn message() -> Value {
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "of_tomorrow": 1.0,
        "content": [{ "type": "text", "text": "It rains." }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 5 } })
}

/// A stream of it.
fn events() -> Vec<Value> {
    let usage = json!({ "input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1 });
    vec![
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "upstream-model", "stop_reason": null, "stop_sequence": null, "usage": usage } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "c2ln" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "It rains." } }),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop", "of_tomorrow": 1.0 }),
    ]
}

fn data(events: &[Event]) -> Vec<Value> {
    events.iter().map(Event::json).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.name.as_deref().unwrap_or_default())
        .collect()
}

/// Panics unless this is an error in Anthropic's shape; returns its message.
#[track_caller]
fn refused(body: &Value, kind: &str) -> String {
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&json!("error"), &json!(kind)),
        "{body}"
    );
    assert!(body["request_id"].is_string(), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_provider_that_speaks_the_dialect_gets_the_request_and_gives_the_answer_as_they_are() {
    let provider = FakeProvider::start().await;
    let streamed = Answer::typed_events(events().iter());
    provider.on(MESSAGES, [Answer::json(200, &message()), streamed.in_pieces_of(7)]);
    let gateway = Gateway::start(&(anthropic("p1", &provider.url()) + &route("auto", &["p1"], ""))).await;
    let client = gateway
        .data()
        .with_header("anthropic-beta", "one-beta,two-beta")
        .with_header("anthropic-version", "2099-01-01");
    let reply = client.post(MESSAGES, &rich("auto")).await;
    assert_eq!((reply.status, reply.json()), (200, message()));
    // 10 tokens at 1 USD a million, 100 at a tenth, and 5 at twice as much.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00003"));
    assert_eq!(reply.header("x-pointsman-dropped"), None);
    assert_eq!(reply.header("request-id"), reply.header("x-pointsman-request-id"));
    let (seen, ending) = client
        .stream(MESSAGES, &hello_with("auto", json!({ "stream": true })))
        .await
        .rest()
        .await;
    assert_eq!((data(&seen), ending), (events(), Ending::Whole));
    let [first, second] = provider.journal().try_into().unwrap();
    assert_eq!(first.json(), rich("upstream-model"));
    assert_eq!(second.json(), hello_with("upstream-model", json!({ "stream": true })));
    assert_eq!(
        (first.header("anthropic-beta"), first.header("anthropic-version")),
        (Some("one-beta,two-beta"), Some("2099-01-01"))
    );
    assert_eq!(first.header("x-api-key"), Some("key-of-p1"));
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

#[tokio::test]
async fn any_other_provider_is_asked_in_openais_words_and_answers_in_anthropics() {
    let provider = FakeProvider::start().await;
    let call = |id: &str, city: &str| json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": format!("{{\"city\":\"{city}\"}}") } });
    let usage =
        json!({ "prompt_tokens": 30, "completion_tokens": 9, "prompt_tokens_details": { "cached_tokens": 20 } });
    let answer = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "m-1", "usage": usage, "choices": [{ "index": 0,
        "finish_reason": "tool_calls", "message": { "role": "assistant", "content": "Looking.", "tool_calls": [call("call_1", "Köln"), call("call_2", "Bonn")] } }] });
    provider.on("/v1/chat/completions", [Answer::json(200, &answer)]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let thinking = json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let mut body = rich("p1/model");
    body.as_object_mut()
        .unwrap()
        .extend(thinking.as_object().unwrap().clone());
    let reply = gateway.data().post(MESSAGES, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.header("x-pointsman-dropped"),
        Some("content of type of_tomorrow, unknown")
    );
    assert_eq!(
        provider.only().json(),
        json!({ "model": "upstream-model", "max_tokens": 50, "reasoning_effort": "low",
            "tools": [{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object", "properties": { "z": {}, "a": {} } } } }],
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "and now?" },
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "toolu_1", "type": "function",
                    "function": { "name": "weather", "arguments": "{\"z\":1.0}" } }] },
                { "role": "tool", "tool_call_id": "toolu_1", "content": "rain" },
            ] })
    );
    let told = reply.json();
    assert_eq!(told["stop_reason"], "tool_use");
    assert_eq!(
        told["content"][2],
        json!({ "type": "tool_use", "id": "call_2", "name": "weather", "input": { "city": "Bonn" } })
    );
    assert_eq!(
        (
            &told["usage"]["input_tokens"],
            &told["usage"]["cache_read_input_tokens"]
        ),
        (&json!(10), &json!(20))
    );
}

#[tokio::test]
async fn a_stream_has_anthropics_events_and_a_broken_one_never_ends() {
    let provider = FakeProvider::start().await;
    let whole = Answer::chat_stream(["It ", "rains."]);
    // What breaks before anything has gone out is an error like any other, so the break waits for the beginning.
    let gate = Gate::shut();
    let cut = Answer::chat_stream(["It ", "rains."])
        .cut_after_pieces(2, End::Close)
        .held_after(1, &gate);
    provider.on("/v1/chat/completions", [whole, cut]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let body = hello_with("p1/model", json!({ "stream": true }));
    let (seen, ending) = gateway.data().stream(MESSAGES, &body).await.rest().await;
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!((names(&seen), ending), (expected.to_vec(), Ending::Whole));
    let last = seen[5].json();
    assert_eq!(last["delta"]["stop_reason"], "end_turn");
    assert!(
        last["usage"]["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0),
        "{last}"
    );
    let stream = gateway.data().stream(MESSAGES, &body).await;
    gate.open();
    let (seen, ending) = stream.rest().await;
    assert_eq!(
        (names(&seen).last(), ending),
        (Some(&"error"), Ending::Aborted),
        "{seen:?}"
    );
    refused(&seen.last().unwrap().json(), "api_error");
}

#[tokio::test]
async fn a_stream_that_breaks_in_the_providers_own_words_never_ends_either() {
    let provider = FakeProvider::start().await;
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let told: Vec<Value> = events().into_iter().take(6).chain([overloaded]).collect();
    let cut = Answer::typed_events(events().iter()).cut_after_pieces(6, End::Close);
    let unfinished = Answer::typed_events(events()[..9].iter());
    let gateway = Gateway::start(&anthropic("p1", &provider.url())).await;
    let told = (Answer::typed_events(told.iter()), "overloaded_error");
    for (answer, kind) in [told, (cut, "api_error"), (unfinished, "api_error")] {
        let gate = Gate::shut();
        provider.on(MESSAGES, [answer.held_after(1, &gate)]);
        let body = hello_with("p1/model", json!({ "stream": true }));
        let stream = gateway.data().stream(MESSAGES, &body).await;
        gate.open();
        let (seen, ending) = stream.rest().await;
        assert_eq!(
            (names(&seen)[0], names(&seen).last()),
            ("message_start", Some(&"error"))
        );
        assert_eq!(ending, Ending::Aborted);
        refused(&seen.last().unwrap().json(), kind);
    }
}

#[tokio::test]
async fn errors_have_anthropics_shape_whoever_makes_them() {
    let provider = FakeProvider::start().await;
    let too_long = json!({ "error": { "message": "maximum context length is 8 tokens", "type": "invalid_request_error", "code": "context_length_exceeded" } });
    provider.on("/v1/chat/completions", [Answer::json(400, &too_long)]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let client = gateway.data();
    let post = async |body: Value| client.post(MESSAGES, &body).await;
    let unknown = post(hello("nobody")).await;
    assert_eq!(unknown.status, 404);
    refused(&unknown.json(), "not_found_error");
    let limitless = post(json!({ "model": "p1/model", "messages": [] })).await;
    let message = refused(&limitless.json(), "invalid_request_error");
    assert_eq!((limitless.status, message.as_str()), (400, "`max_tokens` is missing"));
    let long = post(hello("p1/model")).await;
    let message = refused(&long.json(), "invalid_request_error");
    assert!(
        long.status == 400 && message.starts_with("prompt is too long: "),
        "{message}"
    );
    let wrong = gateway.data().get(MESSAGES).await;
    refused(&wrong.json(), "invalid_request_error");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let broken = gateway
        .data()
        .send(
            hyper::Method::POST,
            MESSAGES,
            &[("content-type", "application/json")],
            "{",
        )
        .await;
    refused(&broken.json(), "invalid_request_error");
}

#[tokio::test]
async fn tokens_are_counted_by_who_can_and_estimated_for_who_cannot_and_cost_nothing() {
    let provider = FakeProvider::start().await;
    provider.on(
        COUNT,
        [Answer::json(200, &json!({ "input_tokens": 321, "of_tomorrow": 1 }))],
    );
    let config = [anthropic("p1", &provider.url()), SIMULATED.to_owned()];
    let gateway = Gateway::start(&config.concat()).await;
    let mut body = rich("p1/model");
    body.as_object_mut().unwrap().remove("max_tokens");
    let counted = gateway.data().post(COUNT, &body).await;
    assert_eq!(
        (counted.status, counted.json()),
        (200, json!({ "input_tokens": 321, "of_tomorrow": 1 }))
    );
    assert_eq!(counted.header("x-pointsman-estimated"), None);
    assert_eq!(counted.header("x-pointsman-cost-usd"), Some("0.00"));
    assert_eq!(provider.only().json()["messages"], body["messages"]);
    body["model"] = "simulated/any".into();
    let guessed = gateway.data().post(COUNT, &body).await;
    assert_eq!(
        (guessed.status, guessed.header("x-pointsman-estimated")),
        (200, Some("true"))
    );
    assert!(guessed.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0));
    assert_eq!(guessed.header("x-pointsman-cost-usd"), Some("0.00"));
}

#[tokio::test]
async fn what_a_policy_changes_reaches_the_same_provider_in_a_translation() {
    let provider = FakeProvider::start().await;
    provider.on(MESSAGES, [Answer::json(200, &message())]);
    let edits = r#"edits = [["/messages/0/content", "\"edited\""]]"#;
    let config = [
        anthropic("p1", &provider.url()),
        policy("told", "told.wasm", edits),
        route("auto", &["p1"], "policies = [\"told\"]"),
    ];
    let home = Home::with_config(&config.concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    let gateway = Gateway::start_in(home).await;
    let reply = gateway.data().post(MESSAGES, &hello("auto")).await;
    let received = provider.only().json();
    assert_eq!(
        received["messages"][0]["content"],
        json!([{ "type": "text", "text": "edited" }]),
        "{received}"
    );
    assert_eq!(
        (reply.status, &reply.json()["content"]),
        (200, &message()["content"]),
        "{}",
        reply.text()
    );
    assert_eq!(reply.json()["usage"]["cache_read_input_tokens"], 100);
}

#[tokio::test]
async fn an_answer_is_kept_and_replayed_in_the_words_that_it_was_given_in() {
    let provider = FakeProvider::start().await;
    provider.on(MESSAGES, [Answer::typed_events(events().iter())]);
    let config = [
        anthropic("p1", &provider.url()),
        SIMULATED.to_owned(),
        "[routes.own]\ncandidates = [\"p1/model\"]\ncache = {}\n".to_owned(),
        "[routes.other]\ncandidates = [\"simulated/any\"]\ncache = {}\n".to_owned(),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for model in ["own", "other"] {
        let body = hello_with(model, json!({ "stream": true, "temperature": 0 }));
        let mut before = None;
        for word in ["miss", "hit"] {
            let stream = gateway.data().stream(MESSAGES, &body).await;
            assert_eq!(stream.header("x-pointsman-cache"), Some(word), "{model}");
            let (seen, ending) = stream.rest().await;
            assert_eq!((names(&seen).last(), ending), (Some(&"message_stop"), Ending::Whole));
            assert_eq!(*before.get_or_insert(data(&seen)), data(&seen));
        }
        // The same question in OpenAI's words is another one.
        let chat = gateway
            .data()
            .chat_stream(
                &json!({ "model": model, "stream": true, "temperature": 0, "max_completion_tokens": 50,
            "messages": [{ "role": "user", "content": "hello" }] }),
            )
            .await;
        assert_eq!(chat.header("x-pointsman-cache"), Some("miss"));
        let keyed = gateway
            .data()
            .with_header("idempotency-key", model)
            .with_header("cache-control", "no-cache");
        let (first, _) = keyed.stream(MESSAGES, &body).await.rest().await;
        let again = keyed.stream(MESSAGES, &body).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{model}");
        assert_eq!(again.rest().await.0, first);
    }
}

#[tokio::test]
async fn a_silent_stream_is_kept_up_by_pings() {
    let provider = FakeProvider::start().await;
    let gate = Gate::shut();
    provider.on(
        "/v1/chat/completions",
        [Answer::chat_stream(["one", "two"]).held_after(1, &gate)],
    );
    let config = openai("p1", &provider.url()) + "[server]\nheartbeat_ms = 50\n";
    let gateway = Gateway::start(&config).await;
    let mut stream = gateway
        .data()
        .stream(MESSAGES, &hello_with("p1/model", json!({ "stream": true })))
        .await;
    while stream.next().await.unwrap().name.as_deref() != Some("ping") {}
    gate.open();
    let (seen, ending) = stream.rest().await;
    assert_eq!((names(&seen).last(), ending), (Some(&"message_stop"), Ending::Whole));
}

#[tokio::test]
async fn sdks_of_anthropic_see_messages_streams_tools_counts_and_their_own_exceptions() {
    let provider = FakeProvider::start().await;
    let piece = |index: u64, id: Option<&str>, arguments: &str| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": null, "delta": { "tool_calls": [{ "index": index, "id": id, "type": "function",
            "function": { "name": id.map(|_| "weather"), "arguments": arguments } }] } }] })
    };
    let end = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "delta": {} }] });
    let chunks = [
        piece(0, Some("call_1"), "{\"ci"),
        piece(0, None, "ty\":\"Köln\"}"),
        piece(1, Some("call_2"), "{\"city\":\"Bonn\"}"),
        end,
    ];
    let mut chunks: Vec<String> = chunks.iter().map(Value::to_string).collect();
    chunks.push("[DONE]".to_owned());
    let calls = Answer::events(chunks.iter().map(String::as_str));
    let broken = Answer::events([chunks[0].as_str(), "{\"error\":{\"message\":\"out of memory\"}}"]);
    provider.on("/v1/chat/completions", [calls]);
    let breaking = FakeProvider::chatting([broken]).await;
    let config = [
        openai("tools", &provider.url()),
        openai("broken", &breaking.url()),
        SIMULATED.to_owned(),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let results = json!({ "model": "simulated/any", "max_tokens": 50, "messages": [
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "a", "name": "weather", "input": {} }, { "type": "tool_use", "id": "b", "name": "weather", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a", "content": "rain" }, { "type": "tool_result", "tool_use_id": "b", "content": "sun" }] },
    ] });
    for sdk in sdks() {
        let step = |act: &str, with: Value| json!({ "do": act, "with": with });
        let mut count = hello("simulated/any");
        count.as_object_mut().unwrap().remove("max_tokens");
        let steps = json!([
            step("message", hello("simulated/any")),
            step("message_stream", hello("simulated/any")),
            step("message", results.clone()),
            step("message_stream", hello("tools/model")),
            step("message_stream", hello("broken/model")),
            step("count", count),
            step("message", hello("nobody")),
            step(
                "message",
                json!({ "model": "simulated/any", "max_tokens": 0, "messages": [] })
            ),
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let text = "This is simulated/any, simulated. You asked: hello";
        assert_eq!(
            seen[0]["message"]["content"][0]["text"], text,
            "{}: {}",
            sdk.name, seen[0]
        );
        assert_eq!(
            seen[0]["request_id"], seen[0]["headers"]["x-pointsman-request-id"],
            "{}",
            sdk.name
        );
        assert_eq!(
            seen[1]["message"]["content"][0]["text"], text,
            "{}: {}",
            sdk.name, seen[1]
        );
        assert_eq!(seen[1]["message"]["stop_reason"], "end_turn", "{}", sdk.name);
        assert!(
            seen[1]["message"]["usage"]["output_tokens"].as_u64() > Some(0),
            "{}: {}",
            sdk.name,
            seen[1]
        );
        assert_eq!(seen[2]["message"]["type"], "message", "{}: {}", sdk.name, seen[2]);
        let content = &seen[3]["message"]["content"];
        assert_eq!(
            content[0]["input"],
            json!({ "city": "Köln" }),
            "{}: {}",
            sdk.name,
            seen[3]
        );
        assert_eq!(
            (&content[1]["id"], &content[1]["input"]),
            (&json!("call_2"), &json!({ "city": "Bonn" })),
            "{}",
            sdk.name
        );
        assert!(!seen[4]["error"].is_null(), "{}: {}", sdk.name, seen[4]);
        assert!(seen[5]["tokens"].as_u64() > Some(0), "{}: {}", sdk.name, seen[5]);
        for (step, class, kind) in [
            (6, "NotFoundError", "not_found_error"),
            (7, "BadRequestError", "invalid_request_error"),
        ] {
            let error = &seen[step]["error"];
            assert_eq!(
                (&error["class"], &error["type"]),
                (&json!(class), &json!(kind)),
                "{}: {error}",
                sdk.name
            );
            assert!(error["request_id"].is_string(), "{}: {error}", sdk.name);
        }
    }
}
