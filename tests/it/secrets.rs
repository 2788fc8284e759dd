//! Canaries: a secret in every place where a configuration has one, and everything that can go wrong with it in reach. That none of them is in
//! the log, in what operators are shown or in the store, every gateway of every test is held to (`tests/src/secrets.rs`); here there are all
//! of them at once, and clients and commands are listened to as well.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::clouds::ServiceAccount;
use tests::config::{openai, route};
use tests::{Answer, End, FakeProvider, Gateway, Home};

/// With everything in it that some encoding changes.
const KEY: &str = "canary/one+two=three&four five%six";
const SECOND: &str = "canary-of-the-second-key";
const HEADER: &str = "canary-in-a-header";
const QUERY: &str = "canary?in=a&query";
const FILE: &str = "canary-in-a-file";
const PEPPER: &str = "canary-that-keys-are-hashed-with";
const AWS: [&str; 3] = ["CANARYAKIDAWS", "canary-of-aws/secret", "canary-of-aws-session"];

fn config(provider: &FakeProvider, dead: &FakeProvider) -> String {
    let url = provider.url();
    let webhook = STANDARD.encode("canary of a webhook, 24 bytes and more");
    let one = openai("one", &url).replace(
        "api_key = \"key-of-one\"",
        &format!("api_keys = [\"{KEY}\", \"{SECOND}\"]\nheaders = {{ x-secret = \"{HEADER}\" }}"),
    );
    let two = openai("two", &format!("{url}/two")).replace(
        "api_key = \"key-of-two\"",
        &format!("api_key = \"{QUERY}\"\nauthentication = \"query:key\""),
    );
    let three = openai("three", &format!("{url}/three")).replace("\"key-of-three\"", "\"${file:secret.txt}\"");
    let four = openai("four", &format!("{url}/four")).replace("\"key-of-four\"", "\"${CANARY_KEY}\"");
    let nobody = openai("nobody", &dead.url()).replace(
        "\"key-of-nobody\"",
        &format!("\"{QUERY}\"\nauthentication = \"query:key\""),
    );
    let [id, secret, session] = AWS;
    let clouds = format!(
        "[providers.aws]\nadapter = \"bedrock\"\nbase_url = \"{url}/aws\"\nregion = \"eu-central-1\"\n\
         aws = {{ access_key_id = \"{id}\", secret_access_key = \"{secret}\", session_token = \"{session}\" }}\n\
         [models.\"aws/model\"]\nprovider = \"aws\"\n\
         [providers.google]\nadapter = \"vertex\"\nbase_url = \"{url}/google\"\nregion = \"europe-west4\"\n\
         google = {{ service_account = \"${{file:account.json}}\" }}\n[models.\"google/model\"]\nprovider = \"google\"\n"
    );
    let routes = route("all", &["one", "two", "three", "four", "nobody"], "") + "[retries]\nper_second = 1000\n";
    let server = format!(
        "[server]\naccess_log = true\npepper = \"{PEPPER}\"\n[events.webhook]\nurl = \"{url}/hook\"\nsecret = \"whsec_{webhook}\"\n"
    );
    [server, one, two, three, four, nobody, clouds, routes].concat()
}

fn ask(model: &str, is_stream: bool) -> Value {
    json!({ "model": model, "stream": is_stream, "messages": [{ "role": "user", "content": "hello" }] })
}

/// What providers say that do not keep to themselves what they were sent.
fn quoting(path: &str) -> Vec<Answer> {
    let own: &[&str] = match path.split('/').nth(1) {
        Some("v1") => &[KEY, SECOND, HEADER],
        Some("two") => &[QUERY],
        Some("three") => &[FILE],
        Some("four") => &["canary-in-the-environment"],
        _ => &AWS,
    };
    let all = own.join(" ");
    let error = json!({ "error": { "message": format!("Incorrect API key: {all}"), "type": "auth", "code": "invalid_api_key" } });
    let event = json!({ "error": { "message": format!("it broke: {all}"), "code": "server_error" } }).to_string();
    vec![
        Answer::json(401, &error),
        Answer::json(429, &error),
        Answer::json(400, &error),
        Answer::new(500, "text/html", format!("<html>{all}</html>")),
        Answer::new(200, "text/html", format!("<html>{all}</html>")),
        Answer::events([event.as_str()]),
        Answer::chat_stream(["one"]).cut_after_pieces(1, End::Reset),
        Answer::error(302, "moved").header("location", &format!("http://127.0.0.1:1/?key={QUERY}")),
        Answer::new(200, "application/json", "{"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_configuration_is_in_anything_that_a_gateway_says_or_keeps() {
    let (provider, dead) = (FakeProvider::start().await, FakeProvider::start().await);
    let config = config(&provider, &dead);
    drop(dead);
    let home = Home::with_config(&config);
    home.write("secret.txt", format!("{FILE}\n"));
    home.write(
        "account.json",
        ServiceAccount::new(&format!("{}/token", provider.url())).json(),
    );
    let mut command = home.command(&["serve", "--config", "pointsman.toml"]);
    command.env("CANARY_KEY", "canary-in-the-environment");
    // All that there is to say.
    command.env("POINTSMAN_LOG", "trace");
    let gateway = Gateway::start_with(home.clone(), command).await;
    let made = |arguments: &[&str]| {
        let command = [arguments, &["--name", "somebody", "--format", "json"]].concat();
        let output = home
            .command(&command)
            .env("CANARY_KEY", "canary-in-the-environment")
            .output()
            .unwrap();
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        format!("Bearer {}", made["key"].as_str().unwrap())
    };
    let (key, token) = (made(&["keys", "create"]), made(&["admin", "create", "--role", "write"]));
    let client = gateway.data().with_header("authorization", &key);
    let admin = gateway.admin().with_header("authorization", &token);
    while admin.get("/admin/keys").await.status != 200 || client.get("/v1/models").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = gateway
        .data()
        .with_header("authorization", "Bearer sk-pm-canary")
        .chat(&ask("all", false))
        .await;
    assert_eq!(refused.status, 401);
    let paths = ["", "/two", "/three", "/four"].map(|path| format!("{path}/v1/chat/completions"));
    let clouds = [
        "/aws/model/model/converse",
        "/aws/model/model/converse-stream",
        "/token",
    ]
    .map(str::to_owned);
    let all: Vec<String> = paths.into_iter().chain(clouds).collect();
    for number in 0..quoting("").len() {
        for path in &all {
            provider.on(path, [quoting(path)[number].clone()]);
        }
        for model in [
            "all",
            "one/model",
            "two/model",
            "three/model",
            "four/model",
            "nobody/model",
            "aws/model",
            "google/model",
        ] {
            for is_stream in [false, true] {
                let stream = client.chat_stream(&ask(model, is_stream)).await;
                // What is no stream is read whole.
                let said = match is_stream && stream.status == 200 {
                    true => format!("{:?} {:?}", stream.headers.clone(), stream.rest().await),
                    false => {
                        let reply = client.chat(&ask(model, is_stream)).await;
                        format!("{:?} {}", reply.headers, reply.text())
                    }
                };
                assert_eq!(gateway.secret_in(&said), None, "{model}");
            }
        }
    }
    let asked = |needle: &str| {
        provider
            .journal()
            .iter()
            .any(|one| one.headers.iter().any(|(_, value)| value.contains(needle)))
    };
    assert!(asked(KEY) && asked(HEADER) && asked(FILE) && asked("canary-in-the-environment") && asked(AWS[2]));
    assert!(
        provider
            .journal()
            .iter()
            .any(|one| one.path.contains("key=canary%3Fin"))
    );

    // A mistake beside each of them, which a reload and a command complain of.
    let broken = config
        .replace("pepper = ", "peper = ")
        .replace("region", "reg\\u0069on")
        .replace("access_key_id", "access_key");
    gateway.write_config(&broken);
    let reply = admin.post("/admin/reload", &json!({})).await;
    assert!(reply.text().contains("pointsman.toml"), "{}", reply.text());
    assert_eq!(gateway.secret_in(&reply.text()), None);
    for path in [
        "plugins", "routes", "health", "limits", "spend", "budgets", "keys", "cache",
    ] {
        let reply = admin.get(&format!("/admin/{path}")).await;
        assert_eq!((reply.status, gateway.secret_in(&reply.text())), (200, None), "{path}");
    }
    for arguments in [
        &["check"][..],
        &["check", "--format", "json"],
        &["explain", "--model", "all"],
        &["keys", "list"],
        &["spend"],
    ] {
        let output = home
            .command(arguments)
            .env("CANARY_KEY", "canary-in-the-environment")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(gateway.secret_in(&said), None, "{arguments:?}");
    }
    // So that what is looked for at the end is what was in service.
    gateway.write_config(&config);
}

#[tokio::test]
async fn nothing_that_callers_send_passes_for_a_line_of_the_log() {
    const FORGED: &str = "2026-01-01T00:00:00Z ERROR forged";
    let provider = FakeProvider::chatting([
        Answer::chat("hi"),
        Answer::error(500, &format!("oh\n{FORGED}\u{1b}[2J")),
    ])
    .await;
    for format in ["text", "json"] {
        let home = Home::with_config(&(openai("one", &provider.url()) + "[server]\naccess_log = true\n"));
        let mut command = home.command(&["serve", "--config", "pointsman.toml", "--log-format", format]);
        command.env("POINTSMAN_LOG", "debug");
        let gateway = Gateway::start_with(home, command).await;
        for text in [
            format!("one/model\r\n{FORGED}"),
            format!("one/\u{1b}[31m{FORGED}\u{7}\u{9b}0m\u{2028}"),
            format!("\"}}\n{{\"level\":\"ERROR\",\"message\":\"{FORGED}"),
            "one/model".to_owned(),
        ] {
            let client = gateway
                .data()
                .with_header("x-request-id", "a\u{ff}b")
                .with_header("user-agent", &format!("x\t{FORGED}"));
            let body = json!({ "model": text, "user": text, "messages": [{ "role": "user", "content": text }] });
            client.chat(&body).await;
            client
                .get(&format!("/v1/models/one%2F%0d%0a{}", FORGED.replace(' ', "%20")))
                .await;
        }
        for line in gateway.log().lines() {
            assert!(!line.starts_with("2026-01-01"), "{line}");
            let said = serde_json::from_str::<Value>(line);
            assert!(
                !line.starts_with('{') || said.is_ok_and(|said| said["message"] != FORGED),
                "{line}"
            );
        }
        // Characters of control are looked for in the log of every gateway when it ends.
    }
}
