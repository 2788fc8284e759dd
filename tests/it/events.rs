//! Events as webhooks: signed so that a receiver can check them, tried again until they are taken, in their order, and
//! never in the way of a call.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gateway, Home, Received};

const SECRET: &str = "whsec_UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz";

fn ask(max_tokens: u64) -> Value {
    json!({ "model": "auto", "max_tokens": max_tokens, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A gateway with a budget of which a call spends 5 percent, and which a call with a thousand tokens would exceed.
async fn telling(provider: &FakeProvider, receiver: &FakeProvider, settings: &str) -> Gateway {
    let budget = "budget = { limit_usd = 0.0004, period = \"month\", warn_percent = [5] }";
    let url = receiver.url();
    let webhook =
        format!("\n[events]\nwebhook = {{ url = \"{url}/hooks?from=here\", secret = \"{SECRET}\", {settings} }}\n");
    Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], budget) + &webhook)).await
}

/// One call that is served, which tells of a threshold, and one that is refused, which tells of that.
async fn call_twice(gateway: &Gateway) {
    assert_eq!(gateway.data().chat(&ask(100)).await.status, 200);
    gateway
        .until("/admin/budgets", |shown| shown["budgets"][0]["spent_usd"] == "0.00002")
        .await;
    gateway.data().chat(&ask(1_000)).await.refused(429, "budget_exceeded");
}

/// The message, if it is signed as the Standard Webhooks specification says.
#[track_caller]
fn signed(received: &Received) -> Value {
    let header = |name| received.header(name).unwrap_or_else(|| panic!("no {name}"));
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&received.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    let message = received.json();
    assert_eq!(message["id"], header("webhook-id"));
    message
}

#[tokio::test]
async fn a_message_is_signed_and_tried_again_until_it_is_taken_and_others_follow_in_their_order() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let receiver = FakeProvider::start().await;
    let elsewhere = Answer::error(307, "elsewhere").header("location", "/elsewhere");
    let taken = Answer::json(200, &json!({}));
    receiver.on("/hooks", [Answer::error(500, "busy"), elsewhere, taken]);
    let gateway = telling(&provider, &receiver, "backoff_ms = 1").await;
    call_twice(&gateway).await;
    receiver.until(|journal| journal.len() == 4).await;
    let journal = receiver.journal();
    assert!(journal.iter().all(|received| received.path == "/hooks?from=here"));
    let messages: Vec<Value> = journal.iter().map(signed).collect();
    let types: Vec<&str> = messages
        .iter()
        .map(|message| message["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "budget.threshold",
            "budget.threshold",
            "budget.threshold",
            "budget.exceeded"
        ]
    );
    assert_eq!((&messages[0], &messages[1]), (&messages[1], &messages[2]));
    assert_ne!(messages[2]["id"], messages[3]["id"]);
    let data = &messages[0]["data"];
    assert_eq!(
        (&data["scope"], &data["percent"], &data["spent_usd"]),
        (&json!("route:auto"), &json!(5), &json!("0.00002"))
    );
    let series =
        |event, outcome| format!("pointsman_webhook_messages_total{{event=\"{event}\",outcome=\"{outcome}\"}}");
    assert_eq!(gateway.metric(&series("budget.threshold", "delivered")).await, 1.0);
    assert_eq!(gateway.metric(&series("budget.threshold", "retried")).await, 2.0);
}

#[tokio::test]
async fn overruns_every_share_that_was_passed_and_models_without_a_price_are_told() {
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510 });
    let mut answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }] });
    answer["usage"] = usage;
    let provider = FakeProvider::chatting([Answer::json(200, &answer)]).await;
    let receiver = FakeProvider::start().await;
    let (busy, taken) = (|| Answer::error(500, "busy"), || Answer::json(200, &json!({})));
    receiver.on("/hooks", [busy(), taken(), taken(), taken(), taken(), busy(), taken()]);
    let budget = "budget = { limit_usd = 0.001, period = \"month\", warn_percent = [100, 10, 50] }";
    let unpriced = openai("p2", &provider.url()).replace("price = {", "tags = [] # {");
    let config = openai("p1", &provider.url()) + &unpriced + &route("auto", &["p1"], budget);
    let webhook = format!(
        "\n[events]\nwebhook = {{ url = \"{}/hooks\", secret = \"{SECRET}\", backoff_ms = 1 }}\n",
        receiver.url()
    );
    let gateway = Gateway::start(&(config + &webhook)).await;
    assert_eq!(gateway.data().chat(&ask(5)).await.status, 200);
    receiver.until(|journal| journal.len() == 5).await;
    let mut asking = ask(5);
    asking["model"] = json!("p2/model");
    assert_eq!(gateway.data().chat(&asking).await.status, 200);
    receiver.until(|journal| journal.len() == 7).await;
    let messages: Vec<Value> = receiver.journal().iter().map(signed).collect();
    let told: Vec<(&str, &Value)> = messages
        .iter()
        .map(|message| (message["type"].as_str().unwrap(), &message["data"]["percent"]))
        .collect();
    let (nothing, percents) = (Value::Null, [json!(10), json!(50), json!(100)]);
    assert_eq!(
        told,
        [
            ("budget.overrun", &nothing),
            ("budget.overrun", &nothing),
            ("budget.threshold", &percents[0]),
            ("budget.threshold", &percents[1]),
            ("budget.threshold", &percents[2]),
            ("model.unpriced", &nothing),
            ("model.unpriced", &nothing),
        ]
    );
    let overrun = &messages[0]["data"];
    assert_eq!(
        (&overrun["model"], &overrun["cost_usd"]),
        (&json!("p1/model"), &json!("0.00101"))
    );
    assert_eq!(messages[6]["data"]["model"], "p2/model");
    assert_eq!((&messages[0], &messages[5]), (&messages[1], &messages[6]));
}

#[tokio::test]
async fn only_what_is_wanted_is_told_and_what_nobody_takes_is_given_up() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let receiver = FakeProvider::start().await;
    let gateway = telling(
        &provider,
        &receiver,
        "events = [\"budget.exceeded\"], attempts = 3, backoff_ms = 1",
    )
    .await;
    call_twice(&gateway).await;
    gateway.logged(&["budget.exceeded", "was given up", "status 404"]).await;
    let journal = receiver.journal();
    assert_eq!(journal.len(), 3);
    assert!(
        journal
            .iter()
            .all(|received| signed(received)["type"] == "budget.exceeded")
    );
    assert!(!gateway.log().contains(SECRET));
}

#[tokio::test]
async fn a_receiver_that_never_answers_disturbs_no_call() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let receiver = FakeProvider::start().await;
    receiver.on("/hooks", [Answer::never()]);
    let gateway = telling(&provider, &receiver, "timeout_ms = 3600000").await;
    call_twice(&gateway).await;
    receiver.until(|journal| journal.len() == 1).await;
    assert_eq!(gateway.data().chat(&ask(100)).await.status, 200);
    assert!(gateway.stop().await.success());
}

#[test]
fn a_webhook_that_cannot_work_is_a_mistake_of_the_configuration_that_shows_no_secret() {
    for (webhook, expected) in [
        ("url = \"https://a/b\"", "`secret` is missing"),
        (
            "url = \"https://a/b\", secret = \"hunter2\"",
            "`secret` must be `whsec_` and Base64",
        ),
        (
            "url = \"ftp://hunter2/b\", secret = \"whsec_UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz\"",
            "`url` must be an http or https",
        ),
        (
            "url = \"https://a/b\", secret = \"whsec_UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz\", events = [\"budgets\"]",
            "no event `budgets`; there are budget.threshold,",
        ),
    ] {
        let home = Home::with_config(&format!("[events]\nwebhook = {{ {webhook} }}\n"));
        let output = home.run(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{webhook}");
        assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
    }
}
