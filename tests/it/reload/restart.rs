//! What outlives the process, and what outlives a file: the bytes that were last in service.

use std::collections::BTreeMap;
use std::fs;

use tests::{Gateway, Home, guests};

use super::*;

/// Everything that is kept for the next start, by the path that it comes from.
fn kept(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let store = rusqlite::Connection::open(home.path("pointsman-data/pointsman.db")).unwrap();
    let mut select = store
        .prepare("SELECT id, content FROM documents WHERE kind = 'last-good'")
        .unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Once it is there: it is written beside the first requests.
async fn kept_in_time(home: &Home) -> BTreeMap<String, Vec<u8>> {
    loop {
        let kept = kept(home);
        if !kept.is_empty() {
            return kept;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_file_that_is_gone_stays_loaded_and_is_called_an_orphan() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let path = gateway.home().path("plugins/told.wasm");
    fs::remove_file(&path).unwrap();
    let report = gateway.reload().await.json();
    assert_eq!(report["outcome"], "unchanged");
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!(
        (&plugin(&shown)["orphaned"], &plugin(&shown)["error"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(asked(&gateway).await.1, "version 0001");
    // The rest of the configuration can change all the same.
    gateway.write_config(&told("\"b\"", EVENTS));
    gateway.until("/admin/plugins", |shown| shown["generation"] == 2).await;
    assert_eq!(asked(&gateway).await, ("b".into(), "version 0001".into()));
    fs::write(&path, guests::version(2)).unwrap();
    until_version(&gateway, 2).await;
}

#[tokio::test]
async fn what_was_last_in_service_survives_a_restart_with_a_broken_file() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    home.write("plugins/told.wasm", b"nonsense");

    let gateway = Gateway::start_in(home.clone()).await;
    let shown = gateway.shows("/admin/plugins").await;
    let told = plugin(&shown);
    assert_eq!(told["running_digest"], sha256(&guests::version(1)));
    assert_eq!(told["candidate_digest"], sha256(b"nonsense"));
    assert!(told["error"].as_str().unwrap().contains("it begins with `nonsense`"));
    assert_eq!(
        gateway.metric("pointsman_plugin_reload_failed{plugin=\"told\"}").await,
        1.0
    );
    assert_eq!(asked(&gateway).await.1, "version 0001");

    home.write("plugins/told.wasm", guests::version(2));
    until_version(&gateway, 2).await;
    assert!(gateway.stop().await.success());

    // A file that is gone is no different.
    fs::remove_file(home.path("plugins/told.wasm")).unwrap();
    let gateway = Gateway::start_in(home).await;
    assert_eq!(asked(&gateway).await.1, "version 0002");
}

#[test]
fn a_broken_file_that_never_was_in_service_stops_the_start() {
    let home = Home::with_config(&told("\"a\"", ""));
    home.write("plugins/told.wasm", b"nonsense");
    let output = home.run(&["serve", "--config", "pointsman.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("told: this is not a WebAssembly component"), "{said}");
}

#[tokio::test]
async fn commands_beside_a_gateway_leave_what_it_keeps_alone() {
    let gateway = serving(&told(
        "\"a\"",
        "\n[reload]\nsweep_ms = 86_400_000\ndebounce_ms = 60_000\n",
    ))
    .await;
    let home = gateway.home();
    let before = kept_in_time(home).await;
    assert!(before.values().any(|bytes| *bytes == guests::version(1)));
    // The files have moved on, and the gateway has not looked yet.
    home.write("plugins/told.wasm", guests::version(2));
    home.write(
        "request.json",
        r#"{ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] }"#,
    );
    for arguments in [
        &["check"][..],
        &["explain", "request.json"],
        &["plugin", "inspect", "plugins/told.wasm"],
    ] {
        let output = home.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    assert_eq!(kept(home), before);
    assert_eq!(asked(&gateway).await.1, "version 0001");
}

/// Counts its calls, and says how many there were.
const COUNTING: &str = r#"
[policies.counting]
component = "script"
grants = ["state"]
[policies.counting.config]
source = "export function decide() { return { reason: `call ${state.add('calls', 1)}` } }"

[providers.simulated]
adapter = "simulated"
[models.a]
provider = "simulated"
[routes.auto]
candidates = ["a"]
policies = ["counting"]
"#;

#[tokio::test]
async fn what_a_policy_keeps_survives_a_restart() {
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    let gateway = Gateway::start(COUNTING).await;
    let reply = gateway.data().chat(&body).await;
    assert_eq!(reply.header("x-pointsman-reason"), Some("call 1"));
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let gateway = Gateway::start_in(home).await;
    let reply = gateway.data().chat(&body).await;
    assert_eq!(reply.header("x-pointsman-reason"), Some("call 2"));
}
