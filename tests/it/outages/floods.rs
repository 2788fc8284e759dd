//! Providers that do not stop: heads, lines, chunks and bodies without end, and what is compressed or claims to be huge. Each
//! is given up after so much, the next candidate answers, and memory stays where it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What goes on before and after it repeats itself, until the gateway closes the connection.
struct Flood {
    what: &'static str,
    begins: &'static str,
    goes_on: String,
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
const HINTS: &str = "answers before the answer";
/// Of the gateway, however much a provider says; a debug build's own doings with ten floods are in it.
const MOST_MEMORY: u64 = 96 << 20;
/// Of one flood, what is in the system's buffers included.
const MOST_TAKEN: u64 = 96 << 20;

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn floods() -> Vec<Flood> {
    let long = "x".repeat(16 << 10);
    let flood = |what, begins, goes_on| Flood { what, begins, goes_on };
    vec![
        flood("headers without end", HEAD, "x-more: of the same\r\n".repeat(500)),
        flood("a header without end", "HTTP/1.1 200 OK\r\nx-more: ", long.clone()),
        flood("a status line without end", "HTTP/1.1 200 ", long.clone()),
        flood(HINTS, "", "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".repeat(400)),
        flood("a body without end", CHUNKED, chunk(&long)),
        flood("JSON without end", CHUNKED, chunk(&format!("[{}", "[1,".repeat(5_000)))),
        flood(
            "a body of a terabyte",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000000\r\n\r\n",
            long.clone(),
        ),
        flood(
            "an error without end",
            "HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n",
            chunk(&long),
        ),
        flood(
            "a chunk's extension without end",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            long.clone(),
        ),
        flood(
            "trailers without end",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            "x-more: of the same\r\n".repeat(500),
        ),
        flood("a line of a stream without end", EVENTS, chunk(&long)),
        flood("an event without end", EVENTS, chunk(&format!("data: {long}\n"))),
    ]
}

/// A provider that floods whoever asks it, and how much it got rid of.
async fn flooding(flood: Flood, tasks: &mut JoinSet<()>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(AtomicU64::new(0));
    let counted = said.clone();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The request is small, and comes at once.
            let _ = stream.read(&mut [0; 16 << 10]).await;
            let _ = stream.write_all(flood.begins.as_bytes()).await;
            while stream.write_all(flood.goes_on.as_bytes()).await.is_ok() {
                counted.fetch_add(flood.goes_on.len() as u64, Ordering::Relaxed);
            }
        }
    });
    (address, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_do_not_stop_are_given_up_and_cost_no_memory() {
    let good = FakeProvider::start().await;
    let mut tasks = JoinSet::new();
    let mut config = openai("good", &good.url());
    let mut all = Vec::new();
    for (index, flood) in floods().into_iter().enumerate() {
        let (what, name) = (flood.what, format!("flood{index}"));
        let (address, said) = flooding(flood, &mut tasks).await;
        let timeouts = "first_token_timeout_ms = 3000\ngap_timeout_ms = 3000\ntimeout_ms = 20000\napi_key";
        config += &openai(&name, &format!("http://{address}")).replacen("api_key", timeouts, 1);
        config += &route(&name, &[&name, "good"], "");
        all.push((what, name, said));
    }
    let gateway = Gateway::start(&config).await;
    let body = |name: &str, is_stream: bool| json!({ "model": name, "stream": is_stream, "messages": [{ "role": "user", "content": "hello" }] });
    good.on("/v1/chat/completions", [Answer::chat("well")]);
    assert_eq!(gateway.data().chat(&body("good/model", false)).await.status, 200);
    let before = gateway.resident_bytes();
    for (what, name, said) in &all {
        for is_stream in [false, true] {
            let answer = if is_stream {
                Answer::chat_stream(["well"])
            } else {
                Answer::chat("well")
            };
            good.on("/v1/chat/completions", [answer]);
            let reply = gateway.data().chat(&body(name, is_stream)).await;
            let text = reply.text();
            let is_whole = reply.status == 200 && text.contains("well") && !text.contains("xxxx");
            assert!(is_whole, "{what}, streamed: {is_stream}: {} {text:.300}", reply.status);
            let taken = said.swap(0, Ordering::Relaxed);
            // What is no answer yet is read for as long as an answer may take to begin, and thrown away.
            let taken = if *what == HINTS { 0 } else { taken };
            assert!(taken < MOST_TAKEN, "{what}, streamed: {is_stream}: took {taken} bytes");
        }
    }
    if let (Some(before), Some(after)) = (before, gateway.resident_bytes()) {
        let more = after.saturating_sub(before);
        assert!(more < MOST_MEMORY, "{more} bytes of memory more than before");
    }
}

#[tokio::test]
async fn what_a_provider_compressed_unasked_is_no_answer() {
    // 10 MB of spaces, in gzip, twice; nobody unpacks either.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 10_000]].concat();
    for coding in ["gzip", "br", "zstd", "gzip, gzip"] {
        let bad = Answer::new(200, "application/json", bomb.clone()).header("content-encoding", coding);
        let one = FakeProvider::chatting([bad]).await;
        let two = FakeProvider::chatting([Answer::chat("well")]).await;
        let config = openai("one", &one.url()) + &openai("two", &two.url()) + &route("auto", &["one", "two"], "");
        let gateway = Gateway::start(&config).await;
        let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
        let reply = gateway.data().chat(&ask).await;
        assert_eq!(
            (reply.status, reply.text().contains("well")),
            (200, true),
            "{coding}: {}",
            reply.text()
        );
        let asked_for = one.only().header("accept-encoding").map(str::to_owned);
        assert!(matches!(asked_for.as_deref(), None | Some("identity")), "{asked_for:?}");
    }
}
