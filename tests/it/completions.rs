//! `/v1/completions`: a text that is continued, by providers that do that, and by those that answer conversations.

use serde_json::{Value, json};
use tests::config::{anthropic, openai};
use tests::sdk::sdks;
use tests::{Answer, Ending, Event, FakeProvider, Gateway};

const COMPLETIONS: &str = "/v1/completions";

fn ask(model: &str, more: Value) -> Value {
    let mut body = json!({ "model": model, "prompt": "Once", "max_tokens": 50 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_provider_that_continues_texts_gets_the_request_as_it_came() {
    let provider = FakeProvider::start().await;
    let choice =
        |text: &str| json!([{ "text": text, "index": 0, "logprobs": { "tokens": ["a"] }, "finish_reason": null }]);
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    let whole = json!({ "id": "cmpl-1", "object": "text_completion", "choices": choice(" upon"), "usage": usage });
    let piece = json!({ "id": "cmpl-1", "object": "text_completion", "choices": choice(" upon") }).to_string();
    let last = json!({ "id": "cmpl-1", "choices": [], "usage": usage }).to_string();
    let streamed = Answer::events([piece.as_str(), last.as_str(), "[DONE]"]);
    provider.on(COMPLETIONS, [Answer::json(200, &whole), streamed]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let wishes = json!({ "suffix": "end", "echo": true, "logprobs": 1, "of_tomorrow": 1.0 });
    let reply = gateway.data().post(COMPLETIONS, &ask("p1/model", wishes.clone())).await;
    assert_eq!((reply.status, reply.json()), (200, whole), "{}", reply.text());
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00002"));
    assert_eq!(provider.only().json(), ask("upstream-model", wishes));
    let stream = gateway
        .data()
        .stream(COMPLETIONS, &ask("p1/model", json!({ "stream": true })))
        .await;
    let (seen, ending) = stream.rest().await;
    let seen: Vec<&str> = seen.iter().map(|event| event.data.as_str()).collect();
    assert_eq!((seen, ending), (vec![piece.as_str(), "[DONE]"], Ending::Whole));
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

#[tokio::test]
async fn any_other_provider_answers_what_a_user_says() {
    let provider = FakeProvider::start().await;
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage, "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": " upon" }] });
    provider.on("/v1/messages", [Answer::json(200, &message)]);
    let simulated =
        "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n";
    let gateway = Gateway::start(&(anthropic("p1", &provider.url()) + simulated)).await;
    let reply = gateway.data().post(COMPLETIONS, &ask("p1/model", json!({}))).await;
    assert_eq!(
        (reply.status, &reply.json()["choices"][0]["text"]),
        (200, &json!(" upon")),
        "{}",
        reply.text()
    );
    assert_eq!(
        provider.only().json()["messages"][0]["content"],
        json!([{ "type": "text", "text": "Once" }])
    );
    let refused = gateway
        .data()
        .post(COMPLETIONS, &ask("p1/model", json!({ "suffix": "end" })))
        .await;
    let message = refused.refused(400, "invalid_request");
    assert!(
        message.contains("`suffix`") && message.contains("leave it out"),
        "{message}"
    );
    let stream = gateway
        .data()
        .stream(COMPLETIONS, &ask("simulated/any", json!({ "stream": true })))
        .await;
    let (seen, ending) = stream.rest().await;
    assert_eq!(
        (seen.last().map(|event| event.data.as_str()), ending),
        (Some("[DONE]"), Ending::Whole)
    );
    let told = |event: &Event| {
        event.json()["choices"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let text: String = seen[..seen.len() - 1].iter().map(told).collect();
    assert_eq!(text, "This is simulated/any, simulated. You asked: Once");
    for sdk in sdks() {
        let seen = sdk
            .takes_one(
                &gateway,
                json!({ "do": "complete", "with": ask("simulated/any", json!({})) }),
            )
            .await;
        assert_eq!(
            (&seen["text"], &seen["streamed"]),
            (&json!(text), &json!(text)),
            "{}: {seen}",
            sdk.name
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_limit_is_said_of_the_name_that_the_client_knows() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    for (path, body, name) in [
        (
            "/v1/completions",
            json!({ "prompt": "a", "max_tokens": "x" }),
            "max_tokens",
        ),
        (
            "/v1/responses",
            json!({ "input": "a", "max_output_tokens": -1 }),
            "max_output_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "a" }], "max_completion_tokens": 0.5 }),
            "max_completion_tokens",
        ),
    ] {
        let mut body = body;
        body["model"] = "p1/model".into();
        let reply = gateway.data().post(path, &body).await;
        assert_eq!(
            reply.refused(400, "invalid_type"),
            format!("`{name}` must be a positive whole number")
        );
        assert_eq!(reply.json()["error"]["param"], name);
    }
    assert!(provider.journal().is_empty());
}
