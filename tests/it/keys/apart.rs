//! What came of one caller's requests is not another's: kept answers, and idempotency keys.

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider, Gateway, Home};

use super::Key;

/// A gateway with a route that keeps answers for this scope, and clients of three keys, the first two of one team.
async fn three(provider: &FakeProvider, scope: &str) -> (Gateway, [Client; 3]) {
    let home = Home::with_config("");
    let keys = [(); 3].map(|()| Key::hashed(&home));
    let mut config = openai("p1", &provider.url());
    config += &route("auto", &["p1"], &format!("cache = {{ scope = \"{scope}\" }}"));
    config += "\n[teams.ours]\n";
    for (key, name, team) in [(&keys[0], "a", true), (&keys[1], "b", true), (&keys[2], "c", false)] {
        let team = if team { "team = \"ours\"" } else { "" };
        config += &format!("\n[keys.{name}]\nhash = \"{}\"\n{team}\n", key.hash);
    }
    home.write("pointsman.toml", complete(&config));
    let gateway = Gateway::start_in(home).await;
    let clients = keys.map(|key| key.client(&gateway));
    (gateway, clients)
}

fn ask() -> Value {
    json!({ "model": "auto", "temperature": 0, "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn kept_answers_are_for_a_key_a_team_or_all() {
    for (scope, expected) in [
        ("key", ["miss", "miss", "miss"]),
        ("team", ["miss", "hit", "miss"]),
        ("shared", ["miss", "hit", "hit"]),
    ] {
        let provider = FakeProvider::chatting([Answer::chat("any")]).await;
        let (_gateway, clients) = three(&provider, scope).await;
        for (client, expected) in clients.iter().zip(expected) {
            let reply = client.chat(&ask()).await;
            assert_eq!(
                reply.header("x-pointsman-cache"),
                Some(expected),
                "{scope}: {}",
                reply.text()
            );
            let again = client.chat(&ask()).await;
            assert_eq!(again.header("x-pointsman-cache"), Some("hit"), "{scope}");
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_the_caller_who_sent_it() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let (_gateway, clients) = three(&provider, "key").await;
    for client in &clients {
        let client = client.clone().with_header("idempotency-key", "k1");
        let replies = [client.chat(&ask()).await, client.chat(&ask()).await];
        let replayed = replies.map(|reply| reply.header("idempotent-replayed").is_some());
        assert_eq!(replayed, [false, true]);
    }
    assert_eq!(provider.journal().len(), 3);
}
