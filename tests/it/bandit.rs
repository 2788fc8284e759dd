//! The bandit learns from what really became of answers: the price that was paid, by class, over reloads.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, FakeProvider, Gateway};

/// Two models that answer alike, one ten times the price; what costs more than 50 millionths of a dollar is worth nothing.
fn config(url: &str) -> String {
    let models = [("cheap", "1.0"), ("dear", "10.0")]
        .map(|(name, price)| openai(name, url).replace("input = 1.0", &format!("input = {price}")));
    let words = policy(
        "words",
        "keyword",
        "rules = [{ any = [\"python\"], label = \"coding\" }]\ndefault = { label = \"chat\" }",
    );
    let learned = policy(
        "learned",
        "bandit",
        "context = [\"class\"]\nreward = { success = 0, cost = { under_usd = 0.00005 } }",
    );
    [
        models.concat(),
        words,
        learned.replace(
            "[policies.learned.config]",
            "grants = [\"state\"]\n[policies.learned.config]",
        ),
        route("auto", &["dear", "cheap"], "policies = [\"words\", \"learned\"]"),
    ]
    .concat()
}

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

/// Who served, and why. What is left to chance follows from the id.
async fn served(gateway: &Gateway, id: &str, text: &str) -> (String, String) {
    let reply = gateway.data().with_header("x-request-id", id).chat(&ask(text)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    (header("x-pointsman-provider"), header("x-pointsman-reason"))
}

/// Serves requests until twenty answers of the cheap model are known. They are learned from after they have gone out.
async fn learn(gateway: &Gateway, text: &str) {
    for round in 0..5000 {
        let (who, reason) = served(gateway, &format!("learn-{round}"), text).await;
        let known = reason
            .rsplit_once("(1.00 over ")
            .and_then(|(_, known)| known.trim_end_matches(')').parse().ok());
        if who == "cheap" && known.is_some_and(|known: u32| known >= 20) {
            return;
        }
    }
    panic!("nothing was learned");
}

#[tokio::test]
async fn requests_move_to_the_model_that_is_worth_more_and_stay_there_over_a_reload() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&config(&provider.url())).await;
    learn(&gateway, "hello").await;
    let reload = gateway.reload().await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    let mut cheap = 0;
    for round in 0..50 {
        let (who, reason) = served(&gateway, &format!("later-{round}"), "hello").await;
        assert!(
            reason.contains("no rule matches; arm ") && reason.contains(" for class=chat ("),
            "{reason}"
        );
        cheap += usize::from(who == "cheap");
    }
    assert!(cheap >= 40, "{cheap} of 50 went to the better model");
    // What is known of one class says nothing about another.
    let (_, reason) = served(&gateway, "other", "my python").await;
    assert!(reason.ends_with("for class=coding (nothing known)"), "{reason}");
}

#[tokio::test]
async fn the_same_id_is_explained_as_it_would_be_served_by_one_that_knows_nothing() {
    let gateway = Gateway::start(&config("http://127.0.0.1:9")).await;
    let line = json!({ "id": "a", "body": ask("hi") });
    gateway.home().write("request.json", line.to_string());
    let explained = || {
        gateway
            .home()
            .run(&["explain", "request.json", "--format", "json"])
            .stdout
    };
    let first: Value = serde_json::from_slice(&explained()).unwrap();
    assert_eq!(first["labels"]["arm"], first["serves"]);
    assert_eq!(first["labels"]["arm-context"], "class=chat");
    assert_eq!(first, serde_json::from_slice::<Value>(&explained()).unwrap());
}
