//! Whose doing a failure is, and what it says of a model: what names to go on with and hurried callers do not hide or spoil.

use serde_json::{Value, json};
use tests::answer::End;
use tests::config::openai;
use tests::{Answer, Ending, FakeProvider, Gateway};

use super::{ask, config, scripted, shown, two};

fn busy() -> Answer {
    Answer::error(503, "overloaded")
}

fn with(mut ask: Value, member: &str, value: Value) -> Value {
    ask[member] = value;
    ask
}

#[tokio::test]
async fn names_to_go_on_with_are_attempts_beyond_the_first_and_those_that_fail_come_last() {
    let none = "[retries]\npercent = 0\nper_second = 0\n";
    let (first, second, gateway) = two(busy(), Answer::chat("served"), "", none).await;
    let ask = with(ask("p1/model"), "models", json!(["p2/model"]));
    for _ in 0..5 {
        let reply = gateway.data().chat(&ask).await;
        reply.refused(503, "overloaded");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    assert_eq!((first.journal().len(), second.journal().len()), (5, 0));
    // By now it is left alone, and the other is the first.
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("1")));
    // With room for retries, each name is an attempt, and the caller need not make more of them.
    gateway.write_config(&config(&first, &second, "", ""));
    assert_eq!(gateway.reload().await.status, 200);
    scripted(&second, busy());
    let reply = gateway.data().chat(&ask).await;
    reply.refused(503, "overloaded");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!((first.journal().len(), second.journal().len()), (6, 2));
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_speak_against_a_model() {
    let (_first, second, gateway) = two(busy(), Answer::never(), "", "").await;
    let hurried = with(ask("p2/model"), "timeout", json!(0.05));
    for _ in 0..3 {
        for is_stream in [false, true] {
            let ask = with(hurried.clone(), "stream", is_stream.into());
            gateway.data().chat(&ask).await.refused(504, "upstream_timeout");
        }
    }
    assert_eq!(second.journal().len(), 6);
    let health = gateway.shows("/admin/health").await;
    let known = &health["models"][1];
    assert_eq!(
        (&known["standing"], &known["error_permille"]),
        (&json!("ready"), &json!(0)),
        "{known:#}"
    );
}

#[tokio::test]
async fn who_begins_every_stream_and_breaks_it_is_left_alone_for_longer_each_time() {
    let broken = Answer::chat_stream(["one ", "two"]).cut_after_pieces(1, End::Reset);
    let (first, _second, gateway) = two(broken, Answer::chat_stream(["served"]), "", "").await;
    let ask = with(ask("auto"), "stream", json!(true));
    let mut broke = 0;
    // The sixth is the one that tries it again.
    while broke < 6 {
        let stream = gateway.data().chat_stream(&ask).await;
        let is_first = stream.header("x-pointsman-model") == Some("p1/model");
        let (_, ending) = stream.rest().await;
        assert_eq!(ending != Ending::Whole, is_first);
        broke += usize::from(is_first);
    }
    assert_eq!(first.journal().len(), 6);
    let health = gateway.shows("/admin/health").await;
    let known = &health["models"][0];
    assert_eq!(known["standing"], "failing", "{known:#}");
    assert!(known["standing_ms"].as_u64().is_some_and(|ms| ms > 1_000), "{known:#}");
}

#[tokio::test]
async fn a_model_that_no_configuration_names_is_known_from_one_request_to_the_next() {
    let told = Answer::error(429, "rate_limit_exceeded").header("retry-after", "3000");
    let provider = FakeProvider::chatting([told]).await;
    let config = openai("p1", &provider.url()).replace("\n[models", "\nallow_any_model = true\n[models");
    let gateway = Gateway::start(&config).await;
    for round in 0..3 {
        let reply = gateway.data().chat(&ask("p1/another")).await;
        reply.refused(429, "rate_limit_exceeded");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((2_900..=3_000).contains(&seconds), "{seconds}");
        if round == 1 {
            gateway.write_config(&(config.clone() + "[server]\naccess_log = true\n"));
            assert_eq!(gateway.reload().await.status, 200);
        }
    }
    assert_eq!(
        provider.journal().len(),
        1,
        "who said that it is limited was asked again"
    );
    let health = gateway.shows("/admin/health").await;
    let known = &health["unlisted"][0];
    assert_eq!(
        (&known["model"], &known["standing"]),
        (&json!("p1/another"), &json!("limited"))
    );
    assert_eq!(health["models"][0]["standing"], "ready");
}
