//! What applications are written with on top of SDKs: each framework chats, streams, calls two tools at one time and gives back what
//! came of them, asks for an object, for a vector, and for a model that there is not. All of it goes to a provider that is forwarded to,
//! and again to one that is translated for.

use serde_json::{Value, json};
use tests::config::{anthropic, openai};
use tests::sdk;
use tests::{Answer, FakeProvider, Gateway};

/// What every framework has to see.
fn expected(error: &str) -> Value {
    json!({
        "chat": "Hello there",
        "stream": "Hello there",
        "calls": [{ "city": "Köln" }, { "city": "Bonn" }],
        "told": "Both are sunny",
        "structured": { "city": "Köln", "degrees": 21 },
        "vector": [0.5, 0.25],
        "error": { "class": error, "status": 404 },
    })
}

const READING: &str = r#"{"city":"Köln","degrees":21}"#;

/// A provider in both dialects that answers in the order in which the programs ask.
async fn provider() -> FakeProvider {
    let provider = FakeProvider::start().await;
    let call = |id: &str, city: &str| {
        let arguments = json!({ "city": city }).to_string();
        json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } })
    };
    let calls =
        json!({ "role": "assistant", "content": null, "tool_calls": [call("call_1", "Köln"), call("call_2", "Bonn")] });
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    let calls = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": calls, "finish_reason": "tool_calls" }], "usage": usage });
    provider.on(
        "/v1/chat/completions",
        [
            Answer::json(200, &calls),
            Answer::chat("Both are sunny"),
            Answer::chat(READING),
            Answer::chat("Hello there"),
            Answer::chat_stream(["Hel", "lo", " there"]),
        ],
    );
    let vector = json!({ "object": "list", "model": "m",
        "data": [{ "object": "embedding", "index": 0, "embedding": [0.5, 0.25] }],
        "usage": { "prompt_tokens": 1, "total_tokens": 1 } });
    provider.on("/v1/embeddings", [Answer::json(200, &vector)]);

    let message = |content: Value, reason: &str| {
        let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
            "stop_reason": reason, "stop_sequence": null, "usage": { "input_tokens": 10, "output_tokens": 5 } });
        Answer::json(200, &message)
    };
    let text = |text: &str| message(json!([{ "type": "text", "text": text }]), "end_turn");
    let call =
        |id: &str, city: &str| json!({ "type": "tool_use", "id": id, "name": "weather", "input": { "city": city } });
    let piece = |text: &str| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    let stream = [
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "m", "stop_reason": null, "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        piece("Hel"),
        piece("lo there"),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ];
    provider.on(
        "/v1/messages",
        [
            message(json!([call("call_1", "Köln"), call("call_2", "Bonn")]), "tool_use"),
            text("Both are sunny"),
            text(READING),
            text("Hello there"),
            Answer::typed_events(&stream),
        ],
    );
    provider
}

/// What the tools said, with the calls that it belongs to, as the provider was told.
fn results(told: &Value) -> Vec<(String, String)> {
    let said = |content: &Value| match content {
        Value::Array(parts) => parts[0]["text"].as_str().unwrap().to_owned(),
        text => text.as_str().unwrap().to_owned(),
    };
    let mut results = Vec::new();
    for message in told["messages"].as_array().unwrap() {
        match message["role"].as_str() {
            Some("tool") => results.push((message["tool_call_id"].clone(), said(&message["content"]))),
            _ => {
                let blocks = message["content"].as_array().into_iter().flatten();
                let blocks = blocks.filter(|block| block["type"] == "tool_result");
                results.extend(blocks.map(|block| (block["tool_use_id"].clone(), said(&block["content"]))));
            }
        }
    }
    let text = |(id, said): (Value, String)| (id.as_str().unwrap().to_owned(), said);
    results.into_iter().map(text).collect()
}

async fn sees(framework: &str, error: &str) {
    sees_this(framework, &expected(error)).await;
}

async fn sees_this(framework: &str, expected: &Value) {
    let Some(framework) = sdk::framework(framework) else {
        return;
    };
    for model in ["one/model", "other/model"] {
        let provider = provider().await;
        let config = openai("one", &provider.url()) + &anthropic("other", &provider.url());
        let gateway = Gateway::start(&config).await;
        let seen = framework.tries(&gateway, model, "one/model").await;
        assert_eq!(seen, *expected, "{} with {model}", framework.name);
        let told = provider.journal()[1].json();
        let sunny = |id: &str, city: &str| (id.to_owned(), format!("sunny in {city}"));
        assert_eq!(
            results(&told),
            [sunny("call_1", "Köln"), sunny("call_2", "Bonn")],
            "{} with {model}: {told}",
            framework.name
        );
    }
}

/// It speaks `/v1/messages`, which makes no vectors.
#[tokio::test]
async fn langchains_anthropic_sees_what_it_expects() {
    let mut seen = expected("AnthropicModelNotFoundError");
    seen.as_object_mut().unwrap().remove("vector");
    sees_this("LangChain's Anthropic", &seen).await;
}

#[tokio::test]
async fn langchain_sees_what_it_expects() {
    sees("LangChain", "OpenAIModelNotFoundError").await;
}

#[tokio::test]
async fn llamaindex_sees_what_it_expects() {
    sees("LlamaIndex", "NotFoundError").await;
}

#[tokio::test]
async fn litellm_sees_what_it_expects() {
    sees("LiteLLM", "NotFoundError").await;
}

#[tokio::test]
async fn vercels_sdk_sees_what_it_expects() {
    sees("Vercel's AI SDK", "AI_APICallError").await;
}

#[tokio::test]
async fn instructor_makes_an_object_of_a_forced_tool() {
    let Some(framework) = sdk::framework("Instructor") else {
        return;
    };
    let call = json!({ "id": "call_1", "type": "function", "function": { "name": "Reading", "arguments": READING } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] });
    let content =
        json!([{ "type": "tool_use", "id": "call_1", "name": "Reading", "input": { "city": "Köln", "degrees": 21 } }]);
    let translated = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": "tool_use", "stop_sequence": null, "usage": { "input_tokens": 10, "output_tokens": 5 } });
    let provider = FakeProvider::chatting([Answer::json(200, &answer)]).await;
    provider.on("/v1/messages", [Answer::json(200, &translated)]);
    let config = openai("one", &provider.url()) + &anthropic("other", &provider.url());
    let gateway = Gateway::start(&config).await;
    for model in ["one/model", "other/model"] {
        let seen = framework.tries(&gateway, model, "one/model").await;
        assert_eq!(
            seen,
            json!({ "structured": { "city": "Köln", "degrees": 21 } }),
            "{model}"
        );
    }
    let journal = provider.journal();
    assert_eq!(journal[0].json()["tool_choice"]["function"]["name"], "Reading");
    assert_eq!(journal[1].json()["tool_choice"]["name"], "Reading");
}
