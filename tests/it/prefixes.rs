//! What a session has in a provider's cache: told to policies, and counted in what a request would cost there.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, FakeProvider, Gateway};

/// A turn of a conversation, 3000 tokens long by estimate.
fn turn(session: &str) -> Value {
    let text = "word ".repeat(2_400);
    json!({ "model": "auto", "session_id": session, "messages": [{ "role": "user", "content": text }] })
}

/// An answer that says what was read from the cache.
fn answer(cached: u32) -> Answer {
    Answer::json(
        200,
        &json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "ok" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3000, "completion_tokens": 10, "prompt_tokens_details": { "cached_tokens": cached } },
        }),
    )
}

/// A gateway that asks the cheaper of two, the second by a tenth. It fails at first, so that a conversation begins at the
/// first, which says that it has read so much of it from its cache.
async fn begun_at_the_dearer(cached: u32, settings: &str) -> (Gateway, [FakeProvider; 2]) {
    let first = FakeProvider::chatting([answer(cached)]).await;
    let second = FakeProvider::chatting([Answer::error(500, "oops"), answer(0)]).await;
    let config = [
        openai("p1", &first.url()).replace("[providers.p1]\n", &format!("[providers.p1]\n{settings}\n")),
        openai("p2", &second.url()).replace("input = 1.0, cached_input = 0.1", "input = 0.9, cached_input = 0.9"),
        policy("cost", "cost", ""),
        route("auto", &["p1", "p2"], "policies = [\"cost\"]"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let reply = gateway.data().chat(&turn("mine")).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("p1/model"), "{}", reply.text());
    (gateway, [first, second])
}

#[tokio::test]
async fn a_session_stays_where_its_prefix_is_cached_while_switching_would_cost_more() {
    let (gateway, _providers) = begun_at_the_dearer(2_000, "").await;
    for (session, model, cost) in [
        // Of 3004 tokens 3000 at 0.1, and 500 at 2 dollars a million, where the other takes 0.9 for each of the input.
        ("mine", "p1/model", "$0.001304"),
        ("another", "p2/model", "$0.0037036"),
    ] {
        let reply = gateway.data().chat(&turn(session)).await;
        assert_eq!(reply.header("x-pointsman-model"), Some(model), "{}", reply.text());
        let reason = reply.header("x-pointsman-reason").unwrap();
        assert!(reason.ends_with(&format!("{model}, about {cost}")), "{reason}");
    }
}

#[tokio::test]
async fn a_session_moves_on_where_nothing_of_it_is_kept() {
    let (gateway, _providers) = begun_at_the_dearer(2_000, "prompt_cache_seconds = 0").await;
    let reply = gateway.data().chat(&turn("mine")).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("p2/model"), "{}", reply.text());
}
