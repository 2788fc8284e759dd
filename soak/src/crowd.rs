//! Many clients at once, and what they cost: streams that are idle, streams that are hardly read, clients that come again while nobody has room.
//! Beside them goes good traffic, which is timed. The gateway is a process of its own; what it holds is asked of the system.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::StreamExt;
use serde_json::json;
use tests::config::{openai, route};
use tests::{Answer, Authority, Client, End, FakeProvider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::gateway::{body, good_traffic, open_files, p99, start};

/// The most memory that an idle stream may take.
const IDLE_BYTES: u64 = 50 << 10;
/// The most that is buffered of a stream that nobody reads, with what an idle one takes.
const UNREAD_BYTES: u64 = (256 << 10) + IDLE_BYTES;

/// What the system keeps for a client.
const RECEIVED_BYTES: u32 = 16 << 10;

/// A stream that has begun, of which nothing more is read here.
async fn begun(address: SocketAddr, model: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // What the system would keep for a client that reads slowly is megabytes, which nothing is learned from.
    socket.set_recv_buffer_size(RECEIVED_BYTES)?;
    let mut stream = socket.connect(address).await?;
    let body = body(model, true).to_string();
    let length = body.len();
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut seen = Vec::new();
    let mut space = [0; 1 << 10];
    while !seen.windows(6).any(|window| window == b"data: ") {
        let count = stream.read(&mut space).await?;
        ensure!(count > 0, "a stream ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&space[..count]);
    }
    Ok(stream)
}

/// So many streams, a hundred at a time.
async fn begin(address: SocketAddr, model: &'static str, count: usize) -> Result<Vec<TcpStream>> {
    let beginning = futures_util::stream::iter(0..count).map(|_| begun(address, model));
    let streams: Vec<_> = beginning.buffer_unordered(100).collect().await;
    streams.into_iter().collect()
}

/// Streams that a provider takes on one connection over HTTP/2.
const TAKEN: u32 = 100;

/// O1: streams on which nothing happens.
pub(crate) fn idle(streams: usize, seconds: u64, is_http1: bool) -> Result<()> {
    let connections = if is_http1 {
        streams
    } else {
        streams.div_ceil(TAKEN as usize)
    };
    open_files((streams + connections) as u64 + 600)?;
    tokio::runtime::Runtime::new()?.block_on(sit(streams, Duration::from_secs(seconds), is_http1))
}

async fn sit(count: usize, span: Duration, is_http1: bool) -> Result<()> {
    let home = tempfile::tempdir()?;
    let authority = Authority::new();
    std::fs::write(home.path().join("ca.pem"), authority.pem())?;
    let silent = match is_http1 {
        true => FakeProvider::start().await,
        false => FakeProvider::start_tls_taking(authority.server("127.0.0.1", &["h2"]), TAKEN).await,
    };
    let good = FakeProvider::start().await;
    silent.on(
        "/v1/chat/completions",
        [Answer::chat_stream(["one"]).cut_after_pieces(1, End::Hang)],
    );
    good.on("/v1/chat/completions", [Answer::chat("hello")]);
    let config = openai("silent", &silent.url()).replace(
        "api_key",
        "ca_file = \"ca.pem\"\ngap_timeout_ms = 3_600_000\nfirst_token_timeout_ms = 600_000\napi_key",
    ) + &openai("good", &good.url())
        + "[server]\nheartbeat_ms = 5_000\n"
        // By open files it would leave room for a connection to the provider for each.
        + &["connections", "in_flight", "in_flight_per_key"].map(|limit| format!("{limit} = {}\n", count + 500)).concat();
    let gateway = start(home.path(), &config)?;
    let client = Client::new(gateway.address);
    let (before, _) = good_traffic(&client, span).await;
    let empty = gateway.memory()?;
    let streams = begin(gateway.address, "silent/model", count).await?;
    let (during, failed) = good_traffic(&client, span).await;
    let each = gateway.memory()?.saturating_sub(empty) / count as u64;
    // All have been silent for longer than between two heartbeats.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut space = [0; 4 << 10];
    let has_beat = |stream: &TcpStream, space: &mut [u8]| {
        let count = stream.try_read(space).unwrap_or_default();
        String::from_utf8_lossy(&space[..count]).contains(": still here")
    };
    let beats = streams.iter().filter(|stream| has_beat(stream, &mut space)).count();
    println!(
        "{count} idle streams over HTTP/{}: {:.1} KiB each; heartbeats on {beats}; good traffic's p99 {:.1} ms beside them, {:.1} ms without; failed {failed}",
        if is_http1 { "1.1" } else { "2" },
        each as f64 / 1024.0,
        p99(&during),
        p99(&before)
    );
    ensure!(
        each <= IDLE_BYTES,
        "{each} bytes for a stream are more than {IDLE_BYTES}"
    );
    ensure!(beats == count, "{} streams got no heartbeat", count - beats);
    ensure!(failed == 0, "{failed} of the good requests failed");
    Ok(())
}

/// U4: streams that are hardly read, and streams that are not.
pub(crate) fn slow(streams: usize, seconds: u64) -> Result<()> {
    open_files(2 * streams as u64 + 600)?;
    tokio::runtime::Runtime::new()?.block_on(crawl(streams, Duration::from_secs(seconds)))
}

async fn crawl(count: usize, span: Duration) -> Result<()> {
    let home = tempfile::tempdir()?;
    let (large, good) = (FakeProvider::start().await, FakeProvider::start().await);
    let event = json!({ "choices": [{ "delta": { "content": "x".repeat(32 << 10) } }] }).to_string();
    // 50 MB for each of them.
    large.on("/v1/chat/completions", [Answer::events(vec![event.as_str(); 1_600])]);
    good.on("/v1/chat/completions", [Answer::chat("hello")]);
    let config = openai("large", &large.url()) + &openai("good", &good.url()) + "[server]\nstall_ms = 10_000\n";
    let gateway = start(home.path(), &config)?;
    let client = Client::new(gateway.address);
    let (before, _) = good_traffic(&client, span).await;
    let empty = gateway.memory()?;
    let mut streams = begin(gateway.address, "large/model", count).await?;
    let stopped = streams.split_off(count / 2);
    let most = Arc::new(AtomicUsize::new(0));
    let mut reading = JoinSet::new();
    let until = Instant::now() + span;
    for mut stream in streams {
        reading.spawn(async move {
            // 1 KiB in each second.
            while Instant::now() < until {
                let read = stream.read(&mut [0; 1 << 10]).await;
                if !matches!(read, Ok(1..)) {
                    return false;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            true
        });
    }
    let watching = async {
        while Instant::now() < until {
            most.fetch_max(gateway.memory().unwrap_or_default() as usize, Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ((during, failed), ()) = tokio::join!(good_traffic(&client, span), watching);
    let mut still_read = 0;
    while let Some(ended) = reading.join_next().await {
        still_read += usize::from(ended.is_ok_and(|is_open| is_open));
    }
    let ending = futures_util::stream::iter(stopped).map(async |mut stream| {
        // To the end: what is left in between is short, and then it breaks.
        let rest = async { while matches!(stream.read(&mut [0; 64 << 10]).await, Ok(1..)) {} };
        tokio::time::timeout(Duration::from_secs(5), rest).await.is_ok()
    });
    let given_up = ending
        .buffer_unordered(count)
        .filter(|is_over| std::future::ready(*is_over));
    let given_up = given_up.count().await;
    let each = (most.load(Relaxed) as u64).saturating_sub(empty) / count as u64;
    println!(
        "{count} slow readers: at most {:.0} KiB each; of {} that read nothing {given_up} were given up, of {} that read 1 KiB/s \
         {still_read} went on; good traffic's p99 {:.1} ms beside them, {:.1} ms without; failed {failed}",
        each as f64 / 1024.0,
        count - count / 2,
        count / 2,
        p99(&during),
        p99(&before)
    );
    ensure!(
        each <= UNREAD_BYTES,
        "{each} bytes for a stream are more than {UNREAD_BYTES}"
    );
    ensure!(
        given_up == count - count / 2,
        "streams that nobody reads are still open"
    );
    ensure!(failed == 0, "{failed} of the good requests failed");
    Ok(())
}

/// U2: nobody has room, and clients come again as OpenAI's SDKs do.
pub(crate) fn limited(clients: usize, seconds: u64) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(storm(clients, Duration::from_secs(seconds)))
}

/// What clients were told.
#[derive(Debug, Default)]
struct Told {
    asked: AtomicUsize,
    served: AtomicUsize,
    limited: AtomicUsize,
    /// 429 without a time, or with one that is longer than any provider's.
    dishonest: AtomicUsize,
    other: AtomicUsize,
}

const STORM_RETRY_AFTER: u64 = 20;

async fn storm(clients: usize, span: Duration) -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut config = String::new();
    let mut providers = Vec::new();
    let limited = || Answer::error(429, "rate_limit_exceeded").header("retry-after", &STORM_RETRY_AFTER.to_string());
    for name in ["one", "two", "three"] {
        let provider = FakeProvider::start().await;
        provider.on("/v1/chat/completions", [limited()]);
        config += &openai(name, &provider.url());
        providers.push(provider);
    }
    config += &route("auto", &["one", "two", "three"], "");
    let gateway = start(home.path(), &config)?;
    let (told, ends) = (Arc::new(Told::default()), Instant::now() + span);
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (told, address) = (told.clone(), gateway.address);
        asking.spawn(async move {
            while Instant::now() < ends {
                ask_as_an_sdk(address, &told, ends).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    while asking.join_next().await.is_some() {}
    let (asked, attempts) = (
        told.asked.load(Relaxed),
        providers.iter().map(|one| one.journal().len()).sum::<usize>(),
    );
    for provider in &providers {
        provider.on("/v1/chat/completions", [Answer::chat("hello")]);
    }
    // The providers' last word was at most so long ago; what they said then is kept to.
    let over = Instant::now();
    let recovered = loop {
        if Client::new(gateway.address).chat(&body("auto", false)).await.status == 200 {
            break over.elapsed();
        }
        ensure!(
            over.elapsed() < Duration::from_secs(STORM_RETRY_AFTER + 5),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let [limited, dishonest, other] = [&told.limited, &told.dishonest, &told.other].map(|count| count.load(Relaxed));
    println!(
        "{clients} clients, {} s: asked {asked} times, {limited} times 429 with an honest time, {dishonest} without, {other} others; attempts \
         at the providers {attempts}, {:.3} for each request; served again after {:.1} s, of which the providers had asked for up to {STORM_RETRY_AFTER}",
        span.as_secs(),
        attempts as f64 / asked as f64,
        recovered.as_secs_f64()
    );
    ensure!(
        dishonest + other == 0,
        "{dishonest} answers had no honest time, {other} were something else"
    );
    ensure!(attempts * 10 <= asked * 12, "{attempts} attempts for {asked} requests");
    Ok(())
}

/// A request, and two more where it may be tried again, after half a second and after one.
async fn ask_as_an_sdk(address: SocketAddr, told: &Told, ends: Instant) {
    for pause in [500, 1_000, 0] {
        if Instant::now() >= ends {
            return;
        }
        told.asked.fetch_add(1, Relaxed);
        let reply = Client::new(address).chat(&body("auto", false)).await;
        let after: Option<u64> = reply.header("retry-after").and_then(|after| after.parse().ok());
        let counted = match (reply.status, after) {
            (200, _) => &told.served,
            (429, Some(1..=STORM_RETRY_AFTER)) => &told.limited,
            (429, _) => &told.dishonest,
            _ => &told.other,
        };
        counted.fetch_add(1, Relaxed);
        if reply.status == 200 || reply.header("x-should-retry") == Some("false") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
