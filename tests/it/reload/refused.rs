//! Files that are wrong: the old ones stay in service, everybody is told, and the next good ones end it.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;
use tests::{Gateway, guests};

use super::*;

const FAILED: &str = "pointsman_plugin_reload_failed{plugin=\"told\"}";

/// Waits until something is wrong with the policy `told`, and sees that version 1 serves on.
async fn until_trouble(gateway: &Gateway, digest: &str, says: &str) {
    let shown = gateway
        .until("/admin/plugins", |shown| {
            let plugin = plugin(shown);
            plugin["candidate_digest"] == digest && plugin["error"].as_str().is_some_and(|error| error.contains(says))
        })
        .await;
    assert_eq!(plugin(&shown)["running_digest"], sha256(&guests::version(1)));
    assert!(plugin(&shown)["error_since_ms"].is_u64());
    assert_eq!(shown["last_reload"]["outcome"], "failure");
    assert_eq!(gateway.metric(FAILED).await, 1.0);
    assert_eq!(asked(gateway).await.1, "version 0001");
}

#[tokio::test]
async fn what_cannot_be_loaded_leaves_the_old_one_serving_and_says_so() {
    let limits = "limits = { component_bytes = 1_000_000, call_ms = 20_000, configure_ms = 60_000 }";
    let gateway = serving(&told("\"a\"", &format!("{limits}{EVENTS}"))).await;
    let path = gateway.home().path("plugins/told.wasm");
    let bad: &[(&str, Vec<u8>)] = &[
        ("the component does not compile", guests::truncated("says-its-version")),
        (
            "a component of world `adapter`; a policy is needed here",
            guests::component("forges-requests"),
        ),
        (
            "this is a core WebAssembly module, not a component",
            guests::core_module("well-behaved"),
        ),
        (
            "this is precompiled native code (.cwasm), which is never loaded",
            guests::native_code(),
        ),
        (
            "has 1000001 bytes; the limit is 1000000",
            guests::padded("well-behaved", 1_000_001),
        ),
        ("it begins with nothing, it is empty", Vec::new()),
        ("it begins with `#!/bin/s`", b"#!/bin/sh".to_vec()),
        (
            "add grants = [\"state\"] to [policies.told]",
            guests::component("counts"),
        ),
        (
            "the plugin refuses its configuration: the moon",
            guests::component("refuses-its-configuration"),
        ),
        (
            "while it was being loaded: the plugin trapped",
            guests::component("traps-in-start"),
        ),
    ];
    for (says, bytes) in bad {
        rename_over(&path, bytes);
        until_trouble(&gateway, &sha256(bytes), says).await;
    }
    gateway
        .logged(&["ERROR", "not put in service", "told", "the moon"])
        .await;

    rename_over(&path, &guests::version(2));
    until_version(&gateway, 2).await;
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!(plugin(&shown)["candidate_digest"], Value::Null);
    assert_eq!(gateway.metric(FAILED).await, 0.0);
}

#[tokio::test]
async fn going_back_to_the_file_in_service_ends_the_trouble_as_well() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let path = gateway.home().path("plugins/told.wasm");
    rename_over(&path, b"nonsense");
    until_trouble(&gateway, &sha256(b"nonsense"), "it begins with `nonsense`").await;
    rename_over(&path, &guests::version(1));
    let shown = gateway
        .until("/admin/plugins", |shown| plugin(shown)["error"].is_null())
        .await;
    assert_eq!(shown["generation"], 1);
    assert_eq!(gateway.metric(FAILED).await, 0.0);
}

#[tokio::test]
async fn a_file_that_is_written_in_two_halves_serves_when_it_is_whole() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let (bytes, path) = (guests::version(2), gateway.home().path("plugins/told.wasm"));
    let (first, second) = bytes.split_at(bytes.len() / 2);
    std::fs::write(&path, first).unwrap();
    until_trouble(&gateway, &sha256(first), "does not compile").await;
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(second).unwrap();
    drop(file);
    until_version(&gateway, 2).await;
    assert_eq!(gateway.metric(FAILED).await, 0.0);
}

#[tokio::test]
async fn a_configuration_with_a_mistake_keeps_the_old_one_and_says_where_it_is() {
    let good = told("\"a\"", EVENTS);
    let gateway = serving(&good).await;
    let bad = good.replace("candidates = [\"a\"]", "candidates = [\"aa\"]\nretires = 1");
    let line = bad.lines().position(|line| line.starts_with("candidates")).unwrap() + 1;
    gateway.write_config(&bad);
    let shown = gateway
        .until("/admin/plugins", |shown| shown["config_error"].is_object())
        .await;
    let error = shown["config_error"]["error"].as_str().unwrap();
    let expected = [
        format!("pointsman.toml:{line}:15: routes.auto: no model `aa`"),
        format!(
            "pointsman.toml:{}:1: routes.auto: unknown key `retires`; did you mean `retries`?",
            line + 1
        ),
    ];
    assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    assert_eq!(
        gateway
            .metric("pointsman_plugin_reload_failed{plugin=\"config\"}")
            .await,
        1.0
    );
    assert_eq!(gateway.reload().await.status, 422);
    assert_eq!(asked(&gateway).await.0, "a");

    gateway.write_config(&told("\"b\"", EVENTS));
    gateway
        .until("/admin/plugins", |shown| shown["config_error"].is_null())
        .await;
    assert_eq!(asked(&gateway).await.0, "b");
    assert_eq!(
        gateway
            .metric("pointsman_plugin_reload_failed{plugin=\"config\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn a_configuration_that_is_gone_is_a_mistake_and_nothing_else() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let (path, aside) = (gateway.home().path("pointsman.toml"), gateway.home().path("aside"));
    std::fs::rename(&path, &aside).unwrap();
    gateway
        .until("/admin/plugins", |shown| shown["config_error"].is_object())
        .await;
    assert_eq!(asked(&gateway).await, ("a".into(), "version 0001".into()));
    std::fs::rename(&aside, &path).unwrap();
    gateway
        .until("/admin/plugins", |shown| shown["config_error"].is_null())
        .await;
    assert_eq!(gateway.metric("pointsman_generation").await, 1.0);
}

#[tokio::test]
async fn a_configuration_and_the_plugin_that_it_pins_are_put_in_service_together() {
    let pinned = |number: u32, candidate: &str| {
        let pin = sha256(&guests::version(number));
        told(&format!("\"{candidate}\""), &format!("sha256 = \"{pin}\"{EVENTS}"))
    };
    let gateway = serving(&pinned(1, "a")).await;
    let path = gateway.home().path("plugins/told.wasm");

    // The plugin first, then the configuration.
    rename_over(&path, &guests::version(2));
    until_trouble(&gateway, &sha256(&guests::version(2)), "but is pinned to").await;
    gateway.write_config(&pinned(2, "b"));
    until_version(&gateway, 2).await;
    assert_eq!(asked(&gateway).await.0, "b");

    // The configuration first, then the plugin.
    gateway.write_config(&pinned(3, "a"));
    gateway
        .until("/admin/plugins", |shown| plugin(shown)["error"].is_string())
        .await;
    assert_eq!(asked(&gateway).await, ("b".into(), "version 0002".into()));
    rename_over(&path, &guests::version(3));
    until_version(&gateway, 3).await;
    assert_eq!(asked(&gateway).await.0, "a");
}

#[tokio::test]
async fn a_test_that_fails_keeps_the_whole_generation_out() {
    let tested = |candidates: &str, expected: &str| {
        let test = format!(
            "[[policies.told.tests]]\nrequest = {{ messages = [{{ role = \"user\", content = \"hi\" }}] }}\nexpect = \"{expected}\""
        );
        told(candidates, &format!("{EVENTS}{test}"))
    };
    let gateway = serving(&tested("\"a\"", "a")).await;
    gateway.write_config(&tested("\"b\"", "b"));
    let says = "test 1 of [policies.told]: went to `a`, not `b`";
    until_trouble(&gateway, &sha256(&guests::version(1)), says).await;
    assert_eq!(asked(&gateway).await.0, "a");
    gateway.write_config(&tested("\"b\"", "a"));
    gateway
        .until("/admin/plugins", |shown| plugin(shown)["error"].is_null())
        .await;
    assert_eq!(asked(&gateway).await.0, "b");
}

#[tokio::test]
async fn trouble_that_is_over_is_not_shown_beside_trouble_that_is_not() {
    let home = Home::with_config(&format!(
        "{}\n[policies.other]\ncomponent = \"plugins/other.wasm\"\n",
        told("\"a\"", EVENTS)
    ));
    let told = home.write("plugins/told.wasm", guests::version(1));
    let other = home.write("plugins/other.wasm", guests::version(1));
    let gateway = Gateway::start_in(home).await;
    let error = |shown: &Value, name: &str| {
        let plugins = shown["plugins"].as_array().unwrap();
        plugins.iter().find(|plugin| plugin["name"] == name).unwrap()["error"].clone()
    };
    rename_over(&told, b"nonsense");
    until_trouble(&gateway, &sha256(b"nonsense"), "nonsense").await;
    rename_over(&other, b"rubbish");
    gateway
        .until("/admin/plugins", |shown| {
            error(shown, "other").is_string() && error(shown, "told").is_string()
        })
        .await;
    rename_over(&told, &guests::version(2));
    let shown = gateway
        .until("/admin/plugins", |shown| error(shown, "told").is_null())
        .await;
    assert!(error(&shown, "other").as_str().unwrap().contains("rubbish"));
    assert_eq!(gateway.metric(FAILED).await, 0.0);
    // All or nothing: one that is good waits for the one that is not.
    assert_eq!(asked(&gateway).await.1, "version 0001");
    rename_over(&other, &guests::version(2));
    until_version(&gateway, 2).await;
}

#[tokio::test]
async fn an_empty_configuration_is_one_that_is_about_to_be_written() {
    let config = told("\"a\"", EVENTS);
    let gateway = serving(&config).await;
    gateway.home().write("pointsman.toml", "\n");
    let report = gateway.reload().await;
    assert_eq!(report.status, 422, "{}", report.text());
    assert!(
        report.text().contains("is empty; what is in service stays"),
        "{}",
        report.text()
    );
    assert_eq!(
        gateway
            .metric("pointsman_plugin_reload_failed{plugin=\"config\"}")
            .await,
        1.0
    );
    assert_eq!(asked(&gateway).await.1, "version 0001");
    gateway.write_config(&told("\"b\", \"a\"", EVENTS));
    gateway.until("/admin/plugins", |shown| shown["generation"] == 2).await;
    assert_eq!(
        gateway
            .metric("pointsman_plugin_reload_failed{plugin=\"config\"}")
            .await,
        0.0
    );
}
