//! What the components in the box import, read from the components themselves: what is not imported cannot be used, so
//! this is the whole of what they can do. And components of old that every later gateway has to serve.

use std::fs;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, Ending, FakeProvider, Gateway, Home, guests};
use xtask::plugins::{self, Kind, Selection};
use xtask::workspace;

/// What each kind is given without a grant; interfaces of types alone give nobody anything to call.
fn offered(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Policy => &["catalog", "request", "prompt", "log", "timeouts"],
        Kind::Adapter => &["wire", "log"],
    }
}

/// Plugins in the box that import more than that, and what: what they are granted, or look for with `grants`.
const GRANTED: &[(&str, &[&str])] = &[
    ("policy-bandit", &["state"]),
    ("policy-budget", &["state"]),
    ("policy-cascade", &["grants", "models", "state"]),
    ("policy-classifier", &["grants", "models", "state"]),
    ("policy-ensemble", &["models"]),
    ("policy-load", &["grants", "state"]),
    ("policy-script", &["grants", "models", "state"]),
    ("policy-sticky", &["state"]),
];

#[test]
fn every_plugin_in_the_box_imports_only_what_it_is_given() {
    let built = plugins::build(&guests::target_dir(), &Selection::All).unwrap();
    assert!(!built.is_empty());
    for built in built {
        let bytes = std::fs::read(&built.path).unwrap();
        let package = built.plugin.package();
        let granted = GRANTED
            .iter()
            .filter(|(plugin, _)| *plugin == package)
            .flat_map(|(_, grants)| *grants);
        let allowed = offered(built.plugin.kind).iter().chain(granted);
        let allowed: Vec<String> = allowed.map(|name| format!("pointsman:plugin/{name}@0.1.0")).collect();
        for import in guests::imports(&bytes) {
            assert!(allowed.contains(&import), "plugins/{package} imports `{import}`");
        }
    }
}

#[test]
fn a_plugin_that_reaches_for_more_is_found_out() {
    let imports = guests::imports(&guests::component("opens-sockets"));
    assert!(
        imports.iter().any(|import| import.starts_with("wasi:sockets/")),
        "{imports:?}"
    );
}

/// The digests of the components in `tests/contract/0.1.0/`, which stay as they are.
const POLICY_OF_0_1_0: &str = "e5b22a1b8cb0a4ad77831bc58a78758956600eae1d895b68d7bc4ffc117ceef2";
const ASKS_OF_0_1_0: &str = "6fa8fefb3a65e988f78269a4c1136943cabd4e25901ad543f5a620b487cdff24";
const SEES_OF_0_1_0: &str = "59dba7850ac6a9e23e1c151009ee42d64798cfa9d73cddc5f31d5b621d022576";
const SAYS_TIMES_OF_0_1_0: &str = "e727aec8b95ef95c57e3ffaefb4f55ab8e673626637a27c094649995fc148a57";
const ADAPTER_OF_0_1_0: &str = "f45b6e5f000e5759bcfa2e877ff7ec5ab6db6aab0486f6d5961c38bfada5d895";

#[tokio::test]
async fn plugins_that_were_built_against_the_first_contract_are_served_as_ever() {
    let answers = [Answer::chat("hi"), Answer::chat("hi")];
    let provider = FakeProvider::chatting([]).await;
    provider.on("/chat/completions", answers);
    let config = format!(
        "[providers.kept]\nadapter = \"plugins/adapter.wasm\"\nadapter_sha256 = \"{ADAPTER_OF_0_1_0}\"\n\
         base_url = \"{}\"\napi_key = \"key\"\n\
         [models.first]\nprovider = \"kept\"\n[models.second]\nprovider = \"kept\"\n\
         [policies.kept]\ncomponent = \"plugins/every-hook.wasm\"\nsha256 = \"{POLICY_OF_0_1_0}\"\n\
         grants = [\"state\"]\nconfig = {{ a = 1 }}\n\
         [routes.auto]\ncandidates = [\"first\", \"second\"]\npolicies = [\"kept\"]\n\
         [plugins.limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n\
         [plugins.adapter_limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n",
        provider.url()
    );
    let home = Home::with_config(&config);
    for name in ["every-hook", "adapter"] {
        let file = workspace().join(format!("tests/contract/0.1.0/{name}.wasm"));
        home.write(&format!("plugins/{name}.wasm"), fs::read(file).unwrap());
    }
    let gateway = Gateway::start_in(home).await;
    let body = json!({ "model": "auto", "n": 1, "max_tokens": 8,
        "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hello" }] });

    let reply = gateway.data().chat(&body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-pointsman-model"), Some("second"));
    let reason = reply.header("x-pointsman-reason").unwrap();
    for said in [
        "call 1, ended 0,",
        "2 messages, first system be brief, system be brief, all 14, n 1, before -",
    ] {
        assert!(reason.contains(said), "{said} is not in {reason}");
    }
    let received = provider.only().json();
    assert_eq!(received["temperature"], 0.5, "{received}");
    assert_eq!(received["max_output_tokens"], 8, "{received}");
    gateway.logged(&["a policy of 0.1.0 decides", "plugin=\"kept\""]).await;

    // The end of a request is told after its answer has gone out.
    let mut reason = String::new();
    for _ in 0..100 {
        let reply = gateway.data().chat(&body).await;
        reason = reply.header("x-pointsman-reason").unwrap().to_owned();
        if !reason.contains("ended 0") {
            break;
        }
    }
    assert!(
        !reason.contains("ended 0") && reason.contains("before hello"),
        "{reason}"
    );

    // It reviews: what is empty is passed over.
    provider.on("/chat/completions", [Answer::chat(""), Answer::chat("filled")]);
    let reply = gateway.data().chat(&body).await;
    let shown = ["x-pointsman-model", "x-pointsman-attempts"].map(|name| reply.header(name));
    assert_eq!(shown, [Some("first"), Some("2")], "{}", reply.text());
    assert!(reply.header("x-pointsman-reason").unwrap().ends_with("; it is empty"));

    provider.on("/chat/completions", [Answer::chat_stream(["one", "two"])]);
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let (events, ending) = gateway.data().chat_stream(&streamed).await.rest().await;
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
}

#[tokio::test]
async fn plugins_of_the_first_contract_ask_models_see_their_grants_and_say_times_as_ever() {
    let provider = FakeProvider::chatting([Answer::chat("asked"), Answer::chat("served")]).await;
    let config = [
        openai("one", &provider.url()),
        format!("\n[policies.asks]\ncomponent = \"asks.wasm\"\nsha256 = \"{ASKS_OF_0_1_0}\"\n"),
        "grants = [\"models\"]\nmodels = [\"one/model\"]\n".to_owned(),
        "config = { asks = [{ model = \"one/model\", user = \"which class?\" }] }\n".to_owned(),
        format!("\n[policies.sees]\ncomponent = \"sees.wasm\"\nsha256 = \"{SEES_OF_0_1_0}\"\ngrants = [\"state\"]\n"),
        format!("\n[policies.times]\ncomponent = \"times.wasm\"\nsha256 = \"{SAYS_TIMES_OF_0_1_0}\"\n"),
        route("auto", &["one"], "policies = [\"asks\", \"sees\", \"times\"]"),
        "\n[plugins.limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n".to_owned(),
    ];
    let home = Home::with_config(&config.concat());
    for (name, kept) in [("asks", "asks"), ("sees", "sees-its-grants"), ("times", "says-times")] {
        let file = workspace().join(format!("tests/contract/0.1.0/{kept}.wasm"));
        home.write(&format!("{name}.wasm"), fs::read(file).unwrap());
    }
    let gateway = Gateway::start_in(home).await;
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    let reply = gateway.data().chat(&body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reason = reply.header("x-pointsman-reason").unwrap();
    assert!(reason.starts_with("asked stop "), "{reason}");
    assert!(
        reason.ends_with("; [\"state\"] [\"state\"] Some(1); in a hurry"),
        "{reason}"
    );
    gateway.home().write("ask.json", body.to_string());
    let output = gateway
        .home()
        .run(&["explain", "--config", "pointsman.toml", "--format", "json", "ask.json"]);
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = &explained["steps"][0];
    assert_eq!(
        (&step["connect_timeout_ms"], &step["gap_timeout_ms"]),
        (&json!(250), &json!(750))
    );
}
