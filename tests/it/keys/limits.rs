//! How much a key may ask for: requests and tokens in a minute, requests at one time.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::sdk::sdks;
use tests::{Answer, FakeProvider, Gate, Gateway, Home, Reply};

use super::{Key, hello, with_key};

fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.header(header)?.parse().ok()
}

fn with_max_tokens(tokens: u32) -> Value {
    json!({ "model": "auto", "max_tokens": tokens, "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_refused_and_told_when_to_come_back() {
    let (provider, gateway, key) = with_key("limits = { rpm = 3 }", "").await;
    let client = key.client(&gateway);
    for left in [2, 1, 0] {
        let reply = client.chat(&hello("auto")).await;
        assert_eq!(reply.status, 200);
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), Some(3));
        assert_eq!(number(&reply, "x-ratelimit-remaining-requests"), Some(left));
        let reset = reply.header("x-ratelimit-reset-requests").unwrap();
        assert!(reset.ends_with('s'), "{reset}");
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), None);
    }
    let reply = client.chat(&hello("auto")).await;
    let message = reply.refused(429, "rate_limit_exceeded");
    assert!(
        message.contains("key `ci` may make 3 requests in a minute"),
        "{message}"
    );
    let after = number(&reply, "retry-after").unwrap();
    assert!((1..=61).contains(&after), "{after}");
    assert_eq!(number(&reply, "x-ratelimit-remaining-requests"), Some(0));
    assert_eq!(reply.header("x-should-retry"), None);
    assert_eq!(provider.journal().len(), 3);
    // Anthropic's clients read it in its own words, too.
    let mut said = hello("auto");
    said["max_tokens"] = json!(9);
    let reply = client.post("/v1/messages", &said).await;
    assert_eq!(
        (reply.status, number(&reply, "anthropic-ratelimit-requests-limit")),
        (429, Some(3))
    );
    assert_eq!(number(&reply, "anthropic-ratelimit-requests-remaining"), Some(0));
    assert!(
        reply
            .header("anthropic-ratelimit-requests-reset")
            .unwrap()
            .ends_with('Z')
    );
    // Looking at the models is no request to one.
    assert_eq!(client.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_call_hears_of_its_budgets_in_their_time_zones_and_leaves_its_keys_metadata_in_the_ledger() {
    let own = "team = \"research\"\nmetadata = { cost-centre = \"12\" }\n\
               budget = { limit_usd = 10, period = \"month\", hard = false, warn_percent = [50, 5] }";
    let more = "[teams.research]\nmetadata = { cost-centre = \"7\", floor = \"3\" }\n\
                budget = { limit_usd = 1, period = \"day\", zone = \"Asia/Kathmandu\", warn_percent = [50] }";
    let (provider, gateway, key) = super::with_key(own, more).await;
    // Its provider does not keep to the limit: 0.60 USD.
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 299_995, "total_tokens": 300_005 });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }] });
    provider.on("/v1/chat/completions", [Answer::json(200, &answer)]);
    let client = key.client(&gateway);
    let first = client.chat(&with_max_tokens(5)).await;
    assert_eq!((first.status, first.header("x-pointsman-budget-warning")), (200, None));
    gateway
        .until("/admin/budgets", |shown| {
            let budgets = shown["budgets"].as_array().unwrap();
            budgets.iter().all(|budget| budget["spent_usd"] == "0.60")
        })
        .await;
    let second = client.chat(&with_max_tokens(5)).await;
    assert_eq!(
        second.header("x-pointsman-budget-warning"),
        Some("key:ci month 6%, team:research day 60%")
    );
    gateway
        .until("/admin/budgets", |shown| {
            let budgets = shown["budgets"].as_array().unwrap();
            budgets.iter().all(|budget| budget["spent_usd"] == "1.20")
        })
        .await;
    // Days in Nepal begin a quarter past an hour of UTC's, in winter and in summer.
    let message = client.chat(&with_max_tokens(5)).await.refused(429, "budget_exceeded");
    assert!(
        message.contains("of team:research for this day") && message.contains("T18:15:00Z"),
        "{message}"
    );
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let export = |format| String::from_utf8(home.run(&["store", "export", "--format", format]).stdout).unwrap();
    let lines: Vec<Value> = export("jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["metadata"], json!({ "cost-centre": "12", "floor": "3" }), "{line}");
        assert_eq!((&line["key"], &line["team"]), (&json!("ci"), &json!("research")));
    }
    let csv = export("csv");
    assert!(csv.lines().skip(1).all(|line| line.contains("cost-centre")), "{csv}");
}

#[tokio::test]
async fn what_was_used_outlives_a_change_of_the_configuration() {
    let (provider, gateway, key) = with_key("limits = { rpm = 2 }", "").await;
    let client = key.client(&gateway);
    assert_eq!(client.chat(&hello("auto")).await.status, 200);
    let config = [
        openai("one", &provider.url()),
        route("auto", &["one"], ""),
        format!("\n[keys.ci]\nhash = \"{}\"\nlimits = {{ rpm = 1 }}\n", key.hash),
    ];
    gateway.write_config(&config.concat());
    assert_eq!(gateway.reload().await.status, 200);
    client.chat(&hello("auto")).await.refused(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn tokens_are_counted_by_estimate_and_corrected_by_what_the_answer_says() {
    let (_provider, gateway, key) = with_key("limits = { tpm = 1_000 }", "").await;
    let client = key.client(&gateway);
    let reply = client.chat(&with_max_tokens(900)).await;
    // Ten of input and five of output, as the provider says; the estimate would have left less than a hundred.
    assert_eq!(
        (reply.status, number(&reply, "x-ratelimit-limit-tokens")),
        (200, Some(1_000))
    );
    assert_eq!(
        number(&client.get("/v1/models").await, "x-ratelimit-remaining-tokens"),
        Some(985)
    );
    let reply = client.chat(&with_max_tokens(1_000)).await;
    let message = reply.refused(429, "rate_limit_exceeded");
    assert!(message.contains("it can never be let in"), "{message}");
    assert_eq!(
        (reply.header("retry-after"), reply.header("x-should-retry")),
        (None, Some("false"))
    );
    let reply = client.chat(&with_max_tokens(985)).await;
    reply.refused(429, "rate_limit_exceeded");
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn requests_at_one_time_are_counted_until_their_answers_have_ended() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([
        Answer::chat_stream(["a", "b"]).held_after(1, &gate),
        Answer::chat("hi"),
        Answer::chat("hi"),
    ])
    .await;
    let home = Home::with_config("");
    let keys = [Key::hashed(&home), Key::hashed(&home)];
    let config = [
        openai("one", &provider.url()),
        route("auto", &["one"], ""),
        format!("[keys.a]\nhash = \"{}\"\nteam = \"t\"\n", keys[0].hash),
        format!("[keys.b]\nhash = \"{}\"\nteam = \"t\"\n", keys[1].hash),
        "[teams.t]\nlimits = { parallel = 1, rpm = 100 }\n".to_owned(),
    ];
    home.write("pointsman.toml", complete(&config.concat()));
    let gateway = Gateway::start_in(home).await;
    let body = json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut stream = keys[0].client(&gateway).chat_stream(&body).await;
    stream.next().await.unwrap();
    let other = keys[1].client(&gateway);
    let reply = other.chat(&hello("auto")).await;
    let message = reply.refused(429, "rate_limit_exceeded");
    assert!(message.contains("team `t` has 1 requests under way"), "{message}");
    assert_eq!(number(&reply, "retry-after"), Some(1));
    assert_eq!(number(&reply, "x-ratelimit-limit-requests"), Some(100));
    assert_eq!(
        number(&reply, "x-ratelimit-remaining-requests"),
        Some(99),
        "what was refused took nothing"
    );
    gate.open();
    while stream.next().await.is_some() {}
    // The gateway hears of the end of what it has written a moment after the client has read it.
    while other.chat(&hello("auto")).await.status != 200 {}
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let gate = Gate::shut();
    let held = Answer::chat_stream(["a", "b"]).held_after(1, &gate);
    let provider = FakeProvider::chatting([held, Answer::chat("hi")]).await;
    let home = Home::with_config("");
    let key = Key::hashed(&home);
    let own = format!("[keys.ci]\nhash = \"{}\"\nlimits = {{ parallel = 1 }}\n", key.hash);
    home.write(
        "pointsman.toml",
        complete(&[openai("one", &provider.url()), route("auto", &["one"], ""), own].concat()),
    );
    let gateway = Gateway::start_in(home).await;
    let client = key.client(&gateway);
    let body = json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut stream = client.chat_stream(&body).await;
    stream.next().await.unwrap();
    client.chat(&hello("auto")).await.refused(429, "rate_limit_exceeded");
    drop(stream);
    while client.chat(&hello("auto")).await.status != 200 {}
}

#[tokio::test]
async fn an_application_waits_for_its_place_by_itself_and_reads_what_is_left() {
    for sdk in sdks() {
        let gate = Gate::shut();
        let (provider, gateway, key) = with_key("limits = { rpm = 10, tpm = 10_000, parallel = 1 }", "").await;
        let held = Answer::chat_stream(["a", "b"]).held_after(1, &gate);
        provider.on("/v1/chat/completions", [held, Answer::chat("hi")]);
        let mut body = with_max_tokens(100);
        body["stream"] = true.into();
        let mut stream = key.client(&gateway).chat_stream(&body).await;
        stream.next().await.unwrap();
        // It is refused, waits for as long as it is told, and is let in when the stream has ended.
        let waiting = async {
            let steps = json!([{ "do": "chat", "with": with_max_tokens(100) }]);
            sdk.takes_with_key(&gateway, &key.text, steps).await.remove(0)
        };
        let ending = async {
            while !gateway.admin().get("/metrics").await.text().contains("status=\"429\"") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gate.open();
            while stream.next().await.is_some() {}
        };
        let (seen, ()) = tokio::join!(waiting, ending);
        assert_eq!(
            seen["completion"]["choices"][0]["message"]["content"], "hi",
            "{}: {seen}",
            sdk.name
        );
        let header = |name: &str| seen["headers"][name].as_str().unwrap_or_default().to_owned();
        let found =
            ["limit-requests", "remaining-requests", "limit-tokens"].map(|name| header(&format!("x-ratelimit-{name}")));
        assert_eq!(found, ["10", "8", "10000"], "{}: {seen}", sdk.name);
        let left: u64 = header("x-ratelimit-remaining-tokens").parse().unwrap();
        assert!((9_000..10_000).contains(&left), "{}: {left}", sdk.name);
        assert_eq!(provider.journal().len(), 2, "{}", sdk.name);
    }
}
