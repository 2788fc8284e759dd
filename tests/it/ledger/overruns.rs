//! Providers that bill more than they were asked for, and prices that are missing or broken.

use serde_json::json;
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gateway};

use super::{ANSWER, ask, stopped};

#[tokio::test]
async fn what_costs_ten_times_what_was_reserved_is_booked_in_full_and_the_next_call_is_refused() {
    let used = json!({ "prompt_tokens": 10, "completion_tokens": 2_000, "total_tokens": 2_010 });
    let answer = json!({
        "id": "1", "object": "chat.completion",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "on and on" }, "finish_reason": "stop" }],
        "usage": used,
    });
    let provider = FakeProvider::chatting([Answer::json(200, &answer)]).await;
    let budget = "budget = { limit_usd = 0.002, period = \"month\" }";
    let config = openai("p1", &provider.url()) + &route("auto", &["p1"], budget);
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&ask("auto", false)).await;
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00401"));
    super::at_rest(&gateway, 1).await;
    gateway
        .data()
        .chat(&ask("auto", false))
        .await
        .refused(429, "budget_exceeded");
    let overruns = "pointsman_ledger_events_total{event=\"budget.overrun\"}";
    assert_eq!(gateway.metric(overruns).await, 1.0);
    let lines = stopped(gateway, 1).await;
    let (cost, ceiling) = (lines[0].cost.unwrap().0, lines[0].ceiling.0);
    assert_eq!((lines.len(), cost), (1, 10 * 1_000 + 2_000 * 2_000));
    assert!(cost > 10 * ceiling, "{cost} after {ceiling}");
    assert_eq!(provider.journal().len(), 1);
}

#[tokio::test]
async fn a_price_that_cannot_be_read_changes_nothing() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let config = openai("p1", &provider.url()) + &route("auto", &["p1"], "");
    let gateway = Gateway::start(&config).await;
    for broken in ["input = -1.0", "input = \"cheap\"", "input = 1e400", "inptu = 1.0"] {
        gateway.write_config(&config.replace("input = 1.0", broken));
        let reply = gateway.reload().await;
        assert_ne!(reply.json()["outcome"], "success", "{broken}: {}", reply.text());
        assert_eq!(gateway.data().chat(&ask("auto", false)).await.status, 200);
    }
    let lines = stopped(gateway, 4).await;
    assert!(lines.iter().all(|line| line.cost.unwrap().0 == ANSWER), "{lines:#?}");
}
