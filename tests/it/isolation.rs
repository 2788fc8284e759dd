//! Guests that misbehave, through the whole gateway: each costs its own call and nothing else. What keeps a guest from being
//! loaded is in `loading.rs`, what adapters try in `adapters.rs`, what guests can see and keep in `sight.rs`.

mod adapters;
mod loading;
mod sight;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::{Gateway, Home, Reply, guests};
use tokio::task::JoinSet;

/// Guests that fail when they are asked, and the kinds of fault that this may be.
const FAILING: &[(&str, &[&str])] = &[
    ("copies-for-ever", &["deadline"]),
    ("exits", &["trap"]),
    ("fails", &["guest"]),
    ("grows-memory", &["memory"]),
    ("grows-table", &["memory"]),
    ("loops-after-returning", &["deadline"]),
    ("loops-in-decide", &["deadline"]),
    ("loops-in-realloc", &["deadline"]),
    ("loops-over-host-calls", &["deadline", "memory", "copied_too_much"]),
    ("edits-the-model", &["invalid_output"]),
    ("names-an-unknown-candidate", &["invalid_output"]),
    ("panics", &["trap"]),
    ("recurses", &["stack"]),
    ("returns-a-gigabyte", &["invalid_output", "copied_too_much"]),
    ("returns-a-million-steps", &["copied_too_much"]),
    ("returns-a-wild-pointer", &["invalid_output"]),
    ("returns-all-its-memory", &["copied_too_much"]),
    ("returns-an-unknown-verdict", &["invalid_output"]),
    ("returns-invalid-utf-8", &["invalid_output"]),
    ("traps", &["trap"]),
];

/// The calls of guests that never end are cut early; those of the others may take their time on a busy machine.
const SHORT: &str = "limits = { call_ms = 50 }";
const PATIENT: &str = "\n[plugins.limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n";

/// Simulated models. No route leads to `moon`.
const MODELS: &str = r#"
[providers.simulated]
adapter = "simulated"
[models.small]
provider = "simulated"
[models.large]
provider = "simulated"
[models.moon]
provider = "simulated"
"#;

/// A policy that is this guest, and a route of the same name that asks it.
fn route(name: &str, guest: &str, more: &str) -> String {
    format!(
        r#"
[policies.{name}]
component = "plugins/{guest}.wasm"
{more}
[routes.{name}]
candidates = ["small", "large"]
policies = ["{name}"]
"#
    )
}

/// A folder with these guests as files.
fn home_of<'g>(config: &str, guests: impl IntoIterator<Item = &'g str>) -> Home {
    let home = Home::with_config(&format!("{MODELS}{config}{PATIENT}"));
    for guest in guests {
        home.write(&format!("plugins/{guest}.wasm"), guests::component(guest));
    }
    home
}

/// A gateway with two routes for each of the guests that fail, `deny-GUEST` and `skip-GUEST`, and `good` without any.
async fn among_failing_guests() -> Gateway {
    let mut config = "[routes.good]\ncandidates = [\"small\"]\n".to_owned();
    for (guest, kinds) in FAILING {
        let limits = if kinds.contains(&"deadline") { SHORT } else { "" };
        config += &route(&format!("deny-{guest}"), guest, limits);
        config += &route(
            &format!("skip-{guest}"),
            guest,
            &format!("on_fault = \"skip\"\n{limits}"),
        );
    }
    Gateway::start_in(home_of(&config, FAILING.iter().map(|(guest, _)| *guest))).await
}

fn ask(route: &str) -> Value {
    // Long enough for the guest that minds long requests.
    json!({ "model": route, "messages": [{ "role": "user", "content": "hello ".repeat(200) }] })
}

async fn served(gateway: &Gateway, route: &str) -> Reply {
    let reply = gateway.data().chat(&ask(route)).await;
    assert_eq!(reply.status, 200, "{route}: {}", reply.text());
    reply
}

#[tokio::test]
async fn a_guest_that_fails_denies_its_request_or_is_skipped_as_configured() {
    let mut gateway = among_failing_guests().await;
    for (guest, kinds) in FAILING {
        let denied = gateway.data().chat(&ask(&format!("deny-{guest}"))).await;
        let message = denied.refused(503, "policy_unavailable");
        assert_eq!(denied.header("x-should-retry"), Some("false"), "{guest}");
        // Why is the operator's business: the log has it, the caller does not.
        assert!(
            !message.contains(guest) && message.contains("log"),
            "{guest}: {message}"
        );
        let skipped = served(&gateway, &format!("skip-{guest}")).await;
        assert_eq!(skipped.header("x-pointsman-model"), Some("small"), "{guest}");
        for policy in [format!("deny-{guest}"), format!("skip-{guest}")] {
            let mut counted = 0.0;
            for kind in *kinds {
                let series = format!("pointsman_plugin_faults_total{{plugin=\"{policy}\",kind=\"{kind}\"}}");
                counted += gateway.metric(&series).await;
            }
            assert_eq!(counted, 1.0, "{policy} is not counted as {kinds:?}");
            let calls = format!("pointsman_plugin_calls_total{{plugin=\"{policy}\"}}");
            assert_eq!(gateway.metric(&calls).await, 1.0, "{policy}");
        }
        gateway
            .logged(&["a policy failed and was skipped", &format!("skip-{guest}")])
            .await;
        gateway
            .logged(&["policy_unavailable", &format!("policy `deny-{guest}`")])
            .await;
    }
    gateway.logged(&["which was not offered", "moon"]).await;
    assert!(gateway.is_running());
}

#[tokio::test]
async fn fifty_bad_calls_at_once_cost_the_traffic_beside_them_nothing() {
    let mut gateway = among_failing_guests().await;
    // Once each, so that what is loaded lazily is there before memory is measured.
    for (guest, _) in FAILING {
        gateway.data().chat(&ask(&format!("deny-{guest}"))).await;
    }
    let before = gateway.resident_bytes();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut good = JoinSet::new();
    for _ in 0..4 {
        let (client, is_over) = (gateway.data(), Arc::clone(&is_over));
        good.spawn(async move {
            let mut connection = client.keep().await;
            let mut served = 0;
            // Once more after the bad calls are over.
            while !is_over.load(Ordering::Relaxed) || served == 0 {
                let reply = connection.chat(&ask("good")).await.unwrap();
                assert_eq!(reply.status, 200, "{}", reply.text());
                served += 1;
            }
            served
        });
    }
    let mut bad = JoinSet::new();
    for (guest, _) in FAILING.iter().cycle().take(50) {
        let client = gateway.data();
        bad.spawn(async move { client.chat(&ask(&format!("deny-{guest}"))).await });
    }
    while let Some(reply) = bad.join_next().await {
        // Those that wait too long behind others that never end are told so.
        let reply = reply.unwrap();
        let code = reply.json()["error"]["code"].clone();
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(
            ["policy_unavailable", "overloaded"].iter().any(|known| code == *known),
            "{code}"
        );
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(served) = good.join_next().await {
        assert!(served.unwrap() > 0);
    }
    assert!(gateway.is_running());
    if let (Some(before), Some(after)) = (before, gateway.resident_bytes()) {
        assert!(
            after < before + (128 << 20),
            "from {} MiB to {} MiB",
            before >> 20,
            after >> 20
        );
    }
}

#[tokio::test]
async fn a_log_flood_is_cut_and_cannot_pass_for_the_gateways_own_lines() {
    let config = route("loud", "logs-a-million-lines", "limits = { call_ms = 60_000 }");
    let gateway = Gateway::start_in(home_of(&config, ["logs-a-million-lines"])).await;
    served(&gateway, "loud").await;
    let cut = gateway.logged(&["further lines are dropped: 64 lines per call"]).await;
    assert!(cut.contains("loud"), "{cut}");
    let log = gateway.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("forged lin")).collect();
    assert_eq!(lines.len(), 63);
    assert!(
        lines
            .iter()
            .all(|line| line.contains(r"\u{1b}[31mred\u{1b}[0m\nforged lin") && line.contains("plugin=")),
        "{}",
        lines[0]
    );
}

#[tokio::test]
async fn a_rejection_whose_code_is_no_word_is_a_fault_and_forges_nothing() {
    let config = route("strange", "rejects-with-a-strange-status", "");
    let gateway = Gateway::start_in(home_of(&config, ["rejects-with-a-strange-status"])).await;
    let reply = gateway.data().chat(&ask("strange")).await;
    reply.refused(503, "policy_unavailable");
    assert_eq!(reply.header("allowed"), None);
    assert!(!reply.text().contains("allowed"), "{}", reply.text());
    let faults = "pointsman_plugin_faults_total{plugin=\"strange\",kind=\"invalid_output\"}";
    assert_eq!(gateway.metric(faults).await, 1.0);
}
