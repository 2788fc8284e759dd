//! What a key may use: routes, models and tags, of its own, its team and its organisation.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::gateway::complete;
use tests::{Answer, FakeProvider, Gateway, Home};

use super::{Key, hello};

/// Two providers, of which `one` is in the EU, and the keys `ci` and `ops` with these lines of their own.
async fn gateway(ci: &str, ops: &str, more: &str) -> (FakeProvider, FakeProvider, Gateway, [Key; 2]) {
    let (one, two) = (
        FakeProvider::chatting([Answer::chat("one")]).await,
        FakeProvider::chatting([Answer::chat("two")]).await,
    );
    let home = Home::with_config("");
    let keys = [Key::hashed(&home), Key::hashed(&home)];
    let tagged = openai("one", &one.url()).replace("price =", "tags = [\"region:eu\"]\nprice =");
    let config = [
        tagged,
        openai("two", &two.url()) + "\n[providers.any]\nadapter = \"simulated\"\nallow_any_model = true\n",
        policy(
            "first",
            "keyword",
            "rules = [{ any = [\"hello\"], prefer = [\"two/model\"] }]",
        ),
        route("auto", &["two", "one"], "policies = [\"first\"]"),
        route("abroad", &["two"], ""),
        format!("\n[keys.ci]\nhash = \"{}\"\n{ci}\n", keys[0].hash),
        format!("\n[keys.ops]\nhash = \"{}\"\n{ops}\n{more}\n", keys[1].hash),
    ];
    home.write("pointsman.toml", complete(&config.concat()));
    (one, two, Gateway::start_in(home).await, keys)
}

fn ids(models: &Value) -> Vec<&str> {
    let models = models["data"].as_array().into_iter().flatten();
    models.filter_map(|model| model["id"].as_str()).collect()
}

#[tokio::test]
async fn a_key_reaches_the_names_that_it_may_ask_for_and_no_others() {
    let (_one, two, gateway, [ci, ops]) = gateway("routes = [\"auto\", \"one/*\"]", "routes = []", "").await;
    let client = ci.client(&gateway);
    assert_eq!(client.chat(&hello("auto")).await.status, 200);
    assert_eq!(client.chat(&hello("one/model")).await.status, 200);
    let asked = two.journal().len();
    for name in ["abroad", "two/model", "any/thing", "nowhere"] {
        let reply = client.chat(&hello(name)).await;
        let message = reply.refused(403, "permission_denied");
        let expected = format!("`{name}` is not for key `ci`, which may ask for `auto`, `one/*`");
        assert_eq!((message, reply.header("x-should-retry")), (expected, Some("false")));
        client
            .get(&format!("/v1/models/{name}"))
            .await
            .refused(404, "model_not_found");
    }
    assert_eq!(two.journal().len(), asked);
    client.chat(&hello("one/other")).await.refused(404, "model_not_found");
    assert_eq!(ids(&client.get("/v1/models").await.json()), ["auto", "one/model"]);
    let nothing = ops.client(&gateway);
    assert_eq!(ids(&nothing.get("/v1/models").await.json()), [""; 0]);
    nothing.chat(&hello("auto")).await.refused(403, "permission_denied");
}

#[tokio::test]
async fn no_policy_and_no_wish_leads_to_a_model_without_the_required_tag() {
    let teams = "[teams.legal]\ntags = [\"region:eu\"]\n";
    let (_one, two, gateway, [ci, ops]) = gateway("team = \"legal\"", "", teams).await;
    // The policy prefers the other one, and gets its way with a key that may.
    let free = ops.client(&gateway).chat(&hello("auto")).await;
    assert_eq!(free.header("x-pointsman-model"), Some("two/model"));
    let asked = two.journal().len();
    let client = ci.client(&gateway);
    let held = client.chat(&hello("auto")).await;
    assert_eq!(
        (held.status, held.header("x-pointsman-model")),
        (200, Some("one/model"))
    );
    for name in ["abroad", "two/model", "any/thing"] {
        let message = client.chat(&hello(name)).await.refused(403, "permission_denied");
        let expected = format!("no model of `{name}` may serve this key: team `legal` requires the tags `region:eu`");
        assert_eq!(message, expected);
    }
    assert_eq!(two.journal().len(), asked);
    assert_eq!(ids(&client.get("/v1/models").await.json()), ["auto", "one/model"]);
}

#[tokio::test]
async fn key_team_and_organisation_are_all_kept_to() {
    let more =
        "[teams.t]\norganisation = \"o\"\nmodels = [\"*/model\"]\n[organisations.o]\nroutes = [\"auto\", \"two/*\"]\n";
    let (_one, _two, gateway, [ci, _ops]) = gateway("team = \"t\"\nmodels = [\"one/*\", \"any/*\"]", "", more).await;
    let client = ci.client(&gateway);
    let served = client.chat(&hello("auto")).await;
    assert_eq!(served.header("x-pointsman-model"), Some("one/model"));
    let message = client.chat(&hello("two/model")).await.refused(403, "permission_denied");
    assert!(
        message.contains("key `ci` may use `one/*`, `any/*`; team `t` may use `*/model`"),
        "{message}"
    );
    let message = client.chat(&hello("one/model")).await.refused(403, "permission_denied");
    assert!(message.contains("not for organisation `o`"), "{message}");
    assert_eq!(ids(&client.get("/v1/models").await.json()), ["auto"]);
}

#[tokio::test]
async fn policies_know_keys_and_teams_and_ask_no_model_that_is_not_for_the_caller() {
    let more = "[teams.research]\n[policies.known]\ncomponent = \"keyword\"\n[policies.known.config]\n\
        rules = [{ when = [{ of = \"key\", is = [\"ci\"] }, { of = \"team\", is = [\"research\"] }], label = \"theirs\", prefer = [\"one/model\"] }]\n\
        [routes.known]\ncandidates = [\"two/model\", \"one/model\"]\npolicies = [\"known\"]\n\
        [policies.judge]\ncomponent = \"classifier\"\ngrants = [\"models\"]\nmodels = [\"two/model\"]\n[policies.judge.config]\n\
        model = \"two/model\"\nclasses = [{ name = \"easy\" }, { name = \"hard\" }]\n\
        [routes.judged]\ncandidates = [\"one/model\"]\npolicies = [\"judge\"]\n";
    let (_one, two, gateway, [ci, ops]) = gateway("team = \"research\"\nmodels = [\"one/model\"]", "", more).await;
    let theirs = ci.client(&gateway).chat(&hello("known")).await;
    assert_eq!(theirs.header("x-pointsman-model"), Some("one/model"));
    let others = ops.client(&gateway).chat(&hello("known")).await;
    assert_eq!(others.header("x-pointsman-model"), Some("two/model"));
    let asked = two.journal().len();
    let _ = ci.client(&gateway).chat(&hello("judged")).await;
    assert_eq!(
        two.journal().len(),
        asked,
        "a policy asked a model that its caller may not use"
    );
    let _ = ops.client(&gateway).chat(&hello("judged")).await;
    assert_eq!(two.journal().len(), asked + 1);
}

#[tokio::test]
async fn what_one_key_asks_shows_nothing_of_another() {
    let (_one, _two, gateway, [ci, ops]) = gateway("routes = [\"auto\"]", "routes = [\"abroad\"]", "").await;
    for (key, other) in [(&ci, "ops"), (&ops, "ci")] {
        for path in ["/v1/models", "/v1/models/auto", "/v1/models/abroad"] {
            let text = key.client(&gateway).get(path).await.text();
            assert!(!text.contains(other), "{path}: {text}");
        }
        let refused = key
            .client(&gateway)
            .chat(&json!({ "model": "two/model", "messages": [] }))
            .await;
        assert!(!refused.text().contains(other), "{}", refused.text());
    }
}

#[tokio::test]
async fn explain_says_where_a_declared_keys_request_would_go() {
    let (_one, _two, gateway, _keys) = gateway("tags = [\"region:eu\"]", "routes = [\"abroad\"]", "").await;
    let explained = |key: Value| {
        let request = json!({ "body": hello("auto"), "key": key }).to_string();
        gateway.home().write("request.jsonl", request);
        let output = gateway.home().run(&["explain", "request.jsonl"]);
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), explained)
    };
    let (status, free) = explained(Value::Null);
    assert_eq!((status, &free["serves"]), (Some(0), &json!("two/model")));
    let (status, held) = explained(json!("ci"));
    assert_eq!((status, &held["candidates"]), (Some(0), &json!(["one/model"])));
    let (status, refused) = explained(json!("ops"));
    assert_eq!(
        (status, &refused["error"]["code"]),
        (Some(0), &json!("permission_denied"))
    );
    let (status, unknown) = explained(json!("nobody"));
    assert_eq!((status, &unknown["error"]["param"]), (Some(1), &json!("key")));
}
