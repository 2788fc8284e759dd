//! O7: ordinary traffic for a long time, with clients that leave, calls that fail over and reloads, and what the gateway takes
//! meanwhile: memory, open files and what it holds of budgets have to stay where they are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, End, FakeProvider};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body, find, open_files, start};

/// The most that memory may grow in an hour.
const GROWTH: f64 = (1 << 20) as f64;
/// The part of the time in which caches, pools and tables fill, and nothing is judged.
const WARMING: u32 = 3;
/// Between two looks, and between two reloads.
const LOOK: Duration = Duration::from_secs(5);
const RELOAD: Duration = Duration::from_secs(3);
/// Files that may be open at the end beside those of the beginning: connections to providers that are kept.
const FILES: usize = 64;

/// What became of the requests.
#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    left: AtomicUsize,
    wrong: AtomicUsize,
}

pub(crate) fn run(minutes: u64, rate: u64) -> Result<()> {
    open_files(8_000)?;
    tokio::runtime::Runtime::new()?.block_on(live(Duration::from_secs(60 * minutes), rate))
}

async fn live(span: Duration, rate: u64) -> Result<()> {
    let home = tempfile::tempdir()?;
    let (good, failing, hanging) = (
        FakeProvider::start().await,
        FakeProvider::start().await,
        FakeProvider::start().await,
    );
    let path = "/v1/chat/completions";
    good.on(&format!("/whole{path}"), [Answer::chat("hello")]);
    good.on(
        &format!("/stream{path}"),
        [Answer::chat_stream(["one ", "two ", "three"])],
    );
    failing.on(path, [Answer::error(500, "oops")]);
    hanging.on(path, [Answer::chat_stream(["one"]).cut_after_pieces(1, End::Hang)]);
    // Each reload has something new in it.
    let config = |number: u64| {
        let budget = format!(
            "budget = {{ limit_usd = {}, period = \"day\" }}",
            1_000_000 + number % 2
        );
        [
            openai("whole", &format!("{}/whole", good.url())),
            openai("stream", &format!("{}/stream", good.url())),
            openai("failing", &failing.url()),
            openai("hanging", &hanging.url()),
            route("answers", &["whole"], &budget),
            route("streams", &["stream"], &budget),
            route("over", &["failing", "whole"], &budget),
            route("left", &["hanging"], &budget),
        ]
        .concat()
    };
    let gateway = start(home.path(), &config(0))?;
    let admin = Client::new(gateway.admin);
    let ends = Instant::now() + span;
    let counts = Arc::new(Counts::default());
    let (asked, reloads, looks) = tokio::join!(
        traffic(&gateway, rate, ends, &counts),
        reloading(&admin, home.path(), ends, config),
        watching(&gateway, ends, span / WARMING),
    );
    let (reloads, looks) = (reloads?, looks?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (first, last) = (
        looks.first().context("no time for a look")?,
        looks.last().context("no look")?,
    );
    let slope = slope(&looks);
    let held = admin.get("/admin/budgets").await.json();
    let budgets = held["budgets"].as_array().context("no budgets")?;
    let is_held = |budget: &&Value| budget["held_usd"].as_str().is_none_or(|held| held.parse() != Ok(0.0));
    let open = budgets.iter().filter(is_held).count();
    let in_flight = find(&admin.get("/admin/limits").await.json()["load"]["in_flight"], "now");
    let files = gateway.files()?;
    let [answered, left, wrong] = [&counts.answered, &counts.left, &counts.wrong].map(|count| count.load(Relaxed));
    println!(
        "{:.0} minutes, {asked} requests: {answered} answered, {left} left by their clients, {wrong} wrong; {reloads} reloads; {:.1} MiB after a \
         third of the time, {:.1} at the end: {:+.2} MiB in an hour; {} files open then, {files} afterwards; holds left: {open}",
        span.as_secs_f64() / 60.0,
        mebibytes(first.memory as f64),
        mebibytes(last.memory as f64),
        mebibytes(slope),
        first.files,
    );
    ensure!(
        wrong == 0,
        "{wrong} requests were not answered as they should have been"
    );
    ensure!(
        slope <= GROWTH,
        "memory grows by {:.2} MiB in an hour",
        mebibytes(slope)
    );
    ensure!(
        files <= first.files + FILES,
        "{files} files are open, {} were",
        first.files
    );
    ensure!(open == 0, "{open} budgets hold something: {held}");
    ensure!(in_flight == Some(0), "{in_flight:?} requests are under way");
    Ok(())
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// Requests at a steady pace, of each kind in turn.
async fn traffic(gateway: &Gateway, rate: u64, ends: Instant, counts: &Arc<Counts>) -> u64 {
    let (client, began) = (Client::new(gateway.address), Instant::now());
    let (mut clients, mut asked) = (JoinSet::new(), 0);
    while Instant::now() < ends {
        let due = Duration::from_nanos(1_000_000_000 / rate) * u32::try_from(asked).unwrap_or(u32::MAX);
        tokio::time::sleep_until((began + due).into()).await;
        let (client, counts) = (client.clone(), counts.clone());
        clients.spawn(async move { ask(&client, asked, &counts).await });
        while clients.try_join_next().is_some() {}
        asked += 1;
    }
    while clients.join_next().await.is_some() {}
    asked
}

async fn ask(client: &Client, number: u64, counts: &Counts) {
    let is_fine = match number % 5 {
        0 | 1 => client.chat(&body("answers", false)).await.status == 200,
        2 => {
            let (events, _) = client.chat_stream(&body("streams", true)).await.rest().await;
            events.last().is_some_and(|event| event.data == "[DONE]")
        }
        3 => client.chat(&body("over", false)).await.status == 200,
        _ => {
            // In the middle of the stream.
            let mut stream = client.chat_stream(&body("left", true)).await;
            let has_begun = stream.next().await.is_some();
            drop(stream);
            counts.left.fetch_add(usize::from(has_begun), Relaxed);
            counts.wrong.fetch_add(usize::from(!has_begun), Relaxed);
            return;
        }
    };
    let counted = if is_fine { &counts.answered } else { &counts.wrong };
    counted.fetch_add(1, Relaxed);
}

async fn reloading(admin: &Client, home: &Path, ends: Instant, config: impl Fn(u64) -> String) -> Result<u64> {
    let mut number = 0;
    while Instant::now() + RELOAD < ends {
        tokio::time::sleep(RELOAD).await;
        number += 1;
        std::fs::write(home.join("pointsman.toml"), complete(&config(number)))?;
        let reply = admin.post("/admin/reload", &serde_json::json!({})).await;
        ensure!(reply.status == 200, "a reload failed: {}", reply.text());
    }
    Ok(number)
}

struct Look {
    /// Since the first one.
    after: Duration,
    memory: u64,
    files: usize,
}

/// What the gateway takes, from this long after now until the end.
async fn watching(gateway: &Gateway, ends: Instant, warming: Duration) -> Result<Vec<Look>> {
    tokio::time::sleep(warming).await;
    let (mut looks, began) = (Vec::new(), Instant::now());
    while Instant::now() < ends {
        looks.push(Look {
            after: began.elapsed(),
            memory: gateway.memory()?,
            files: gateway.files()?,
        });
        tokio::time::sleep(LOOK).await;
    }
    Ok(looks)
}

/// By how many bytes memory grows in an hour, by the straight line that is nearest to all looks.
fn slope(looks: &[Look]) -> f64 {
    let count = looks.len() as f64;
    let hours = |look: &Look| look.after.as_secs_f64() / 3_600.0;
    let middle = looks.iter().map(hours).sum::<f64>() / count;
    let usual = looks.iter().map(|look| look.memory as f64).sum::<f64>() / count;
    let (above, below) = looks.iter().fold((0.0, 0.0), |(above, below), look| {
        let off = hours(look) - middle;
        (above + off * (look.memory as f64 - usual), below + off * off)
    });
    if below > 0.0 { above / below } else { 0.0 }
}
