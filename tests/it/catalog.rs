//! The catalog as users meet it: models that the configuration says little of, newer lists, and what is not known.

use std::process::Output;

use serde_json::{Value, json};
use tests::{Answer, FakeProvider, Gateway, Home};

/// A million tokens each way.
const USED: u64 = 1_000_000;

/// A provider whose models are those of the catalog's `openai`, with further lines of its own.
fn config(url: &str, more: &str) -> String {
    format!(
        "[providers.p]\nadapter = \"openai\"\nbase_url = \"{url}/v1\"\napi_key = \"k\"\ncatalog = \"openai\"\nallow_any_model = true\n{more}"
    )
}

async fn provider() -> FakeProvider {
    let provider = FakeProvider::start().await;
    let answer = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": USED, "completion_tokens": USED, "total_tokens": 2 * USED },
    });
    provider.on("/v1/chat/completions", [Answer::json(200, &answer)]);
    provider
}

async fn cost(gateway: &Gateway, model: &str) -> Option<String> {
    let ask = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-pointsman-cost-usd").map(str::to_owned)
}

fn list(input: f64, output: f64) -> String {
    let cost = json!({ "input": input, "output": output });
    let model = json!({ "cost": cost, "limit": { "context": 5000, "output": 500 }, "tool_call": true });
    json!({ "openai": { "models": { "gpt-4o": model, "gpt-new": model } } }).to_string()
}

fn update(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["catalog", "update", "--config", "pointsman.toml"], arguments].concat())
}

fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(errors))
}

#[tokio::test]
async fn what_a_model_does_not_state_is_taken_from_the_catalog_and_what_it_states_holds() {
    let provider = provider().await;
    let models = r#"
[models."p/gpt-4o"]
provider = "p"
[models.own]
provider = "p"
upstream = "gpt-4o"
price = { input = 1, output = 1 }
context = 1000
[models.deployed]
provider = "p"
upstream = "chat-prod-2"
catalog = "azure/gpt-4o-mini"
[models.strange]
provider = "p"
"#;
    let gateway = Gateway::start(&config(&provider.url(), models)).await;
    assert_eq!(cost(&gateway, "p/gpt-4o").await.as_deref(), Some("12.50"));
    assert_eq!(cost(&gateway, "own").await.as_deref(), Some("2.00"));
    assert_eq!(cost(&gateway, "deployed").await.as_deref(), Some("0.75"));
    // A name that only clients know.
    assert_eq!(cost(&gateway, "p/gpt-4o-mini").await.as_deref(), Some("0.75"));
    let shown = gateway.data().get("/v1/models/p/gpt-4o").await.json();
    assert_eq!(
        (&shown["context_window"], &shown["max_output_tokens"]),
        (&json!(128_000), &json!(16_384))
    );
    let own = gateway.data().get("/v1/models/own").await.json();
    assert_eq!(
        (&own["context_window"], &own["max_output_tokens"]),
        (&json!(1_000), &json!(16_384))
    );
    // What nobody knows is unknown wherever it shows.
    assert_eq!(cost(&gateway, "strange").await, None);
    let strange = gateway.data().get("/v1/models/strange").await.json();
    assert_eq!(strange["price_usd_per_million_tokens"], Value::Null);
    let counted = "pointsman_cost_unknown_total{gen_ai_provider_name=\"p\",gen_ai_request_model=\"strange\"}";
    assert!((gateway.metric(counted).await - 1.0).abs() < f64::EPSILON);
    gateway.logged(&["models.\"strange\" has no price"]).await;
}

#[tokio::test]
async fn without_a_known_host_or_a_name_nothing_is_guessed() {
    let provider = provider().await;
    let config = config(&provider.url(), "").replace("catalog = \"openai\"\n", "");
    let gateway = Gateway::start(&config).await;
    assert_eq!(cost(&gateway, "p/gpt-4o").await, None);
    let misspelt = config.replace("allow_any", "catalog = \"opnai\"\nallow_any");
    let checked = Home::with_config(&misspelt).run(&["check", "--config", "pointsman.toml"]);
    assert!(said(&checked).contains("the catalog has no provider `opnai`; did you mean `openai`?"));
}

#[tokio::test]
async fn newer_prices_are_taken_up_by_a_gateway_that_is_running() {
    let provider = provider().await;
    let gateway = Gateway::start(&config(&provider.url(), "")).await;
    assert_eq!(cost(&gateway, "p/gpt-4o").await.as_deref(), Some("12.50"));
    gateway.home().write("list.json", list(5.0, 20.0));
    let updated = update(gateway.home(), &["list.json"]);
    assert!(updated.status.success(), "{}", said(&updated));
    assert!(
        said(&updated).contains("models as models.dev lists them: 2; with a new price: 2; left out: 0"),
        "{}",
        said(&updated)
    );
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(cost(&gateway, "p/gpt-4o").await.as_deref(), Some("25.00"));
    assert_eq!(cost(&gateway, "p/gpt-new").await.as_deref(), Some("25.00"));
    // The built-in catalog still serves what the newer list has not.
    assert_eq!(cost(&gateway, "p/gpt-4o-mini").await.as_deref(), Some("0.75"));
    let shown = gateway
        .home()
        .run(&["catalog", "show", "openai/gpt-4o", "--config", "pointsman.toml"]);
    let shown = said(&shown);
    assert!(
        shown.contains("models.dev (list.json)") && shown.contains("commit f3fc692"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_list_that_moves_a_price_too_far_or_is_no_list_changes_nothing() {
    let home = Home::with_config("");
    home.write("list.json", list(2.5, 101.0));
    let refused = update(&home, &["list.json"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = said(&refused);
    assert!(
        text.contains("openai/gpt-4o: `output` from 10.00 to 101.00") && text.contains("nothing was changed"),
        "{text}"
    );
    for (list, expected) in [
        (
            r#"{"openai": {"models": {"gpt-4o": {"cost": {"input": "2"}}}}}"#,
            "openai/gpt-4o: `input` must be a number",
        ),
        ("<html>503</html>", "this is not JSON"),
        (r#"{"error": "too many requests"}"#, "neither models.dev's list"),
    ] {
        home.write("bad.json", list);
        let refused = update(&home, &["bad.json"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(expected), "{}", said(&refused));
    }
    assert!(said(&update(&home, &["no-such.json"])).contains("no-such.json: "));
    let file = "pointsman-data/catalog.txt";
    assert!(!home.path(file).exists());
    let allowed = update(
        &home,
        &[
            "list.json",
            "--allow-large-changes",
            "--source",
            "ours",
            "--date",
            "2026-11-20",
        ],
    );
    assert!(allowed.status.success(), "{}", said(&allowed));
    // The last good one stays when the next is bad.
    let good = std::fs::read_to_string(home.path(file)).unwrap();
    assert!(good.contains("source ours\ndate 2026-11-20\n"), "{good}");
    assert_eq!(update(&home, &["bad.json"]).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(home.path(file)).unwrap(), good);
    // One that somebody has broken is left out, and said.
    home.write(file, good.replace("output=101", "output=free"));
    let checked = home.run(&["check", "--config", "pointsman.toml"]);
    assert!(checked.status.success());
    assert!(
        said(&checked).contains("catalog.txt: line 6: `free` is not an amount"),
        "{}",
        said(&checked)
    );
}

#[tokio::test]
async fn a_list_is_read_from_a_url() {
    let server = FakeProvider::start().await;
    server.on("/api.json", [Answer::new(200, "application/json", list(5.0, 20.0))]);
    server.on(
        "/old",
        [Answer::new(302, "text/plain", "").header("location", "/api.json")],
    );
    let home = Home::with_config("");
    let from = |path: &str| {
        let (home, url) = (home.clone(), format!("{}{path}", server.url()));
        async move {
            let output = tokio::task::spawn_blocking(move || update(&home, &[&url]))
                .await
                .unwrap();
            (output.status.code(), said(&output))
        }
    };
    let (status, text) = from("/api.json").await;
    assert_eq!(status, Some(0), "{text}");
    for (path, expected) in [
        ("/old", "moved to /api.json; give that URL"),
        ("/none.json", "the server answers 404"),
        ("/", "the server answers 404"),
        ("/api.json?x=1", "no user and no query"),
    ] {
        let (status, text) = from(path).await;
        assert!(status == Some(1) && text.contains(expected), "{path}: {text}");
    }
    let listed = said(&home.run(&["catalog", "list", "openai", "--config", "pointsman.toml"]));
    assert!(
        listed.contains("\nopenai/gpt-new 5.00 20.00\n") && listed.contains("/api.json"),
        "{listed}"
    );
    assert!(
        said(&home.run(&["catalog", "list", "nobody", "--config", "pointsman.toml"])).contains("no provider `nobody`")
    );
    assert!(
        said(&home.run(&["catalog", "show", "openai/none", "--config", "pointsman.toml"]))
            .contains("the catalog has no `openai/none`")
    );
}
