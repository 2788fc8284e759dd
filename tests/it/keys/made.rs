//! Keys that are made at run time, by the commands beside a running gateway and by the admin listener.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider, Gateway, Home};

use super::hello;

/// A gateway that needs no key yet, with a team and a model in the EU.
async fn gateway() -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let tagged = openai("one", &provider.url()).replace("price =", "tags = [\"region:eu\"]\nprice =");
    let config = [tagged, route("auto", &["one"], ""), "\n[teams.research]\n".to_owned()].concat();
    (provider, Gateway::start(&config).await)
}

/// Runs a command that makes a key: its id, and its text.
fn made(home: &Home, arguments: &[&str]) -> (String, String) {
    let output = home.run(&[&["keys"], arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn client(gateway: &Gateway, key: &str) -> Client {
    gateway.data().with_header("authorization", &format!("Bearer {key}"))
}

/// Asks until the answer has this status: another process's change is seen a moment later.
/// Whatever is done to a key is in force within a second; the machine may be slow, but not by that much more.
async fn until(client: &Client, status: u16) {
    let began = Instant::now();
    while client.get("/v1/models").await.status != status {}
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{status} came after {took:?}");
}

#[tokio::test]
async fn a_key_that_is_made_beside_a_running_gateway_is_known_and_from_then_on_needed() {
    let (_provider, gateway) = gateway().await;
    let anonymous = gateway.data();
    assert_eq!(anonymous.chat(&hello("auto")).await.status, 200);
    let (id, key) = made(gateway.home(), &["create", "--name", "night", "--team", "research"]);
    until(&anonymous, 401).await;
    assert_eq!(client(&gateway, &key).chat(&hello("auto")).await.status, 200);
    let line = gateway.logged(&["audit", &id, "a key was made"]).await;
    assert!(line.contains("night") && line.contains("research"), "{line}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_a_running_gateway() {
    let (provider, gateway) = gateway().await;
    let (id, key) = made(gateway.home(), &["create", "--name", "night"]);
    let client = client(&gateway, &key);
    until(&gateway.data(), 401).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(gateway.home().run(&["keys", "revoke", &id]).status.code(), Some(0));
    until(&client, 401).await;
    let message = client.chat(&hello("auto")).await.refused(401, "invalid_api_key");
    assert_eq!(message, "this key has been revoked");
    assert_eq!(provider.journal().len(), 0);
    gateway.logged(&["audit", &id, "a key was revoked"]).await;
    // It is no key any more, and keys are needed still.
    assert_eq!(gateway.data().get("/v1/models").await.status, 401);
    assert_eq!(gateway.home().run(&["keys", "rotate", &id]).status.code(), Some(1));
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_a_while() {
    let (_provider, gateway) = gateway().await;
    let (id, old) = made(gateway.home(), &["create", "--name", "night", "--rpm", "100"]);
    until(&gateway.data(), 401).await;
    let (same, new) = made(gateway.home(), &["rotate", &id]);
    assert_eq!(same, id);
    let (old, new) = (client(&gateway, &old), client(&gateway, &new));
    until(&new, 200).await;
    assert_eq!(old.get("/v1/models").await.status, 200);
    let (_, newest) = made(gateway.home(), &["rotate", &id, "--overlap", "0s"]);
    let newest = client(&gateway, &newest);
    until(&newest, 200).await;
    for replaced in [old, new] {
        let message = replaced.get("/v1/models").await.refused(401, "invalid_api_key");
        assert!(message.contains("replaced by a new one"), "{message}");
    }
    // An overlap ends by itself.
    let (_, last) = made(gateway.home(), &["rotate", &id, "--overlap", "1s"]);
    until(&newest, 401).await;
    let message = newest.get("/v1/models").await.refused(401, "invalid_api_key");
    assert!(message.contains("replaced by a new one"), "{message}");
    let newest = client(&gateway, &last);
    until(&newest, 200).await;
    // Its limits are the key's, whatever its secret.
    let reply = newest.get("/v1/models").await;
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("100"));
}

#[tokio::test]
async fn what_was_made_survives_a_restart_and_is_listed_without_what_it_could_be_known_by() {
    let (_provider, gateway) = gateway().await;
    let arguments = [
        "create",
        "--name",
        "night",
        "--budget-usd",
        "100.5",
        "--period",
        "month",
        "--route",
        "auto",
        "--tag",
        "region:eu",
        "--expires",
        "30d",
        "--metadata",
        "cost-centre=12",
        "--tpm",
        "1000",
    ];
    let (id, key) = made(gateway.home(), &arguments);
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let gateway = Gateway::start_in(home.clone()).await;
    gateway
        .logged(&["keys: required; 0 in the configuration, 1 in the store"])
        .await;
    let client = client(&gateway, &key);
    assert_eq!(client.chat(&hello("auto")).await.status, 200);
    client.chat(&hello("one/model")).await.refused(403, "permission_denied");
    let output = home.run(&["keys", "list", "--format", "json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "id": id, "name": "night", "status": "active", "source": "store", "secrets": 1, "routes": ["auto"],
        "tags": ["region:eu"], "limits": { "rpm": null, "tpm": 1000, "parallel": null },
        "budgets": [{ "limit_nanousd": 100_500_000_000_u64, "period": "month", "hard": true, "warn_percent": [80, 100] }],
        "metadata": { "cost-centre": "12" }, "created_ms": listed[0]["created_ms"], "expires_ms": listed[0]["expires_ms"],
    });
    assert_eq!(listed, json!([expected]));
    let lived = listed[0]["expires_ms"].as_u64().unwrap() - listed[0]["created_ms"].as_u64().unwrap();
    assert_eq!(lived, 30 * 86_400_000);
    let table = String::from_utf8(home.run(&["keys", "list"]).stdout).unwrap();
    assert!(
        table.starts_with("id ") && table.contains(&id) && table.contains("night"),
        "{table}"
    );
    let secret = key.rsplit('-').next().unwrap();
    for shown in [output.stdout, table.into_bytes(), gateway.log().into_bytes()] {
        assert!(!has(&shown, secret) && !has(&shown, "hmac"));
    }
    for file in fs::read_dir(home.path("pointsman-data")).unwrap() {
        let path = file.unwrap().path();
        let contents = fs::read(&path).unwrap_or_default();
        assert!(!has(&contents, secret), "the secret is in {}", path.display());
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn the_admin_listener_makes_rotates_and_revokes_keys_at_once() {
    let (_provider, gateway) = gateway().await;
    let gateway = gateway.with_token().await;
    let admin = gateway.admin();
    let wish = json!({
        "name": "night", "team": "research", "routes": ["auto"], "limits": { "rpm": 10 },
        "budget": { "limit_usd": 2.5, "period": "day" }, "expires": "2099-01-01",
    });
    let reply = admin.post("/admin/keys", &wish).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    // No waiting: what was answered is in force.
    let old = client(&gateway, key);
    assert_eq!(old.chat(&hello("auto")).await.status, 200);
    assert_eq!(gateway.data().get("/v1/models").await.status, 401);
    let listed = gateway.shows("/admin/keys").await;
    let shown = &listed["keys"][0];
    assert_eq!((&shown["id"], &shown["team"]), (&json!(id), &json!("research")));
    assert!(
        shown.get("hashes").is_none() && !listed.to_string().contains("hmac"),
        "{listed}"
    );
    let rotated = admin
        .post(&format!("/admin/keys/{id}/rotate"), &json!({ "overlap": "0s" }))
        .await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert_eq!(old.get("/v1/models").await.status, 401);
    let new = client(&gateway, rotated.json()["key"].as_str().unwrap());
    assert_eq!(new.get("/v1/models").await.status, 200);
    // Its end may be changed as long as nobody has ended it.
    let expire = format!("/admin/keys/{id}/expire");
    let set = admin.post(&expire, &json!({ "expires": "2098-01-01" })).await;
    assert_eq!(
        (set.status, &set.json()["expires_ms"]),
        (200, &json!(4_039_372_800_000_u64))
    );
    let never = admin.post(&expire, &json!({ "expires": null })).await;
    assert_eq!((never.status, &never.json()["expires_ms"]), (200, &Value::Null));
    for (order, status) in [
        (json!({ "expires": "2020-01-01" }), 422),
        (json!({ "expires": "0s" }), 422),
        (json!({}), 400),
    ] {
        assert_eq!(admin.post(&expire, &order).await.status, status, "{order}");
    }
    let home = gateway.home();
    let output = home.run(&["keys", "expire", id, "--at", "1s"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("ends at 20"),
        "{output:?}"
    );
    until(&new, 401).await;
    let message = new.get("/v1/models").await.refused(401, "invalid_api_key");
    assert!(message.contains("expired"), "{message}");
    assert!(home.run(&["keys", "expire", id, "--never"]).status.success());
    until(&new, 200).await;
    let path = format!("/admin/keys/{id}");
    let revoked = admin.send(Method::DELETE, &path, &[], "").await;
    assert_eq!((revoked.status, &revoked.json()["id"]), (200, &json!(id)));
    assert_eq!(new.get("/v1/models").await.status, 401);
    let again = admin.send(Method::DELETE, &path, &[], "").await;
    assert_eq!(again.json()["revoked_ms"], revoked.json()["revoked_ms"]);
    assert_eq!(
        admin.post(&expire, &json!({ "expires": "1d" })).await.status,
        422,
        "what was ended stays so"
    );
    for change in ["made", "rotated", "given another end", "revoked"] {
        gateway.logged(&["audit", id, &format!("a key was {change}")]).await;
    }
}

#[tokio::test]
async fn orders_that_cannot_be_obeyed_are_refused_and_change_nothing() {
    let (_provider, gateway) = gateway().await;
    let gateway = gateway.with_token().await;
    let admin = gateway.admin();
    for (wish, status, words) in [
        (json!({}), 422, "a key needs a name"),
        (json!({ "name": "n", "team": "sales" }), 422, "no team `sales`"),
        (
            json!({ "name": "n", "routes": ["outo"] }),
            422,
            "no route or model `outo`",
        ),
        (
            json!({ "name": "n", "tags": ["region:mars"] }),
            422,
            "no model has the tag",
        ),
        (json!({ "name": "n", "limits": { "rpm": 0 } }), 422, "limits begin at 1"),
        (
            json!({ "name": "n", "limits": { "rmp": 1 } }),
            400,
            "unknown field `rmp`",
        ),
        (json!({ "name": "n", "expires": "tomorrow" }), 422, "is not a time"),
        (json!({ "name": "n", "expires": "2020-01-01" }), 422, "over already"),
        (
            json!({ "name": "n", "budget": { "limit_usd": -1, "period": "day" } }),
            422,
            "not an amount",
        ),
        (
            json!({ "name": "n", "budget": { "limit_usd": 1, "period": "year" } }),
            422,
            "no period `year`",
        ),
        (json!({ "name": "n", "key": "sk-pm-mine" }), 400, "unknown field `key`"),
        (json!("'; DROP TABLE documents; --"), 400, "the body"),
    ] {
        let reply = admin.post("/admin/keys", &wish).await;
        assert_eq!(reply.status, status, "{wish}: {}", reply.text());
        assert!(reply.text().contains(words), "{wish}: {}", reply.text());
    }
    let long = json!({ "name": "n".repeat(100_000) });
    assert_eq!(admin.post("/admin/keys", &long).await.status, 400);
    for (method, path, status) in [
        (Method::DELETE, "/admin/keys/nobody", 404),
        (Method::POST, "/admin/keys/nobody/rotate", 404),
        (Method::GET, "/admin/keys/nobody/expire", 405),
        (Method::DELETE, "/admin/keys/';--", 404),
        (Method::PUT, "/admin/keys", 405),
        (Method::GET, "/admin/keys/nobody", 405),
        (Method::GET, "/admin/keys/nobody/rotate", 405),
        (Method::GET, "/admin/keys/a/b/c", 404),
        (Method::GET, "/admin/keysmith", 404),
    ] {
        let reply = admin.send(method, path, &[], "").await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    assert_eq!(gateway.shows("/admin/keys").await, json!({ "keys": [] }));
    assert_eq!(gateway.data().get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_declared_key_is_changed_where_it_is_declared() {
    let (_provider, gateway, key) = super::with_key("", "").await;
    let gateway = gateway.with_token().await;
    let reply = gateway.admin().send(Method::DELETE, "/admin/keys/ci", &[], "").await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    let output = gateway.home().run(&["keys", "revoke", "ci"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("declared in the configuration"),
        "{said}"
    );
    let listed = gateway.shows("/admin/keys").await;
    assert_eq!(listed["keys"][0]["source"], json!("configuration"));
    assert_eq!(key.client(&gateway).get("/v1/models").await.status, 200);
}

#[test]
fn of_changes_at_the_same_time_none_is_lost() {
    let home = Home::new();
    home.write("pointsman.toml", complete(""));
    let (id, _) = made(&home, &["create", "--name", "night"]);
    let changes: Vec<Vec<&str>> = vec![
        vec!["rotate", &id],
        vec!["rotate", &id, "--overlap", "48h"],
        vec!["create", "--name", "one"],
        vec!["create", "--name", "two"],
    ];
    thread::scope(|scope| {
        for change in &changes {
            scope.spawn(|| made(&home, change));
        }
    });
    let output = home.run(&["keys", "list", "--format", "json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let night = listed.iter().find(|key| key["id"] == json!(id)).unwrap();
    assert_eq!(night["secrets"], json!(3));
    let mistakes: [(&[&str], i32); 5] = [
        (&["create"], 2),
        (&["create", "--name", "n", "--budget-usd", "1"], 2),
        (&["create", "--name", "n", "--team", "nobody"], 1),
        (&["rotate", "nobody"], 1),
        (&["rotate", &id, "--overlap", "soon"], 1),
    ];
    for (arguments, status) in mistakes {
        let output = home.run(&[&["keys"], arguments].concat());
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    }
}
