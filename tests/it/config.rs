//! The configuration as its writers meet it: every mistake at once and where it is, secrets from elsewhere, and what there
//! is without any file.

use std::process::Output;

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::gateway::complete;
use tests::{Answer, FakeProvider, Gateway, Home, guests};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `check` says of this configuration, which must be wrong.
fn wrong(config: &str) -> String {
    let home = Home::new();
    home.write("pointsman.toml", config);
    let output = home.run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "it was taken: {config}");
    assert!(output.stdout.is_empty(), "{output:?}");
    said(&output)
}

#[test]
fn all_mistakes_are_reported_at_once_with_line_and_column() {
    let found = wrong(
        r#"[server]
listen = "nowhere"
lisen = "127.0.0.1:0"
body_bytes = 0

[providers.one]
adapter = "openai"
base_url = "ftp://example.com"
api_key = "${POINTSMAN_NO_SUCH_VARIABLE}"
[providers.one.limits]
rpms = 5

[models."one/model"]
provider = "two"
price = { input = -1, outptu = 2 }
abilities = ["streaming", "flying"]

[policies.words]
component = "keyword"
grants = ["stat"]
on_fault = "maybe"

[routes.auto]
candidates = ["one/modle"]
policies = ["word"]
"#,
    );
    let expected = [
        "pointsman.toml:2:10: server: `nowhere` is not an address and port such as 127.0.0.1:8080",
        "pointsman.toml:3:1: server: unknown key `lisen`; did you mean `listen`?",
        "pointsman.toml:4:14: server: `body_bytes`",
        "pointsman.toml:6:12: providers.one: `base_url` must be an http or https URL",
        "pointsman.toml:9:11: providers.one: the environment variable `POINTSMAN_NO_SUCH_VARIABLE` is not set",
        "pointsman.toml:11:1: providers.one.limits: unknown key `rpms`; did you mean `rpm`?",
        "pointsman.toml:14:12: models.\"one/model\": no provider `two`",
        "pointsman.toml:15:19: models.\"one/model\".price: `-1` is not an amount",
        "pointsman.toml:15:23: models.\"one/model\".price: unknown key `outptu`; did you mean `output`?",
        "pointsman.toml:16:27: models.\"one/model\": no ability `flying`",
        "pointsman.toml:20:11: policies.words: ",
        "pointsman.toml:21:12: policies.words: `on_fault` is `maybe`; it must be `deny` or `skip`",
        "pointsman.toml:24:15: routes.auto: no model `one/modle`; did you mean `one/model`?",
        "pointsman.toml:25:13: routes.auto: no policy `word`; did you mean `words`?",
    ];
    let missing: Vec<&&str> = expected.iter().filter(|line| !found.contains(**line)).collect();
    assert!(missing.is_empty(), "{missing:#?}\nnot in\n{found}");
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_place() {
    for (config, place) in [
        ("[server\n", "1:"),
        ("a = 1\na = 2\n", "2:1"),
        ("\n\nlisten = [1,", "3:"),
        ("x", "1:"),
    ] {
        let found = wrong(config);
        assert!(
            found.contains(&format!("pointsman.toml:{place}")),
            "{config:?}: {found}"
        );
    }
}

#[test]
fn a_plugin_that_cannot_be_used_is_named_with_the_reason() {
    let simulated = "[providers.s]\nadapter = \"simulated\"\n[models.\"s/m\"]\nprovider = \"s\"\n";
    let with = |policy: &str| format!("{simulated}{policy}");
    for (config, expected) in [
        (with(&policy("p", "keywrod", "")), "did you mean `keyword`?"),
        (with(&policy("p", "missing.wasm", "")), "missing.wasm"),
        (with(&policy("p", "keyword", "rulse = []")), "rulse"),
        (
            with(&policy("p", "keyword", "rules = [{ regex = [\"(\"], label = \"x\" }]")),
            "rules[0]",
        ),
        (with(&policy("p", "budget", "limit_usd = 1")), "state"),
        (simulated.replace("simulated", "opnai"), "did you mean `openai`?"),
    ] {
        let found = wrong(&config);
        assert!(found.contains(expected), "{expected}\nnot in\n{found}");
    }
}

#[test]
fn a_start_with_a_bad_file_ends_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!(
        "[server]\nlisten = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        taken.local_addr().unwrap()
    );
    for (config, expected) in [
        (
            complete("[routes.auto]\ncandidates = [\"nobody/nothing\"]"),
            "pointsman.toml:2:15: routes.auto: no model `nobody/nothing`",
        ),
        (complete(&policy("p", "missing.wasm", "")), "missing.wasm"),
        (taken, "cannot listen on 127.0.0.1:"),
    ] {
        let home = Home::new();
        home.write("pointsman.toml", config);
        let output = home.run(&["serve"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let output = Home::new().run(&["serve", "--config", "elsewhere.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("elsewhere.toml"), "{}", said(&output));
}

#[tokio::test]
async fn secrets_come_from_the_environment_and_from_files_and_two_providers_share_an_adapter() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::with_config(
        &[
            openai("one", &provider.url()).replace("key-of-one", "${KEY_OF_ONE}"),
            openai("two", &provider.url()).replace("key-of-two", "${file:secrets/two}"),
        ]
        .concat(),
    );
    home.write("secrets/two", "from a file\n");
    let mut command = home.command(&["serve"]);
    command.env("KEY_OF_ONE", "from the environment");
    let gateway = Gateway::start_with(home, command).await;
    for name in ["one", "two"] {
        let ask = json!({ "model": format!("{name}/model"), "messages": [{ "role": "user", "content": "hello" }] });
        assert_eq!(gateway.data().chat(&ask).await.status, 200);
    }
    let keys: Vec<String> = provider
        .journal()
        .iter()
        .filter_map(|one| one.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(keys, ["Bearer from the environment", "Bearer from a file"]);
    let plugins = gateway.shows("/admin/plugins").await["plugins"].clone();
    let digests: Vec<&Value> = plugins
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| &plugin["running_digest"])
        .collect();
    assert!(digests.len() == 2 && digests[0] == digests[1], "{plugins:#}");
}

#[tokio::test]
async fn paths_start_where_the_file_is() {
    let config = [
        openai("one", "http://127.0.0.1:9"),
        policy("told", "plugins/told.wasm", ""),
        route("auto", &["one"], "policies = [\"told\"]"),
    ];
    let home = Home::new();
    home.write("etc/gateway.toml", complete(&config.concat()));
    home.write("etc/plugins/told.wasm", guests::component("decides-as-told"));
    let command = home.command(&["serve", "--config", "etc/gateway.toml"]);
    let gateway = Gateway::start_with(home.clone(), command).await;
    assert_eq!(gateway.shows("/admin/plugins").await["plugins"][0]["name"], "told");
    assert!(home.path("etc/pointsman-data").is_dir() && !home.path("pointsman-data/pointsman.db").exists());
}

#[tokio::test]
async fn without_a_file_the_simulated_provider_serves_and_real_ones_appear_with_their_keys() {
    let without = defaults(&[]).await;
    let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "Debug this Python function" }] });
    let reply = without.data().chat(&ask).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("simulated/coder"))
    );
    assert!(
        ids(&without)
            .await
            .iter()
            .all(|id| id == "auto" || id.starts_with("simulated/"))
    );

    let with = defaults(&[
        ("OPENAI_API_KEY", "sk-test"),
        ("ANTHROPIC_API_KEY", "sk-test"),
        ("GROQ_API_KEY", " "),
    ])
    .await;
    let ids = ids(&with).await;
    let has = |provider: &str| ids.iter().any(|id| id.starts_with(provider));
    assert!(
        has("openai/") && has("anthropic/") && has("simulated/") && !has("groq/"),
        "{ids:?}"
    );
    let routes = with.shows("/admin/routes").await["routes"][0].clone();
    let candidates: Vec<&str> = routes["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["provider"].as_str().unwrap())
        .collect();
    assert!(
        candidates.contains(&"openai") && candidates.contains(&"anthropic") && !candidates.contains(&"simulated"),
        "{candidates:?}"
    );
}

/// A gateway with the built-in configuration as it is printed, but for the ports.
async fn defaults(environment: &[(&str, &str)]) -> Gateway {
    let home = Home::new();
    let printed = home
        .command(&["check", "--print"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", said(&printed));
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(!printed.contains("sk-test"), "a key is printed");
    home.write("pointsman.toml", complete(&printed));
    let mut command = home.command(&["serve"]);
    command.envs(environment.iter().copied());
    Gateway::start_with(home, command).await
}

async fn ids(gateway: &Gateway) -> Vec<String> {
    let list = gateway.data().get("/v1/models").await.json();
    list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_start_says_what_listens_where_what_is_served_and_what_to_paste() {
    let config = [
        openai("one", "http://127.0.0.1:9"),
        policy("words", "keyword", ""),
        route("auto", &["one"], "policies = [\"words\"]"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    gateway.logged(&["-d '{\"model\": \"auto\""]).await;
    let log = gateway.log();
    let url = gateway.url();
    for expected in [
        &format!("data listening on {url}"),
        "admin listening on http://127.0.0.1:",
        "route auto: one/model  by words@",
        "models: one/model",
        &format!("curl -s {url}/v1/chat/completions"),
    ] {
        assert!(log.contains(expected), "{expected}\nnot in\n{log}");
    }
    assert!(!log.contains("key-of-one"));
}
