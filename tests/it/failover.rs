//! When a provider fails: which failures lead to the next step of the plan, which end the request, and what the client is
//! told. Failures of streams are in `streaming.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, End, FakeProvider, Gate, Gateway, Home, Outcome, guests};

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] })
}

fn said(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "error": { "message": message, "type": "error", "param": null, "code": code } }),
    )
}

/// A gateway before these providers, in this order, with further lines for the route.
async fn before(providers: &[&FakeProvider], more: &str) -> Gateway {
    let names: Vec<String> = (1..=providers.len()).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let config: String = names
        .iter()
        .zip(providers)
        .map(|(name, provider)| openai(name, &provider.url()))
        .collect();
    Gateway::start(&(config + &route("auto", &names, more))).await
}

/// The same with a policy that decides as told, over two providers.
async fn told(first: &FakeProvider, second: &FakeProvider, steps: &str) -> Gateway {
    let config = [
        openai("p1", &first.url()),
        openai("p2", &second.url()),
        policy("told", "told.wasm", &format!("steps = [{steps}]")),
        route("auto", &["p1", "p2"], "policies = [\"told\"]"),
    ];
    let home = Home::with_config(&config.concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    Gateway::start_in(home).await
}

#[tokio::test]
async fn what_another_candidate_may_mend_is_tried_there() {
    let failures = [
        said(500, "server_error", "oops"),
        said(429, "rate_limit_exceeded", "slow down"),
        said(429, "insufficient_quota", "no money"),
        said(503, "overloaded", "busy"),
        said(401, "invalid_api_key", "who are you"),
        said(403, "forbidden", "not you"),
        said(404, "model_not_found", "no such model"),
        said(400, "context_length_exceeded", "too long"),
        Answer::new(502, "text/html", "<html>a proxy</html>"),
        Answer::new(302, "text/plain", "").header("location", "http://169.254.169.254/"),
        Answer::new(200, "text/html", "<html>a portal</html>"),
        Answer::new(200, "application/json", "[]"),
        Answer::chat("half").cut_after(30, End::Close),
        Answer::chat("half").cut_after(30, End::Reset),
        Answer::chat("none").cut_after_pieces(0, End::Reset),
    ];
    let second = FakeProvider::chatting([Answer::chat("served")]).await;
    let mut config = openai("good", &second.url());
    let mut firsts = Vec::new();
    // A provider of its own for each, because failures of one kind have something to say for the next.
    for (number, failure) in failures.into_iter().enumerate() {
        let first = FakeProvider::chatting([failure]).await;
        let name = format!("p{number}");
        config += &openai(&name, &first.url());
        config += &route(&format!("r{number}"), &[&name, "good"], "");
        firsts.push(first);
    }
    let gateway = Gateway::start(&config).await;
    for (number, first) in firsts.iter().enumerate() {
        let mut ask = ask();
        ask["model"] = format!("r{number}").into();
        let reply = gateway.data().chat(&ask).await;
        let shown = (
            reply.status,
            reply.header("x-pointsman-model"),
            reply.header("x-pointsman-attempts"),
        );
        assert_eq!(
            shown,
            (200, Some("good/model"), Some("2")),
            "failure {number}: {}",
            reply.text()
        );
        assert_eq!(first.journal().len(), 1, "failure {number}");
    }
    assert_eq!(second.journal().len(), firsts.len());
}

#[tokio::test]
async fn a_provider_that_does_not_listen_is_passed_over() {
    let second = FakeProvider::chatting([Answer::chat("served")]).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let config = [
        openai("p1", &format!("http://{gone}")),
        openai("p2", &second.url()),
        route("auto", &["p1", "p2"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
    let mut direct = ask();
    direct["model"] = "p1/model".into();
    let message = gateway.data().chat(&direct).await.refused(502, "upstream_error");
    assert!(!message.contains(&gone.to_string()), "{message}");
    // The operator is told.
    gateway.logged(&["an attempt failed", &gone.to_string()]).await;
}

#[tokio::test]
async fn what_no_candidate_can_mend_ends_the_request() {
    let failures = [
        (said(400, "invalid_value", "`n` is too large"), 400, "invalid_request"),
        (said(422, "unprocessable", "no"), 400, "invalid_request"),
        (
            said(400, "content_policy_violation", "not allowed"),
            400,
            "content_policy_violation",
        ),
    ];
    let first = FakeProvider::chatting(failures.iter().map(|(answer, ..)| answer.clone())).await;
    let second = FakeProvider::chatting([Answer::chat("served")]).await;
    let gateway = before(&[&first, &second], "").await;
    for (_, status, code) in failures {
        let reply = gateway.data().chat(&ask()).await;
        reply.refused(status, code);
        assert_eq!(reply.header("x-should-retry"), None);
    }
    assert!(second.journal().is_empty());
}

#[tokio::test]
async fn a_failure_reaches_the_client_with_its_status_its_words_and_its_delay() {
    let cases = [
        (
            said(500, "server_error", "oops"),
            502,
            "server_error",
            "upstream_error",
            "oops",
        ),
        (
            said(503, "overloaded", "busy"),
            503,
            "server_error",
            "overloaded",
            "busy",
        ),
        (
            said(429, "rate_limit_exceeded", "slow down").header("retry-after", "20"),
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            "slow down",
        ),
        (
            said(429, "insufficient_quota", "no money"),
            429,
            "rate_limit_error",
            "insufficient_quota",
            "no money",
        ),
        (
            said(404, "model_not_found", "no such model"),
            404,
            "invalid_request_error",
            "model_not_found",
            "no such model",
        ),
        (
            said(400, "context_length_exceeded", "too long"),
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "too long",
        ),
        (
            said(401, "invalid_api_key", "who are you"),
            502,
            "server_error",
            "upstream_error",
            "credentials",
        ),
    ];
    let provider = FakeProvider::chatting(cases.iter().map(|(answer, ..)| answer.clone())).await;
    let config = (0..cases.len()).map(|number| {
        let name = format!("p{number}");
        openai(&name, &provider.url()) + &route(&format!("r{number}"), &[&name], "retries = 0")
    });
    let gateway = Gateway::start(&config.collect::<String>()).await;
    for (number, (_, status, kind, code, words)) in cases.iter().enumerate() {
        let mut ask = ask();
        ask["model"] = format!("r{number}").into();
        let reply = gateway.data().chat(&ask).await;
        let message = reply.refused(*status, code);
        assert!(message.contains(words), "{code}: {message}");
        assert_eq!(reply.json()["error"]["type"], *kind, "{code}");
        let delay = (*code == "rate_limit_exceeded").then_some("20");
        assert_eq!(reply.header("retry-after"), delay, "{code}");
        // The gateway has tried only once, so that the caller's SDK may; money does not come back by trying.
        assert_eq!(
            reply.header("x-should-retry"),
            (*code == "insufficient_quota").then_some("false"),
            "{code}"
        );
    }
}

#[tokio::test]
async fn after_several_attempts_the_caller_is_told_not_to_multiply_them() {
    let busy = said(429, "rate_limit_exceeded", "slow down").header("retry-after-ms", "1200");
    let (first, second) = (
        FakeProvider::chatting([Answer::error(500, "oops")]).await,
        FakeProvider::chatting([busy]).await,
    );
    let gateway = before(&[&first, &second], "retries = 1").await;
    let reply = gateway.data().chat(&ask()).await;
    reply.refused(429, "rate_limit_exceeded");
    let header = |name| reply.header(name);
    assert_eq!(
        (
            header("x-should-retry"),
            header("retry-after"),
            header("retry-after-ms")
        ),
        (Some("false"), Some("2"), Some("1200"))
    );
    let failed = |kind: &str, name: &str| {
        format!(
            "pointsman_attempts_total{{gen_ai_provider_name=\"{name}\",gen_ai_request_model=\"{name}/model\",error_type=\"{kind}\"}}"
        )
    };
    assert_eq!(gateway.metric(&failed("upstream", "p1")).await, 1.0);
    assert_eq!(gateway.metric(&failed("rate_limited", "p2")).await, 1.0);
}

#[tokio::test]
async fn no_more_steps_are_taken_than_the_route_allows() {
    let failing = FakeProvider::chatting([Answer::error(500, "oops")]).await;
    let last = FakeProvider::chatting([Answer::chat("served")]).await;
    for (retries, asked, status) in [
        ("retries = 0", 1, 502),
        ("retries = 1", 2, 502),
        ("", 3, 502),
        ("retries = 3", 3, 200),
    ] {
        let before_these = failing.journal().len();
        let gateway = before(&[&failing, &failing, &failing, &last], retries).await;
        assert_eq!(gateway.data().chat(&ask()).await.status, status, "{retries}");
        assert_eq!(failing.journal().len() - before_these, asked, "{retries}");
    }
    assert_eq!(last.journal().len(), 1);
}

#[tokio::test]
async fn a_provider_that_is_too_slow_is_left_for_the_next() {
    let (slow, quick) = (
        FakeProvider::chatting([Answer::never()]).await,
        FakeProvider::chatting([Answer::chat("served")]).await,
    );
    let gateway = before(&[&slow, &quick], "timeout_ms = 300").await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!((reply.status, reply.header("x-pointsman-attempts")), (200, Some("2")));
    // The gateway's own time is not the provider's.
    let overhead: u64 = reply.header("x-pointsman-overhead-us").unwrap().parse().unwrap();
    assert!(overhead < 300_000, "{overhead}");
    slow.settled().await;
    assert_eq!(slow.only().outcome, Outcome::Abandoned);

    quick.on("/v1/chat/completions", [Answer::never()]);
    let reply = gateway.data().chat(&ask()).await;
    reply.refused(504, "upstream_timeout");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn a_stream_has_its_own_time_to_begin() {
    let (slow, quick) = (
        FakeProvider::chatting([Answer::never()]).await,
        FakeProvider::chatting([Answer::chat_stream(["one"])]).await,
    );
    let gateway = before(&[&slow, &quick], "first_token_timeout_ms = 100").await;
    let mut ask = ask();
    ask["stream"] = true.into();
    let stream = gateway.data().chat_stream(&ask).await;
    assert_eq!(
        (stream.status, stream.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
    // A policy may set another, for one step.
    let gateway = told(
        &slow,
        &quick,
        r#"{ candidate = "p1/model", first_token_timeout_ms = 50 }, { candidate = "p2/model" }"#,
    )
    .await;
    let stream = gateway.data().chat_stream(&ask).await;
    assert_eq!(
        (stream.status, stream.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
}

#[tokio::test]
async fn a_hedged_step_runs_beside_the_first_and_whoever_answers_first_serves() {
    let gate = Gate::shut();
    let steps = r#"{ candidate = "p1/model", hedge_after_ms = 50 }, { candidate = "p2/model" }"#;
    let (first, second) = (
        FakeProvider::chatting([Answer::never()]).await,
        FakeProvider::chatting([Answer::chat("hedge")]).await,
    );
    let gateway = told(&first, &second, steps).await;
    let reply = gateway.data().chat(&ask()).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
    // The loser is cancelled.
    first.settled().await;
    assert_eq!(first.only().outcome, Outcome::Abandoned);

    // The first may still win after the second has been started.
    first.on("/v1/chat/completions", [Answer::chat("late").held(&gate)]);
    second.on("/v1/chat/completions", [Answer::never()]);
    let client = gateway.data();
    let reply = tokio::spawn(async move { client.chat(&ask()).await });
    second.until(|journal| journal.len() == 2).await;
    gate.open();
    assert_eq!(reply.await.unwrap().header("x-pointsman-model"), Some("p1/model"));

    // A first that answers in time is alone.
    first.on("/v1/chat/completions", [Answer::chat("at once")]);
    let asked = second.journal().len();
    let slowly = r#"{ candidate = "p1/model", hedge_after_ms = 60000 }, { candidate = "p2/model" }"#;
    let gateway = told(&first, &second, slowly).await;
    assert_eq!(
        gateway.data().chat(&ask()).await.header("x-pointsman-attempts"),
        Some("1")
    );
    assert_eq!(second.journal().len(), asked);
}

#[tokio::test]
async fn an_answer_that_trickles_is_not_waited_for() {
    let trickle = (0..100).fold(Answer::chat("slowly").in_pieces_of(4), |answer, n| {
        answer.pausing_after(2 * n + 1, Duration::from_millis(20))
    });
    let provider = FakeProvider::chatting([trickle]).await;
    let gateway = before(&[&provider], "timeout_ms = 100").await;
    gateway.data().chat(&ask()).await.refused(504, "upstream_timeout");
}
