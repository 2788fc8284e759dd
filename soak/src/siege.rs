//! Clients that hold on to what they are given: thousands of sockets that say next to nothing, and a tenant who takes all that he may.
//! What is measured is the good traffic beside them, against the same traffic alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::config::openai;
use tests::{Answer, Client, FakeProvider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::gateway::{body, good_traffic, key, open_files, p99, start};

/// What is waited for of a head, and of a body before its pace counts.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much later than that a socket may be closed on a busy machine.
const GRACE: Duration = Duration::from_secs(10);

/// H3: half of them begin a head, the others a body, and both send a byte every two seconds.
pub(crate) fn sockets(count: usize, seconds: u64) -> Result<()> {
    open_files(2 * count as u64 + 2_000)?;
    tokio::runtime::Runtime::new()?.block_on(besiege(count, Duration::from_secs(seconds)))
}

async fn besiege(count: usize, span: Duration) -> Result<()> {
    let home = tempfile::tempdir()?;
    let good = FakeProvider::chatting([Answer::chat("hello")]).await;
    let gateway = start(home.path(), &openai("good", &good.url()))?;
    let client = Client::new(gateway.address);
    let (before, _) = good_traffic(&client, span).await;
    let files = gateway.files()?;
    let (ends, open) = (Instant::now() + span, Arc::new(AtomicUsize::new(0)));
    let mut sockets = JoinSet::new();
    for number in 0..count {
        sockets.spawn(trickle(gateway.address, number % 2 == 0, ends, open.clone()));
    }
    while open.load(Relaxed) < count {
        ensure!(Instant::now() < ends, "not all sockets could be opened");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let held = gateway.files()?;
    let (during, failed) = good_traffic(&client, span).await;
    let mut longest = Duration::ZERO;
    while let Some(lived) = sockets.join_next().await {
        longest = longest.max(lived??);
    }
    let (own, alone) = (p99(&during), p99(&before));
    println!(
        "{count} slow sockets, each opened anew when it is closed: {held} files open, {files} without; the longest was borne for {:.1} s; good \
         traffic's p99 {own:.1} ms beside them, {alone:.1} ms without ({:.2}x); failed {failed}",
        longest.as_secs_f64(),
        own / alone
    );
    ensure!(
        longest <= PATIENCE + GRACE,
        "a socket that says next to nothing was borne for {longest:?}"
    );
    ensure!(failed == 0, "{failed} of the good requests failed");
    Ok(())
}

/// One after the other until the end, each for as long as the gateway bears it; gives the longest such time.
async fn trickle(address: SocketAddr, is_head: bool, ends: Instant, open: Arc<AtomicUsize>) -> Result<Duration> {
    const BODY: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{";
    let (mut longest, mut is_first) = (Duration::ZERO, true);
    while Instant::now() < ends {
        let Ok(mut socket) = TcpStream::connect(address).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let began = Instant::now();
        let begun = if is_head {
            "POST /v1/chat/completions HTTP/1.1\r\nx"
        } else {
            BODY
        };
        socket.write_all(begun.as_bytes()).await?;
        if std::mem::take(&mut is_first) {
            open.fetch_add(1, Relaxed);
        }
        let mut answer = [0; 1 << 10];
        let is_over = loop {
            match tokio::time::timeout(Duration::from_secs(2), socket.read(&mut answer)).await {
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(_)) => {}
                Err(_) if socket.write_all(b"x").await.is_err() => break true,
                Err(_) if Instant::now() > ends + PATIENCE + GRACE => break false,
                Err(_) => {}
            }
        };
        longest = longest.max(began.elapsed());
        ensure!(is_over, "a slow socket was not closed");
    }
    Ok(longest)
}

/// O5: one key asks as fast as it can from so many connections, the other goes on as before.
pub(crate) fn tenants(connections: usize, seconds: u64) -> Result<()> {
    open_files(4 * connections as u64 + 2_000)?;
    tokio::runtime::Runtime::new()?.block_on(flood(connections, Duration::from_secs(seconds)))
}

async fn flood(connections: usize, span: Duration) -> Result<()> {
    let home = tempfile::tempdir()?;
    // Each of the flood's answers takes a while, so that it is places that the flood takes.
    let (slow, good) = (
        FakeProvider::chatting([Answer::chat("hello").delayed(Duration::from_millis(200))]).await,
        FakeProvider::chatting([Answer::chat("hello")]).await,
    );
    let config = openai("slow", &slow.url()) + &openai("good", &good.url());
    let limits = format!("[server]\nin_flight = {}\n", (connections / 2).max(4));
    let gateway = start(home.path(), &(config + &limits))?;
    let client = |key: String| Client::new(gateway.address).with_header("authorization", &format!("Bearer {key}"));
    let (greedy, modest) = (client(key(home.path(), "greedy")?), client(key(home.path(), "modest")?));
    let probe = Client::new(gateway.address);
    while probe.get("/v1/models").await.status != 401 || modest.get("/v1/models").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, _) = good_traffic(&modest, span).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (served, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flooding = JoinSet::new();
    for _ in 0..connections {
        let (client, is_over) = (greedy.clone(), is_over.clone());
        let (served, refused) = (served.clone(), refused.clone());
        flooding.spawn(async move {
            while !is_over.load(Relaxed) {
                let reply = client.chat(&body("slow/model", false)).await;
                let counted = if reply.status == 200 { &served } else { &refused };
                counted.fetch_add(1, Relaxed);
                if reply.status != 200 {
                    // Who is refused comes again, sooner than he was told.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (during, failed) = good_traffic(&modest, span).await;
    is_over.store(true, Relaxed);
    while let Some(ended) = flooding.join_next().await {
        ended.context("the flood")?;
    }
    let (own, alone) = (p99(&during), p99(&before));
    println!(
        "one key on {connections} connections: {} served, {} refused; the other key's p99 {own:.1} ms beside it, {alone:.1} ms without \
         ({:.2}x); of its requests failed {failed}",
        served.load(Relaxed),
        refused.load(Relaxed),
        own / alone
    );
    ensure!(failed == 0, "{failed} of the other key's requests failed");
    ensure!(refused.load(Relaxed) > 0, "the flood was none");
    Ok(())
}
