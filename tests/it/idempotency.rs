//! Idempotency keys: of all requests with one key, one reaches the provider, whatever happens to it, to its client or to the
//! gateway. The provider's journal says how many did.

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, End, Ending, FakeProvider, Gate, Gateway, Reply};

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

fn streamed(text: &str) -> Value {
    json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": text }] })
}

fn config(provider: &FakeProvider) -> String {
    openai("p1", &provider.url()) + &route("auto", &["p1"], "retries = 0")
}

async fn before(provider: &FakeProvider) -> Gateway {
    Gateway::start(&config(provider)).await
}

async fn chat(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    gateway.data().with_header("idempotency-key", key).chat(body).await
}

fn is_replay(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn of_fifty_requests_with_one_key_one_reaches_the_provider() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("once").held(&gate)]).await;
    let gateway = before(&provider).await;
    let mut asking = Vec::new();
    for _ in 0..50 {
        let client = gateway.data().with_header("idempotency-key", "k1");
        asking.push(tokio::spawn(async move { client.chat(&ask("hello")).await }));
    }
    let mut replies = Vec::new();
    // All but the one that is served know at once that they are not.
    while replies.len() < 49 {
        let at = asking.iter().position(|one| one.is_finished());
        match at {
            Some(at) => replies.push(asking.swap_remove(at).await.unwrap()),
            None => tokio::task::yield_now().await,
        }
    }
    for reply in &replies {
        reply.refused(409, "idempotency_conflict");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    gate.open();
    let first = asking.remove(0).await.unwrap();
    assert!(first.status == 200 && !is_replay(&first));
    let again = chat(&gateway, "k1", &ask("hello")).await;
    assert!(again.status == 200 && is_replay(&again));
    assert_eq!(again.body, first.body);
    let told = |name| (again.header(name), first.header(name));
    for name in ["x-pointsman-model", "x-pointsman-cost-usd", "content-type"] {
        assert_eq!(told(name).0, told(name).1, "{name}");
    }
    provider.only();
}

#[tokio::test]
async fn a_key_stands_for_one_request_by_its_meaning() {
    let provider = FakeProvider::chatting([Answer::chat("once")]).await;
    let gateway = before(&provider).await;
    chat(&gateway, "k1", &ask("hello")).await;
    let other = chat(&gateway, "k1", &ask("goodbye")).await;
    other.refused(422, "idempotency_mismatch");
    assert_eq!(other.header("x-should-retry"), Some("false"));
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let spelt = r#"{ "messages": [{"content": "hell\u006f", "role": "user"}], "model": "auto" }"#;
    let again = gateway
        .data()
        .send(Method::POST, "/v1/chat/completions", &headers, spelt)
        .await;
    assert!(again.status == 200 && is_replay(&again), "{}", again.text());
    provider.only();
    // Another key is another request.
    assert!(!is_replay(&chat(&gateway, "k2", &ask("hello")).await));
}

#[tokio::test]
async fn a_stream_is_given_again_whole() {
    let provider = FakeProvider::chatting([Answer::chat_stream(["one ", "two"])]).await;
    let gateway = before(&provider).await;
    let client = gateway.data().with_header("idempotency-key", "k1");
    let (first, _) = client.chat_stream(&streamed("hello")).await.rest().await;
    // The key is free for its replay a moment after the stream's end.
    let again = client.chat_stream(&streamed("hello")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.rest().await, (first, Ending::Whole));
    provider.only();
}

#[tokio::test]
async fn who_comes_back_finds_the_answer_that_nobody_waited_for() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("once").held(&gate)]).await;
    let gateway = before(&provider).await;
    let client = gateway.data().with_header("idempotency-key", "k1");
    let leaves = tokio::spawn(async move { client.chat(&ask("hello")).await });
    provider.until(|journal| journal.len() == 1).await;
    leaves.abort();
    gate.open();
    let reply = loop {
        let reply = chat(&gateway, "k1", &ask("hello")).await;
        if reply.status != 409 {
            break reply;
        }
    };
    assert!(reply.status == 200 && is_replay(&reply), "{}", reply.text());
    provider.only();
}

#[tokio::test]
async fn what_was_answered_and_what_was_not_is_known_after_a_crash() {
    let answers = [Answer::chat("once"), Answer::never()];
    let provider = FakeProvider::chatting(answers).await;
    let gateway = before(&provider).await;
    let first = chat(&gateway, "done", &ask("hello")).await;
    let client = gateway.data().with_header("idempotency-key", "cut");
    let cut = tokio::spawn(async move { client.chat(&ask("hello")).await });
    provider.until(|journal| journal.len() == 2).await;
    // Not asked to stop: killed.
    let home = gateway.home().clone();
    drop(gateway);
    cut.abort();
    let gateway = Gateway::start_in(home).await;
    let again = chat(&gateway, "done", &ask("hello")).await;
    assert!(is_replay(&again));
    assert_eq!(again.body, first.body);
    let unknown = chat(&gateway, "cut", &ask("hello")).await;
    assert!(unknown.refused(409, "idempotency_conflict").contains("not known"));
    assert_eq!(unknown.header("x-should-retry"), Some("false"));
    chat(&gateway, "cut", &ask("goodbye"))
        .await
        .refused(422, "idempotency_mismatch");
    assert_eq!(provider.journal().len(), 2);
}

#[tokio::test]
async fn a_failure_is_the_outcome_once_a_provider_was_asked() {
    let cut = Answer::chat("half").cut_after(30, End::Reset);
    for (bad, status, code) in [
        (Answer::error(500, "oops"), 502, "upstream_error"),
        (Answer::error(429, "slow_down"), 429, "rate_limit_exceeded"),
        (cut, 502, "upstream_error"),
    ] {
        let provider = FakeProvider::chatting([bad, Answer::chat("late")]).await;
        let gateway = before(&provider).await;
        let message = chat(&gateway, "k1", &ask("hello")).await.refused(status, code);
        let again = chat(&gateway, "k1", &ask("hello")).await;
        assert_eq!(again.refused(status, code), message);
        assert!(is_replay(&again) && again.header("x-should-retry") == Some("false"));
        provider.only();
    }
}

#[tokio::test]
async fn a_request_that_reached_no_provider_leaves_its_key_free() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let provider = FakeProvider::chatting([Answer::chat("once")]).await;
    let unreachable = openai("p1", &format!("http://{address}")) + &route("auto", &["p1"], "");
    let gateway = Gateway::start(&unreachable).await;
    chat(
        &gateway,
        "k1",
        &json!({ "model": "nobody", "messages": ask("x")["messages"] }),
    )
    .await
    .refused(404, "model_not_found");
    chat(&gateway, "k1", &ask("hello")).await.refused(502, "upstream_error");
    gateway.write_config(&config(&provider));
    assert_eq!(gateway.reload().await.status, 200);
    let reply = chat(&gateway, "k1", &ask("hello")).await;
    assert!(reply.status == 200 && !is_replay(&reply), "{}", reply.text());
}

#[tokio::test]
async fn a_stream_that_broke_off_or_was_left_is_not_tried_again() {
    let cut = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Close);
    let left = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang);
    for (answer, leaves) in [(cut, false), (left, true)] {
        let provider = FakeProvider::chatting([answer, Answer::chat_stream(["late"])]).await;
        let gateway = before(&provider).await;
        let client = gateway.data().with_header("idempotency-key", "k1");
        let mut stream = client.chat_stream(&streamed("hello")).await;
        assert!(stream.next().await.is_some());
        if leaves {
            drop(stream);
            provider.settled().await;
        } else {
            assert_eq!(stream.rest().await.1, Ending::Aborted);
        }
        let unknown = loop {
            let reply = chat(&gateway, "k1", &streamed("hello")).await;
            let message = reply.refused(409, "idempotency_conflict");
            if !message.contains("is being served") {
                break message;
            }
        };
        assert!(unknown.contains("not known"), "{unknown}");
        provider.only();
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_given_again_and_not_asked_for_again() {
    let provider = FakeProvider::chatting([Answer::chat("once")]).await;
    let small = format!("{}\n[idempotency]\nanswer_bytes = 10\n", config(&provider));
    let gateway = Gateway::start(&small).await;
    assert_eq!(chat(&gateway, "k1", &ask("hello")).await.status, 200);
    let again = chat(&gateway, "k1", &ask("hello")).await;
    assert!(again.refused(409, "idempotency_conflict").contains("too large"));
    provider.only();
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused() {
    let provider = FakeProvider::chatting([Answer::chat("once")]).await;
    let gateway = before(&provider).await;
    let long = "k".repeat(256);
    for key in ["", " ", "\u{e9}", long.as_str()] {
        let message = chat(&gateway, key, &ask("hello")).await.refused(400, "invalid_value");
        assert!(message.contains("`Idempotency-Key`"), "{message}");
    }
    assert!(provider.journal().is_empty());
}
