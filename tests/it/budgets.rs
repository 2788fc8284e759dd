//! Budgets hold whatever comes at once, every call is booked once, and what the caller hears says what to do.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gate, Gateway};

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
    let asking = tokio::spawn(async move { join_all((0..200).map(|_| async { client.chat(&ask()).await })).await });
    provider.until(|journal| journal.len() == 10).await;
    (0..10).for_each(|_| gate.open());
    let replies = asking.await.unwrap();
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(served, 10);
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        refused.refused(429, "budget_exceeded");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    assert_eq!(provider.journal().len(), 10);
}
