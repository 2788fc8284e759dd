//! What the gateway remembers of its attempts: how many are under way, how long they took, and whose doing it was that one
//! did not serve.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home, guests};

fn ask(is_stream: bool) -> Value {
    json!({ "model": "auto", "stream": is_stream, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A gateway whose route leads to this provider.
async fn before(provider: &FakeProvider) -> Gateway {
    Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], ""))).await
}

/// What is known of the first candidate.
fn health(shown: &Value) -> &Value {
    &shown["routes"][0]["candidates"][0]["health"]
}

/// The counter of a model's attempts that ended in this way.
async fn counted(gateway: &Gateway, provider: &str, error: &str) -> f64 {
    let series = format!(
        "pointsman_attempts_total{{gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"{provider}/model\",error_type=\"{error}\"}}"
    );
    gateway.metric(&series).await
}

#[tokio::test]
async fn a_stream_is_under_way_until_its_end() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat_stream(["one ", "two"]).held_after(1, &gate)]).await;
    let gateway = before(&provider).await;
    let mut stream = gateway.data().chat_stream(&ask(true)).await;
    assert!(stream.next().await.unwrap().data.contains("one "));
    assert_eq!(health(&gateway.shows("/admin/routes").await)["in_flight"], 1);
    gate.open();
    assert_eq!(stream.rest().await.1, Ending::Whole);
    gateway
        .until("/admin/routes", |shown| health(shown)["in_flight"] == 0)
        .await;
}

#[tokio::test]
async fn only_a_stream_has_a_first_token() {
    let provider = FakeProvider::chatting([Answer::chat("whole"), Answer::chat_stream(["piece"])]).await;
    let gateway = before(&provider).await;
    assert_eq!(gateway.data().chat(&ask(false)).await.status, 200);
    let shown = gateway
        .until("/admin/routes", |shown| health(shown)["total_ms"].is_u64())
        .await;
    assert_eq!(health(&shown)["first_token_ms"], Value::Null);
    gateway.data().chat_stream(&ask(true)).await.rest().await;
    gateway
        .until("/admin/routes", |shown| health(shown)["first_token_ms"].is_u64())
        .await;
}

#[tokio::test]
async fn a_client_that_goes_before_the_answer_is_counted_and_does_not_speak_against_the_provider() {
    let provider = FakeProvider::chatting([Answer::never()]).await;
    let gateway = before(&provider).await;
    let client = gateway.data();
    let waiting = tokio::spawn(async move { client.chat(&ask(false)).await });
    provider.until(|journal| journal.len() == 1).await;
    waiting.abort();
    provider.settled().await;
    gateway
        .until("/admin/routes", |shown| health(shown)["in_flight"] == 0)
        .await;
    assert_eq!(counted(&gateway, "p1", "client_disconnected").await, 1.0);
    assert_eq!(health(&gateway.shows("/admin/routes").await)["error_permille"], 0);
}

#[tokio::test]
async fn a_hedged_step_that_loses_is_an_attempt_and_no_failure() {
    let (first, second) = (
        FakeProvider::chatting([Answer::never()]).await,
        FakeProvider::chatting([Answer::chat("hedge")]).await,
    );
    let steps = r#"steps = [{ candidate = "p1/model", hedge_after_ms = 50 }, { candidate = "p2/model" }]"#;
    let config = [
        openai("p1", &first.url()),
        openai("p2", &second.url()),
        policy("told", "told.wasm", steps),
        route("auto", &["p1", "p2"], "policies = [\"told\"]"),
    ];
    let home = Home::with_config(&config.concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    let gateway = Gateway::start_in(home).await;
    let reply = gateway.data().chat(&ask(false)).await;
    let shown = ["x-pointsman-model", "x-pointsman-attempts"].map(|name| reply.header(name));
    assert_eq!(shown, [Some("p2/model"), Some("2")]);
    assert_eq!(counted(&gateway, "p1", "hedge_lost").await, 1.0);
    let routes = gateway.shows("/admin/routes").await;
    assert_eq!(health(&routes)["error_permille"], 0);
    assert!(
        health(&routes)["total_ms"].as_u64().is_some_and(|ms| ms >= 50),
        "{routes}"
    );
}
