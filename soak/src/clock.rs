//! B12: the wall clock goes back and forth under a running gateway, by libfaketime. A window of a budget never begins twice,
//! and none comes back; whoever listens at a webhook hears of each that begins.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider};

use crate::process::{self, Process};

/// What is asked at a moment, and how many of three calls are to be answered.
type Moment = (&'static str, usize);

/// A budget for each hour or day that is enough for two calls.
const HOURS: &[Moment] = &[
    ("2026-10-31 23:30:00", 2),
    ("2026-10-31 22:30:00", 0),
    // The next hour, which is also the next day and the next month.
    ("2026-11-01 00:10:00", 2),
    ("2026-10-31 23:59:00", 0),
    ("2026-11-01 00:50:00", 0),
    ("2026-11-03 00:50:00", 2),
    ("2026-11-01 00:55:00", 0),
    ("2026-11-03 00:59:00", 0),
    ("2026-11-03 01:00:01", 2),
];

/// Days of Berlin: in March one has 23 hours, in October one has 25.
const DAYS: &[Moment] = &[
    ("2026-03-28 22:30:00", 2),
    ("2026-03-28 23:30:00", 2),
    ("2026-03-29 21:59:00", 0),
    ("2026-03-29 22:01:00", 2),
    ("2026-10-24 21:59:00", 2),
    ("2026-10-24 22:01:00", 2),
    ("2026-10-25 22:30:00", 0),
    ("2026-10-25 23:01:00", 2),
];

/// Where Debian puts it.
fn library() -> Result<String> {
    let found = Command::new("sh")
        .args(["-c", "ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -1"])
        .output()?;
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    ensure!(
        !path.is_empty(),
        "libfaketime is missing; install the package `faketime`"
    );
    Ok(path)
}

/// Lets the clock jump.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut resets = Vec::new();
    for (period, moments) in [
        ("period = \"hour\"", HOURS),
        ("period = \"day\", zone = \"Europe/Berlin\"", DAYS),
    ] {
        resets.push(runtime.block_on(jumps(period, moments))?);
    }
    println!(
        "{} jumps of the clock, back by up to 2 days and on by months; windows began anew {:?} times; none twice, none came back",
        HOURS.len() + DAYS.len() - 2,
        resets
    );
    Ok(())
}

async fn jumps(period: &str, moments: &[Moment]) -> Result<usize> {
    let home = tempfile::tempdir()?;
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    // Each answer costs 20,000; a third does not fit, and neither does its ceiling before.
    let ask = json!({ "model": "auto", "max_tokens": 5, "messages": [{ "role": "user", "content": "hello" }] });
    let ceiling = ask.to_string().len() as u64 * 1_000 + 5 * 2_000;
    let limit = 20_000 + ceiling;
    let budget = format!("budget = {{ limit_usd = 0.{limit:09}, {period} }}");
    // Each message is refused once.
    let receiver = FakeProvider::start().await;
    let taken = || [Answer::error(500, "busy"), Answer::json(200, &json!({}))];
    receiver.on("/hooks", moments.iter().flat_map(|_| taken()));
    let webhook = format!(
        "\n[events]\nwebhook = {{ url = \"{}/hooks\", secret = \"whsec_UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz\", \
         events = [\"budget.reset\"], backoff_ms = 1 }}\n",
        receiver.url()
    );
    let config = complete(&(openai("p1", &provider.url()) + &route("auto", &["p1"], &budget) + &webhook));
    fs::write(home.path().join("pointsman.toml"), config)?;
    let clock = home.path().join("clock");
    set(&clock, moments[0].0)?;
    let mut serve = Command::new(process::gateway()?);
    serve
        .args(["serve", "--config", "pointsman.toml"])
        .current_dir(home.path())
        .env("LD_PRELOAD", library()?)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC")
        .env("POINTSMAN_LOG", "off");
    let gateway = Process::start(&mut serve)?;
    let Some(ready) = process::ready(&gateway, Instant::now())? else {
        bail!("the gateway did not start");
    };
    let (data, admin) = (Client::new(ready.data), Client::new(ready.admin));
    let mut expected_resets = 0;
    for (number, (moment, wanted)) in moments.iter().enumerate() {
        set(&clock, moment)?;
        let mut served = 0;
        for _ in 0..3 {
            let reply = data.chat(&ask).await;
            served += usize::from(reply.status == 200);
            let is_refused = reply.status == 429 && reply.text().contains("budget_exceeded");
            ensure!(reply.status == 200 || is_refused, "{moment}: {}", reply.text());
            // The next reservation has to find what this one came to.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ensure!(
            served == *wanted,
            "at {moment} {served} calls were served, and not {wanted}"
        );
        expected_resets += usize::from(number > 0 && *wanted > 0);
    }
    let metrics = admin.get("/metrics").await.text();
    let resets = metrics
        .lines()
        .find_map(|line| line.strip_prefix("pointsman_ledger_events_total{event=\"budget.reset\"} "))
        .context("no window began anew")?;
    ensure!(
        resets.trim() == expected_resets.to_string(),
        "{resets} windows began, and not {expected_resets}"
    );
    receiver.until(|journal| journal.len() >= 2 * expected_resets).await;
    let told = receiver.journal();
    let is_reset = |message: &serde_json::Value| {
        message["type"] == "budget.reset"
            && message["data"]["scope"] == "route:auto"
            && message["data"].get("period").is_some()
    };
    for twice in told.chunks(2) {
        let messages: Vec<serde_json::Value> = twice.iter().map(|received| received.json()).collect();
        let are_same = messages.first() == messages.last() && messages.len() == 2;
        let are_signed = twice.iter().all(|received| {
            let signature = received.header("webhook-signature");
            signature.is_some_and(|signature| signature.starts_with("v1,"))
        });
        ensure!(are_same && are_signed && messages.iter().all(is_reset), "{messages:?}");
    }
    ensure!(
        told.len() == 2 * expected_resets,
        "{} messages for {expected_resets} windows",
        told.len()
    );
    Ok(expected_resets)
}

fn set(clock: &Path, moment: &str) -> Result<()> {
    // In one step, so that nobody reads half of it.
    let new = clock.with_extension("new");
    fs::write(&new, format!("{moment}\n"))?;
    fs::rename(&new, clock).context("setting the clock")
}
