//! Who is slow, who sends more than was asked, and which headers go no further.

use std::time::Duration;

use serde_json::json;
use tests::config::openai;
use tests::{Answer, End, FakeProvider, Gateway, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{body, head};

#[tokio::test]
async fn a_client_that_leaves_is_noticed_whatever_it_has_sent_before() {
    let provider = FakeProvider::chatting([Answer::never()]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let streamed =
        "{\"model\":\"one/model\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}".to_owned();
    let mut rounds = 0;
    for body in [body("a"), streamed] {
        let request = format!("{}content-length: {}\r\n\r\n{body}", head("a"), body.len());
        for more in ["", "P", "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", "\0\0"] {
            let mut stream = gateway.data().connect().await;
            stream.write_all((request.clone() + more).as_bytes()).await.unwrap();
            rounds += 1;
            provider.until(|journal| journal.len() == rounds).await;
            drop(stream);
            provider.settled().await;
            assert_eq!(provider.journal()[rounds - 1].outcome, Outcome::Abandoned, "{more:?}");
        }
    }
    // In the middle of a stream as well.
    let pieces = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang);
    provider.on("/v1/chat/completions", [pieces]);
    let body = "{\"model\":\"one/model\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
    let request = format!("{}content-length: {}\r\n\r\n{body}P", head("a"), body.len());
    let mut stream = gateway.data().connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    drop(stream);
    provider.settled().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_and_one_that_flows_is_not() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let config = openai("one", &provider.url()) + "[server]\nbody_grace_ms = 200\nbody_bytes_per_second = 100\n";
    let gateway = Gateway::start(&config).await;
    let body = body(&"x".repeat(5_000));
    for framing in [
        format!("content-length: {}\r\n", body.len()),
        "transfer-encoding: chunked\r\n".to_owned(),
    ] {
        let mut stream = gateway.data().connect().await;
        stream
            .write_all(format!("{}{framing}\r\n", head("slow")).as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"),
            "{answer}"
        );
    }
    // Half of it buys half a minute; the rest comes later than the first allowance.
    let mut stream = gateway.data().connect().await;
    let request = format!(
        "{}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        head("steady"),
        body.len()
    );
    let (first, second) = request.as_bytes().split_at(request.len() - 2_000);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    stream.write_all(second).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(provider.journal().len(), 1);
}

#[tokio::test]
async fn half_a_head_is_not_waited_for_and_an_unused_connection_may_wait() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let config = openai("one", &provider.url()) + "[server]\nhead_ms = 300\nidle_ms = 600000\n";
    let gateway = Gateway::start(&config).await;
    let mut stream = gateway.data().connect().await;
    let whole = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    let ask = async |stream: &mut tokio::net::TcpStream| {
        stream.write_all(whole.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 "));
    };
    ask(&mut stream).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    ask(&mut stream).await;
    // One more byte, and the rest has to follow.
    stream.write_all(b"G").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let long = "x".repeat(32 << 20);
    let provider = FakeProvider::chatting([Answer::chat(&long)]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + "[server]\nstall_ms = 200\n")).await;
    let mut stream = gateway.data().connect().await;
    let body = body("a");
    let request = format!("{}content-length: {}\r\n\r\n{body}", head("a"), body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    // What the sockets hold comes, and then the end, long before the answer is whole.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < long.len(), "{} bytes", rest.len());
}

#[tokio::test]
async fn headers_for_the_next_server_and_orders_to_a_gateway_go_no_further_and_change_nothing() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let elsewhere = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let url = format!("{}/v1", elsewhere.url());
    let sent = [
        ("connection", "x-secret, authorization, keep-alive"),
        ("x-secret", "marked"),
        ("keep-alive", "timeout=marked"),
        ("proxy-authorization", "Basic marked"),
        ("proxy-connection", "marked"),
        ("te", "trailers"),
        ("trailer", "marked"),
        ("upgrade", "marked"),
        ("forwarded", "for=marked"),
        ("x-forwarded-for", "marked"),
        ("x-forwarded-host", "marked"),
        ("x-forwarded-proto", "marked"),
        ("x-real-ip", "marked"),
        ("via", "1.1 marked"),
        ("cookie", "a=marked"),
        ("authorization", "Bearer marked"),
        ("api-key", "marked"),
        ("x-api-key", "marked"),
        ("x-goog-api-key", "marked"),
        ("x-portkey-custom-host", &url),
        ("x-base-url", &url),
        ("x-litellm-api-base", &url),
        ("api-base", &url),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/marked"),
        ("x-rewrite-url", "/marked"),
        ("host", "marked.example"),
        ("openai-organization", "marked"),
    ];
    let ask = json!({
        "model": "one/model", "messages": [{"role": "user", "content": "a"}],
        "api_base": url, "base_url": url, "api_key": "sk-own", "user_config": {"api_base": url},
    });
    // `Keep-Alive` and the like are no headers of HTTP/2 at all.
    let body = ask.to_string();
    let headers: String = sent
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = gateway.data().connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let received = provider.only();
    let own = [
        "host",
        "authorization",
        "content-type",
        "content-length",
        "accept",
        "user-agent",
    ];
    for (name, value) in &received.headers {
        assert!(!value.contains("marked") && !value.contains(&url), "{name}: {value}");
        assert!(
            own.contains(&name.as_str()) || !sent.iter().any(|(sent, _)| sent == name),
            "{name}: {value}"
        );
    }
    assert_eq!(received.header("authorization"), Some("Bearer key-of-one"));
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert!(elsewhere.journal().is_empty());
}
