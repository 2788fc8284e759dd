//! Connections on both sides of the gateway: who leaves, who waits, and which are used again.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::openai;
use tests::{Answer, End, Ending, FakeProvider, Gate, Gateway, Outcome};

fn ask() -> Value {
    json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] })
}

fn streamed() -> Value {
    json!({ "model": "one/model", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn chatting(answers: impl IntoIterator<Item = Answer>) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting(answers).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    (provider, gateway)
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_to_the_provider_along() {
    let (provider, gateway) = chatting([Answer::never()]).await;
    for client in [gateway.data(), gateway.data().http2()] {
        for ask in [ask(), streamed()] {
            let before = provider.journal().len();
            let client = client.clone();
            let request = tokio::spawn(async move { client.chat_stream(&ask).await.status });
            provider.until(|journal| journal.len() == before + 1).await;
            assert_eq!(provider.journal()[before].outcome, Outcome::UnderWay);
            request.abort();
            provider.settled().await;
        }
    }
    provider.on(
        "/v1/chat/completions",
        [Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang)],
    );
    for client in [gateway.data(), gateway.data().http2()] {
        let mut stream = client.chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        drop(stream);
        provider.settled().await;
    }
    assert!(
        provider
            .journal()
            .iter()
            .all(|received| received.outcome == Outcome::Abandoned)
    );
    // Nothing is left behind on the gateway's side either.
    until(async || gateway.metric("pointsman_in_flight").await == 0.0).await;
}

#[tokio::test]
async fn a_connection_over_http2_with_nothing_under_way_is_closed_and_one_with_a_stream_is_not() {
    let gate = Gate::shut();
    let stream = Answer::chat_stream(["one", "two"]).held_after(1, &gate);
    let provider = FakeProvider::chatting([stream]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + "[server]\nidle_ms = 200\n")).await;
    let mut stream = gateway.data().http2().chat_stream(&streamed()).await;
    assert!(stream.next().await.is_some());
    assert_eq!(gateway.data().get_until_closed("/v1/models").await, 200);
    gate.open();
    assert_eq!(stream.rest().await.1, Ending::Whole);
}

#[tokio::test]
async fn connections_to_the_provider_are_used_again_after_whole_answers_and_errors() {
    let (provider, gateway) = chatting([Answer::chat("hi"), Answer::error(500, "oops"), Answer::chat("hi")]).await;
    for status in [200, 502, 200, 200] {
        assert_eq!(gateway.data().chat(&ask()).await.status, status);
    }
    assert!(
        provider.journal().iter().all(|received| received.connection == 0),
        "{:#?}",
        provider.journal()
    );
}

#[tokio::test]
async fn connections_to_the_provider_are_used_again_after_streams() {
    let (provider, gateway) = chatting([Answer::chat_stream(["one", "two"])]).await;
    // The end of a body's framing may arrive after the client has everything, so only some stream finds a connection.
    until(async || {
        let (_, ending) = gateway.data().chat_stream(&streamed()).await.rest().await;
        assert_eq!(ending, Ending::Whole);
        provider.settled().await;
        let journal = provider.journal();
        let (last, before) = journal.split_last().unwrap();
        before.iter().any(|received| received.connection == last.connection)
    })
    .await;
}

#[tokio::test]
async fn a_connection_on_which_an_answer_broke_off_is_not_used_again() {
    let (provider, gateway) = chatting([
        Answer::chat("a long answer").cut_after(20, End::Close),
        Answer::chat("hi"),
    ])
    .await;
    gateway.data().chat(&ask()).await.refused(502, "upstream_error");
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    let journal = provider.journal();
    assert_ne!(journal[0].connection, journal[1].connection);
}

#[tokio::test]
async fn a_provider_that_closes_idle_connections_is_not_noticed() {
    let (provider, gateway) = chatting([Answer::chat("hi")]).await;
    for round in 0..20 {
        let reply = gateway.data().chat(&ask()).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-attempts")),
            (200, Some("1")),
            "round {round}"
        );
        provider.hang_up().await;
    }
    assert_eq!(provider.journal().len(), 20);
    assert!(!gateway.log().contains("an attempt failed"));
}

#[tokio::test]
async fn a_slow_reader_holds_the_provider_back() {
    const PIECES: usize = 32;
    let event = format!(
        "{{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}",
        "x".repeat(1 << 20)
    );
    let mut events = vec![event.as_str(); PIECES];
    events.push("[DONE]");
    let (provider, gateway) = chatting([Answer::events(events)]).await;
    for (index, client) in [gateway.data(), gateway.data().http2()].into_iter().enumerate() {
        let mut stream = client.chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        // It has come to a stop when nothing moves between two looks; were it not held back, it would have finished.
        let mut seen = 0;
        until(async || {
            let pieces = provider.journal()[index].pieces;
            std::mem::replace(&mut seen, pieces) == pieces
        })
        .await;
        assert!(
            seen < PIECES,
            "the provider was read to its end although nobody took what it said"
        );
        assert_eq!(provider.journal()[index].outcome, Outcome::UnderWay);
        let (rest, ending) = stream.rest().await;
        assert_eq!((rest.len(), ending), (PIECES, Ending::Whole));
    }
}

#[tokio::test]
async fn a_client_that_reads_no_further_is_given_up_and_not_the_providers_fault() {
    let event = json!({ "choices": [{ "delta": { "content": "x".repeat(1 << 20) } }] }).to_string();
    let provider = FakeProvider::chatting([Answer::events(vec![event.as_str(); 64])]).await;
    let config = openai("one", &provider.url()) + "[server]\nstall_ms = 200\n";
    let gateway = Gateway::start(&config).await;
    let ended = |kind: &str| {
        format!(
            "pointsman_attempts_total{{gen_ai_provider_name=\"one\",gen_ai_request_model=\"one/model\",error_type=\"{kind}\"}}"
        )
    };
    for (round, client) in [gateway.data(), gateway.data().http2()].into_iter().enumerate() {
        let mut stream = client.chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        // Nothing is read from here on, and yet everything is let go of.
        provider.settled().await;
        assert_eq!(provider.journal()[round].outcome, Outcome::Abandoned);
        until(async || gateway.metric("pointsman_in_flight").await == 0.0).await;
        assert_eq!(gateway.metric(&ended("client_slow")).await, (round + 1) as f64);
        let (events, ending) = stream.rest().await;
        assert_eq!(ending, Ending::Aborted);
        assert!(events.iter().all(|event| event.data != "[DONE]"));
    }
    assert_eq!(gateway.metric(&ended("stream_broken")).await, 0.0);
}

#[tokio::test]
async fn a_connection_on_which_no_head_comes_is_closed() {
    let provider = FakeProvider::chatting([Answer::chat("hi").delayed(Duration::from_secs(1))]).await;
    let config = openai("one", &provider.url()) + "[server]\nhead_ms = 200\n";
    let gateway = Gateway::start(&config).await;
    let beginnings = [
        "",
        "P",
        "GET / HTTP/1.1\r\nhost: localhost\r\n",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for client in [gateway.data(), gateway.admin()] {
        for beginning in beginnings {
            client.raw(beginning.as_bytes()).await;
        }
    }
    // A head that did come has all the time that its answer takes.
    for client in [gateway.data(), gateway.data().http2()] {
        assert_eq!(client.chat(&ask()).await.status, 200);
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_one_after_the_other() {
    let gate = Gate::shut();
    let (provider, gateway) = chatting([Answer::chat("first").held(&gate), Answer::chat("second")]).await;
    let body = ask().to_string();
    let head = |connection: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let client = gateway.data();
    let both = [head("keep-alive"), head("close")].concat();
    let answers = tokio::spawn(async move { client.raw(both.as_bytes()).await });
    provider.until(|journal| journal.len() == 1).await;
    gate.open();
    let answers = answers.await.unwrap();
    let place = |text: &str| answers.find(text).unwrap_or_else(|| panic!("no {text} in {answers}"));
    assert!(place("first") < place("second"));
}

/// Asks again and again until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come to that within a minute");
}
