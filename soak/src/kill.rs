//! B2: the gateway is killed again and again under load: at random moments, and where strace is there in the middle of a sync.
//! Each attempt whose bytes reached the provider has one line afterwards, and no more; nothing stays reserved.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pointsman::store::sqlite::Sqlite;
use pointsman::store::{Line, Span, Store};
use serde_json::json;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, FakeProvider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::chance::Chance;
use crate::process::{self, Process};
use crate::strace;

/// Clients at a time.
const CLIENTS: usize = 16;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    kills: usize,
    in_syncs: usize,
    at_start: usize,
    attempts: usize,
    answered: usize,
    recovered: usize,
    unsent: usize,
    lost: usize,
    doubled: usize,
    wrong: usize,
    ready: Vec<Duration>,
}

/// Kills it so many times.
pub(crate) fn run(cycles: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(kills(cycles))
}

async fn kills(cycles: usize) -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut chance = Chance::new();
    let mut found = Found::default();
    let has_strace = Command::new("strace").arg("-V").output().is_ok();
    // Lines of before are not to be looked at again.
    let mut last_line = 0;
    for cycle in 0..cycles {
        let provider = FakeProvider::chatting([Answer::chat("hello").delayed(Duration::from_millis(3))]).await;
        configure(home.path(), &provider)?;
        let in_sync = (has_strace && cycle % 2 == 1).then(|| 1 + chance.below(60));
        let began = Instant::now();
        let mut gateway = Process::start(&mut command(home.path(), in_sync)?)?;
        let run = Run {
            cycle,
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        };
        match process::ready(&gateway, began)? {
            Some(ready) => {
                // The first start of all compiles the plugins, and a traced one is slow.
                if in_sync.is_none() && cycle > 0 {
                    found.ready.push(ready.after);
                }
                let run = Arc::new(run);
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| tokio::spawn(client(run.clone(), ready.data)))
                    .collect();
                // The kill in a sync comes by itself, sooner or later.
                let patience = if in_sync.is_some() {
                    2_000
                } else {
                    30 + chance.below(500)
                };
                let most = Instant::now() + Duration::from_millis(patience);
                while Instant::now() < most && gateway.is_running()? {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                found.in_syncs += usize::from(!gateway.is_running()?);
                gateway.kill()?;
                run.is_over.store(true, Ordering::Relaxed);
                for client in clients {
                    client.await?;
                }
                found.answered += run.answered.load(Ordering::Relaxed) as usize;
            }
            None => found.at_start += 1,
        }
        found.kills += 1;
        // What was sent before the end arrives after it.
        provider.settled().await;
        let mut journal: HashMap<String, usize> = HashMap::new();
        for received in provider.journal() {
            let id = received.json()["messages"][0]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            *journal.entry(id).or_default() += 1;
            found.attempts += 1;
        }
        last_line = recover(home.path(), last_line, journal, &mut found).await?;
        if cycle % 25 == 24 {
            eprintln!(
                "{} kills, {} attempts, {} lost, {} doubled",
                cycle + 1,
                found.attempts,
                found.lost,
                found.doubled
            );
        }
    }
    report(&mut found, home.path())
}

/// What the next process would do, and then whether the journal and the ledger say the same.
async fn recover(home: &Path, after: u64, mut journal: HashMap<String, usize>, found: &mut Found) -> Result<u64> {
    let folder = home.join("pointsman-data");
    if !folder.join("pointsman.db").exists() {
        return Ok(after);
    }
    let store = folder.clone();
    let open: pointsman::ledger::Opener = Arc::new(move || Ok(Box::new(Sqlite::open(&store)?) as Box<dyn Store>));
    let ledger = crate::day::ledger(open, Arc::new(AtomicU64::new(now_ms())))?;
    tokio::task::spawn_blocking(move || ledger.close()).await?;
    let store = Sqlite::open_to_read(&folder)?;
    ensure!(store.open_holds()?.0.is_empty(), "holds are still open");
    let mut last = after;
    let mut lines: Vec<Line> = Vec::new();
    let mut keep = |line: Line| {
        last = last.max(line.id);
        if line.id > after {
            lines.push(line);
        }
        true
    };
    store.lines(Span::EVER, &mut keep)?;
    for line in lines {
        found.recovered += usize::from(line.is_recovered);
        let is_exact = line.cost.is_some_and(|cost| cost.0 == 20_000) && !line.is_estimated;
        let is_ceiling = line.cost == Some(line.ceiling) && line.is_estimated;
        found.wrong += usize::from(!is_exact && !is_ceiling);
        match journal.get_mut(&*line.request) {
            Some(0) => found.doubled += 1,
            Some(attempts) => *attempts -= 1,
            // Reserved, and killed before anything went out: nobody can know, and so it counts.
            None if line.is_recovered => found.unsent += 1,
            None => found.wrong += 1,
        }
    }
    found.lost += journal.values().sum::<usize>();
    let findings = store.check()?;
    ensure!(findings.is_empty(), "the check says {findings:?}");
    Ok(last)
}

fn report(found: &mut Found, home: &Path) -> Result<()> {
    found.ready.sort();
    let at = |share: usize| {
        found
            .ready
            .get(found.ready.len().saturating_sub(1) * share / 100)
            .copied()
    };
    let size = fs::metadata(home.join("pointsman-data/pointsman.db"))?.len();
    println!(
        "{} kills, {} of them in a sync under load and {} while starting; {} attempts reached the provider, {} were answered; \
         lost {}, doubled {}, wrong {}; {} lines recovered at the ceiling, {} of them of attempts that had not gone out; \
         ready again after {} ms (median), {} ms (most); store of {} bytes",
        found.kills,
        found.in_syncs,
        found.at_start,
        found.attempts,
        found.answered,
        found.lost,
        found.doubled,
        found.wrong,
        found.recovered,
        found.unsent,
        at(50).unwrap_or_default().as_millis(),
        at(100).unwrap_or_default().as_millis(),
        size
    );
    ensure!(
        found.lost + found.doubled + found.wrong == 0,
        "the ledger is not what the journal says"
    );
    Ok(())
}

fn configure(home: &Path, provider: &FakeProvider) -> Result<()> {
    let budget = "budget = { limit_usd = 1000, period = \"total\" }";
    let config = complete(&(openai("p1", &provider.url()) + &route("auto", &["p1"], budget)));
    fs::write(home.join("pointsman.toml"), config).context("writing the configuration")
}

fn command(home: &Path, in_sync: Option<u64>) -> Result<Command> {
    let mut serve = Command::new(process::gateway()?);
    serve.args(["serve", "--config", "pointsman.toml"]);
    let mut command = match in_sync {
        Some(when) => strace::injecting(&serve, "fdatasync,fsync", &format!("signal=KILL:when={when}")),
        None => serve,
    };
    command.current_dir(home).env("POINTSMAN_LOG", "off");
    Ok(command)
}

/// What the clients of one cycle share.
struct Run {
    cycle: usize,
    next: AtomicU64,
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Sends requests of its own one after the other, until the gateway has gone.
async fn client(run: Arc<Run>, address: std::net::SocketAddr) {
    while !run.is_over.load(Ordering::Relaxed) {
        let id = format!("c{}-{}", run.cycle, run.next.fetch_add(1, Ordering::Relaxed));
        match exchange(address, &id).await {
            Ok(true) => drop(run.answered.fetch_add(1, Ordering::Relaxed)),
            Ok(false) => {}
            Err(_) => return,
        }
    }
}

async fn exchange(address: std::net::SocketAddr, id: &str) -> std::io::Result<bool> {
    let body =
        json!({ "model": "auto", "max_tokens": 50, "messages": [{ "role": "user", "content": id }] }).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let request = format!(
        "{head}x-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
