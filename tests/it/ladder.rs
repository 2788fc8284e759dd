//! The ladder before real providers: the cheapest that is good enough answers, and what does not pass the checks is never
//! seen by the client.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gateway, Reply};

const CHECKS: &str = "checks = { empty = true, refusal = true, invalid_json = \"when-asked\", low_logprob = -0.5 }";

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] })
}

fn stream() -> Value {
    json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A provider of one model that costs so much per million tokens.
async fn provider(name: &str, price: &str, answer: Answer) -> (FakeProvider, String) {
    let provider = FakeProvider::chatting([answer]).await;
    let config = openai(name, &provider.url()).replace("input = 1.0", &format!("input = {price}"));
    (provider, config)
}

/// A gateway whose ladder has these settings, over a cheap and a dear model.
async fn ladder(config: &str, small: Answer, large: Answer) -> (FakeProvider, FakeProvider, Gateway) {
    let (small, small_config) = provider("small", "0.1", small).await;
    let (large, large_config) = provider("large", "10.0", large).await;
    let config = [
        small_config,
        large_config,
        policy("ladder", "ladder", config),
        route("auto", &["large", "small"], "policies = [\"ladder\"]"),
    ];
    (small, large, Gateway::start(&config.concat()).await)
}

fn content(reply: &Reply) -> Value {
    reply.json()["choices"][0]["message"]["content"].clone()
}

#[tokio::test]
async fn the_cheapest_that_is_good_enough_answers() {
    let quality = "quality = { \"small/model\" = 3, \"large/model\" = 8 }";
    for (minimum, expected) in [("3", "small"), ("3.5", "large"), ("9", "large")] {
        let config = format!("{quality}\nminimum = {minimum}");
        let (_small, _large, gateway) = ladder(&config, Answer::chat("cheap"), Answer::chat("dear")).await;
        let reply = gateway.data().chat(&ask()).await;
        assert_eq!(reply.header("x-pointsman-provider"), Some(expected), "from {minimum}");
    }
}

#[tokio::test]
async fn nobody_who_is_good_enough_may_mean_no_answer() {
    let config = "minimum = 9\nwhen_none = \"reject\"";
    let (small, large, gateway) = ladder(config, Answer::chat("cheap"), Answer::chat("dear")).await;
    let message = gateway.data().chat(&ask()).await.refused(403, "no_candidate");
    assert_eq!(message, "no model that may serve this request reaches quality 9");
    assert!(small.journal().is_empty() && large.journal().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_pass_is_never_seen() {
    let refusal = Answer::chat("I’m sorry, but I cannot help with that.");
    let (small, large, gateway) = ladder(CHECKS, refusal, Answer::chat("Hello!")).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!((reply.status, content(&reply)), (200, json!("Hello!")));
    assert_eq!(reply.header("x-pointsman-provider"), Some("large"));
    assert_eq!(reply.header("x-pointsman-attempts"), Some("2"));
    let reason = reply.header("x-pointsman-reason").unwrap();
    assert!(
        reason.contains("small/model: it begins with `i'm sorry, but i can't`"),
        "{reason}"
    );
    for provider in [&small, &large] {
        assert_eq!(provider.only().json()["logprobs"], true, "nobody asked for logprobs");
    }
}

#[tokio::test]
async fn an_answer_that_passes_serves_alone() {
    let (_small, large, gateway) = ladder(CHECKS, Answer::chat("Hello!"), Answer::chat("unused")).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(content(&reply), "Hello!");
    assert_eq!(reply.header("x-pointsman-attempts"), Some("1"));
    assert!(large.journal().is_empty());
}

#[tokio::test]
async fn a_model_that_was_not_sure_is_followed() {
    let unsure = Answer::json(
        200,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "upstream-model",
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": "perhaps" }, "finish_reason": "stop",
                "logprobs": { "content": [{ "token": "per", "logprob": -0.2 }, { "token": "haps", "logprob": -1.4 }] },
            }],
        }),
    );
    let (_small, _large, gateway) = ladder(CHECKS, unsure, Answer::chat("surely")).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(content(&reply), "surely");
    let reason = reply.header("x-pointsman-reason").unwrap();
    assert!(reason.contains("its mean logprob -0.80 is under -0.5"), "{reason}");
}

#[tokio::test]
async fn a_client_sees_one_stream_from_its_beginning_to_its_end() {
    let refusal = || Answer::chat_stream(["I'm sorry, ", "but I can't ", "do that."]);
    let good = || Answer::chat_stream(["Hel", "lo!"]);
    for (first, second, expected) in [(refusal(), good(), "large"), (good(), refusal(), "small")] {
        let (_small, _large, gateway) = ladder(CHECKS, first, second).await;
        let events = gateway.data().chat_stream(&stream()).await;
        assert_eq!(
            (events.status, events.header("x-pointsman-provider")),
            (200, Some(expected))
        );
        let (events, ending) = events.rest().await;
        let said: String = events
            .iter()
            .filter(|event| event.data != "[DONE]")
            .filter_map(|event| {
                event.json()["choices"][0]["delta"]["content"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!((said.as_str(), ending), ("Hello!", Ending::Whole));
        assert_eq!(events.last().unwrap().data, "[DONE]");
    }
}

#[tokio::test]
async fn an_answer_with_a_flaw_is_better_than_none() {
    let (_small, large, gateway) = ladder(CHECKS, Answer::chat("I can't do that."), Answer::error(500, "down")).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!((reply.status, content(&reply)), (200, json!("I can't do that.")));
    assert_eq!(reply.header("x-pointsman-provider"), Some("small"));
    assert_eq!(large.journal().len(), 1);
}
