//! What a failure means for the requests after it: who is left alone and for how long, who is asked once more, and how many
//! attempts there are in all. What it means for its own request is in `failover.rs`.

mod blame;
mod floods;
mod resume;
mod times;
mod weather;

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, End, FakeProvider, Gate, Gateway, Outcome, Reply};

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

fn limited(seconds: u32) -> Answer {
    Answer::error(429, "rate_limit_exceeded").header("retry-after", &seconds.to_string())
}

/// Providers `p1` and `p2` behind the route `auto`, with further lines for it and for the whole file.
async fn two(first: Answer, second: Answer, route_more: &str, more: &str) -> (FakeProvider, FakeProvider, Gateway) {
    let (first, second) = (
        FakeProvider::chatting([first]).await,
        FakeProvider::chatting([second]).await,
    );
    let config = config(&first, &second, route_more, more);
    let gateway = Gateway::start(&config).await;
    (first, second, gateway)
}

fn config(first: &FakeProvider, second: &FakeProvider, route_more: &str, more: &str) -> String {
    let providers = openai("p1", &first.url()) + &openai("p2", &second.url());
    providers + &route("auto", &["p1", "p2"], route_more) + more
}

/// Status, who served, and how many attempts that took.
fn shown(reply: &Reply) -> (u16, Option<&str>, Option<&str>) {
    (
        reply.status,
        reply.header("x-pointsman-model"),
        reply.header("x-pointsman-attempts"),
    )
}

fn scripted(provider: &FakeProvider, answer: Answer) {
    provider.on("/v1/chat/completions", [answer]);
}

#[tokio::test]
async fn a_limited_model_is_left_alone_for_as_long_as_its_provider_said() {
    let (first, second, gateway) = two(limited(20), Answer::chat("served"), "", "").await;
    for attempts in ["2", "1", "1"] {
        let reply = gateway.data().chat(&ask("auto")).await;
        assert_eq!(shown(&reply), (200, Some("p2/model"), Some(attempts)));
    }
    assert_eq!(first.journal().len(), 1);
    // Where all are limited nobody is asked, and the caller hears when the first of them is back.
    scripted(&second, limited(3000));
    let asked = second.journal().len();
    for asks in [1, 1, 1] {
        let reply = gateway.data().chat(&ask("auto")).await;
        reply.refused(429, "rate_limit_exceeded");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&seconds), "{seconds}");
        assert_eq!(reply.header("x-should-retry"), None);
        assert_eq!((first.journal().len(), second.journal().len() - asked), (1, asks));
    }
    // So it is for who asks for the model itself.
    gateway
        .data()
        .chat(&ask("p1/model"))
        .await
        .refused(429, "rate_limit_exceeded");
    assert_eq!(first.journal().len(), 1);
}

#[tokio::test]
async fn a_refused_credential_is_asked_last_until_the_configuration_changes_or_it_answers() {
    let refused = Answer::error(401, "invalid_api_key");
    let (first, second, gateway) = two(refused.clone(), Answer::chat("served"), "", "").await;
    for attempts in ["2", "1", "1"] {
        let reply = gateway.data().chat(&ask("auto")).await;
        assert_eq!(shown(&reply), (200, Some("p2/model"), Some(attempts)));
    }
    assert_eq!(first.journal().len(), 1);
    gateway.logged(&["refuses the gateway's credential", "p1"]).await;
    // Any change of the configuration may be the one that mends it.
    gateway.write_config(&config(&first, &second, "retries = 1", ""));
    assert_eq!(gateway.reload().await.status, 200);
    for attempts in ["2", "1"] {
        assert_eq!(
            gateway.data().chat(&ask("auto")).await.header("x-pointsman-attempts"),
            Some(attempts)
        );
    }
    assert_eq!(first.journal().len(), 2);
    // A late answer is better than none, and whoever answers is not refused any more.
    scripted(&first, Answer::chat("mended"));
    scripted(&second, Answer::error(500, "oops"));
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p1/model"), Some("2")));
    assert_eq!(
        gateway.data().chat(&ask("auto")).await.header("x-pointsman-attempts"),
        Some("1")
    );
}

#[tokio::test]
async fn what_is_too_long_goes_to_larger_models_only() {
    let too_long = FakeProvider::chatting([Answer::error(400, "context_length_exceeded")]).await;
    let large = FakeProvider::chatting([Answer::chat("served")]).await;
    let sized = |name: &str, provider: &FakeProvider, context: u32| {
        openai(name, &provider.url()) + &format!("context = {context}\n")
    };
    let config = sized("small", &too_long, 8_000) + &sized("alike", &too_long, 8_000) + &sized("large", &large, 32_000);
    let routes = route("auto", &["small", "alike", "large"], "") + &route("short", &["small", "alike"], "");
    let gateway = Gateway::start(&(config + &routes)).await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("large/model"), Some("2")));
    gateway
        .data()
        .chat(&ask("short"))
        .await
        .refused(400, "context_length_exceeded");
    assert_eq!(too_long.journal().len(), 2);
}

#[tokio::test]
async fn what_one_model_refuses_to_speak_of_another_is_asked_where_the_route_says_so() {
    let refused = Answer::error(400, "content_policy_violation");
    let (first, _second, gateway) = two(refused, Answer::chat("served"), "on_content_policy = \"next\"", "").await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("2")));
    first.only();
}

#[tokio::test]
async fn who_said_that_it_did_nothing_is_asked_once_more_after_a_pause() {
    let busy = || Answer::error(503, "overloaded");
    let only = FakeProvider::chatting([busy(), busy(), Answer::chat("served")]).await;
    let config = openai("p1", &only.url()) + &route("auto", &["p1"], "backoff_ms = 1");
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p1/model"), Some("3")));
    // What broke off after it was sent may have been done, and would be paid for twice.
    scripted(&only, Answer::chat("none").cut_after_pieces(0, End::Reset));
    gateway.data().chat(&ask("auto")).await.refused(502, "upstream_error");
    assert_eq!(only.journal().len(), 4);
}

#[tokio::test]
async fn retries_that_would_be_too_many_are_not_made_and_not_left_to_the_caller() {
    let none = "[retries]\npercent = 0\nper_second = 0\n";
    let (first, second, gateway) = two(Answer::error(500, "oops"), Answer::chat("served"), "", none).await;
    let reply = gateway.data().chat(&ask("auto")).await;
    reply.refused(502, "upstream_error");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!((first.journal().len(), second.journal().len()), (1, 0));
    let refused = "pointsman_retries_refused_total{gen_ai_provider_name=\"p2\",gen_ai_request_model=\"p2/model\"}";
    assert_eq!(gateway.metric(refused).await, 1.0);
}

#[tokio::test]
async fn a_model_that_fails_is_left_alone_until_one_request_finds_it_well() {
    let (first, second, gateway) = two(Answer::error(500, "oops"), Answer::chat("served"), "retries = 1", "").await;
    for _ in 0..5 {
        let reply = gateway.data().chat(&ask("auto")).await;
        assert_eq!(shown(&reply), (200, Some("p2/model"), Some("2")));
    }
    gateway.logged(&["a model fails, and is left alone", "p1/model"]).await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("1")));
    scripted(&first, Answer::chat("well again"));
    loop {
        let reply = gateway.data().chat(&ask("auto")).await;
        assert_eq!(reply.status, 200);
        if reply.header("x-pointsman-model") == Some("p1/model") {
            break;
        }
    }
    assert_eq!(first.journal().len(), 6);
    let asked = second.journal().len();
    assert_eq!(gateway.data().chat(&ask("auto")).await.status, 200);
    assert_eq!(second.journal().len(), asked);
}

#[tokio::test]
async fn the_last_candidate_is_never_left_alone() {
    let failing = FakeProvider::chatting([Answer::error(500, "oops")]).await;
    let config = openai("p1", &failing.url()) + &route("auto", &["p1"], "retries = 0");
    let gateway = Gateway::start(&config).await;
    for _ in 0..10 {
        gateway.data().chat(&ask("auto")).await.refused(502, "upstream_error");
    }
    assert_eq!(failing.journal().len(), 10);
}

/// The provider `p1` with two keys and further lines.
async fn with_two_keys(answers: Vec<Answer>) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting(answers).await;
    let keys = "api_keys = [\"first-key\", \"second-key\"]";
    let config = openai("p1", &provider.url()).replace("api_key = \"key-of-p1\"", keys);
    let gateway = Gateway::start(&(config + &route("auto", &["p1"], ""))).await;
    (provider, gateway)
}

fn keys_of(provider: &FakeProvider) -> Vec<String> {
    let key = |received: &tests::Received| received.header("authorization").unwrap_or_default().to_owned();
    provider.journal().iter().map(key).collect()
}

#[tokio::test]
async fn keys_of_a_provider_take_turns_and_rest_one_by_one() {
    for failure in [limited(3000), Answer::error(401, "invalid_api_key")] {
        let fine = || Answer::chat("served");
        let (provider, gateway) = with_two_keys(vec![fine(), fine(), failure, fine()]).await;
        for attempts in ["1", "1", "2", "1", "1"] {
            let reply = gateway.data().chat(&ask("auto")).await;
            assert_eq!(shown(&reply), (200, Some("p1/model"), Some(attempts)));
        }
        let (first, second) = ("Bearer first-key", "Bearer second-key");
        // The one that failed is not used again, and the other goes on alone.
        assert_eq!(keys_of(&provider), [first, second, first, second, second, second]);
        let health = gateway.shows("/admin/health").await;
        let keys = &health["models"][0]["keys"];
        assert_eq!(health["models"][0]["standing"], "ready");
        assert!(
            keys[0]["is_refused"] == true || keys[0]["rests_ms"].is_u64(),
            "{health:#}"
        );
        assert_eq!(
            (&keys[1]["is_refused"], &keys[1]["rests_ms"]),
            (&json!(false), &Value::Null)
        );
        assert!(!gateway.log().contains("first-key"));
    }
}

#[tokio::test]
async fn a_refused_key_is_not_used_where_the_other_only_has_no_room() {
    let gate = Gate::shut();
    let fine = || Answer::chat("served");
    let answers = vec![
        Answer::error(401, "invalid_api_key"),
        fine().held(&gate),
        fine(),
        limited(3000),
    ];
    let provider = FakeProvider::chatting(answers).await;
    let keys = "api_keys = [\"first-key\", \"second-key\"]";
    let config = openai("p1", &provider.url()).replace("api_key = \"key-of-p1\"", keys);
    let limits = "[providers.p1.key_limits]\nparallel = 1\n";
    let gateway = Gateway::start(&(config + &route("auto", &["p1"], "queue_ms = 600_000") + limits)).await;
    let send = || {
        let client = gateway.data();
        tokio::spawn(async move { client.chat(&ask("auto")).await })
    };
    let first = send();
    provider.until(|journal| journal.len() == 2).await;
    let second = send();
    gateway
        .until("/admin/health", |health| health["models"][0]["waiting"] == 1)
        .await;
    gate.open();
    for waiting in [first, second] {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    // Nor where the other one rests: the caller hears for how long.
    for _ in 0..2 {
        let reply = gateway.data().chat(&ask("auto")).await;
        reply.refused(429, "rate_limit_exceeded");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((2900..=3000).contains(&seconds), "{seconds}");
    }
    let (first, second) = ("Bearer first-key", "Bearer second-key");
    assert_eq!(keys_of(&provider), [first, second, second, second]);
    let health = gateway.shows("/admin/health").await;
    assert_eq!(health["models"][0]["standing"], "limited");
}

#[tokio::test]
async fn another_key_of_a_model_is_asked_where_no_further_attempts_are_wanted() {
    for failure in [limited(3000), Answer::error(401, "invalid_api_key")] {
        let answers = vec![failure, Answer::chat("served"), Answer::error(503, "overloaded")];
        let (provider, gateway) = with_two_keys(answers).await;
        let reply = gateway.data().chat(&ask("p1/model")).await;
        assert_eq!(shown(&reply), (200, Some("p1/model"), Some("2")));
        let (first, second) = ("Bearer first-key", "Bearer second-key");
        assert_eq!(keys_of(&provider), [first, second]);
        // What is not the key's is no reason for another.
        gateway.data().chat(&ask("p1/model")).await.refused(503, "overloaded");
        assert_eq!(keys_of(&provider), [first, second, second]);
    }
}

#[tokio::test]
async fn what_is_at_a_limit_of_its_own_is_not_asked() {
    let (first, second) = (
        FakeProvider::chatting([Answer::chat("one")]).await,
        FakeProvider::chatting([Answer::chat("two")]).await,
    );
    let limits = "[providers.p1.limits]\nrpm = 3\n[models.\"p1/model\".limits]\ntpm = 1_000\n[providers.p2.key_limits]\nrpm = 1\n";
    let gateway = Gateway::start(&config(&first, &second, "", limits)).await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let reply = gateway.data().chat(&ask("auto")).await;
        served.push(reply.header("x-pointsman-model").unwrap().to_owned());
        assert_eq!(reply.header("x-pointsman-attempts"), Some("1"));
    }
    assert_eq!(served, ["p1/model", "p1/model", "p1/model", "p2/model"]);
    // Nobody waits a minute; the caller is told to.
    let reply = gateway.data().chat(&ask("auto")).await;
    reply.refused(429, "rate_limit_exceeded");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!((first.journal().len(), second.journal().len()), (3, 1));
    let health = gateway.shows("/admin/health").await;
    // Each answer used fifteen tokens, whatever it was taken for before.
    let left = |index: usize| {
        (
            &health["models"][index]["requests_left"],
            &health["models"][index]["tokens_left"],
        )
    };
    assert_eq!(left(0), (&json!(0), &json!(955)));
    assert_eq!(left(1), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn what_a_provider_says_of_its_limits_is_kept_to() {
    let told = Answer::chat("one")
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-ratelimit-reset-requests", "6m0s");
    let (first, _second, gateway) = two(told, Answer::chat("two"), "", "").await;
    for (model, attempts) in [("p1/model", "1"), ("p2/model", "1")] {
        let reply = gateway.data().chat(&ask("auto")).await;
        assert_eq!(shown(&reply), (200, Some(model), Some(attempts)));
    }
    first.only();
    let health = gateway.shows("/admin/health").await;
    assert_eq!(health["models"][0]["requests_left"], 0);
}

#[tokio::test]
async fn a_request_waits_for_room_in_a_line_that_ends_somewhere() {
    let gate = Gate::shut();
    let only = FakeProvider::chatting([Answer::chat("served").held(&gate)]).await;
    let limits = "[providers.p1.limits]\nparallel = 1\n";
    let provider = openai("p1", &only.url()).replace("[models", "queue = 1\n[models");
    let config = provider + &route("auto", &["p1"], "queue_ms = 600_000") + limits;
    let gateway = Gateway::start(&config).await;
    let send = || {
        let client = gateway.data();
        tokio::spawn(async move { client.chat(&ask("auto")).await })
    };
    let first = send();
    only.until(|journal| journal.len() == 1).await;
    let second = send();
    gateway
        .until("/admin/health", |health| health["models"][0]["waiting"] == 1)
        .await;
    // There is no place for a third.
    gateway
        .data()
        .chat(&ask("auto"))
        .await
        .refused(429, "rate_limit_exceeded");
    gate.open();
    gate.open();
    for waiting in [first, second] {
        assert_eq!(shown(&waiting.await.unwrap()), (200, Some("p1/model"), Some("1")));
    }
    assert_eq!(only.journal().len(), 2);
}

#[tokio::test]
async fn a_full_line_gives_up_its_last_for_who_comes_before_and_who_must_go_hears_how_long_it_is() {
    let gate = Gate::shut();
    let slow = Answer::chat("slow").delayed(Duration::from_millis(1_200));
    let only = FakeProvider::chatting([slow, Answer::chat("held").held(&gate), Answer::chat("served")]).await;
    let provider = openai("p1", &only.url()).replace("[models", "queue = 1\n[models");
    let urgent = route("urgent", &["p1"], "queue_ms = 600_000\npriority = \"high\"");
    let config = provider + &route("auto", &["p1"], "queue_ms = 600_000") + &urgent;
    let gateway = Gateway::start(&(config + "[providers.p1.limits]\nparallel = 1\n")).await;
    assert_eq!(gateway.data().chat(&ask("auto")).await.status, 200);
    let send = |model: &'static str| {
        let client = gateway.data();
        tokio::spawn(async move { client.chat(&ask(model)).await })
    };
    let first = send("auto");
    only.until(|journal| journal.len() == 2).await;
    let second = send("auto");
    gateway
        .until("/admin/health", |health| health["models"][0]["waiting"] == 1)
        .await;
    let urgent = send("urgent");
    let reply = second.await.unwrap();
    reply.refused(429, "rate_limit_exceeded");
    // One is in line, and an answer takes more than a second.
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((2..=60).contains(&seconds), "{seconds}");
    gate.open();
    for waiting in [first, urgent] {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    assert_eq!(only.journal().len(), 3);
}

#[tokio::test]
async fn the_next_candidate_is_started_beside_one_that_takes_longer_than_usual() {
    let (first, second, gateway) = two(Answer::never(), Answer::chat("served"), "hedge_ms = 50", "").await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("2")));
    first.settled().await;
    assert_eq!(first.only().outcome, Outcome::Abandoned);
    // What is usual may be what the model itself has shown.
    gateway.write_config(&config(&first, &second, "hedge = \"p95\"", ""));
    assert_eq!(gateway.reload().await.status, 200);
    scripted(&first, Answer::chat("quick"));
    for _ in 0..20 {
        assert_eq!(gateway.data().chat(&ask("p1/model")).await.status, 200);
    }
    scripted(&first, Answer::never());
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("2")));
}
