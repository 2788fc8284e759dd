//! `/v1/responses`: OpenAI's newer dialect as a surface, to providers that speak it and to those that do not.

use serde_json::{Value, json};
use tests::config::{anthropic, openai};
use tests::sdk::sdks;
use tests::{Answer, End, Ending, Event, FakeProvider, Gate, Gateway};

const RESPONSES: &str = "/v1/responses";
const SIMULATED: &str = "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n\
                         price = { input = 1.0, output = 4.0 }\n";

fn names(events: &[Event]) -> Vec<&str> {
    let names = events.iter().map(|event| event.name.as_deref().unwrap_or_default());
    names.collect()
}

/// A stream of OpenAI's own.
fn own() -> Vec<Value> {
    let usage = json!({ "input_tokens": 110, "input_tokens_details": { "cached_tokens": 100 }, "output_tokens": 5,
        "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 115 });
    vec![
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "resp_1", "status": "in_progress" } }),
        json!({ "type": "response.of_tomorrow", "sequence_number": 1, "text": "rain" }),
        json!({ "type": "response.completed", "sequence_number": 2,
            "response": { "id": "resp_1", "object": "response", "status": "completed", "usage": usage } }),
    ]
}

#[tokio::test]
async fn a_provider_that_speaks_the_dialect_gets_the_request_and_gives_the_answer_as_they_are() {
    let provider = FakeProvider::start().await;
    let whole = own()[2]["response"].clone();
    let broken =
        json!({ "type": "response.failed", "response": { "error": { "code": "server_error", "message": "sorry" } } });
    let gate = Gate::shut();
    let failing = Answer::typed_events([own()[0].clone(), broken].iter()).held_after(1, &gate);
    let answers = [Answer::json(200, &whole), Answer::typed_events(own().iter()), failing];
    provider.on(RESPONSES, answers);
    let config = openai("p1", &provider.url()).replace("api_key", "responses = true\napi_key");
    let gateway = Gateway::start(&config).await;
    let body = |model: &str, is_stream: bool| {
        json!({ "model": model, "stream": is_stream, "previous_response_id": "resp_0", "of_tomorrow": { "kept": 1.0 },
            "tools": [{ "type": "web_search" }], "input": [{ "type": "of_tomorrow" }, { "role": "user", "content": "hi" }] })
    };
    let reply = gateway.data().post(RESPONSES, &body("p1/model", false)).await;
    assert_eq!((reply.status, reply.json()), (200, whole), "{}", reply.text());
    // 10 tokens at 1 USD a million, 100 at a tenth, and 5 at twice as much.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00003"));
    let stream = gateway.data().stream(RESPONSES, &body("p1/model", true)).await;
    let (seen, ending) = stream.rest().await;
    let seen: Vec<Value> = seen.iter().map(Event::json).collect();
    assert_eq!((seen, ending), (own(), Ending::Whole));
    assert_eq!(provider.journal()[0].json(), body("upstream-model", false));
    assert_eq!(provider.journal()[1].json(), body("upstream-model", true));
    let stream = gateway.data().stream(RESPONSES, &body("p1/model", true)).await;
    gate.open();
    let (seen, ending) = stream.rest().await;
    assert_eq!((names(&seen).last(), ending), (Some(&"error"), Ending::Aborted));
}

#[tokio::test]
async fn any_other_provider_is_asked_in_its_own_words_and_signed_thinking_comes_back_to_it() {
    let provider = FakeProvider::start().await;
    let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "c2ln" });
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let called = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage, "stop_reason": "tool_use",
        "content": [thinking, { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Köln" } }] });
    let said = json!({ "id": "msg_2", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage, "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "It rains." }] });
    provider.on("/v1/messages", [Answer::json(200, &called), Answer::json(200, &said)]);
    let gateway = Gateway::start(&anthropic("p1", &provider.url())).await;
    let tool = json!({ "type": "function", "name": "weather", "parameters": { "type": "object" } });
    let mut body = json!({ "model": "p1/model", "store": false, "include": ["reasoning.encrypted_content"], "tools": [tool],
        "input": [{ "role": "user", "content": "weather?" }] });
    let first = gateway.data().post(RESPONSES, &body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let output = first.json()["output"].clone();
    assert_eq!(
        (&output[0]["type"], &output[1]["call_id"]),
        (&json!("reasoning"), &json!("toolu_1"))
    );
    let input = body["input"].as_array_mut().unwrap();
    input.extend(output.as_array().unwrap().clone());
    input.push(json!({ "type": "function_call_output", "call_id": "toolu_1", "output": "rain" }));
    let second = gateway.data().post(RESPONSES, &body).await;
    assert_eq!(
        (second.status, &second.json()["output"][0]["content"][0]["text"]),
        (200, &json!("It rains."))
    );
    let sent = provider.journal()[1].json();
    assert_eq!(sent["messages"][1]["content"], called["content"]);
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    body["previous_response_id"] = first.json()["id"].clone();
    let refused = gateway.data().post(RESPONSES, &body).await;
    let message = refused.refused(400, "invalid_request");
    assert!(
        message.contains("`previous_response_id`") && message.contains("send the whole conversation"),
        "{message}"
    );
}

#[tokio::test]
async fn sdks_see_responses_streams_calls_and_their_own_exceptions() {
    let piece = |id: Option<&str>, arguments: &str| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": null, "delta": { "tool_calls": [{ "index": 0, "id": id, "type": "function",
            "function": { "name": id.map(|_| "weather"), "arguments": arguments } }] } }] })
    };
    let end = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "delta": {} }] });
    let chunks = [piece(Some("call_1"), "{\"ci"), piece(None, "ty\":\"Köln\"}"), end].map(|chunk| chunk.to_string());
    let calls = Answer::events(chunks.iter().map(String::as_str).chain(["[DONE]"]));
    let calling = FakeProvider::chatting([calls]).await;
    let cut = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Close);
    let config = |breaking: &FakeProvider| {
        [
            openai("tools", &calling.url()),
            openai("broken", &breaking.url()),
            SIMULATED.to_owned(),
        ]
        .concat()
    };
    for sdk in sdks() {
        let breaking = FakeProvider::chatting([cut.clone()]).await;
        let gateway = Gateway::start(&config(&breaking)).await;
        let ask = |model: &str| json!({ "model": model, "input": "hello", "store": false });
        let step = |act: &str, with: Value| json!({ "do": act, "with": with });
        let steps = json!([
            step("respond", ask("simulated/any")),
            step("respond_stream", ask("simulated/any")),
            step("respond_stream", ask("tools/model")),
            step("respond_stream", ask("broken/model")),
            step("respond", ask("nobody")),
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let text = "This is simulated/any, simulated. You asked: hello";
        for (index, one) in seen[..2].iter().enumerate() {
            let output = &one["response"]["output"][0];
            assert_eq!(output["content"][0]["text"], text, "{} {index}: {one}", sdk.name);
            assert_eq!(one["response"]["status"], "completed", "{} {index}", sdk.name);
            assert!(
                one["response"]["usage"]["output_tokens"].as_u64() > Some(0),
                "{} {index}: {one}",
                sdk.name
            );
        }
        let numbers: Vec<u64> = seen[1]["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["sequence_number"].as_u64())
            .collect();
        assert!(numbers.len() > 5 && numbers.is_sorted(), "{}: {numbers:?}", sdk.name);
        let call = &seen[2]["response"]["output"][0];
        assert_eq!(
            (&call["call_id"], &call["arguments"]),
            (&json!("call_1"), &json!("{\"city\":\"Köln\"}")),
            "{}: {}",
            sdk.name,
            seen[2]
        );
        assert!(!seen[3]["error"].is_null(), "{}: {}", sdk.name, seen[3]);
        assert_eq!(seen[4]["error"]["class"], "NotFoundError", "{}: {}", sdk.name, seen[4]);
    }
}
