//! A day of traffic, its time compressed: two hundred keys with budgets of their own, of teams and of an organisation, and a
//! process that is killed every few minutes of that day. The calls go to the ledger as the gateway's do; what each attempt
//! came to is told to the other side of a pipe, which no kill reaches, before the ledger hears of it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use pointsman::budget::{Budget, Period, Scope, Scoped, Zone};
use pointsman::ledger::{Ledger, Opener, Settlement, Setup, Wish};
use pointsman::money::{Nanodollars, Usage};
use pointsman::store::sqlite::{FILE, Sqlite};
use pointsman::store::{By, Line, Question, Span, Store, Tags};
use pointsman::telemetry::Meter;

use crate::chance::Chance;
use crate::process::{Process, own, text};

/// Midnight.
const START_MS: u64 = 1_789_084_800_000;
const DAY_MS: u64 = 86_400_000;
const KEYS: u64 = 200;
const TEAMS: u64 = 12;
/// Calls at a time.
const AT_ONCE: u64 = 256;

/// One part of the day.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    folder: PathBuf,
    /// The first call.
    #[arg(long)]
    from: u64,
    /// How many the day has.
    #[arg(long)]
    calls: u64,
}

/// A ledger over a store, with this clock.
pub(crate) fn ledger(open: Opener, clock: Arc<AtomicU64>) -> Result<Ledger> {
    let setup = Setup {
        fleet: None,
        reader: open.clone(),
        open,
        timeout: Duration::from_secs(60),
        keep_lines: Duration::from_secs(400 * 86_400),
        clock: Box::new(move || clock.load(Ordering::Relaxed)),
        books: true,
        meter: Meter::default().ledger.clone(),
        listener: Box::new(|_| {}),
    };
    Ok(Ledger::start(setup)?)
}

fn at_ms(call: u64, calls: u64) -> u64 {
    START_MS + (u128::from(call) * u128::from(DAY_MS) / u128::from(calls)) as u64
}

/// What a call asks for, known from its number.
fn wish(call: u64) -> Wish {
    let mut chance = Chance::of(call);
    let key = chance.below(KEYS);
    let (team, model) = (key % TEAMS, chance.below(9));
    let name = |prefix: &str, number: u64| -> Arc<str> { format!("{prefix}{number}").into() };
    let scoped = |scope, limit: u64, period| {
        let budget = Budget {
            limit: Nanodollars(limit),
            period,
            zone: Zone::default(),
            is_hard: true,
            warn: vec![80, 100],
        };
        Arc::new(Scoped { scope, budget })
    };
    let ceiling = 1_000 + chance.below(2_000_000);
    Wish {
        request: call.to_string().into(),
        tags: Arc::new(Tags {
            key: name("key-", key),
            team: name("team-", team),
            organisation: "all".into(),
            route: name("route-", call % 3),
            provider: name("provider-", model % 3),
            model: name("model-", model),
            labels: vec![("task".to_owned(), format!("task-{}", chance.below(4)))],
        }),
        budgets: vec![
            // Some keys come to the end of their hour; the others have enough for the day.
            scoped(
                Scope::Key(name("key-", key)),
                if key.is_multiple_of(10) { 100_000_000 } else { 1 << 50 },
                Period::Hour,
            ),
            scoped(Scope::Team(name("team-", team)), 1 << 55, Period::Day),
            scoped(Scope::Organisation("all".into()), 1 << 60, Period::Month),
        ],
        at_most: Nanodollars(ceiling),
        at_least: Nanodollars(ceiling),
        price_version: Some(1),
        metadata: None,
    }
}

/// What becomes of it.
enum Fate {
    /// It answers, and costs so much.
    Costs(u64),
    /// It is given up in the middle; nobody knows.
    Unknown,
    /// Nobody is there.
    Unsent,
}

fn fate(call: u64, ceiling: u64) -> Fate {
    let mut chance = Chance::of(!call);
    match chance.below(100) {
        0 => Fate::Unsent,
        1 => Fate::Unknown,
        // More than was expected.
        2 => Fate::Costs(ceiling * 2),
        _ => Fate::Costs(chance.below(ceiling + 1)),
    }
}

/// Makes calls until it is killed, or the day is over.
pub(crate) fn work(options: &Options) -> Result<()> {
    let folder = options.folder.clone();
    let clock = Arc::new(AtomicU64::new(at_ms(options.from, options.calls)));
    let open: Opener = Arc::new(move || Ok(Box::new(Sqlite::open(&folder)?) as Box<dyn Store>));
    let began = Instant::now();
    let ledger = ledger(open, clock.clone())?;
    say(&format!("R {}\n", began.elapsed().as_millis()))?;
    let next = Arc::new(AtomicU64::new(options.from));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let calls = options.calls;
    runtime.block_on(async {
        let callers = (0..AT_ONCE).map(|_| caller(&ledger, &clock, &next, calls));
        futures_util::future::join_all(callers)
            .await
            .into_iter()
            .collect::<Result<Vec<()>>>()
    })?;
    drop(runtime);
    ledger.close();
    say("E 0\n")
}

async fn caller(ledger: &Ledger, clock: &AtomicU64, next: &AtomicU64, calls: u64) -> Result<()> {
    loop {
        let call = next.fetch_add(1, Ordering::Relaxed);
        if call >= calls {
            return Ok(());
        }
        clock.fetch_max(at_ms(call, calls), Ordering::Relaxed);
        let wish = wish(call);
        let ceiling = wish.at_most.0;
        say(&format!("C {call}\n"))?;
        let hold = match ledger.reserve(wish).await {
            Ok(hold) => hold,
            Err(pointsman::ledger::Refused::Exceeded(_)) => continue,
            Err(refused) => bail!("call {call}: {refused:?}"),
        };
        match fate(call, ceiling) {
            Fate::Unsent => drop(hold),
            fate => {
                // The provider has it from here on.
                say(&format!("S {call}\n"))?;
                hold.sending();
                tokio::task::yield_now().await;
                let Fate::Costs(cost) = fate else { continue };
                hold.settle(Settlement {
                    outcome: "answered".to_owned(),
                    usage: Usage {
                        input: cost / 100,
                        output: cost / 1_000,
                        ..Usage::default()
                    },
                    cost: Some(Nanodollars(cost)),
                    reference: Some(Nanodollars(cost.saturating_mul(3))),
                    is_estimated: false,
                });
            }
        }
    }
}

/// Without a buffer: what was said, no kill takes back.
fn say(line: &str) -> Result<()> {
    std::io::stdout().write_all(line.as_bytes()).context("nobody listens")
}

/// What is known of the day.
#[derive(Default)]
struct Journal {
    /// Of each call: 1 where it reached its provider, and 2 once it was seen in the ledger.
    sent: Vec<u8>,
    attempts: u64,
    kills: u64,
    /// How long each start took, in milliseconds.
    starts: Vec<u64>,
}

/// Lets the day pass.
pub(crate) fn run(calls: u64, kills: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    let mut journal = Journal {
        sent: vec![0; calls as usize],
        ..Journal::default()
    };
    let mut chance = Chance::new();
    let began = Instant::now();
    let mut from = 0;
    while from < calls {
        let part = (calls / kills.max(1)).max(2);
        let until = from + part / 2 + chance.below(part);
        from = part_of_the_day(&store, from, until, calls, &mut journal)?;
    }
    let took = began.elapsed();
    eprintln!(
        "the day is over after {} s, with {} kills",
        took.as_secs(),
        journal.kills
    );
    compare(&store, calls, took, journal)
}

/// One process, up to its end or to its kill after this call. Gives the call that the next one begins with.
fn part_of_the_day(store: &Path, from: u64, until: u64, calls: u64, journal: &mut Journal) -> Result<u64> {
    let (first, all) = (from.to_string(), calls.to_string());
    let mut worker = own(&[
        "day-worker",
        "--folder",
        text(store)?,
        "--from",
        &first,
        "--calls",
        &all,
    ])?;
    let process = Process::start(&mut worker)?;
    let mut next = from;
    let mut is_over = false;
    while let Some(line) = process.line()? {
        is_over |= take(&line, &mut next, journal)?;
        if next >= until && until < calls {
            break;
        }
    }
    if is_over {
        return Ok(calls);
    }
    for line in process.kill()? {
        take(&line, &mut next, journal)?;
    }
    ensure!(next > from, "a process ended at call {from} without a kill");
    journal.kills += 1;
    Ok(next)
}

fn take(line: &str, next: &mut u64, journal: &mut Journal) -> Result<bool> {
    // The last line of a process that was killed may be half a line.
    let Some((word, number)) = line.split_once(' ') else {
        return Ok(false);
    };
    let number: u64 = number.parse().unwrap_or(0);
    match word {
        "C" => *next = (*next).max(number + 1),
        "S" => {
            let sent = journal.sent.get_mut(number as usize).context("a call of another day")?;
            ensure!(*sent == 0, "call {number} was sent twice");
            *sent = 1;
            journal.attempts += 1;
        }
        "R" => journal.starts.push(number),
        "E" => return Ok(true),
        _ => {}
    }
    Ok(false)
}

/// Whether the ledger is what the journal says.
fn compare(folder: &Path, calls: u64, took: Duration, mut journal: Journal) -> Result<()> {
    let open_at = folder.to_owned();
    let open: Opener = Arc::new(move || Ok(Box::new(Sqlite::open(&open_at)?) as Box<dyn Store>));
    ledger(open, Arc::new(AtomicU64::new(START_MS + DAY_MS)))?.close();
    let store = Sqlite::open_to_read(folder)?;
    let holds = store.open_holds()?.0.len();
    let (mut lines, mut recovered, mut unsent, mut doubled, mut wrong) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let (mut sum, mut keys) = (0i128, BTreeSet::new());
    let mut each = |line: Line| {
        lines += 1;
        recovered += u64::from(line.is_recovered);
        sum += line.cost.map_or(0, |cost| i128::from(cost.0));
        if !keys.contains(&line.tags.key) {
            keys.insert(line.tags.key.clone());
        }
        let call: u64 = line.request.parse().unwrap_or(u64::MAX);
        let ceiling = wish(call).at_most;
        let expected = match fate(call, ceiling.0) {
            Fate::Costs(cost) if !line.is_recovered => Nanodollars(cost),
            _ => ceiling,
        };
        wrong += u64::from(line.cost != Some(expected) || line.ceiling != ceiling);
        match journal.sent.get_mut(call as usize) {
            Some(sent @ 1) => *sent = 2,
            Some(sent @ 0) if line.is_recovered => {
                *sent = 2;
                unsent += 1;
            }
            _ => doubled += 1,
        }
        true
    };
    store.lines(Span::EVER, &mut each)?;
    let lost = journal.sent.iter().filter(|sent| **sent == 1).count();
    let size = std::fs::metadata(folder.join(FILE))?.len();
    let starts = &mut journal.starts;
    starts.sort_unstable();
    println!(
        "{calls} calls of {} keys in a day of 24 hours, in {} s; {} kills, ready again after {} ms (median), {} ms (most); \
         {} attempts, {lines} lines, {recovered} of them recovered, {unsent} of those of attempts that had not gone out; \
         lost {lost}, doubled {doubled}, wrong {wrong}; holds {holds}; store of {} MB, {} bytes for each line",
        keys.len(),
        took.as_secs(),
        journal.kills,
        starts[starts.len() / 2],
        starts[starts.len() - 1],
        journal.attempts,
        size >> 20,
        size / lines.max(1)
    );
    reports(&store, sum)?;
    let checking = Instant::now();
    let findings = store.check()?;
    println!(
        "check: {} findings in {} ms",
        findings.len(),
        checking.elapsed().as_millis()
    );
    ensure!(findings.is_empty(), "{findings:?}");
    ensure!(
        lost == 0 && doubled + wrong == 0 && holds == 0,
        "the ledger is not what the journal says"
    );
    Ok(())
}

/// How long reports take, and whether they add up to the lines.
fn reports(store: &Sqlite, sum: i128) -> Result<()> {
    let month = Span {
        from_ms: START_MS - 10 * DAY_MS,
        to_ms: START_MS + 20 * DAY_MS,
    };
    for by in [By::Key, By::Team, By::Model, By::Provider, By::Route, By::Label] {
        let asking = Instant::now();
        let question = Question {
            span: month,
            by: vec![by],
            only: Vec::new(),
        };
        let spent = store.spent(&question)?;
        let took = asking.elapsed();
        let total: i128 = spent.iter().map(|spent| spent.sums.cost).sum();
        println!(
            "month by {by:?}: {} groups in {:.1} ms",
            spent.len(),
            took.as_secs_f64() * 1e3
        );
        ensure!(total == sum, "the report says {total}, and the lines {sum}");
    }
    Ok(())
}
