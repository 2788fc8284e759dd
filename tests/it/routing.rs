//! Which model serves: the policies in the box over real requests, what the gateway makes of a verdict, and which
//! candidates a request has in the first place. What each policy can do is in its golden files.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, FakeProvider, Gateway, Home, guests};

/// Three models at one provider, the dearer the larger.
async fn three(policies: &str, more: &str) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let models = [
        ("small", "0.1", "cheap"),
        ("medium", "1.0", "usual"),
        ("large", "10.0", "strong"),
    ]
    .map(|(name, price, tag)| {
        openai(name, &provider.url())
            .replace("input = 1.0", &format!("input = {price}"))
            .replace("upstream = ", &format!("tags = [\"{tag}\"]\nupstream = "))
    });
    let config = [
        models.concat(),
        more.to_owned(),
        route("auto", &["medium", "small", "large"], &format!("policies = {policies}")),
    ]
    .concat();
    let home = Home::with_config(&config);
    home.write("told.wasm", guests::component("decides-as-told"));
    (provider, Gateway::start_in(home).await)
}

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

/// Who served a request, and the reason that was given.
async fn served(gateway: &Gateway, ask: &Value) -> (String, String) {
    let reply = gateway.data().chat(ask).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    (header("x-pointsman-provider"), header("x-pointsman-reason"))
}

#[tokio::test]
async fn words_lead_to_the_models_that_are_preferred_for_them() {
    let rules = "rules = [{ any = [\"python\", \"debug\"], label = \"coding\", prefer = [\"tag:strong\"] }, { regex = [\"^hi+$\"], prefer = [\"small/model\"] }]";
    let (_provider, gateway) = three("[\"words\"]", &policy("words", "keyword", rules)).await;
    assert_eq!(served(&gateway, &ask("Debug this Python code")).await.0, "large");
    assert_eq!(served(&gateway, &ask("hiii")).await.0, "small");
    assert_eq!(
        served(&gateway, &ask("Where do pythons live?")).await,
        ("medium".into(), String::new())
    );
}

#[tokio::test]
async fn harder_prompts_go_to_larger_models() {
    let tiers = "score = \"indicators\"\n[policies.hard.config.tiers]\nsimple = { prefer = [\"tag:cheap\"] }\ncomplex = { prefer = [\"tag:strong\"] }";
    let (_provider, gateway) = three("[\"hard\"]", &policy("hard", "complexity", tiers)).await;
    let (simple, reason) = served(&gateway, &ask("Good morning")).await;
    assert!(simple == "small" && reason.contains("simple"), "{simple}: {reason}");
    let (complex, reason) = served(&gateway, &ask("Analyze and compare three consensus protocols")).await;
    assert!(complex == "large" && reason.contains("complex"), "{complex}: {reason}");
    assert_eq!(served(&gateway, &ask("Write a poem about rain")).await.0, "medium");
}

#[tokio::test]
async fn a_split_keeps_a_session_where_it_is_and_gives_every_arm_its_part() {
    let arms = "sticky = \"session\"\narms = [{ label = \"a\", weight = 1, prefer = [\"small/model\"] }, { label = \"b\", weight = 1, prefer = [\"large/model\"] }]";
    let (_provider, gateway) = three("[\"split\"]", &policy("split", "weighted", arms)).await;
    let mut seen = BTreeSet::new();
    for session in 0..20 {
        let client = gateway
            .data()
            .with_header("x-session-id", &format!("session-{session}"));
        let mut models = BTreeSet::new();
        for text in ["one", "two", "three"] {
            let reply = client.chat(&ask(text)).await;
            let (model, reason) = (
                reply.header("x-pointsman-model").unwrap(),
                reply.header("x-pointsman-reason").unwrap(),
            );
            assert!(reason.starts_with("arm "), "{reason}");
            models.insert(model.to_owned());
        }
        assert_eq!(models.len(), 1, "session {session}");
        seen.append(&mut models);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["large/model", "small/model"]);
}

#[tokio::test]
async fn a_budget_steers_to_what_is_affordable_and_then_refuses() {
    // An answer costs 10 × 1.0 + 5 × 2.0 = 20 millionths at `medium`, and 11 at `small`.
    let limit = "limit_usd = 0.00003\ndowngrade_at = 0.5";
    let budget = policy("budget", "budget", limit).replace(
        "[policies.budget.config]",
        "grants = [\"state\"]\n[policies.budget.config]",
    );
    let (provider, gateway) = three("[\"budget\"]", &budget).await;
    let mut ask = ask("hi");
    ask["max_tokens"] = 1.into();
    assert_eq!(served(&gateway, &ask).await.0, "medium");
    // What was spent is counted after the answer has gone out.
    let mut reply = gateway.data().chat(&ask).await;
    while reply.status == 200 {
        reply = gateway.data().chat(&ask).await;
    }
    let message = reply.refused(429, "budget_exceeded");
    assert!(message.contains("budget"), "{message}");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    let before = provider.journal().len();
    gateway.data().chat(&ask).await.refused(429, "budget_exceeded");
    assert_eq!(provider.journal().len(), before, "a refused call went out");
}

#[tokio::test]
async fn the_cost_of_one_call_can_be_capped() {
    let budget = policy("budget", "budget", "max_call_usd = 0.0001").replace(
        "[policies.budget.config]",
        "grants = [\"state\"]\n[policies.budget.config]",
    );
    let (_provider, gateway) = three("[\"budget\"]", &budget).await;
    let mut ask = ask("hi");
    ask["max_tokens"] = 10.into();
    assert_eq!(served(&gateway, &ask).await.0, "medium");
    ask["max_tokens"] = 1_000_000.into();
    gateway.data().chat(&ask).await.refused(429, "budget_exceeded");
}

#[tokio::test]
async fn policies_run_in_the_routes_order_each_on_what_the_one_before_left() {
    let first = policy(
        "first",
        "told.wasm",
        "steps = [{ candidate = \"small/model\" }, { candidate = \"large/model\" }]\nlabels = [[\"class\", \"a\"]]\nreason = \"without medium\"",
    );
    let second = policy(
        "second",
        "keyword",
        "rules = [{ any = [\"hello\"], prefer = [\"medium/model\", \"large/model\"] }]",
    );
    let both = first + &second;
    let (_provider, gateway) = three("[\"first\", \"second\"]", &both).await;
    let reply = gateway.data().chat(&ask("hello")).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("large/model"));
    assert_eq!(
        reply.header("x-pointsman-reason"),
        Some("without medium; rule 1 found `hello`")
    );
    let names: Vec<&str> = reply
        .header("x-pointsman-policy")
        .unwrap()
        .split(',')
        .map(|name| name.split('@').next().unwrap())
        .collect();
    assert_eq!(names, ["first", "second"]);
    let (_provider, gateway) = three("[\"second\", \"first\"]", &both).await;
    assert_eq!(served(&gateway, &ask("hello")).await.0, "small");
}

#[tokio::test]
async fn edits_are_applied_to_the_bytes_that_are_forwarded() {
    let edits = r#"edits = [["/temperature", "0.5"], ["/metadata/tier", "\"gold\""], ["/user", ""], ["/messages/0/content", "\"edited\""], ["/stop/-", "\"END\""]]"#;
    let (provider, gateway) = three("[\"told\"]", &policy("told", "told.wasm", edits)).await;
    let mut ask = ask("hello");
    ask["user"] = "somebody".into();
    ask["metadata"] = json!({ "kept": true });
    ask["stop"] = json!(["."]);
    served(&gateway, &ask).await;
    let expected = json!({
        "model": "upstream-model", "messages": [{ "role": "user", "content": "edited" }], "temperature": 0.5,
        "metadata": { "kept": true, "tier": "gold" }, "stop": [".", "END"],
    });
    assert_eq!(provider.only().json(), expected);
}

#[tokio::test]
async fn an_edit_that_cannot_be_made_is_a_fault_of_the_policy_that_wants_it() {
    let edits = |edits: &str| format!("edits = [{edits}]\nlabels = [[\"of\", \"it\"]]");
    let (good, bad) = (
        r#"["/temperature", "0.5"]"#,
        r#"["/user", "\"x\""], ["/metadata/x", "1"]"#,
    );
    let skipped = policy("skipped", "told.wasm", &edits(bad)).replace(
        "[policies.skipped.config]",
        "on_fault = \"skip\"\n[policies.skipped.config]",
    );
    let more = skipped
        + &policy("denied", "told.wasm", &edits(bad))
        + &policy("good", "told.wasm", &edits(good))
        + &route("denying", &["small"], "policies = [\"good\", \"denied\"]");
    let (provider, gateway) = three("[\"good\", \"skipped\"]", &more).await;
    served(&gateway, &ask("hello")).await;
    // Nothing of what the skipped one wanted is done, and all of what the other did.
    let sent = provider.only().json();
    assert_eq!((&sent["temperature"], &sent["user"]), (&json!(0.5), &json!(null)));
    gateway
        .logged(&[
            "a policy failed and was skipped",
            "skipped",
            "`/metadata/x` has no parent",
        ])
        .await;

    let mut refused = ask("hello");
    refused["model"] = "denying".into();
    gateway.data().chat(&refused).await.refused(503, "policy_unavailable");
    gateway
        .logged(&["policy_unavailable", "policy `denied`", "`/metadata/x` has no parent"])
        .await;
    for plugin in ["skipped", "denied"] {
        let faults = format!("pointsman_plugin_faults_total{{plugin=\"{plugin}\",kind=\"invalid_output\"}}");
        assert_eq!(gateway.metric(&faults).await, 1.0, "{plugin}");
    }
    refused["metadata"] = json!({});
    assert_eq!(gateway.data().chat(&refused).await.status, 200);
}

#[tokio::test]
async fn a_policys_refusal_ends_the_request_with_its_own_words() {
    let told = |name: &str, config: &str| {
        policy(name, "told.wasm", config) + &route(name, &["small", "large"], &format!("policies = [\"{name}\"]"))
    };
    let refusing = "reject = [451, \"not_here\", \"ask elsewhere\"]\nretry_after_ms = 1500";
    let more = told("legal", refusing) + &told("strange", "reject = [200, \"odd\", \"a success that is none\"]");
    let (provider, gateway) = three("[]", &more).await;
    let mut ask = ask("hello");
    ask["model"] = "legal".into();
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(reply.refused(451, "not_here"), "ask elsewhere");
    let header = |name| reply.header(name);
    assert_eq!(
        (
            header("x-should-retry"),
            header("retry-after"),
            header("retry-after-ms")
        ),
        (Some("false"), Some("2"), Some("1500"))
    );
    ask["stream"] = true.into();
    assert_eq!(gateway.data().chat_stream(&ask).await.status, 451);
    ask["model"] = "strange".into();
    gateway.data().chat(&ask).await.refused(403, "odd");
    assert!(provider.journal().is_empty());
}

#[tokio::test]
async fn models_that_cannot_serve_a_request_are_no_candidates() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let model =
        |name: &str, more: &str| openai(name, &provider.url()).replace("upstream = ", &format!("{more}\nupstream = "));
    let config = [
        model(
            "short",
            "context = 50\nabilities = [\"streaming\", \"tools\", \"vision\", \"structured-output\"]",
        ),
        model("plain", "context = 1000\nabilities = []"),
        model(
            "able",
            "context = 100000\nabilities = [\"streaming\", \"tools\", \"vision\", \"structured-output\"]",
        ),
        route("auto", &["short", "plain", "able"], ""),
        route("plain-only", &["plain"], ""),
        route("none", &["plain", "lame"], ""),
        model("lame", "abilities = [\"streaming\"]"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let long = "word ".repeat(100);
    let image = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }]);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    for (change, expected) in [
        (json!({}), "short"),
        (json!({ "messages": [{ "role": "user", "content": long }] }), "plain"),
        (
            json!({ "messages": [{ "role": "user", "content": long }], "tools": tools }),
            "able",
        ),
        (json!({ "messages": [{ "role": "user", "content": image }] }), "able"),
        (
            json!({ "messages": [{ "role": "user", "content": long }], "response_format": { "type": "json_object" } }),
            "able",
        ),
        // Only an estimate says that it is too long for all, so the largest may try.
        (
            json!({ "messages": [{ "role": "user", "content": "word ".repeat(100_000) }] }),
            "able",
        ),
        // There is nothing to choose, and the provider knows its own limits best.
        (json!({ "model": "plain-only", "tools": tools }), "plain"),
        (json!({ "model": "plain/model", "tools": tools }), "plain"),
    ] {
        let mut ask = ask("hello");
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(served(&gateway, &ask).await.0, expected, "{change:.200}");
    }
    let mut ask = ask("hello");
    ask["model"] = "none".into();
    ask["tools"] = tools;
    let message = gateway.data().chat(&ask).await.refused(400, "no_candidate");
    assert!(
        message.contains("`plain/model` lacks tools") && message.contains("`lame/model` lacks tools"),
        "{message}"
    );
}
