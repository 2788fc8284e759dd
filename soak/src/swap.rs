//! R1: the gateway is replaced again and again while it serves. Each next process takes over from the one before
//! (`serve --take-over`) under whole answers at a steady pace and streams that are longer than a gateway lives. Nobody is
//! refused, reset or answered with an error, and the ledger of the last one has one line for each attempt that the provider
//! received, at what it cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pointsman::store::sqlite::Sqlite;
use pointsman::store::{Span, Store};
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider};
use tokio::task::JoinSet;

use crate::process::{self, Process};

/// A model of 1 USD per million tokens of input and 2 of output answers with 10 and 5 of them.
const ANSWER: i128 = 20_000;
/// Between two events of a stream, and how many it has.
const PAUSE: Duration = Duration::from_millis(250);
const EVENTS: usize = 40;
/// For a gateway to serve before the next one comes.
const BETWEEN: Duration = Duration::from_millis(500);

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    whole: AtomicUsize,
    streams: AtomicUsize,
    wrong: AtomicUsize,
    ends: AtomicBool,
}

pub(crate) fn run(swaps: usize, rate: u64, streams: usize) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(replace(swaps, rate, streams))
}

async fn replace(swaps: usize, rate: u64, streams: usize) -> Result<()> {
    let home = tempfile::tempdir()?;
    let provider = FakeProvider::start().await;
    let chat = |form: &str| format!("/{form}/v1/chat/completions");
    provider.on(
        &chat("whole"),
        [Answer::chat("hello").delayed(Duration::from_millis(20))],
    );
    let stream = Answer::chat_stream((0..EVENTS).map(|_| "word "));
    provider.on(
        &chat("stream"),
        [(1..EVENTS).fold(stream, |stream, piece| stream.pausing_after(2 * piece - 1, PAUSE))],
    );
    let budget = "budget = { limit_usd = 1000.0, period = \"month\" }";
    let forms = ["whole", "stream"].map(|form| {
        openai(form, &format!("{}/{form}", provider.url())) + &route(&format!("to-{form}"), &[form], budget)
    });
    fs::write(home.path().join("pointsman.toml"), complete(&forms.concat())).context("writing the configuration")?;

    let (mut serving, ready) = start(home.path(), &[]).await?;
    let seen = Arc::new(Seen::default());
    let traffic = tokio::spawn(traffic(Client::new(ready.data), rate, streams, seen.clone()));
    let mut left = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..swaps {
        tokio::time::sleep(BETWEEN).await;
        let began = Instant::now();
        let (next, at) = start(home.path(), &["--take-over"]).await?;
        slowest = slowest.max(began.elapsed());
        ensure!(
            at.data == ready.data,
            "the next one listens on {}, not on {}",
            at.data,
            ready.data
        );
        left.push(std::mem::replace(&mut serving, next));
    }
    seen.ends.store(true, Relaxed);
    let failed = traffic.await?;
    left.push(serving);
    for (number, gateway) in left.into_iter().enumerate() {
        if number == swaps {
            let pid = rustix::process::Pid::from_raw(gateway.id()).context("a process without a number")?;
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let (good, _) = tokio::task::spawn_blocking(|| gateway.ended()).await??;
        ensure!(good, "gateway {number} did not end well");
    }
    let [whole, streamed, wrong] = [&seen.whole, &seen.streams, &seen.wrong].map(|count| count.load(Relaxed));
    let (lines, corrected, odd) = books(home.path(), provider.journal().len())?;
    println!(
        "{swaps} swaps, the slowest {} ms from its start to its readiness; {whole} answers and {streamed} streams whole, refused or reset \
         {failed}, errors {wrong}; attempts {}, lines {lines}, of which {corrected} began before a swap and ended after it, at \
         another cost than the provider's {odd}",
        slowest.as_millis(),
        provider.journal().len()
    );
    ensure!(failed + wrong + odd == 0, "somebody has noticed");
    Ok(())
}

/// A gateway that listens.
async fn start(home: &Path, more: &'static [&str]) -> Result<(Process, process::Ready)> {
    let mut command = Command::new(process::gateway()?);
    command.args(["serve", "--config", "pointsman.toml"]).args(more);
    command.current_dir(home).env("POINTSMAN_LOG", "warn");
    let starting = tokio::task::spawn_blocking(move || {
        let gateway = Process::start(&mut command)?;
        let ready = process::ready(&gateway, Instant::now())?.context("the gateway ended")?;
        Ok((gateway, ready))
    });
    starting.await?
}

/// Until it is told to end; gives how many clients could not connect, or lost their connection.
async fn traffic(client: Client, rate: u64, streams: usize, seen: Arc<Seen>) -> usize {
    let mut clients = JoinSet::new();
    for _ in 0..streams {
        let (client, seen) = (client.clone(), seen.clone());
        clients.spawn(async move {
            while !seen.ends.load(Relaxed) {
                stream(&client, &seen).await;
            }
        });
    }
    let began = Instant::now();
    let mut failed = 0;
    let mut number = 0;
    while !seen.ends.load(Relaxed) {
        let due = Duration::from_nanos(1_000_000_000 / rate) * number;
        tokio::time::sleep_until((began + due).into()).await;
        number += 1;
        let (client, seen) = (client.clone(), seen.clone());
        clients.spawn(async move {
            let reply = client.chat(&ask("to-whole", false)).await;
            let count = if reply.status == 200 { &seen.whole } else { &seen.wrong };
            count.fetch_add(1, Relaxed);
        });
        while let Some(ended) = clients.try_join_next() {
            failed += usize::from(ended.is_err());
        }
    }
    while let Some(ended) = clients.join_next().await {
        failed += usize::from(ended.is_err());
    }
    failed
}

async fn stream(client: &Client, seen: &Seen) {
    let stream = client.chat_stream(&ask("to-stream", true)).await;
    let status = stream.status;
    let (events, _) = stream.rest().await;
    let is_whole = status == 200 && events.last().is_some_and(|event| event.data == "[DONE]");
    let count = if is_whole { &seen.streams } else { &seen.wrong };
    count.fetch_add(1, Relaxed);
}

fn ask(model: &str, is_stream: bool) -> Value {
    let mut ask = json!({
        "model": model, "stream": is_stream, "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }],
    });
    if is_stream {
        ask["stream_options"] = json!({ "include_usage": true });
    }
    ask
}

/// How many lines there are, how many were corrected, and how many requests stand at another cost than their own.
fn books(home: &Path, attempts: usize) -> Result<(usize, usize, usize)> {
    let store = Sqlite::open_to_read(&home.join("pointsman-data"))?;
    ensure!(store.open_holds()?.0.is_empty(), "something is still held");
    let wrong = store.check()?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    let mut costs: BTreeMap<String, i128> = BTreeMap::new();
    let (mut lines, mut corrected) = (0, 0);
    store.lines(Span::EVER, &mut |line| {
        let by = line.corrects.map_or(0, |correction| i128::from(correction.by));
        *(if line.corrects.is_some() {
            &mut corrected
        } else {
            &mut lines
        }) += 1;
        *costs.entry(line.request.to_string()).or_default() += line.cost.map_or(0, |cost| i128::from(cost.0)) + by;
        true
    })?;
    ensure!(
        lines == attempts,
        "{attempts} attempts reached the provider, and there are {lines} lines"
    );
    let odd = costs.values().filter(|cost| **cost != ANSWER).count();
    Ok((lines, corrected, odd))
}
