//! SQLite and redb under the same trials: kills (B2), a full disk (D1), syncs that fail (D2), losses of power (D3), bytes
//! that turn over (D4), and what a commit takes. `docs/decisions/` has what came of it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::chance::Chance;
use crate::faults::SmallDisk;
use crate::kinds::Kind;
use crate::process::{Process, own, text};
use crate::script::{Expected, batch};
use crate::{flips, power, strace};

/// Tries both, or one alone.
pub(crate) fn run(cycles: usize, flips: usize, only: Option<Kind>) -> Result<()> {
    let kinds = [Kind::Sqlite, Kind::Redb].into_iter();
    for kind in kinds.filter(|kind| only.is_none_or(|only| only == *kind)) {
        let name = kind.name();
        println!("{name}: {}", speed(kind)?);
        println!("{name}: kills: {}", kills(kind, cycles)?);
        println!("{name}: full disk: {}", full(kind, cycles / 10)?);
        println!("{name}: failing syncs: {}", eio(kind, cycles / 5)?);
        println!("{name}: loss of power: {}", power::run(kind, 100)?);
        println!("{name}: flipped bytes: {}", flips::run(kind, flips)?);
    }
    Ok(())
}

/// What a commit takes that is on disk when it returns, and how large the store is then.
fn speed(kind: Kind) -> Result<String> {
    const COMMITS: u64 = 1_000;
    let folder = tempfile::tempdir()?;
    let mut store = kind.open(folder.path())?;
    let mut took = Vec::new();
    for number in 1..=COMMITS {
        let batch = batch(number);
        let began = Instant::now();
        store.commit(&batch)?;
        took.push(began.elapsed());
    }
    drop(store);
    took.sort();
    let size: u64 = std::fs::read_dir(folder.path())?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum::<Result<u64>>()?;
    let at = |share: usize| took[took.len() * share / 100].as_micros();
    Ok(format!(
        "{COMMITS} commits of 4 holds and 3 lines: {} µs (median), {} µs (99 %); {} KiB on disk",
        at(50),
        at(99),
        size >> 10
    ))
}

/// Enough that no worker comes to its end.
const FOR_EVER: u64 = 100_000;

/// A worker is killed again and again, over one store, at a random moment or in a sync.
fn kills(kind: Kind, cycles: usize) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    let mut chance = Chance::new();
    // What was found the last time: a worker may be killed before it has said anything.
    let mut before = 0;
    let mut wrong = Vec::new();
    let mut recovery = Vec::new();
    for cycle in 0..cycles {
        // A store that is checked whole after every kill is begun anew before that takes long.
        if cycle % 20 == 0 && cycle > 0 {
            std::fs::remove_dir_all(&store)?;
            before = 0;
        }
        let mut worker = worker(kind, &store, FOR_EVER)?;
        if cycle % 2 == 1 {
            let when = 1 + chance.below(40);
            worker = strace::injecting(&worker, "fdatasync,fsync", &format!("signal=KILL:when={when}"));
        }
        let process = Process::start(&mut worker)?;
        let first = process.line()?;
        if cycle % 2 == 0 {
            std::thread::sleep(Duration::from_millis(chance.below(80)));
        } else {
            std::thread::sleep(Duration::from_millis(300));
        }
        let said = process.kill()?;
        let acknowledged = first
            .iter()
            .chain(&said)
            .filter_map(|line| number(line))
            .max()
            .unwrap_or(0)
            .max(before);
        let began = Instant::now();
        let opened = kind.open(&store).map_err(anyhow::Error::from);
        recovery.push(began.elapsed());
        let checked = opened.and_then(|store| Expected::up_to(acknowledged + 3)?.check(store.as_ref(), acknowledged));
        match checked {
            Ok(found) => before = found,
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    recovery.sort();
    let most = recovery.last().copied().unwrap_or_default();
    Ok(format!(
        "{cycles} kills, {} wrong {:?}; open again after at most {most:?}",
        wrong.len(),
        first(&wrong)
    ))
}

/// The disk is full in the middle of it; then there is room again.
fn full(kind: Kind, cycles: usize) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let mut chance = Chance::new();
    let mut wrong = Vec::new();
    for _ in 0..cycles {
        let disk = SmallDisk::mount(&folder.path().join("disk"), 8)?;
        let store = disk.0.join("store");
        drop(kind.open(&store)?);
        disk.fill(chance.below(300 << 10))?;
        let (_, said) = Process::start(&mut worker(kind, &store, FOR_EVER)?)?.ended()?;
        disk.free()?;
        let acknowledged = said.iter().filter_map(|line| number(line)).max().unwrap_or(0);
        let opened = kind.open(&store).map_err(anyhow::Error::from);
        let checked = opened.and_then(|store| Expected::up_to(acknowledged + 3)?.check(store.as_ref(), acknowledged));
        wrong.extend(checked.err().map(|error| format!("{error:#}")));
    }
    Ok(format!("{cycles} times, {} wrong {:?}", wrong.len(), first(&wrong)))
}

/// A sync fails; whatever the process makes of it, the next one has to find what was acknowledged.
fn eio(kind: Kind, cycles: usize) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let mut chance = Chance::new();
    let mut wrong = Vec::new();
    for cycle in 0..cycles {
        let store = folder.path().join(format!("store-{cycle}"));
        let what = format!("error=EIO:when={}", 2 + chance.below(40));
        let worker = worker(kind, &store, 60)?;
        let traced = &mut strace::injecting(&worker, "fdatasync,fsync", &what);
        let (_, said) = Process::start(traced)?.ended()?;
        let acknowledged = said.iter().filter_map(|line| number(line)).max().unwrap_or(0);
        let opened = kind.open(&store).map_err(anyhow::Error::from);
        let checked = opened.and_then(|store| Expected::up_to(acknowledged + 3)?.check(store.as_ref(), acknowledged));
        wrong.extend(checked.err().map(|error| format!("{error:#}")));
    }
    Ok(format!("{cycles} times, {} wrong {:?}", wrong.len(), first(&wrong)))
}

fn worker(kind: Kind, store: &std::path::Path, batches: u64) -> Result<Command> {
    let batches = batches.to_string();
    let arguments = [
        "worker",
        "--kind",
        kind.name(),
        "--folder",
        text(store)?,
        "--batches",
        &batches,
    ];
    let mut worker = own(&arguments)?;
    worker.stderr(std::process::Stdio::null());
    Ok(worker)
}

/// Of `ack 17`, and of `open 17` where it went on with that.
fn number(line: &str) -> Option<u64> {
    let number = line.strip_prefix("ack ").or_else(|| line.strip_prefix("open "))?;
    number.trim().parse().context("no number").ok()
}

fn first(wrong: &[String]) -> &[String] {
    &wrong[..wrong.len().min(3)]
}
