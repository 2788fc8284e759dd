//! The story of an outage, as a user would tell it: the provider that everybody uses dies in the middle of the traffic, comes back
//! and has no room, then hangs, then is well again. Meanwhile whole answers and streams are asked for at a steady pace. Nobody gets
//! an error, but on streams that had begun when their provider died; what is tried beyond one attempt for each request stays
//! within the budget of retries; and that the provider is well again is noticed soon.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Chaos, Client, FakeProvider, Weather};
use tokio::task::JoinSet;

use crate::process::{self, Process};

/// Within this it must be noticed that the provider is well again.
const NOTICED: Duration = Duration::from_secs(5);
/// The provider that answers while the other cannot.
const BACKUP: &str = "backup";
const PRIMARY: &str = "primary";

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    served: AtomicUsize,
    by_primary: AtomicUsize,
    /// Attempts beyond the first of their request.
    extra: AtomicUsize,
    failed: AtomicUsize,
    /// Streams that broke after they had begun.
    broken: AtomicUsize,
}

/// What the provider is like, from when on, in thousandths of the story.
const CHAPTERS: [(&str, u32); 5] = [
    ("well", 0),
    ("dead", 150),
    ("without room", 330),
    ("hanging", 500),
    ("well again", 670),
];

/// Tells it in so many seconds, at so many requests in each.
pub(crate) fn run(seconds: u64, rate: u64) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(tell(Duration::from_secs(seconds), rate))
}

async fn tell(length: Duration, rate: u64) -> Result<()> {
    let home = tempfile::tempdir()?;
    let (primary, backup) = (FakeProvider::start().await, FakeProvider::start().await);
    let chaos = Chaos::before(primary.address()).await;
    well(&primary);
    well(&backup);
    configure(home.path(), &chaos, &backup)?;
    let began = Instant::now();
    let mut command = Command::new(process::gateway()?);
    command.args(["serve", "--config", "pointsman.toml"]);
    command.current_dir(home.path()).env("POINTSMAN_LOG", "off");
    let gateway = Process::start(&mut command)?;
    let ready = process::ready(&gateway, began)?.context("the gateway ended")?;

    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    let began = Instant::now();
    let mut chapter = 0;
    let mut recovered: Option<(Instant, usize)> = None;
    let mut noticed = None;
    for number in 0..length.as_secs() * rate {
        let due = Duration::from_nanos(1_000_000_000 / rate) * u32::try_from(number)?;
        tokio::time::sleep_until((began + due).into()).await;
        if let Some((name, _)) = CHAPTERS.get(chapter).filter(|(_, at)| due >= length * *at / 1000) {
            eprintln!("{:>5} s: the provider is {name}", due.as_secs());
            turn(name, &chaos, &primary);
            chapter += 1;
            if *name == "well again" {
                recovered = Some((Instant::now(), seen.by_primary.load(Relaxed)));
            }
        }
        if let (Some((at, before)), None) = (recovered, noticed)
            && seen.by_primary.load(Relaxed) > before
        {
            noticed = Some(at.elapsed());
        }
        clients.spawn(ask(Client::new(ready.data), number, seen.clone()));
        while clients.try_join_next().is_some_and(|ended| ended.is_ok()) {}
    }
    let asked = usize::try_from(length.as_secs() * rate)?;
    while let Some(ended) = clients.join_next().await {
        // A client that cannot even connect panics.
        seen.failed.fetch_add(usize::from(ended.is_err()), Relaxed);
    }
    report(&seen, asked, length, noticed)
}

fn report(seen: &Seen, asked: usize, length: Duration, noticed: Option<Duration>) -> Result<()> {
    let [served, failed, broken, extra] =
        [&seen.served, &seen.failed, &seen.broken, &seen.extra].map(|count| count.load(Relaxed));
    // A fifth of the requests, and ten in a second, ten seconds of which may have been saved before.
    let budget = asked / 5 + 10 * (usize::try_from(length.as_secs())? + 10);
    let noticed = noticed.context("that the provider is well again was not noticed")?;
    println!(
        "{asked} requests: {served} served, {failed} failed, {broken} streams broke that had begun; {extra} attempts beyond the first \
         (the budget has {budget}); noticed after {:.1} s that the provider is well again",
        noticed.as_secs_f64()
    );
    ensure!(failed == 0, "{failed} requests got an error");
    ensure!(
        served + broken == asked,
        "{} requests are missing",
        asked - served - broken
    );
    ensure!(
        extra <= budget,
        "{extra} attempts beyond the first are more than {budget}"
    );
    ensure!(
        noticed <= NOTICED,
        "it took {noticed:?} to notice that the provider is well again"
    );
    Ok(())
}

/// Whole answers are behind one path, streams behind another.
fn configure(home: &Path, chaos: &Chaos, backup: &FakeProvider) -> Result<()> {
    let mut config = String::new();
    for (form, more) in [
        ("whole", "timeout_ms = 1_500"),
        ("stream", "first_token_timeout_ms = 1_500"),
    ] {
        for (name, url) in [(PRIMARY, chaos.url()), (BACKUP, backup.url())] {
            let provider = openai(&format!("{name}-{form}"), &format!("{url}/{form}"));
            // The one that is relied on is given its time.
            let more = if name == PRIMARY { more } else { "" };
            config += &provider.replace("\n[models", &format!("{more}\n[models"));
        }
        let names = [PRIMARY, BACKUP].map(|name| format!("{name}-{form}"));
        config += &route(form, &[&names[0], &names[1]], "");
    }
    fs::write(home.join("pointsman.toml"), complete(&config)).context("writing the configuration")
}

fn script(provider: &FakeProvider, answer: impl Fn(bool) -> Answer) {
    for (form, is_stream) in [("whole", false), ("stream", true)] {
        provider.on(&format!("/{form}/v1/chat/completions"), [answer(is_stream)]);
    }
}

/// Streams take a while, so that many are under way when their provider dies.
fn well(provider: &FakeProvider) {
    script(provider, |is_stream| {
        if !is_stream {
            return Answer::chat("hello").delayed(Duration::from_millis(20));
        }
        let stream = Answer::chat_stream(["one ", "two ", "three ", "four"]);
        (1..4).fold(stream, |stream, piece| {
            stream.pausing_after(2 * piece - 1, Duration::from_millis(50))
        })
    });
}

fn turn(chapter: &str, chaos: &Chaos, primary: &FakeProvider) {
    let limited = || Answer::error(429, "rate_limit_exceeded").header("retry-after", "2");
    match chapter {
        "dead" => chaos.set(Weather::Dead),
        "without room" => {
            script(primary, |_| limited());
            chaos.set(Weather::Clear);
        }
        "hanging" => script(primary, |_| Answer::never()),
        _ => well(primary),
    }
}

/// Every other request is for a stream.
async fn ask(client: Client, number: u64, seen: Arc<Seen>) {
    let is_stream = number % 2 == 1;
    let form = if is_stream { "stream" } else { "whole" };
    let body = json!({
        "model": form, "stream": is_stream, "messages": [{ "role": "user", "content": format!("request {number}") }],
    });
    let (status, headers, is_whole) = if is_stream {
        let stream = client.chat_stream(&body).await;
        let (status, headers) = (stream.status, stream.headers.clone());
        let (events, _) = stream.rest().await;
        let is_done = events.last().is_some_and(|event| event.data == "[DONE]");
        (status, headers, is_done)
    } else {
        let reply = client.chat(&body).await;
        (reply.status, reply.headers.clone(), true)
    };
    let header = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let attempts: usize = header("x-pointsman-attempts")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    seen.extra.fetch_add(attempts.saturating_sub(1), Relaxed);
    let is_primarys = header("x-pointsman-provider").is_some_and(|name| name.starts_with(PRIMARY));
    match (status, is_whole) {
        (200, true) => {
            seen.served.fetch_add(1, Relaxed);
            seen.by_primary.fetch_add(usize::from(is_primarys), Relaxed);
        }
        (200, false) => drop(seen.broken.fetch_add(1, Relaxed)),
        _ => drop(seen.failed.fetch_add(1, Relaxed)),
    }
}
