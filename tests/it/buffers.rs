//! How much of an answer lies between a provider and a client that does not read: what the gateway has taken and not passed on, to the byte.
//! What is on its way in the system's own buffers is asked of the system, so this needs Linux.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tests::config::openai;
use tests::{Authority, FakeProvider, Gateway, Home, not_tested};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::strict::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, fields, frame};

/// What the gateway may have of one stream.
const MOST: u64 = 256 << 10;
/// One event; a stream is always cut between two.
fn event() -> String {
    let data = json!({ "choices": [{ "index": 0, "delta": { "content": "x".repeat(900) }, "finish_reason": null }] });
    format!("data: {data}\n\n")
}

fn ask() -> Value {
    json!({ "model": "one/model", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

/// Says without end what it can get rid of, over HTTP/1.1; counts it.
async fn over_http1(tasks: &mut JoinSet<()>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(AtomicU64::new(0));
    let counted = said.clone();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 16 << 10]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let event = event();
        // Byte for byte: what the system has taken is said.
        let mut left = event.as_bytes();
        while let Ok(count) = stream.write(left).await {
            counted.fetch_add(count as u64, Ordering::Relaxed);
            left = if count == left.len() {
                event.as_bytes()
            } else {
                &left[count..]
            };
        }
    });
    (address, said)
}

/// The same over HTTP/2, of which nothing counts before the gateway's window has room for it.
async fn over_http2(authority: &Authority, tasks: &mut JoinSet<()>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(authority.server("127.0.0.1", &["h2"]));
    let said = Arc::new(AtomicU64::new(0));
    let counted = said.clone();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(tls.accept(stream).await.unwrap()).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let head = hyper::Response::builder().header("content-type", "text/event-stream");
        let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
        let mut rest = Bytes::new();
        loop {
            if rest.is_empty() {
                rest = event().into();
            }
            body.reserve_capacity(rest.len());
            let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else {
                return;
            };
            let piece = rest.split_to(room.min(rest.len()));
            counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if body.send_data(piece, false).is_err() {
                return;
            }
        }
    });
    (address, said)
}

/// What the system has between two ends of a connection of this machine: sent and not yet received, received and not yet read.
fn in_the_system(one: SocketAddr, other: SocketAddr) -> u64 {
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let (one, other) = (hex(one), hex(other));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let queued = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ends = [*fields.get(1)?, *fields.get(2)?];
        let (sent, received) = fields.get(4)?.split_once(':')?;
        let is_it = ends == [one.as_str(), other.as_str()] || ends == [other.as_str(), one.as_str()];
        let number = |text| u64::from_str_radix(text, 16).ok();
        is_it.then_some(number(sent)? + number(received)?)
    });
    queued.sum()
}

/// All connections of a listener, as the system knows them.
fn connections_of(listener: SocketAddr) -> Vec<SocketAddr> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let own = format!("0100007F:{:04X}", listener.port());
    let ends = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_open = fields.get(3) == Some(&"01") && fields.get(1) == Some(&own.as_str());
        let (_, port) = fields.get(2).filter(|_| is_open)?.split_once(':')?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::from_str_radix(port, 16).ok()?)))
    });
    ends.collect()
}

/// A client over HTTP/1.1 that reads nothing at all.
async fn silent_http1(gateway: &Gateway) -> TcpStream {
    let mut stream = gateway.data().connect().await;
    let body = ask().to_string();
    let length = body.len();
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A client over HTTP/2 that never opens its window again.
async fn silent_http2(gateway: &Gateway) -> TcpStream {
    let mut stream = gateway.data().connect().await;
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", "/v1/chat/completions"),
    ];
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &fields(&head)),
        frame(DATA, END_STREAM, 1, ask().to_string().as_bytes()),
    ];
    stream.write_all(&request.concat()).await.unwrap();
    stream
}

/// Waits until nothing moves any more.
async fn at_rest(said: &AtomicU64) -> u64 {
    let (mut last, mut same) = (0, 0);
    while same < 5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = said.load(Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_keeps_no_more_than_256_kib_of_a_stream_that_nobody_reads() {
    if !fs::exists("/proc/net/tcp").unwrap_or_default() {
        return not_tested(
            "how much the gateway keeps",
            "the system does not say what is in its own buffers",
        );
    }
    let authority = Authority::new();
    let mut measured = Vec::new();
    for provider_http2 in [false, true] {
        for client_http2 in [false, true] {
            let mut tasks = JoinSet::new();
            let (provider, said) = match provider_http2 {
                false => over_http1(&mut tasks).await,
                true => over_http2(&authority, &mut tasks).await,
            };
            let scheme = if provider_http2 { "https" } else { "http" };
            let config = openai("one", &format!("{scheme}://{provider}"));
            let home = Home::with_config(&config.replace("api_key", "ca_file = \"ca.pem\"\napi_key"));
            home.write("ca.pem", authority.pem());
            let gateway = Gateway::start_in(home).await;
            let client = match client_http2 {
                false => silent_http1(&gateway).await,
                true => silent_http2(&gateway).await,
            };
            let said = at_rest(&said).await;
            let of_client = in_the_system(client.local_addr().unwrap(), gateway.data_address());
            let of_provider: u64 = connections_of(provider)
                .iter()
                .map(|end| in_the_system(provider, *end))
                .sum();
            // What TLS adds to what is on its way is less than an event.
            let kept = said.saturating_sub(of_client).saturating_sub(of_provider);
            measured.push((provider_http2, client_http2, kept));
            assert!(
                kept <= MOST,
                "kept {kept} of {said} bytes; HTTP/2 to the provider: {provider_http2}, to the client: {client_http2}"
            );
            assert!(kept > 0, "nothing was kept of {said} bytes");
        }
    }
    println!("bytes kept, by whether HTTP/2 is spoken to the provider and by the client: {measured:?}");
    // The same gateway, with somebody who reads, has nothing left.
    let provider = FakeProvider::chatting([tests::Answer::chat_stream(["one"])]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let (events, ending) = gateway.data().chat_stream(&ask()).await.rest().await;
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", tests::Ending::Whole)
    );
}
