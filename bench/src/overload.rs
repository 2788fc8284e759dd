//! `cargo xtask bench overload`: what is left of the gateway when it is asked for three times what it can do. First what it can do (a closed
//! loop), then what its answers usually take (an open loop well below that), then three times the first, from more connections than it
//! will serve at once. Refusals are not failures here; they are counted, and timed from when they were sent.

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
const CLOSED: usize = 64;
/// Enough that the load never waits for a connection before it sends.
const OPEN: usize = 1_000;
const TIMES: f64 = 3.0;
/// Where answers are as they usually are, in parts of what can be done.
const USUAL: f64 = 0.7;
/// The goals.
const LEAST_GOODPUT: f64 = 0.9;
const MOST_TIMES_USUAL: f64 = 2.0;

/// What was sent and what came of it.
#[derive(Default)]
struct Seen {
    admitted: Durations,
    refused: Durations,
    good: u64,
    turned_away: u64,
    failed: u64,
}

/// Measures, and gives a section of a report.
pub(crate) async fn measure(span: Duration, folder: &Path) -> Result<String> {
    let cores = Cores::claim()?;
    let mock = Mock::start(Pace::default()).await?;
    let proxy = CONTENDER.start(cores, mock.address, &folder.join("overload")).await?;
    let proxy = proxy.context("there is nothing to measure")?;
    let request = wire::request(proxy.address, PROMPT, false);
    let expected = Expected::Whole(LEAST_ANSWER);
    // In all of it, so that what is refused costs the gateway no more than what is answered: behind whom the load sleeps pays for waking it.
    let _awake = Awake::keep();

    eprintln!("overload: what can be done");
    let mut closed = Load::new(proxy.address, CLOSED, Arrivals::Closed, request.clone(), expected)?;
    closed.run(span / 4).await?;
    let busy = closed.run(span).await?;
    let peak = busy.good as f64 / span.as_secs_f64();
    let at_peak = busy.total.quantile_us(0.99);
    drop(closed);
    ensure!(peak >= 10.0, "nothing is answered: {:?}", busy.complaint);

    eprintln!("overload: {peak:.0} requests/s; now what they usually take");
    let usual = flood(proxy.address, &request, peak * USUAL, span).await;
    eprintln!("overload: three times as many");
    let over = flood(proxy.address, &request, peak * TIMES, span).await;
    let after = flood(proxy.address, &request, peak * USUAL, span).await;

    let milliseconds = |durations: &Durations, share| durations.quantile_us(share).map_or(f64::NAN, |us| us / 1000.0);
    let goodput = over.good as f64 / span.as_secs_f64();
    let sent = (over.good + over.turned_away + over.failed) as f64 / span.as_secs_f64();
    let (own, others) = (milliseconds(&over.admitted, 0.99), milliseconds(&usual.admitted, 0.99));
    let verdict = |is_met| if is_met { "met" } else { "missed" };
    Ok(format!(
        "## Overload\n\n| | |\n|---|---|\n\
         | what can be done ({CLOSED} connections) | {peak:.0} requests/s, p99 {:.1} ms |\n\
         | at {:.0} % of it | p99 {others:.1} ms, {} refused |\n\
         | sent in overload | {sent:.0} requests/s |\n\
         | answered | {goodput:.0} requests/s, p50 {:.1} ms, p99 {own:.1} ms |\n\
         | refused | {}, p50 {:.1} ms, p99 {:.1} ms |\n\
         | failed | {} |\n\
         | at {:.0} % of it again | p99 {:.1} ms, {} refused |\n\
         | goal: goodput at least {:.0} % of what can be done | {:.0} %: {} |\n\
         | goal: admitted p99 at most {MOST_TIMES_USUAL:.0}× the usual one | {:.1}×: {} |\n",
        at_peak.unwrap_or(f64::NAN) / 1000.0,
        100.0 * USUAL,
        usual.turned_away,
        milliseconds(&over.admitted, 0.5),
        over.turned_away,
        milliseconds(&over.refused, 0.5),
        milliseconds(&over.refused, 0.99),
        over.failed,
        100.0 * USUAL,
        milliseconds(&after.admitted, 0.99),
        after.turned_away,
        100.0 * LEAST_GOODPUT,
        100.0 * goodput / peak,
        verdict(goodput >= LEAST_GOODPUT * peak),
        own / others,
        verdict(own <= MOST_TIMES_USUAL * others),
    ))
}

/// So many requests a second, evenly spaced, each when it is due whether or not those before it are answered.
async fn flood(target: SocketAddr, request: &Bytes, per_second: f64, span: Duration) -> Seen {
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
                match reply.map(|reply| reply.status) {
                    Ok(200) => {
                        seen.good += 1;
                        seen.admitted.record(sent.elapsed());
                    }
                    Ok(503) => {
                        seen.turned_away += 1;
                        seen.refused.record(sent.elapsed());
                    }
                    _ => seen.failed += 1,
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
}
