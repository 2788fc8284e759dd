//! Two gateways spend one budget while the database that they borrow from is killed, suspended, emptied and replaced by an old copy:
//! what they spend together, how fast calls are refused that nothing was lent for, and what calls without a budget notice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::config::{openai, route};
use tests::{Answer, Client, Database, FakeProvider};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, good_traffic, p99, start};

/// What an answer comes to, in nano-dollars: 10 tokens of input and 5 of output, a hundred times as dear as the tests' models.
const ANSWER: u64 = 2_000_000;
const LIMIT: u64 = 50_000_000_000;
/// Clients of each gateway.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// A budget that serves nobody for so long is used up.
const QUIET: Duration = Duration::from_secs(5);

/// What calls with a budget came to.
#[derive(Default)]
struct Came {
    served: usize,
    exceeded: usize,
    /// How long each took that was refused because nobody knew.
    unavailable: Vec<Duration>,
    others: usize,
}

pub(crate) fn run(seconds: u64) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(trial(Duration::from_secs(seconds)))
}

async fn trial(span: Duration) -> Result<()> {
    let mut database = Database::start().context("PostgreSQL is not installed")?;
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let good = FakeProvider::chatting([Answer::chat("hello")]).await;
    let homes = [tempfile::tempdir()?, tempfile::tempdir()?];
    let gateway = |home: &Path, name: &str| {
        let dear = openai("dear", &provider.url()).replace("input = 1.0", "input = 100.0");
        let dear = dear.replace("output = 2.0", "output = 200.0");
        let budget = "budget = { limit_usd = 50, period = \"total\" }";
        let fleet = format!("[fleet]\nname = \"{name}\"\ndatabase = \"{}\"\n", database.url());
        start(
            home,
            &(fleet + &dear + &openai("good", &good.url()) + &route("auto", &["dear"], budget)),
        )
    };
    let gateways = [gateway(homes[0].path(), "a")?, gateway(homes[1].path(), "b")?];
    lend(&gateways).await?;
    // Of what is spent from now on it knows nothing.
    database.copy();
    lend(&gateways).await?;
    let (quiet, _) = phase(&gateways, span, "nothing").await?;
    let mut quiet = p99(&quiet);
    let mut worst: f64 = 0.0;
    let mut refused = Vec::new();
    for fault in ["killed", "suspended", "replaced by an old copy", "emptied"] {
        match fault {
            "killed" => database.kill(),
            "suspended" => database.suspend(),
            "emptied" => database.begin_anew(),
            _ => database.fall_back(),
        }
        let (took, came) = phase(&gateways, span, fault).await?;
        worst = worst.max(p99(&took));
        refused.extend(came.unavailable);
        match fault {
            "killed" => database.run(),
            "suspended" => database.resume(),
            _ => {}
        }
        let began = Instant::now();
        lend(&gateways).await?;
        println!("    lends again after {:.1} s", began.elapsed().as_secs_f64());
        // So that something was lent when the next fault comes.
        let (took, _) = phase(&gateways, span / 4, "    nothing").await?;
        quiet = quiet.max(p99(&took));
    }
    let left = spend_all(&gateways).await?;
    let spent = provider.journal().len() as u64 * ANSWER;
    refused.sort();
    println!(
        "{} calls: {} of {} USD spent ({:.2} %), overspent {}; refused because nobody knew {}, p99 {:.1} ms, most {:.1} ms; calls without a budget: \
         p99 {quiet:.1} ms at most without a fault, {worst:.1} ms beside one; the last calls: {} served, {} exceeded",
        provider.journal().len(),
        spent as f64 / 1e9,
        LIMIT as f64 / 1e9,
        spent as f64 * 100.0 / LIMIT as f64,
        spent.saturating_sub(LIMIT),
        refused.len(),
        p99(&refused),
        refused.last().copied().unwrap_or_default().as_secs_f64() * 1000.0,
        left.served,
        left.exceeded
    );
    ensure!(spent <= LIMIT, "more was spent than the budget has");
    ensure!(
        spent >= LIMIT / 100 * 95,
        "of the budget {spent} could be spent, and no more"
    );
    ensure!(
        !refused.is_empty(),
        "nothing was refused: the faults were too short to notice"
    );
    Ok(())
}

/// Waits until both have somebody to borrow from.
async fn lend(gateways: &[Gateway; 2]) -> Result<()> {
    for gateway in gateways {
        let (began, admin) = (Instant::now(), Client::new(gateway.admin));
        while admin.get("/admin/budgets").await.json()["fleet"]["state"] != "lends" {
            ensure!(began.elapsed() < Duration::from_secs(60), "nobody lends");
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Calls with and without a budget to both for a while: how long those without took, sorted.
async fn phase(gateways: &[Gateway; 2], span: Duration, what: &str) -> Result<(Vec<Duration>, Came)> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut spending = JoinSet::new();
    for gateway in gateways {
        for _ in 0..CLIENTS {
            spending.spawn(spend(Client::new(gateway.address), stop.clone(), None));
        }
    }
    let [a, b] = gateways.each_ref().map(|gateway| Client::new(gateway.address));
    let ((mut took, failed), (others, failed_too)) = tokio::join!(good_traffic(&a, span), good_traffic(&b, span));
    stop.store(true, Relaxed);
    let came = all(spending).await?;
    took.extend(others);
    took.sort();
    println!(
        "{what}: {} served, {} exceeded, {} unavailable; without a budget {} calls, p99 {:.1} ms, failed {}",
        came.served,
        came.exceeded,
        came.unavailable.len(),
        took.len(),
        p99(&took),
        failed + failed_too
    );
    ensure!(failed + failed_too == 0, "calls without a budget failed");
    ensure!(came.others == 0, "{} calls failed in another way", came.others);
    Ok((took, came))
}

async fn spend_all(gateways: &[Gateway; 2]) -> Result<Came> {
    let mut spending = JoinSet::new();
    for gateway in gateways {
        for _ in 0..CLIENTS {
            spending.spawn(spend(Client::new(gateway.address), Arc::default(), Some(QUIET)));
        }
    }
    all(spending).await
}

async fn all(mut spending: JoinSet<Came>) -> Result<Came> {
    let mut sum = Came::default();
    while let Some(came) = spending.join_next().await {
        let came = came.context("a client")?;
        sum.served += came.served;
        sum.exceeded += came.exceeded;
        sum.others += came.others;
        sum.unavailable.extend(came.unavailable);
    }
    Ok(sum)
}

/// Calls until it is told to stop, or nothing was served for a while.
async fn spend(client: Client, stop: Arc<AtomicBool>, quiet: Option<Duration>) -> Came {
    let body = json!({ "model": "auto", "max_tokens": 10, "messages": [{ "role": "user", "content": "hello" }] });
    let (mut came, mut since) = (Came::default(), Instant::now());
    while !stop.load(Relaxed) && quiet.is_none_or(|quiet| since.elapsed() < quiet) {
        let sent = Instant::now();
        match client.chat(&body).await.status {
            200 => {
                came.served += 1;
                since = Instant::now();
            }
            429 => came.exceeded += 1,
            503 => came.unavailable.push(sent.elapsed()),
            _ => came.others += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    came
}
