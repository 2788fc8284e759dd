//! `cargo xtask bench overload`: what is left of the gateway when it is asked for three times what it can do. First what it can do (a
//! closed loop), then an open loop, each request due at its own time: well below that, for what answers usually take; at that; three
//! times that; and well below it again. Refusals are not failures here; they are counted, and timed from when they were sent.
//!
//! A refusal costs the gateway the same whatever it refuses, so that what is left depends on what is asked for. The goals are those of
//! streams whose events come one by one, which is what a gateway for language models carries; the least that a call can be is measured
//! beside it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::contender::Contender;
use crate::load::{Arrivals, Load};
use crate::mock::{Mock, Pace};
use crate::process::{Awake, Cores};
use crate::tally::{Durations, Expected};
use crate::wire;

/// The three policies on fresh stores: a request costs the gateway several times what it costs the load.
const CONTENDER: Contender = Contender::PointsmanFresh;
const PROMPT: usize = 1024;
const LEAST_ANSWER: usize = 1000;
/// Of a stream, which takes half a second.
const PACE: Pace = Pace {
    content_events: 50,
    delay: Duration::from_millis(10),
};
/// Enough that the load never waits for a connection before it sends.
const OPEN: usize = 2_000;
const TIMES: f64 = 3.0;
/// How much longer the overload lasts than other parts: what is promised is how it goes on, not how it begins.
const OVERLOAD: u32 = 3;
/// Where answers are as they usually are, in parts of what can be done.
const USUAL: f64 = 0.7;
/// The goals.
const LEAST_GOODPUT: f64 = 0.9;
const MOST_TIMES_USUAL: f64 = 2.0;

/// What is asked for.
struct Kind {
    title: &'static str,
    stream: bool,
    expected: Expected,
    /// Over so many connections the gateway has no pause.
    closed: usize,
    has_goals: bool,
}

fn kinds() -> [Kind; 2] {
    [
        Kind {
            title: "streams of 50 events, 10 ms apart",
            stream: true,
            expected: Expected::Events(wire::events_of_a_stream(PACE.content_events)),
            closed: 1_000,
            has_goals: true,
        },
        Kind {
            title: "whole answers of 1.2 KB, at once",
            stream: false,
            expected: Expected::Whole(LEAST_ANSWER),
            closed: 64,
            has_goals: false,
        },
    ]
}

/// What was sent and what came of it.
#[derive(Default)]
struct Seen {
    admitted: Durations,
    refused: Durations,
    good: u64,
    turned_away: u64,
    failed: u64,
    lasted: Duration,
}

/// Measures, and gives a section of a report.
pub(crate) async fn measure(span: Duration, folder: &Path) -> Result<String> {
    let cores = Cores::claim()?;
    let mock = Mock::start(PACE).await?;
    let proxy = CONTENDER.start(cores, mock.address, &folder.join("overload")).await?;
    let proxy = proxy.context("there is nothing to measure")?;
    // In all of it, so that what is refused costs the gateway no more than what is answered: behind whom the load sleeps pays for waking it.
    let _awake = Awake::keep();
    let mut report = "## Overload\n".to_owned();
    for kind in kinds() {
        let found = kind.measure(proxy.address, span).await?;
        let _ = write!(report, "\n### {}\n\n{found}", kind.title);
    }
    Ok(report)
}

impl Kind {
    async fn measure(&self, target: SocketAddr, span: Duration) -> Result<String> {
        let request = wire::request(target, PROMPT, self.stream);
        eprintln!("overload: {}: what can be done", self.title);
        let mut closed = Load::new(target, self.closed, Arrivals::Closed, request.clone(), self.expected)?;
        closed.run(span / 4).await?;
        let busy = closed.run(span).await?;
        let can = busy.good as f64 / span.as_secs_f64();
        drop(closed);
        ensure!(can >= 10.0, "nothing is answered: {:?}", busy.complaint);

        let mut parts = Vec::new();
        for times in [USUAL, 1.0, TIMES, USUAL] {
            eprintln!("overload: {}: {times} times {can:.0} requests a second", self.title);
            let lasts = if times == TIMES { span * OVERLOAD } else { span };
            parts.push(flood(target, &request, self.expected, can * times, lasts).await);
        }
        let [usual, at, over, after] = &parts[..] else {
            return Ok(String::new());
        };
        let rate = |seen: &Seen| seen.good as f64 / seen.lasted.as_secs_f64();
        let most = can.max(rate(at));
        let kept = rate(over) / most;
        let slower = milliseconds(&over.admitted, 0.99) / milliseconds(&usual.admitted, 0.99);
        let verdict = |is_met| match (self.has_goals, is_met) {
            (false, _) => "",
            (true, true) => ": met",
            (true, false) => ": missed",
        };
        let mut report = format!(
            "{} connections that ask again when they are answered: {can:.0} requests/s, p99 {:.1} ms. Times are those to the first byte.\n\n\
             | sent | requests/s | answered/s | p50 | p99 | refused | p50 | p99 | failed |\n|---|---|---|---|---|---|---|---|---|\n",
            self.closed,
            milliseconds(&busy.first_byte, 0.99),
        );
        for (name, seen) in [
            ("0.7 times as many", usual),
            ("as many", at),
            ("three times as many", over),
            ("0.7 times again", after),
        ] {
            let sent = (seen.good + seen.turned_away + seen.failed) as f64 / seen.lasted.as_secs_f64();
            let _ = writeln!(
                report,
                "| {name} | {sent:.0} | {:.0} | {} | {} | {} | {} | {} | {} |",
                rate(seen),
                shown(&seen.admitted, 0.5),
                shown(&seen.admitted, 0.99),
                seen.turned_away,
                shown(&seen.refused, 0.5),
                shown(&seen.refused, 0.99),
                seen.failed,
            );
        }
        let _ = write!(
            report,
            "\n- answered at three times as many, of the most that was (goal {:.0} %): {:.0} %{}\n\
             - the p99 of what was answered then, over the usual one (goal {MOST_TIMES_USUAL:.0}): {slower:.1}×{}\n",
            100.0 * LEAST_GOODPUT,
            100.0 * kept,
            verdict(kept >= LEAST_GOODPUT),
            verdict(slower <= MOST_TIMES_USUAL),
        );
        Ok(report)
    }
}

fn milliseconds(durations: &Durations, share: f64) -> f64 {
    durations.quantile_us(share).map_or(f64::NAN, |us| us / 1000.0)
}

fn shown(durations: &Durations, share: f64) -> String {
    let found = durations.quantile_us(share);
    found.map_or("–".to_owned(), |us| format!("{:.1} ms", us / 1000.0))
}

/// So many requests a second, evenly spaced, each when it is due whether or not those before it are answered.
async fn flood(target: SocketAddr, request: &Bytes, expected: Expected, per_second: f64, span: Duration) -> Seen {
    let start = Instant::now();
    let turns = Arc::new(AtomicU64::new(0));
    let all = Arc::new(Mutex::new(Seen::default()));
    let mut workers = JoinSet::new();
    for _ in 0..OPEN {
        let (request, turns, all) = (request.clone(), turns.clone(), all.clone());
        workers.spawn(async move {
            let mut connection = Connection::new(target);
            loop {
                let turn = turns.fetch_add(1, Ordering::Relaxed);
                let due = start + Duration::from_secs_f64(turn as f64 / per_second);
                if due >= start + span {
                    return;
                }
                tokio::time::sleep_until(due.into()).await;
                let sent = Instant::now();
                let reply = connection.exchange(&request).await;
                let mut seen = all.lock().unwrap_or_else(PoisonError::into_inner);
                match reply {
                    Ok(reply) if expected.met_by(&reply) => {
                        seen.good += 1;
                        seen.admitted.record(reply.first_byte.saturating_duration_since(sent));
                    }
                    Ok(reply) if reply.status == 503 => {
                        seen.turned_away += 1;
                        seen.refused.record(sent.elapsed());
                    }
                    _ => seen.failed += 1,
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    Seen {
        lasted: span,
        ..std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
