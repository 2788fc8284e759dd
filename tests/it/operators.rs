//! Who may do what at the admin listener, and what is written down of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hyper::Method;
use serde_json::{Value, json};
use tests::config::openai;
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider, Gateway, Home};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// All that there is, with what it needs.
const LOOKS: [&str; 7] = [
    "/metrics",
    "/admin/plugins",
    "/admin/routes",
    "/admin/cache",
    "/admin/spend",
    "/admin/budgets",
    "/admin/keys",
];
const ORDERS: [(Method, &str); 2] = [(Method::POST, "/admin/reload"), (Method::DELETE, "/admin/cache")];
const CHANGES: [(Method, &str); 4] = [
    (Method::POST, "/admin/keys"),
    (Method::POST, "/admin/keys/nobody/rotate"),
    (Method::DELETE, "/admin/keys/nobody"),
    (Method::POST, "/admin/ledger/corrections"),
];

async fn gateway(more: &str) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + more)).await;
    (provider, gateway)
}

fn with_token(gateway: &Gateway, token: &str) -> Client {
    let client = Client::new(gateway.admin_address());
    client.with_header("authorization", &format!("Bearer {token}"))
}

async fn statuses(client: &Client) -> Vec<(String, u16)> {
    let looks = LOOKS.map(|path| (Method::GET, path));
    let mut seen = Vec::new();
    for (method, path) in [&looks[..], &ORDERS, &CHANGES].concat() {
        let body = if path.ends_with("corrections") { "{}" } else { "" };
        let reply = client.send(method.clone(), path, &[], body).await;
        seen.push((format!("{method} {path}"), reply.status));
    }
    seen
}

/// What each group is answered with.
fn expect(seen: &[(String, u16)], looks: u16, orders: u16, is_changed: impl Fn(u16) -> bool) {
    for (index, (what, status)) in seen.iter().enumerate() {
        let is_good = match index {
            _ if index < LOOKS.len() => *status == looks,
            _ if index < LOOKS.len() + ORDERS.len() => *status == orders,
            _ => is_changed(*status),
        };
        assert!(is_good, "{what}: {status}");
    }
}

#[tokio::test]
async fn until_there_is_a_token_loopback_may_look_and_from_then_on_nobody_without_one() {
    let (_provider, gateway) = gateway("").await;
    let nobody = Client::new(gateway.admin_address());
    expect(&statuses(&nobody).await, 200, 200, |status| status == 401);
    let message = nobody.post("/admin/keys", &json!({"name": "n"})).await.text();
    assert!(message.contains("pointsman admin create"), "{message}");
    let (reader, read) = gateway.home().make_token("read");
    let gateway = gateway.with_token().await;
    let refused = |status| status == 401;
    expect(&statuses(&nobody).await, 401, 401, refused);
    for client in [nobody.clone(), nobody.clone().http2()] {
        assert_eq!(
            client.get("/admin/keys").await.header("www-authenticate"),
            Some("Bearer")
        );
        for probe in ["/", "/healthz", "/readyz"] {
            assert_eq!(client.get(probe).await.status, 200, "{probe}");
        }
    }
    expect(&statuses(&with_token(&gateway, &read)).await, 200, 403, |status| {
        status == 403
    });
    // Not refused at the door: there is no such key, no body, no such line.
    let obeyed = |status| [400, 404].contains(&status);
    expect(&statuses(&gateway.admin()).await, 200, 200, obeyed);
    let made = gateway.admin().post("/admin/keys", &json!({"name": "n"})).await;
    assert_eq!(made.status, 201);
    // A key for callers opens nothing here, nor does half a token, another's, or its hash.
    let key = made.json()["key"].as_str().unwrap().to_owned();
    expect(&statuses(&with_token(&gateway, &key)).await, 403, 403, |status| {
        status == 403
    });
    let written = fs::read(gateway.home().path("pointsman-data/pointsman.db-wal")).unwrap();
    let hash = String::from_utf8_lossy(&written);
    let hash = hash.split('"').find(|text| text.starts_with("hmac-sha256:")).unwrap();
    for wrong in [
        &read[..read.len() - 1],
        &read.replace("pm-admin-", "pm-adnim-"),
        hash,
        "x",
        "",
    ] {
        expect(&statuses(&with_token(&gateway, wrong)).await, 401, 401, refused);
    }
    // And on the listener of clients there is none of it.
    for (what, status) in statuses(&gateway.data().with_header("authorization", &format!("Bearer {key}"))).await {
        assert_eq!(status, 404, "{what}");
    }
    let listed = gateway.home().run(&["admin", "list", "--format", "json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains(&reader) && !listed.contains("hmac") && !listed.contains(&read),
        "{listed}"
    );
    assert!(gateway.home().run(&["admin", "revoke", &reader]).status.success());
    while with_token(&gateway, &read).get("/metrics").await.status != 401 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_can_be_declared_and_comes_and_goes_with_the_configuration() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::with_config("");
    let output = home.run(&["admin", "hash", "--role", "write", "--format", "json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (hash, token) = (made["hash"].as_str().unwrap(), made["key"].as_str().unwrap());
    let config = openai("one", &provider.url());
    let declared = format!("{config}\n[admin.tokens.ops]\nhash = \"{hash}\"\nrole = \"write\"\n");
    home.write(
        "pointsman.toml",
        complete(&(declared.clone() + "[admin]\nhosts = [\"admin.example\"]\n")),
    );
    let gateway = Gateway::start_in(home).await;
    let nobody = Client::new(gateway.admin_address());
    let operator = with_token(&gateway, token);
    assert_eq!(nobody.get("/metrics").await.status, 401);
    assert_eq!(operator.get("/metrics").await.status, 200);
    let named = async |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        nobody
            .raw(request.as_bytes())
            .await
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    };
    for (host, status) in [
        ("admin.example", "200"),
        ("ADMIN.example:1", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:9", "200"),
        ("10.0.0.1", "403"),
        ("admin.example.evil.example", "403"),
    ] {
        assert_eq!(named(host).await, status, "{host}");
    }
    gateway.write_config(&config);
    assert_eq!(operator.post("/admin/reload", &json!({})).await.status, 200);
    assert_eq!(nobody.get("/metrics").await.status, 200);
    let wrong = declared.replace("\"write\"", "\"root\"") + "[admin.tokens.b]\nhash = \"pm-admin-x\"\n";
    gateway.write_config(&wrong);
    let report = gateway.reload().await.text();
    assert!(
        report.contains("no role `root`") && report.contains("this is a key and not its hash"),
        "{report}"
    );
}

#[tokio::test]
async fn a_unix_socket_is_its_owners_and_needs_no_token() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::new();
    let config =
        openai("one", &provider.url()) + "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"unix:run.sock\"\n";
    home.write("pointsman.toml", config);
    let gateway = Gateway::start_in(home.clone()).await;
    let path = home.path("run.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = async |request: &str| {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let wish = "POST /admin/keys HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"name\":\"n\"}";
    assert!(ask(wish).await.starts_with("HTTP/1.1 201 "));
    let log = fs::read_to_string(home.path("pointsman-data/audit.jsonl")).unwrap();
    assert!(log.contains("the gateway's own user"), "{log}");
    // What is left of a process that was killed makes room; nobody takes the place of one that lives.
    let (code, said) = {
        let output = home.command(&["serve"]).env("POINTSMAN_LOG", "error").output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(code, Some(1), "{said}");
    drop(gateway);
    assert!(path.exists());
    let gateway = Gateway::start_in(home.clone()).await;
    assert!(ask("GET /readyz HTTP/1.0\r\n\r\n").await.contains("ready"));
    assert!(gateway.stop().await.success());
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_changed_is_written_down_and_what_cannot_be_written_down_is_not_done() {
    let (_provider, gateway) = gateway("").await;
    let gateway = gateway.with_token().await;
    let home = gateway.home().clone();
    let made = gateway
        .admin()
        .post("/admin/keys", &json!({"name": "night"}))
        .await
        .json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    gateway
        .admin()
        .send(Method::DELETE, &format!("/admin/keys/{id}"), &[], "")
        .await;
    assert_eq!(gateway.reload().await.status, 200);
    let path = home.path("pointsman-data/audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(key) && !text.contains(gateway.token()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |stage: &str, what: &str| {
        let found = lines.iter().find(|line| line["stage"] == stage && line["what"] == what);
        found.unwrap_or_else(|| panic!("no {stage} {what} in {text}")).clone()
    };
    let (asked, done) = (told("asked", "POST /admin/keys"), told("done", "POST /admin/keys"));
    assert!(asked["who"].as_str().unwrap().starts_with("a test ("), "{asked}");
    assert_eq!((&done["subject"], &done["status"]), (&json!(id), &json!(201)));
    assert!(done.get("before").is_none() && done["after"].is_string(), "{done}");
    let revoked = told("done", &format!("DELETE /admin/keys/{id}"));
    assert_eq!(revoked["before"], done["after"]);
    assert_ne!(revoked["after"], done["after"]);
    let reloaded = told("done", "POST /admin/reload");
    assert_eq!(reloaded["before"], reloaded["after"]);
    assert_eq!(told("done", "admin create")["from"], "command");
    let check = |more: &[&str]| {
        let output = home.run(&[&["audit", "check"][..], more].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    let head = said.trim().rsplit(' ').next().unwrap().to_owned();
    gateway.logged(&["audit", &head]).await;
    assert_eq!(check(&["--has", &head]).0, Some(0));
    fs::write(&path, text.replacen("night", "day", 1).replacen(id, "someoneelse1", 1)).unwrap();
    assert_eq!(check(&[]).0, Some(1));
    fs::write(&path, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    assert_eq!((check(&[]).0, check(&["--has", &head]).0), (Some(0), Some(1)));
    // A folder in its place can be neither read nor written.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let refused = gateway.admin().post("/admin/keys", &json!({"name": "dawn"})).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let listed = gateway.shows("/admin/keys").await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
    fs::remove_dir(&path).unwrap();
    assert_eq!(
        gateway
            .admin()
            .post("/admin/keys", &json!({"name": "dawn"}))
            .await
            .status,
        201
    );
}

/// Values that a field was not made for.
fn odd() -> Vec<Value> {
    let long = "x".repeat(70_000);
    vec![
        json!(null),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!([]),
        json!({}),
        json!([[[["deep"]]]]),
        json!(""),
        json!("'; DROP TABLE lines; --"),
        json!("\u{0}\r\n\u{1b}[31m"),
        json!("1e400"),
        json!("-0.0000000001"),
        json!("9999-99-99T99:99:99Z"),
        json!(long),
    ]
}

#[tokio::test]
async fn whatever_operators_send_is_answered_and_never_with_a_servers_error() {
    const FIELDS: [(&str, &[&str]); 3] = [
        (
            "/admin/keys",
            &[
                "name", "team", "budget", "budgets", "limits", "routes", "models", "tags", "expires", "metadata",
                "moon",
            ],
        ),
        ("/admin/keys/nobody/rotate", &["overlap", "overlap_seconds", "moon"]),
        ("/admin/ledger/corrections", &["line", "by_usd", "reason", "moon"]),
    ];
    const OPTIONS: [&str; 9] = [
        "by", "since", "until", "key", "team", "period", "format", "last", "moon",
    ];
    let (_provider, gateway) = gateway("").await;
    gateway.home().make_token("write");
    let gateway = gateway.with_token().await;
    let admin = gateway.admin();
    let (mut asked, mut wrong) = (0, Vec::new());
    let mut look = |what: String, reply: tests::Reply| {
        asked += 1;
        let is_error = reply.status >= 400;
        let has_shape =
            || serde_json::from_slice::<Value>(&reply.body).is_ok_and(|said| said["error"]["message"].is_string());
        if reply.status >= 500 || is_error && !has_shape() {
            wrong.push(format!("{what:.200}: {} {:.200}", reply.status, reply.text()));
        }
    };
    for (path, fields) in FIELDS {
        let whole = json!({ "name": "n", "line": 1, "by_usd": "-0.5", "reason": "r" });
        for field in fields {
            for value in odd() {
                for mut body in [json!({}), whole.clone()] {
                    body[*field] = value.clone();
                    look(format!("{path} {body}"), admin.post(path, &body).await);
                }
            }
        }
        for body in [
            "",
            "{",
            "null",
            "[]",
            "\"",
            "{\"name\":1,\"name\":2}",
            "\u{feff}{}",
            "{} {}",
        ] {
            let reply = admin.send(Method::POST, path, &[], body).await;
            look(format!("{path} {body:?}"), reply);
        }
    }
    let odd_words = odd().into_iter().filter_map(|value| value.as_str().map(str::to_owned));
    let escaped: Vec<String> = odd_words
        .map(|word| word.bytes().take(2_000).map(|byte| format!("%{byte:02X}")).collect())
        .collect();
    for option in OPTIONS {
        for word in escaped
            .iter()
            .map(String::as_str)
            .chain(["%", "%ff", "key,key", "-1", "18446744073709551616"])
        {
            for path in ["/admin/spend", "/admin/budgets", "/admin/keys"] {
                let path = format!("{path}?{option}={word}&{option}");
                look(path.clone(), admin.get(&path).await);
            }
        }
    }
    for word in escaped
        .iter()
        .map(String::as_str)
        .chain(["..", "%2e%2e", "a/b", "%", "%ff", "nobody"])
    {
        for (method, path) in [
            (Method::GET, format!("/admin/decisions/{word}")),
            (Method::DELETE, format!("/admin/keys/{word}")),
            (Method::POST, format!("/admin/keys/{word}/rotate")),
            (Method::PUT, format!("/admin/{word}")),
        ] {
            let reply = admin.send(method.clone(), &path, &[], "").await;
            look(format!("{method} {path}"), reply);
        }
    }
    for path in LOOKS.iter().chain(&[
        "/",
        "/readyz",
        "/healthz",
        "/admin/reload",
        "/admin/health",
        "/admin/limits",
    ]) {
        for method in [
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::PATCH,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let reply = admin.send(method.clone(), path, &[], "").await;
            if method != Method::HEAD {
                look(format!("{method} {path}"), reply);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 1_000, "{asked}");
}
