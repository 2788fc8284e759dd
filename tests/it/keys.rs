//! Keys for callers: who is let in, what they may use, and how much of it. What is refused never reaches a provider.

mod access;
mod apart;
mod limits;
mod made;

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider, Gateway, Home};

/// A key that was made, with its hash.
pub(crate) struct Key {
    id: String,
    pub(crate) text: String,
    pub(crate) hash: String,
}

impl Key {
    /// `pointsman keys hash`, with the pepper of this folder.
    pub(crate) fn hashed(home: &Home) -> Key {
        let output = home.run(&["keys", "hash", "--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Key {
            id: text("id"),
            text: text("key"),
            hash: text("hash"),
        }
    }

    /// A client that sends it as OpenAI's SDKs do.
    pub(crate) fn client(&self, gateway: &Gateway) -> Client {
        gateway
            .data()
            .with_header("authorization", &format!("Bearer {}", self.text))
    }
}

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A gateway with these lines beside one provider, and the key `ci` with these lines of its own.
pub(crate) async fn with_key(own: &str, more: &str) -> (FakeProvider, Gateway, Key) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::with_config("");
    let key = Key::hashed(&home);
    let config = [
        openai("one", &provider.url()),
        route("auto", &["one"], ""),
        format!("\n[keys.ci]\nhash = \"{}\"\n{own}\n{more}\n", key.hash),
    ];
    home.write("pointsman.toml", complete(&config.concat()));
    (provider, Gateway::start_in(home).await, key)
}

#[tokio::test]
async fn no_key_is_needed_until_there_is_one() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    gateway.logged(&["keys: none required"]).await;
    let anything = gateway.data().with_header("authorization", "Bearer whatever");
    assert_eq!(anything.chat(&hello("one/model")).await.status, 200);
    let key = Key::hashed(gateway.home());
    gateway.write_config(&(openai("one", &provider.url()) + &format!("[keys.ci]\nhash = \"{}\"\n", key.hash)));
    assert_eq!(gateway.reload().await.status, 200);
    anything.chat(&hello("one/model")).await.refused(401, "invalid_api_key");
    assert_eq!(key.client(&gateway).chat(&hello("one/model")).await.status, 200);
}

#[tokio::test]
async fn a_declared_key_lets_in_from_each_header_that_sdks_use() {
    let (_provider, gateway, key) = with_key("", "").await;
    gateway.logged(&["keys: required; 1 in the configuration"]).await;
    let bearer = format!("Bearer {}", key.text);
    for header in [
        ("authorization", &*bearer),
        ("x-api-key", &key.text),
        ("api-key", &key.text),
        ("x-goog-api-key", &key.text),
    ] {
        let client = gateway.data().with_header(header.0, header.1);
        assert_eq!(client.chat(&hello("auto")).await.status, 200, "{}", header.0);
        assert_eq!(client.get("/v1/models").await.status, 200, "{}", header.0);
    }
}

#[tokio::test]
async fn without_a_good_key_nobody_is_let_in() {
    let (provider, gateway, key) = with_key("", "").await;
    let other = Key::hashed(gateway.home());
    let (start, secret) = key.text.split_at(19);
    let mistyped = format!("{start}{}", secret.chars().rev().collect::<String>());
    let long = "x".repeat(20_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("another kind", b"Basic dTpw".to_vec()),
        ("no scheme", key.text.clone().into_bytes()),
        ("empty", b"Bearer ".to_vec()),
        ("foreign", b"Bearer sk-proj-0123456789".to_vec()),
        ("mistyped", format!("Bearer {mistyped}").into_bytes()),
        ("cut", format!("Bearer {}", &key.text[..60]).into_bytes()),
        ("more", format!("Bearer {}x", key.text).into_bytes()),
        ("twice", format!("Bearer {0} {0}", key.text).into_bytes()),
        ("not known", format!("Bearer {}", other.text).into_bytes()),
        ("the hash", format!("Bearer {}", key.hash).into_bytes()),
        (
            "the digest",
            format!("Bearer {}", key.hash.rsplit(':').next().unwrap()).into_bytes(),
        ),
        ("quotes", b"Bearer '\"`".to_vec()),
        ("SQL", b"Bearer '; DROP TABLE keys; --".to_vec()),
        ("bytes", b"Bearer \xff\xfe".to_vec()),
        ("long", format!("Bearer {long}").into_bytes()),
    ];
    for (name, value) in cases {
        let head = [
            &b"GET /v1/models HTTP/1.1\r\nhost: here\r\nconnection: close\r\nauthorization: "[..],
            &value,
            b"\r\n\r\n",
        ];
        let answer = gateway.data().raw(&head.concat()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{name}: {answer}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n"), "{name}: {answer}");
        assert!(answer.contains("\"code\":\"invalid_api_key\""), "{name}: {answer}");
        assert!(value.is_empty() || !answer.contains(secret), "{name}: {answer}");
    }
    for (name, value) in [("NUL", &b"\0"[..]), ("64 KB", &[b'x'; 64 << 10])] {
        let head = [
            &b"GET /v1/models HTTP/1.1\r\nhost: here\r\nconnection: close\r\nauthorization: Bearer "[..],
            value,
            b"\r\n\r\n",
        ];
        let answer = gateway.data().raw(&head.concat()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{name}: {answer}");
    }
    assert_eq!(provider.journal().len(), 0);
    let log = gateway.log();
    assert!(!log.contains(&key.text[..30]) && !log.contains(&key.hash), "{log}");
}

#[tokio::test]
async fn different_keys_in_one_request_are_refused_and_the_same_twice_is_not() {
    let (_provider, gateway, key) = with_key("", "").await;
    let same = key.client(&gateway).with_header("x-api-key", &key.text);
    assert_eq!(same.chat(&hello("auto")).await.status, 200);
    let other = key.client(&gateway).with_header("x-api-key", "sk-ant-something-else");
    let message = other.chat(&hello("auto")).await.refused(401, "invalid_api_key");
    assert!(message.contains("different keys"), "{message}");
}

#[tokio::test]
async fn a_wrong_secret_reads_as_a_key_that_does_not_exist() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::with_config("");
    let (declared, guessed, unknown) = (Key::hashed(&home), Key::hashed(&home), Key::hashed(&home));
    // The id that is guessed is there, with another secret.
    let hash = declared.hash.replace(&declared.id, &guessed.id);
    let config = openai("one", &provider.url()) + &format!("\n[keys.ci]\nhash = \"{hash}\"\n");
    home.write("pointsman.toml", complete(&config));
    let gateway = Gateway::start_in(home).await;
    let refused = async |key: &Key| {
        key.client(&gateway)
            .get("/v1/models")
            .await
            .refused(401, "invalid_api_key")
    };
    assert_eq!(refused(&guessed).await, refused(&unknown).await);
}

#[tokio::test]
async fn an_expired_key_says_so_to_who_has_it() {
    let (_provider, gateway, key) = with_key("expires = 2020-01-01T00:00:00Z", "").await;
    let message = key
        .client(&gateway)
        .chat(&hello("auto"))
        .await
        .refused(401, "invalid_api_key");
    assert!(message.contains("expired"), "{message}");
}

#[tokio::test]
async fn paths_that_are_not_there_are_not_there_for_anybody() {
    let (_provider, gateway, _key) = with_key("", "").await;
    for path in ["/admin/keys", "/metrics", "/v1/nothing"] {
        gateway.data().get(path).await.refused(404, "not_found");
    }
    let reply = gateway.data().send(Method::GET, "/v1/chat/completions", &[], "").await;
    reply.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn mistakes_in_keys_and_teams_are_told_with_their_places() {
    let home = Home::new();
    let key = Key::hashed(&home);
    home.write(
        "pointsman.toml",
        format!(
            "[keys.a]\nhash = \"{0}\"\nteam = \"reserch\"\nlimits = {{ rpm = 0, rmp = 1 }}\n\
             [keys.b]\nhashes = [\"{0}\", \"{1}\"]\nroutes = [\"auto\"]\nmodels = [\"x*\"]\nexpires = \"tomorrow\"\n\
             [keys.c]\nbudget = {{ limit_usd = 1 }}\n[keys.anonymous]\nhash = \"nothing\"\n\
             [teams.research]\norganisation = \"acme\"\n",
            key.hash, key.text
        ),
    );
    let output = home.run(&["check", "--config", "pointsman.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    for line in [
        "pointsman.toml:3:8: keys.a: no team `reserch`; did you mean `research`?",
        "4:18: keys.a.limits: `rpm` is 0; it must be from 1 to 4294967295",
        "4:21: keys.a.limits: unknown key `rmp`",
        &format!("6:11: keys.b: the key `{}` is declared twice", key.id),
        "keys.b: this is a key and not its hash",
        "7:11: keys.b: no route or model `auto`",
        "9:11: keys.b: `expires`: `tomorrow` is not a time such as 2027-01-31",
        "10:7: keys.c: `hash` is missing: `pointsman keys hash` makes a key and prints it",
        "11:10: keys.c.budget: `period` is missing",
        "12:7: keys.anonymous: `anonymous` is what callers without a key are called",
        "13:8: keys.anonymous: this is not the hash of a key",
        "15:16: teams.research: no organisation `acme`",
    ] {
        assert!(said.contains(line), "{line}\nnot in\n{said}");
    }
    assert!(!said.contains(&key.text));
}
