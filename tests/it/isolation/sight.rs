//! What a guest can see, say and keep: the request and its candidates, lines in the log, a state of its own.

use std::fs;

use hyper::Method;
use serde_json::json;
use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway, Home, guests};

use super::{PATIENT, home_of, route, served};

#[tokio::test]
async fn what_a_guest_prints_is_in_the_log_under_its_name() {
    let gateway = Gateway::start_in(home_of(&route("printing", "prints", ""), ["prints"])).await;
    served(&gateway, "printing").await;
    for said in ["printed by a guest", "complained by a guest"] {
        let line = gateway.logged(&[said]).await;
        assert!(
            line.contains("plugin=\"printing\"") && line.contains("digest="),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_guest_finds_no_files_no_environment_and_no_network() {
    let config = [route("files", "reads-files", ""), route("sockets", "opens-sockets", "")].concat();
    let home = home_of(&config, ["reads-files", "opens-sockets"]);
    let mut command = home.command(&["serve", "--config", "pointsman.toml"]);
    command.env("CANARY", "canary");
    let gateway = Gateway::start_with(home, command).await;
    // Each fails when it finds something.
    served(&gateway, "files").await;
    served(&gateway, "sockets").await;
}

#[tokio::test]
async fn no_credential_is_anywhere_in_what_a_guest_can_see() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let settings = "api_key = \"canary-key\"\nheaders = { x-secret = \"canary-header\" }";
    let config = openai("one", &provider.url()).replace("api_key = \"key-of-one\"", settings);
    let config = format!(
        "[server]\npolicy_headers = [\"x-secret\", \"authorization\", \"x-api-key\", \"cookie\"]\n{config}\n\
         [policies.tells]\ncomponent = \"plugins/tells-all.wasm\"\n\
         [routes.auto]\ncandidates = [\"one/model\"]\npolicies = [\"tells\"]\n{PATIENT}"
    );
    let home = Home::with_config(&config);
    home.write("plugins/tells-all.wasm", guests::component("tells-all"));
    let gateway = Gateway::start_in(home).await;
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer canary-of-the-client"),
        ("proxy-authorization", "Basic canary"),
        ("x-api-key", "canary"),
        ("api-key", "canary"),
        ("x-goog-api-key", "canary"),
        ("cookie", "session=canary"),
        ("user-agent", "a-client-that-may-be-seen"),
    ];
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "a text that may be seen" }] });
    let client = gateway.data();
    let reply = client
        .send(Method::POST, "/v1/chat/completions", &headers, body.to_string())
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());

    let received = provider.only();
    assert_eq!(received.header("authorization"), Some("Bearer canary-key"));
    let seen = received.json()["seen"].as_str().unwrap().to_owned();
    assert!(!seen.contains("canary"), "{seen}");
    for visible in [
        "a text that may be seen",
        "a-client-that-may-be-seen",
        "one/model",
        "auto",
    ] {
        assert!(seen.contains(visible), "no {visible} in {seen}");
    }
    assert!(!gateway.log().contains("canary"));
}

#[tokio::test]
async fn state_is_each_plugins_own_and_outlives_its_versions() {
    let grants = "grants = [\"state\"]";
    let config = [route("one", "counts", grants), route("two", "counts", grants)].concat();
    let gateway = Gateway::start_in(home_of(&config, ["counts"])).await;
    let counted = async |route: &str| {
        served(&gateway, route)
            .await
            .header("x-pointsman-reason")
            .unwrap()
            .to_owned()
    };
    assert_eq!(counted("one").await, "request 1");
    assert_eq!(counted("one").await, "request 2");
    assert_eq!(counted("two").await, "request 1");

    let other = guests::padded("counts", guests::component("counts").len() + 100);
    gateway.home().write("next.wasm", other);
    fs::rename(
        gateway.home().path("next.wasm"),
        gateway.home().path("plugins/counts.wasm"),
    )
    .unwrap();
    let report = gateway.reload().await.json();
    assert_ne!(report["outcome"], "failure", "{report}");
    gateway.until("/admin/plugins", |shown| shown["generation"] == 2).await;
    assert_eq!(counted("one").await, "request 3");
    assert_eq!(counted("two").await, "request 2");
}
