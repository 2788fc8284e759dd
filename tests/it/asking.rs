//! Policies that ask models: what goes to whom, what it costs, what is refused, and how it ends when a provider hangs or the
//! client leaves. The policy is a guest that puts what it was answered into its reason.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gate, Gateway, Home, Outcome, guests};
use tokio::task::JoinSet;

/// A policy that asks as its configuration says, before an answer by `one/model`; it may ask `two/model`.
fn config(one: &str, two: &str, keys: &str, asks: &str) -> String {
    let models = if keys.contains("models =") {
        ""
    } else {
        "models = [\"two/model\"]"
    };
    [
        openai("one", one),
        openai("two", two),
        format!(
            "\n[policies.asks]\ncomponent = \"asks.wasm\"\ngrants = [\"models\"]\n{models}\n{keys}\n[policies.asks.config]\n{asks}\n"
        ),
        route("auto", &["one"], "policies = [\"asks\"]"),
        // Nobody looks at the clock but where a test says so.
        "\n[plugins.limits]\ncall_ms = 20_000\n".to_owned(),
    ]
    .concat()
}

fn home(config: &str) -> Home {
    let home = Home::with_config(config);
    home.write("asks.wasm", guests::component("asks"));
    home
}

async fn before(one: &FakeProvider, two: &FakeProvider, keys: &str, asks: &str) -> Gateway {
    Gateway::start_in(home(&config(&one.url(), &two.url(), keys, asks))).await
}

async fn two() -> (FakeProvider, FakeProvider) {
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let two = FakeProvider::chatting([Answer::chat("from two")]).await;
    (one, two)
}

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] })
}

/// What the guest was answered.
async fn heard(gateway: &Gateway, ask: &Value) -> String {
    let reply = gateway.data().chat(ask).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-pointsman-reason").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_prompt_is_asked_and_its_cost_is_the_requests() {
    let (one, two) = two().await;
    let wish = r#"asks = [{ model = "two/model", system = "be brief", user = "which class?", max_output_tokens = 7, json_schema = "{\"type\":\"object\"}" }]"#;
    let gateway = before(&one, &two, "", wish).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(
        reply.header("x-pointsman-reason"),
        Some("from two stop 10+5 Some(20000)")
    );
    // Two answers of 10 × 1.0 + 5 × 2.0 millionths each.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00004"));
    assert_eq!(reply.header("x-pointsman-attempts"), Some("1"));
    let expected = json!({
        "model": "upstream-model", "max_completion_tokens": 7,
        "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "which class?" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": { "type": "object" } } },
    });
    assert_eq!(two.only().json(), expected);
    assert_eq!(two.only().header("authorization"), Some("Bearer key-of-two"));
    for provider in ["one", "two"] {
        let labels = format!("gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"{provider}/model\"");
        let spent = gateway.metric(&format!("pointsman_spent_usd_total{{{labels}}}")).await;
        assert!((spent - 0.00002).abs() < 1e-12, "{provider}: {spent}");
        let attempts = format!("pointsman_attempts_total{{{labels},error_type=\"\"}}");
        assert_eq!(gateway.metric(&attempts).await, 1.0, "{provider}");
    }
}

#[tokio::test]
async fn the_clients_own_request_is_asked_with_edits_and_never_as_a_stream() {
    let one = FakeProvider::chatting([Answer::chat_stream(["hi"])]).await;
    let two = FakeProvider::chatting([Answer::chat("from two")]).await;
    let wish =
        r#"asks = [{ model = "two/model", max_output_tokens = 3, edits = [["/temperature", "0"], ["/user", ""]] }]"#;
    let gateway = before(&one, &two, "", wish).await;
    let mut ask = ask();
    ask["stream"] = true.into();
    ask["stream_options"] = json!({ "include_usage": true });
    ask["max_tokens"] = 100.into();
    ask["user"] = "somebody".into();
    let stream = gateway.data().chat_stream(&ask).await;
    assert_eq!(
        stream.header("x-pointsman-reason"),
        Some("from two stop 10+5 Some(20000)")
    );
    let (events, _) = stream.rest().await;
    let costs: Vec<Value> = events
        .iter()
        .filter(|event| event.data != "[DONE]")
        .map(|event| event.json()["usage"]["cost"].clone())
        .filter(|cost| !cost.is_null())
        .collect();
    assert_eq!(costs, [json!(0.00004)]);
    let expected = json!({
        "model": "upstream-model", "messages": ask["messages"], "max_tokens": 3, "temperature": 0,
    });
    assert_eq!(two.only().json(), expected);
}

#[tokio::test]
async fn a_cost_that_is_unknown_in_part_is_unknown() {
    let (one, two) = two().await;
    let wish = "asks = [{ model = \"two/model\", user = \"?\" }]";
    let priced = "[models.\"two/model\"]\nprovider = \"two\"\nupstream = \"upstream-model\"\n";
    let text = config(&one.url(), &two.url(), "", wish);
    let price = "price = { input = 1.0, cached_input = 0.1, output = 2.0 }\n";
    let text = text.replace(&format!("{priced}{price}"), priced);
    let gateway = Gateway::start_in(home(&text)).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(reply.header("x-pointsman-reason"), Some("from two stop 10+5 None"));
    assert_eq!(reply.header("x-pointsman-cost-usd"), None);
}

#[tokio::test]
async fn nobody_is_asked_who_may_not_be_and_not_more_often_than_allowed() {
    let (one, two) = two().await;
    let wish = r#"
rounds = 2
asks = [{ model = "one/model", user = "?" }, { model = "three", user = "?" }, { model = "two/model", user = "?" }, { model = "two/model", user = "?" }]"#;
    let gateway = before(&one, &two, "limits = { asks = 3 }", wish).await;
    let reason = heard(&gateway, &ask()).await;
    let said: Vec<&str> = reason.split(" | ").collect();
    assert!(
        said[0].starts_with("refused: the policy may not ask `one/model`"),
        "{reason}"
    );
    assert!(
        said[1].starts_with("refused: the policy may not ask `three`"),
        "{reason}"
    );
    for answered in [2, 3, 6] {
        assert!(said[answered].starts_with("from two"), "{reason}");
    }
    assert!(said[7].starts_with("refused: more than 3 asks in one call"), "{reason}");
    assert_eq!((one.journal().len(), two.journal().len()), (1, 3));
}

#[tokio::test]
async fn a_star_allows_every_model_of_the_catalog_and_no_other() {
    let (one, two) = two().await;
    let wish = r#"asks = [{ model = "one/model", user = "?" }, { model = "one/other", user = "?" }, { model = "auto", user = "?" }]"#;
    let text = config(&one.url(), &two.url(), "models = [\"*\"]", wish);
    let text = text.replace("[providers.one]", "[providers.one]\nallow_any_model = true");
    let gateway = Gateway::start_in(home(&text)).await;
    let unknown = "refused: the catalog has no such model";
    let expected = format!("from one stop 10+5 Some(20000) | {unknown} | {unknown}");
    assert_eq!(heard(&gateway, &ask()).await, expected);
}

#[tokio::test]
async fn an_ask_that_makes_no_request_is_refused() {
    let (one, two) = two().await;
    let wish = r#"asks = [
        { model = "two/model", edits = [["/model", "\"gpt\""]] }, { model = "two/model", edits = [["/a", "{"]] },
        { model = "two/model", edits = [["/nothing/there", "1"]] }, { model = "two/model", edits = [["/messages", "[]"]] },
        { model = "two/model", user = "?", json_schema = "no json" }]"#;
    let gateway = before(&one, &two, "", wish).await;
    let reason = heard(&gateway, &ask()).await;
    let expected = [
        "refused: `/model` is the host's and cannot be edited",
        "refused: the value for `/a` is not JSON",
        "refused: an edit cannot be made: `/nothing/there` has no parent",
        "refused: `messages` must hold at least one message",
        "refused: the JSON Schema is not JSON",
    ];
    for (said, expected) in reason.split(" | ").zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
    assert!(two.journal().is_empty());
}

#[tokio::test]
async fn all_asks_of_a_list_are_under_way_before_the_first_is_answered() {
    let gate = Gate::shut();
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let two = FakeProvider::chatting(["a", "b", "c"].map(|text| Answer::chat(text).held(&gate))).await;
    let wish = "asks = [{ model = \"two/model\", user = \"1\" }, { model = \"two/model\", user = \"2\" }, { model = \"two/model\", user = \"3\" }]";
    let gateway = before(&one, &two, "", wish).await;
    let client = gateway.data();
    let asking = tokio::spawn(async move { client.chat(&ask()).await });
    two.until(|journal| journal.len() == 3).await;
    assert!(one.journal().is_empty());
    (0..3).for_each(|_| gate.open());
    let reply = asking.await.unwrap();
    // Each reply stands where its ask stood, whatever the order of arrival.
    let answers = ["a", "b", "c"];
    let arrived: Vec<String> = two
        .journal()
        .iter()
        .map(|received| received.json()["messages"][0]["content"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<&str> = ["1", "2", "3"]
        .iter()
        .map(|prompt| answers[arrived.iter().position(|own| own == prompt).unwrap()])
        .collect();
    let reason = reply.header("x-pointsman-reason").unwrap().to_owned();
    let said: Vec<&str> = reason.split(" | ").map(|said| &said[..1]).collect();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_provider_that_fails_or_hangs_is_told_to_the_policy() {
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let two = FakeProvider::chatting([Answer::error(500, "oops"), Answer::never()]).await;
    let wish = "rounds = 2\nasks = [{ model = \"two/model\", user = \"?\", timeout_ms = 200 }]";
    let gateway = before(&one, &two, "", wish).await;
    assert_eq!(heard(&gateway, &ask()).await, "upstream: oops | timed out");
    gateway
        .logged(&["a policy's ask failed", "two/model", "timed_out"])
        .await;
}

#[tokio::test]
async fn waiting_counts_against_the_time_for_asking_and_not_against_that_for_computing() {
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let two = FakeProvider::chatting([Answer::never()]).await;
    // Far longer than the call may compute; the second round has no time left to ask.
    let wish = "rounds = 2\nasks = [{ model = \"two/model\", user = \"?\" }]";
    let gateway = before(&one, &two, "limits = { ask_ms = 4000, call_ms = 2000 }", wish).await;
    assert_eq!(heard(&gateway, &ask()).await, "timed out | timed out");
    assert_eq!(two.journal().len(), 1);
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_after_its_asks_is_stopped() {
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    // Longer than the gateway's clock goes on where nothing computes.
    let late = Answer::chat("from two").delayed(Duration::from_millis(500));
    let two = FakeProvider::chatting([late, Answer::chat("from two")]).await;
    let wish = "spins = true\nasks = [{ model = \"two/model\", user = \"?\" }]";
    let gateway = before(&one, &two, "on_fault = \"skip\"\nlimits = { call_ms = 100 }", wish).await;
    for _ in 0..3 {
        assert_eq!(heard(&gateway, &ask()).await, "");
    }
    let faults = "pointsman_plugin_faults_total{plugin=\"asks\",kind=\"deadline\"}";
    assert_eq!(gateway.metric(faults).await, 3.0);
}

#[tokio::test]
async fn clients_that_leave_take_the_asks_back() {
    /// At one time.
    const WAVE: usize = 20;
    // With the name set, as `cargo xtask soak leave` does it, more of them.
    let waves = std::env::var("POINTSMAN_SOAK_TIMES").map_or(5, |times| times.parse::<usize>().unwrap() / WAVE);
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let mut answers = vec![Answer::never(); waves * WAVE];
    answers.push(Answer::chat("from two"));
    let two = FakeProvider::chatting(answers).await;
    let gateway = before(&one, &two, "", "asks = [{ model = \"two/model\", user = \"?\" }]").await;
    for wave in 1..=waves {
        let mut asking = JoinSet::new();
        for _ in 0..WAVE {
            let client = gateway.data();
            asking.spawn(async move { client.chat(&ask()).await });
        }
        two.until(|journal| journal.len() == wave * WAVE).await;
        asking.shutdown().await;
    }
    two.until(|journal| journal.iter().all(|received| received.outcome == Outcome::Abandoned))
        .await;
    assert!(one.journal().is_empty());
    assert!(heard(&gateway, &ask()).await.starts_with("from two"));
    let faults = gateway.admin().get("/metrics").await.text();
    assert!(!faults.contains("kind=\"host\""), "{faults}");
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_and_not_queued() {
    let one = FakeProvider::chatting([Answer::chat("from one")]).await;
    let gate = Gate::shut();
    let two = FakeProvider::chatting([Answer::chat("from two").held(&gate)]).await;
    let wish = "asks = [{ model = \"two/model\", user = \"?\" }]";
    let text = config(&one.url(), &two.url(), "", wish) + "\n[plugins]\nasking = 1\n";
    let gateway = Gateway::start_in(home(&text)).await;
    let client = gateway.data();
    let first = tokio::spawn(async move { client.chat(&ask()).await });
    two.until(|journal| journal.len() == 1).await;
    gateway.data().chat(&ask()).await.refused(503, "overloaded");
    let busy = "pointsman_plugin_faults_total{plugin=\"asks\",kind=\"busy\"}";
    assert_eq!(gateway.metric(busy).await, 1.0);
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn nobody_is_asked_for_a_decision_that_serves_no_request() {
    let (one, two) = two().await;
    let wish = "asks = [{ model = \"two/model\", user = \"?\" }]";
    let test = "\n[[policies.asks.tests]]\nrequest = { messages = [{ role = \"user\", content = \"hi\" }] }\nexpect = \"one/model\"\n";
    let home = home(&(config(&one.url(), &two.url(), "", wish) + test));
    home.write("request.json", ask().to_string());
    let explained = home.run(&[
        "explain",
        "--config",
        "pointsman.toml",
        "--format",
        "json",
        "request.json",
    ]);
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    let errors = String::from_utf8_lossy(&explained.stderr);
    assert!(
        text.contains("refused: no model is asked for a decision that serves no request"),
        "{text}{errors}"
    );
    assert!(one.journal().is_empty() && two.journal().is_empty());
}

#[test]
fn a_policy_cannot_ask_while_it_is_configured() {
    let home = home(&config("http://127.0.0.1:9", "http://127.0.0.1:9", "", "early = true"));
    let checked = home.run(&["check", "--config", "pointsman.toml"]);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        errors.contains("models cannot be asked while the plugin is being configured"),
        "{errors}"
    );
}

#[test]
fn whom_a_policy_may_ask_has_to_be_said_and_be_in_the_catalog() {
    let complaint = |keys: &str| {
        let text = config("http://127.0.0.1:9", "http://127.0.0.1:9", keys, "");
        let checked = home(&text).run(&["check", "--config", "pointsman.toml"]);
        assert_eq!(checked.status.code(), Some(1), "{keys}");
        String::from_utf8_lossy(&checked.stderr).into_owned()
    };
    let unknown = complaint("models = [\"two/modle\"]");
    assert!(
        unknown.contains("26:11: policies.asks: no model `two/modle`; did you mean `two/model`?"),
        "{unknown}"
    );
    let missing = complaint("models = []");
    assert!(
        missing.contains("24:10: policies.asks: the grant `models` needs the models that may be asked"),
        "{missing}"
    );
}
