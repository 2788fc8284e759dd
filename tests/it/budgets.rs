//! Budgets hold whatever comes at once, every call is booked once, and what the caller hears says what to do.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tests::config::{gemini, openai, route};
use tests::gateway::complete;
use tests::{Answer, FakeProvider, Gate, Gateway, Home};

fn ask() -> Value {
    json!({ "model": "auto", "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A route to a provider's model, which costs 1 USD per million tokens of input and 2 of output, with this budget.
async fn with_budget(provider: &FakeProvider, budget: &str) -> Gateway {
    let route = route("auto", &["p1"], &format!("budget = {budget}"));
    Gateway::start(&(openai("p1", &provider.url()) + &route)).await
}

/// The most that a request can cost there: a token of input is at least one byte.
fn ceiling(body: &Value) -> u64 {
    let output = body["max_tokens"].as_u64().unwrap();
    (body.to_string().len() as u64 * 1_000) + output * 2_000
}

/// Nano-dollars as the configuration has them.
fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[tokio::test]
async fn of_two_hundred_at_once_as_many_are_served_as_the_budget_reaches_for() {
    let gate = Gate::shut();
    let answers = (0..10).map(|_| Answer::chat("hello").held(&gate));
    let provider = FakeProvider::chatting(answers).await;
    let limit = usd(ceiling(&ask()) * 10);
    let gateway = with_budget(&provider, &format!("{{ limit_usd = {limit}, period = \"month\" }}")).await;
    let client = gateway.data();
    let mut asking: FuturesUnordered<_> = (0..200).map(|_| async { client.chat(&ask()).await }).collect();
    // None is served while the gate is shut, so that those who come first are all those who are refused.
    for _ in 0..190 {
        let refused = asking.next().await.unwrap();
        refused.refused(429, "budget_exceeded");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    (0..10).for_each(|_| gate.open());
    while let Some(reply) = asking.next().await {
        assert_eq!(reply.status, 200);
    }
    assert_eq!(provider.journal().len(), 10);
}

#[tokio::test]
async fn a_call_without_a_limit_is_limited_to_what_the_budget_affords() {
    let provider = FakeProvider::chatting([Answer::chat("hello"), Answer::chat("hello")]).await;
    let mut body = ask();
    body.as_object_mut().unwrap().remove("max_tokens");
    // 2,000 tokens of output, and what the input can cost at most.
    let limit = usd(body.to_string().len() as u64 * 1_000 + 2_000 * 2_000);
    let gateway = with_budget(&provider, &format!("{{ limit_usd = {limit}, period = \"total\" }}")).await;
    assert_eq!(gateway.data().chat(&body).await.status, 200);
    assert_eq!(provider.journal()[0].json()["max_tokens"], 2_000);
    // Where the client sets a limit, it is the limit.
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    assert_eq!(provider.journal()[1].json()["max_tokens"], 100);
}

#[tokio::test]
async fn a_request_in_its_clients_own_words_is_limited_in_them_and_else_stays_as_it_is() {
    let provider = FakeProvider::start().await;
    let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
    let answer = json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": usage });
    provider.on("/v1/responses", [Answer::json(200, &answer)]);
    let usage = json!({ "promptTokenCount": 3, "candidatesTokenCount": 2 });
    let answer = json!({ "candidates": [{ "index": 0, "finishReason": "STOP", "content": { "parts": [{ "text": "hello" }] } }],
        "usageMetadata": usage });
    provider.on(
        "/v1beta/models/upstream-model:generateContent",
        [Answer::json(200, &answer), Answer::json(200, &answer)],
    );
    let budget = "budget = { limit_usd = 0.01, period = \"month\" }";
    let one = openai("p1", &provider.url()).replace("api_key", "responses = true\napi_key");
    let config =
        one + &gemini("p2", &provider.url()) + &route("auto", &["p1"], budget) + &route("other", &["p2"], budget);
    let gateway = Gateway::start(&config).await;
    let client = gateway.data();
    // What only the provider knows goes on, and the limit is where its dialect has it.
    let asked = json!({ "model": "auto", "of_tomorrow": [1], "input": [{ "type": "of_tomorrow" }, { "role": "user", "content": "hi" }] });
    let reply = client.post("/v1/responses", &asked).await;
    assert_eq!(
        (reply.status, &reply.json()["id"]),
        (200, &json!("resp_1")),
        "{}",
        reply.text()
    );
    let contents = json!([{ "role": "user", "parts": [{ "text": "hi" }] }]);
    let plain = json!({ "contents": contents, "of_tomorrow": [1] });
    let grouped = json!({ "contents": contents, "generation_config": { "of_tomorrow": 2 } });
    for body in [&plain, &grouped] {
        let reply = client.post("/v1beta/models/other:generateContent", body).await;
        assert_eq!((reply.status, reply.json()), (200, answer.clone()), "{}", reply.text());
    }
    let sent: Vec<Value> = provider.journal().iter().map(|received| received.json()).collect();
    let limit = |at: &str, body: &Value| body.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    let places = [
        "/max_output_tokens",
        "/generationConfig/maxOutputTokens",
        "/generation_config/maxOutputTokens",
    ];
    for (body, place) in sent.iter().zip(places) {
        assert!((1..5_000).contains(&limit(place, body)), "{place}: {body}");
    }
    assert_eq!(
        (&sent[0]["of_tomorrow"], &sent[0]["input"]),
        (&asked["of_tomorrow"], &asked["input"])
    );
    assert_eq!(
        (&sent[1]["of_tomorrow"], &sent[2]["generation_config"]["of_tomorrow"]),
        (&json!([1]), &json!(2))
    );
}

#[tokio::test]
async fn a_clients_limit_is_sent_where_the_provider_reads_it_and_of_two_the_larger_counts() {
    let provider = FakeProvider::start().await;
    let text = json!({ "object": "text_completion", "choices": [{ "index": 0, "text": "hi", "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } });
    provider.on("/v1/completions", [Answer::json(200, &text)]);
    provider.on("/v1/chat/completions", [Answer::chat("hello")]);
    let gateway = with_budget(&provider, "{ limit_usd = 0.005, period = \"total\" }").await;
    let client = gateway.data();
    let chat = |limits: Value| {
        let mut body = ask();
        body.as_object_mut().unwrap().remove("max_tokens");
        body.as_object_mut()
            .unwrap()
            .extend(limits.as_object().unwrap().clone());
        body
    };
    // 9,000 tokens are 0.018 USD, whatever the other name says; 9 are nothing.
    for limits in [
        json!({ "max_completion_tokens": 1, "max_tokens": 9_000 }),
        json!({ "max_tokens": 1, "max_completion_tokens": 9_000 }),
    ] {
        client.chat(&chat(limits)).await.refused(429, "budget_exceeded");
    }
    assert_eq!(
        client
            .chat(&chat(json!({ "max_completion_tokens": 9, "max_tokens": 3 })))
            .await
            .status,
        200
    );
    assert_eq!(
        client.chat(&chat(json!({ "max_completion_tokens": 9 }))).await.status,
        200
    );
    for sent in provider.journal() {
        let sent = sent.json();
        assert_eq!(
            (&sent["max_tokens"], sent.get("max_completion_tokens")),
            (&json!(9), None)
        );
    }
    // In OpenAI's first words: what is usual where no limit is named is named, and all that is made counts.
    let more = |members: Value| {
        let mut body = json!({ "model": "auto", "prompt": "hello" });
        body.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        body
    };
    let dear = json!({ "prompt": ["one", "two", "three"], "max_tokens": 100, "best_of": 20 });
    client
        .post("/v1/completions", &more(dear))
        .await
        .refused(429, "budget_exceeded");
    let reply = client.post("/v1/completions", &more(json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.journal().last().unwrap().json()["max_tokens"], 16);
}

#[tokio::test]
async fn without_a_budget_nothing_is_put_into_a_request() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], ""))).await;
    let mut body = ask();
    body.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(gateway.data().chat(&body).await.status, 200);
    assert_eq!(provider.only().json().get("max_tokens"), None);
}

#[tokio::test]
async fn a_budget_refuses_a_model_that_nobody_knows_the_price_of_and_takes_another() {
    let (first, second) = (
        FakeProvider::chatting([]).await,
        FakeProvider::chatting([Answer::chat("hello")]).await,
    );
    let unpriced = openai("p1", &first.url()).replace("price = {", "tags = [] # {");
    let more = "budget = { limit_usd = 1, period = \"day\" }";
    let config = unpriced
        + &openai("p2", &second.url())
        + &route("auto", &["p1", "p2"], more)
        + &route("only", &["p1"], more)
        + &route("soft", &["p1"], &more.replace(" }", ", hard = false }"));
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
    for name in ["only", "soft"] {
        let mut only = ask();
        only["model"] = json!(name);
        let refused = gateway.data().chat(&only).await;
        refused.refused(403, "model_not_priced");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    assert_eq!(first.journal().len(), 0);
}

#[tokio::test]
async fn what_was_spent_is_known_to_the_next_process() {
    let provider = FakeProvider::chatting([Answer::chat("hello"), Answer::chat("hello")]).await;
    let limit = usd(ceiling(&ask()) + 1);
    let gateway = with_budget(&provider, &format!("{{ limit_usd = {limit}, period = \"month\" }}")).await;
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    gateway.data().chat(&ask()).await.refused(429, "budget_exceeded");
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let gateway = Gateway::start_in(home).await;
    let refused = gateway.data().chat(&ask()).await;
    let message = refused.refused(429, "budget_exceeded");
    assert!(message.contains("it begins anew at"), "{message}");
    assert_eq!(provider.journal().len(), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_may_be_finished_to_learn_what_it_cost() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("hello").held(&gate)]).await;
    let route = route("auto", &["p1"], "on_disconnect = \"finish\"");
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route)).await;
    let client = gateway.data();
    let waiting = tokio::spawn(async move { client.chat(&ask()).await });
    provider.until(|journal| journal.len() == 1).await;
    waiting.abort();
    gate.open();
    let line = "pointsman_ledger_lines_total";
    while gateway.metric(line).await < 1.0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

#[tokio::test]
async fn without_a_ledger_nobody_has_a_budget() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let off = |more: &str| {
        let models = openai("p1", &provider.url()) + &route("auto", &["p1"], more);
        complete(&format!("[store]\nledger = false\n{models}"))
    };
    let home = Home::new();
    home.write(
        "pointsman.toml",
        off("budget = { limit_usd = 1, period = \"month\" }\n"),
    );
    let checked = home.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr);
    let expected = "store: there are budgets, and without the ledger nobody keeps them";
    assert!(!checked.status.success() && said.contains(expected), "{said}");

    home.write("pointsman.toml", off(""));
    let make = |more: &[&str]| {
        let made = home.run(&[&["keys", "create", "--format", "json", "--name", "k"], more].concat());
        let made: Value = serde_json::from_slice(&made.stdout).expect("a key");
        made["key"].as_str().expect("its text").to_owned()
    };
    let (free, bound) = (make(&[]), make(&["--budget-usd", "5", "--period", "month"]));
    let gateway = Gateway::start_in(home).await;
    let with = |key: &str| gateway.data().with_header("authorization", &format!("Bearer {key}"));
    with(&bound).chat(&ask()).await.refused(503, "budget_store_unavailable");
    assert_eq!(with(&free).chat(&ask()).await.status, 200);
    assert_eq!(provider.journal().len(), 1);
}
