//! TLS towards providers: whom the gateway believes, and which version of HTTP it then speaks. Certificates come from an
//! authority of the test's own, named by `ca_file`.

mod unprocessed;

use std::sync::Arc;

use serde_json::json;
use tests::config::openai;
use tests::{Answer, Authority, Ending, FakeProvider, Gateway, Home};

const CHAT: &str = "/v1/chat/completions";

/// A gateway that trusts this authority, before a provider that presents a certificate for this name.
async fn gateway_before(
    trusted: &Authority,
    signer: &Authority,
    name: &str,
    protocols: &[&str],
) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::start_tls(signer.server(name, protocols)).await;
    let gateway = trusting(trusted, &provider).await;
    (provider, gateway)
}

/// A gateway that trusts this authority, before this provider.
async fn trusting(trusted: &Authority, provider: &FakeProvider) -> Gateway {
    provider.on(CHAT, [Answer::chat("hi")]);
    let config = openai("one", &provider.url()).replace("api_key", "ca_file = \"ca.pem\"\napi_key");
    let home = Home::with_config(&config);
    home.write("ca.pem", trusted.pem());
    Gateway::start_in(home).await
}

fn hello() -> serde_json::Value {
    json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn a_provider_that_offers_http_2_is_spoken_to_in_it_over_one_connection() {
    let authority = Authority::new();
    let (provider, gateway) = gateway_before(&authority, &authority, "127.0.0.1", &["h2", "http/1.1"]).await;
    for _ in 0..3 {
        assert_eq!(gateway.data().chat(&hello()).await.status, 200);
    }
    provider.on(CHAT, [Answer::chat_stream(["one", "two"])]);
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let (events, ending) = gateway.data().chat_stream(&streamed).await.rest().await;
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
    let journal = provider.journal();
    assert!(
        journal
            .iter()
            .all(|received| received.is_http2 && received.connection == journal[0].connection)
    );
    assert_eq!(journal[0].header("authorization"), Some("Bearer key-of-one"));
    // In HTTP/2 the host is not a header.
    assert_eq!(journal[0].header("host"), None);
}

#[tokio::test]
async fn requests_side_by_side_share_an_http_2_connection() {
    let authority = Authority::new();
    let (provider, gateway) = gateway_before(&authority, &authority, "127.0.0.1", &["h2"]).await;
    assert_eq!(gateway.data().chat(&hello()).await.status, 200);
    let gate = tests::Gate::shut();
    provider.on(CHAT, [Answer::chat("hi").held(&gate)]);
    let gateway = Arc::new(gateway);
    let requests: Vec<_> = (0..5)
        .map(|_| {
            let client = gateway.data();
            tokio::spawn(async move { client.chat(&hello()).await.status })
        })
        .collect();
    provider.until(|journal| journal.len() == 6).await;
    (0..5).for_each(|_| gate.open());
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert!(provider.journal().iter().all(|received| received.connection == 0));
}

#[tokio::test]
async fn requests_that_a_connection_has_no_room_for_go_over_another() {
    let authority = Authority::new();
    let provider = FakeProvider::start_tls_taking(authority.server("127.0.0.1", &["h2"]), 3).await;
    let gateway = trusting(&authority, &provider).await;
    assert_eq!(gateway.data().chat(&hello()).await.status, 200);
    let gate = tests::Gate::shut();
    provider.on(CHAT, [Answer::chat("hi").held(&gate)]);
    let mut requests = Vec::new();
    for count in 2..=8 {
        let client = gateway.data();
        requests.push(tokio::spawn(async move { client.chat(&hello()).await.status }));
        provider.until(|journal| journal.len() == count).await;
    }
    let connections: Vec<usize> = provider.journal()[1..]
        .iter()
        .map(|received| received.connection)
        .collect();
    assert_eq!(connections, [0, 0, 0, 1, 1, 1, 2]);
    // Those that fell free are taken before another is opened.
    (0..7).for_each(|_| gate.open());
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    provider.on(CHAT, [Answer::chat("hi")]);
    for _ in 0..4 {
        assert_eq!(gateway.data().chat(&hello()).await.status, 200);
    }
    assert!(provider.journal()[8..].iter().all(|received| received.connection == 0));
}

#[tokio::test]
async fn streams_that_nobody_reads_do_not_hold_up_others() {
    let authority = Authority::new();
    let (provider, gateway) = gateway_before(&authority, &authority, "127.0.0.1", &["h2"]).await;
    let event = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1 << 20));
    provider.on(CHAT, [Answer::events(vec![event.as_str(); 64])]);
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut stream = gateway.data().chat_stream(&streamed).await;
        assert!(stream.next().await.is_some());
        unread.push(stream);
    }
    // They have come to a stop when nothing moves between two looks.
    let mut seen = Vec::new();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let pieces: Vec<usize> = provider.journal().iter().map(|received| received.pieces).collect();
        if std::mem::replace(&mut seen, pieces.clone()) == pieces {
            break;
        }
    }
    assert!(seen.iter().all(|pieces| *pieces < 64), "{seen:?}");
    provider.on(CHAT, [Answer::chat("hi")]);
    assert_eq!(gateway.data().chat(&hello()).await.status, 200);
    let connections: Vec<usize> = provider.journal().iter().map(|received| received.connection).collect();
    assert_eq!(connections, [0; 5]);
}

#[tokio::test]
async fn a_provider_without_http_2_is_spoken_to_in_http_1() {
    let authority = Authority::new();
    for protocols in [&["http/1.1"][..], &[]] {
        let (provider, gateway) = gateway_before(&authority, &authority, "127.0.0.1", protocols).await;
        assert_eq!(gateway.data().chat(&hello()).await.status, 200);
        assert!(!provider.only().is_http2);
    }
}

#[tokio::test]
async fn a_broken_stream_over_http_2_is_an_error_and_other_streams_do_not_notice() {
    let authority = Authority::new();
    let (provider, gateway) = gateway_before(&authority, &authority, "127.0.0.1", &["h2"]).await;
    let gate = tests::Gate::shut();
    let whole = Answer::chat_stream(["one", "two"]).held_after(1, &gate);
    let broken = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, tests::End::Close);
    provider.on(CHAT, [whole, broken]);
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let mut first = gateway.data().chat_stream(&streamed).await;
    assert!(first.next().await.is_some());
    let (events, ending) = gateway.data().chat_stream(&streamed).await.rest().await;
    assert_eq!((events.len(), ending), (2, Ending::Aborted));
    assert_eq!(events[1].json()["error"]["code"], "upstream_error");
    gate.open();
    let (events, ending) = first.rest().await;
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
    assert!(provider.journal().iter().all(|received| received.connection == 0));
}

#[tokio::test]
async fn a_certificate_that_does_not_convince_is_refused_before_the_key_is_sent() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    for (signer, name) in [(&stranger, "127.0.0.1"), (&trusted, "elsewhere.example")] {
        let (provider, gateway) = gateway_before(&trusted, signer, name, &["h2", "http/1.1"]).await;
        let reply = gateway.data().chat(&hello()).await;
        let message = reply.refused(502, "upstream_error");
        // Whom it tried to reach is the operator's to know.
        assert!(!message.contains("127.0.0.1"), "{message}");
        gateway.logged(&["an attempt failed", "certificate"]).await;
        assert!(provider.journal().is_empty());
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_found_at_the_start() {
    for (name, contents) in [("empty", Some("")), ("text", Some("no certificate")), ("missing", None)] {
        let config = openai("one", "https://127.0.0.1:9").replace("api_key", "ca_file = \"ca.pem\"\napi_key");
        let home = Home::with_config(&config);
        contents.map(|contents| home.write("ca.pem", contents));
        let output = home.run(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("ca.pem") && said.contains("one"), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to_unless_that_is_meant() {
    let provider = FakeProvider::start().await;
    provider.on(CHAT, [Answer::chat("hi")]);
    let port = provider.address().port();
    // Numbers that the system's resolver takes for 127.0.0.1, as it takes a name that somebody else may hold.
    for host in ["2130706433", "127.1", "0x7f000001"] {
        let config = openai("one", &format!("http://{host}:{port}"));
        let gateway = Gateway::start(&config).await;
        let message = gateway.data().chat(&hello()).await.refused(502, "upstream_error");
        assert!(!message.contains("127.0.0.1"), "{message}");
        gateway
            .logged(&["an attempt failed", "127.0.0.1, which is not public", "allow_private"])
            .await;
    }
    assert!(provider.journal().is_empty());
    let meant = openai("one", &format!("http://2130706433:{port}")).replace("api_key", "allow_private = true\napi_key");
    let gateway = Gateway::start(&meant).await;
    assert_eq!(gateway.data().chat(&hello()).await.status, 200);
}
