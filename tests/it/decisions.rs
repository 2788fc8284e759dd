//! What was decided for a request is kept where the configuration says so.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tests::Gateway;

const CONFIG: &str = r#"
[providers.simulated]
adapter = "simulated"
[models.small]
provider = "simulated"
price = { input = 1, output = 2 }
[models.large]
provider = "simulated"
[policies.keyword]
component = "keyword"
[policies.keyword.config]
rules = [{ any = ["hello"], label = "greeting", prefer = ["small"] }]
[policies.latency]
component = "latency"
config = { connect_timeout_ms = 700, explore_percent = 0 }
[routes.auto]
candidates = ["large", "small"]
policies = ["keyword", "latency"]
"#;

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello, the word is sesame" }] })
}

#[tokio::test]
async fn a_decision_is_kept_with_what_came_of_it() {
    let gateway = Gateway::start(&format!("[store]\ndecisions = {{ keep_days = 1 }}\n{CONFIG}")).await;
    let client = gateway.data().with_header("x-request-id", "greeting-1");
    assert_eq!(client.chat(&ask()).await.status, 200);
    let record = loop {
        let reply = gateway.admin().get("/admin/decisions/greeting-1").await;
        if reply.status == 200 {
            break reply.json();
        }
        assert_eq!(reply.status, 404);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(record["candidates"], json!(["large", "small"]));
    assert_eq!(record["steps"][0], "small");
    assert_eq!(
        record["labels"],
        json!({ "class": "greeting", "latency": "unmeasured" })
    );
    let times = |policy: usize| &record["policies"][policy]["times"];
    assert_eq!(
        (times(0), times(1)),
        (&json!({}), &json!({ "small": { "connect_timeout_ms": 700 } }))
    );
    assert_eq!(
        (&record["policies"][0]["policy"], &record["policies"][0]["said"]),
        (&json!("keyword"), &json!("plan"))
    );
    assert_eq!(
        (&record["attempts"][0]["candidate"], &record["attempts"][0]["error"]),
        (&json!("small"), &Value::Null)
    );
    assert!(
        record["cost_nano_usd"].as_u64().is_some_and(|cost| cost > 0),
        "{record}"
    );
    assert!(!record.to_string().contains("sesame"), "{record}");
}

#[tokio::test]
async fn without_being_asked_the_gateway_keeps_no_decisions() {
    let gateway = Gateway::start(CONFIG).await;
    let client = gateway.data().with_header("x-request-id", "greeting-2");
    assert_eq!(client.chat(&ask()).await.status, 200);
    // Whatever was written for that request is written before the next one's hold.
    assert_eq!(client.chat(&ask()).await.status, 200);
    let reply = gateway.admin().get("/admin/decisions/greeting-2").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("`[store] decisions`"), "{}", reply.text());
}

#[tokio::test]
async fn of_more_than_there_is_room_for_the_oldest_decisions_go() {
    // Records that are large: a route with many candidates, whose names are long.
    let names: Vec<String> = (0..40)
        .map(|number| format!("{number:03}-{}", "long".repeat(25)))
        .collect();
    let mut models = String::new();
    for name in &names {
        let _ = write!(
            models,
            "[models.\"{name}\"]\nprovider = \"simulated\"\nprice = {{ input = 1, output = 2 }}\n"
        );
    }
    let with_room = |megabytes: u32| {
        format!(
            "[store]\ndecisions = {{ megabytes = {megabytes} }}\n[providers.simulated]\nadapter = \"simulated\"\n\
             {models}[routes.auto]\ncandidates = {names:?}\n"
        )
    };
    let gateway = Gateway::start(&with_room(100)).await;
    let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    for number in 0..250 {
        let client = gateway
            .data()
            .with_header("x-request-id", &format!("large-{number:03}"));
        assert_eq!(client.chat(&ask).await.status, 200);
    }
    let status = async |number: u32| {
        let path = format!("/admin/decisions/large-{number:03}");
        gateway.admin().get(&path).await.status
    };
    while status(249).await != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(0).await, 200, "there is room for all of them");

    gateway.write_config(&with_room(1));
    assert_eq!(gateway.reload().await.status, 200);
    while status(0).await != 404 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(249).await, 200, "the newest stay");
}
