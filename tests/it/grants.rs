//! Plugins that can do with less than they import: those that import `grants` are loaded whatever they are granted.

use serde_json::{Value, json};
use tests::{Gateway, Home, guests};

const SIMULATED: &str = r#"
[providers.simulated]
adapter = "simulated"
[models.small]
provider = "simulated"
[routes.auto]
candidates = ["small"]
policies = ["sees"]
[policies.sees]
component = "sees.wasm"
"#;

fn home(keys: &str) -> Home {
    let home = Home::with_config(&format!("{SIMULATED}{keys}\n"));
    home.write("sees.wasm", guests::component("sees-its-grants"));
    home
}

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn a_plugin_sees_what_it_was_granted_and_does_without_the_rest() {
    for (keys, seen) in [
        ("", "[] [] None"),
        ("grants = [\"state\"]", "[\"state\"] [\"state\"] Some(1)"),
        (
            "grants = [\"models\", \"state\"]\nmodels = [\"*\"]",
            "[\"state\", \"models\"] [\"state\", \"models\"] Some(1)",
        ),
    ] {
        let gateway = Gateway::start_in(home(keys)).await;
        let reply = gateway.data().chat(&ask()).await;
        assert_eq!(reply.header("x-pointsman-reason"), Some(seen), "{keys}");
    }
}

#[tokio::test]
async fn a_call_of_what_was_not_granted_traps_and_says_why() {
    let gateway = Gateway::start_in(home("config = { blindly = true }")).await;
    gateway.data().chat(&ask()).await.refused(503, "policy_unavailable");
    gateway
        .logged(&["`state` is not granted: add grants", "[policies.sees]"])
        .await;
    let traps = "pointsman_plugin_faults_total{plugin=\"sees\",kind=\"trap\"}";
    assert_eq!(gateway.metric(traps).await, 1.0);
}

#[test]
fn inspect_says_that_a_plugin_can_do_without() {
    let home = home("");
    let shown = home.run(&["plugin", "inspect", "sees.wasm"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for line in [
        "grants    state (none of them needed to load it)",
        "import    pointsman:plugin/grants@0.1.0  nothing: the plugin can do without grants",
        "import    pointsman:plugin/state@0.1.0  the grant `state`, or traps when it is called",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let shown = home.run(&["plugin", "inspect", "--json", "sees.wasm"]);
    let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["can_do_without_grants"], true);
}
