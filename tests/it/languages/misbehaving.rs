//! A guest in each language that does what it must not, on request: each time it costs its own call, and what it leaves
//! behind is gone with its instance.

use serde_json::{Value, json};
use tests::languages::{self, LANGUAGES};
use tests::{Gateway, Home, Reply};

/// What the guest is told to do, and the kinds of fault that this may be.
const DEEDS: &[(&str, &[&str])] = &[
    ("exhaust", &["memory", "trap"]),
    // Some have a stack in their memory, and some stop themselves before the host does.
    ("recurse", &["stack", "memory", "trap", "guest"]),
    ("throw", &["trap", "guest"]),
    ("exit", &["trap"]),
    ("invent", &["invalid_output"]),
    // A million steps are more than the host copies, and for some more than their memory holds.
    ("flood", &["copied_too_much", "memory", "trap", "guest"]),
];

/// There is nothing in JavaScript that ends a program.
const CANNOT_EXIT: [&str; 2] = ["js", "ts"];

/// Routes for each language: `fresh-js` has time, `hasty-js` has little of it, `warm-js` keeps an instance for three calls,
/// and `leaky-js` keeps one for as long as it lives.
fn config() -> String {
    let mut config = r#"
[plugins.limits]
call_ms = 60_000
configure_ms = 60_000
[providers.simulated]
adapter = "simulated"
[models.small]
provider = "simulated"
[models.moon]
provider = "simulated"
"#
    .to_owned();
    for language in LANGUAGES {
        for (way, settings) in [
            ("fresh", ""),
            ("hasty", "limits = { call_ms = 300 }"),
            (
                "warm",
                "instances = { warm = 1, max_calls = 3, max_age_ms = 3_600_000 }",
            ),
            (
                "leaky",
                "instances = { warm = 1, max_calls = 1_000, max_age_ms = 3_600_000 }",
            ),
        ] {
            config += &format!(
                "[policies.{way}-{language}]\ncomponent = \"plugins/{language}.wasm\"\n{settings}\n\
                 [routes.{way}-{language}]\ncandidates = [\"small\"]\npolicies = [\"{way}-{language}\"]\n"
            );
        }
    }
    config
}

async fn tell(gateway: &Gateway, route: &str, deed: &str) -> Reply {
    let messages: Value = json!([{ "role": "user", "content": deed }]);
    gateway
        .data()
        .chat(&json!({ "model": route, "messages": messages }))
        .await
}

/// What a well-behaved call says: how many its instance has served.
async fn count(gateway: &Gateway, route: &str, deed: &str) -> String {
    let reply = tell(gateway, route, deed).await;
    assert_eq!(reply.status, 200, "{route}: {}", reply.text());
    reply.header("x-pointsman-reason").unwrap().to_owned()
}

async fn faults(gateway: &Gateway, policy: &str, kinds: &[&str]) -> f64 {
    let mut faults = 0.0;
    for kind in kinds {
        let series = format!("pointsman_plugin_faults_total{{plugin=\"{policy}\",kind=\"{kind}\"}}");
        faults += gateway.metric(&series).await;
    }
    faults
}

#[tokio::test]
async fn guests_in_every_language_misbehave_at_their_own_cost_alone() {
    if !languages::are_installed() {
        return;
    }
    let home = Home::with_config(&config());
    for language in LANGUAGES {
        home.write(
            &format!("plugins/{language}.wasm"),
            languages::component(language, "misbehaves"),
        );
    }
    for language in LANGUAGES {
        never_ends(&home, language);
    }
    // Compiles what is not compiled yet, for which a gateway's start has no patience.
    let checked = home.run(&["check"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let mut gateway = Gateway::start_in(home).await;
    for language in LANGUAGES {
        fails_alone(&gateway, language).await;
        keeps_nothing(&gateway, language).await;
        keeps_what_it_may(&gateway, language).await;
    }
    assert!(gateway.is_running());
}

/// A configuration that it never comes to an end with is refused.
fn never_ends(home: &Home, language: &str) {
    let file = home.write(
        "loop.toml",
        format!(
            "[policies.stuck]\ncomponent = \"plugins/{language}.wasm\"\nconfig = {{ deed = \"loop\" }}\nlimits = {{ configure_ms = 2_000 }}\n"
        ),
    );
    let checked = home.run(&["check", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        !checked.status.success() && said.contains("stuck: "),
        "{language}: {said}"
    );
    assert!(said.contains("2000 ms"), "{language}: {said}");
}

async fn fails_alone(gateway: &Gateway, language: &str) {
    let route = format!("hasty-{language}");
    tell(gateway, &route, "loop").await.refused(503, "policy_unavailable");
    assert_eq!(faults(gateway, &route, &["deadline"]).await, 1.0, "{route}");

    let route = format!("fresh-{language}");
    let mut expected = 0.0;
    for (deed, kinds) in DEEDS {
        if *deed == "exit" && CANNOT_EXIT.contains(&language) {
            continue;
        }
        let before = faults(gateway, &route, kinds).await;
        let reply = tell(gateway, &route, deed).await;
        reply.refused(503, "policy_unavailable");
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{route}: {deed}");
        assert_eq!(
            faults(gateway, &route, kinds).await,
            before + 1.0,
            "{route}: {deed}\n{}",
            gateway.log()
        );
        // The next call knows nothing of it.
        assert_eq!(count(gateway, &route, "count").await, "call 1", "{route} after {deed}");
        expected += 2.0;
    }
    let calls = format!("pointsman_plugin_calls_total{{plugin=\"{route}\"}}");
    assert_eq!(gateway.metric(&calls).await, expected, "{route}");
}

/// A fresh instance for each call: it can neither count its calls nor pile up memory.
async fn keeps_nothing(gateway: &Gateway, language: &str) {
    let route = format!("fresh-{language}");
    for _ in 0..20 {
        // Together more than twice the memory that the guest may have.
        assert_eq!(count(gateway, &route, "leak").await, "call 1", "{route}");
    }
}

/// A kept instance counts, up to the limit of its calls or of its memory; then another one begins anew.
async fn keeps_what_it_may(gateway: &Gateway, language: &str) {
    let route = format!("warm-{language}");
    for expected in ["call 1", "call 2", "call 3", "call 1", "call 2", "call 3"] {
        assert_eq!(count(gateway, &route, "leak").await, expected, "{route}");
    }
    tell(gateway, &route, "throw").await.refused(503, "policy_unavailable");
    assert_eq!(count(gateway, &route, "count").await, "call 1", "{route}");

    let route = format!("leaky-{language}");
    let mut served = 0;
    while tell(gateway, &route, "leak").await.status == 200 {
        served += 1;
        assert!(served < 9, "{route} has more than its 64 MiB");
    }
    assert!(served > 1, "{route}: {}", gateway.log());
    assert_eq!(
        faults(gateway, &route, &["memory", "trap", "guest"]).await,
        1.0,
        "{route}"
    );
    assert_eq!(count(gateway, &route, "count").await, "call 1", "{route}");
}
