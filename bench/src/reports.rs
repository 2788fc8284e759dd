//! What reports cost: a store is filled with lines of a month of traffic, and asked what was spent. Lines are written as the
//! ledger writes them, in larger batches; the store's folder is removed afterwards.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pointsman::money::{Nanodollars, Usage};
use pointsman::spend::{Query, moment};
use pointsman::store::sqlite::{FILE, Sqlite};
use pointsman::store::{Batch, Line, Store, Tags};

/// Lines in one batch.
const BATCH: u64 = 50_000;
/// The month, and how long it is.
const MONTH: (&str, &str) = ("2026-10-01", "2026-11-01");
const MONTH_MS: u64 = 31 * 86_400_000;
/// Nearly all of it.
const PART: (&str, &str) = ("2026-10-02", "2026-11-01");
/// How often each report is asked for; the middle one counts.
const TIMES: usize = 5;

/// What traffic is made of: keys, of which every ten are a team's, with so many models and kinds of task each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) lines: u64,
    pub(crate) keys: u64,
    pub(crate) models: u64,
    pub(crate) tasks: u64,
}

/// Fills a store below this folder and asks it.
pub(crate) fn measure(traffic: Traffic, output: &Path) -> Result<String> {
    let folder = output.join(format!("ledger-report-{}", std::process::id()));
    let measured = fill_and_ask(traffic, &folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    measured
}

fn fill_and_ask(traffic: Traffic, folder: &Path) -> Result<String> {
    let begin = moment(MONTH.0, 0).map_err(anyhow::Error::msg)?;
    let tags = tags(traffic);
    let mut store = Sqlite::open(folder)?;
    let began = Instant::now();
    let mut at = 0;
    while at < traffic.lines {
        let end = traffic.lines.min(at + BATCH);
        let line = |number| line(number, begin + number * MONTH_MS / traffic.lines, &tags);
        store.commit(&Batch {
            lines: (at..end).map(line).collect(),
            ..Batch::default()
        })?;
        at = end;
        eprint!("\r{at} lines");
    }
    eprintln!();
    let filled = began.elapsed();
    drop(store);
    let bytes = std::fs::metadata(folder.join(FILE))?.len();
    let Traffic { lines, .. } = traffic;
    let mut text = format!(
        "{lines} lines in one month, {} combinations of key, model and task: {} MiB, filled in {filled:.1?}\n\n\
         | report | rows | time |\n|---|---|---|\n",
        tags.len(),
        bytes >> 20,
    );
    for by in [
        "",
        "key",
        "team",
        "organisation",
        "model",
        "provider",
        "route",
        "label",
        "team,model",
        "key,model,label",
        "day",
        "key,day",
    ] {
        let (rows, took) = ask(folder, by, MONTH)?;
        let name = if by.is_empty() { "total" } else { by };
        writeln!(text, "| {name} | {rows} | {took:.1?} |")?;
    }
    // Of which no month is whole: all of it is read from days.
    for by in ["", "key", "label"] {
        let (rows, took) = ask(folder, by, PART)?;
        let name = if by.is_empty() { "total" } else { by };
        writeln!(text, "| {name}, from {} to {} | {rows} | {took:.1?} |", PART.0, PART.1)?;
    }
    Ok(text)
}

/// A span by these: how many rows, and how long it took with a store that is opened for it.
fn ask(folder: &Path, by: &str, (from, to): (&str, &str)) -> Result<(usize, Duration)> {
    let settings = [("by", by), ("from", from), ("to", to)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = Query::parse(settings, 0).map_err(anyhow::Error::msg)?;
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..TIMES {
        let began = Instant::now();
        let report = query.ask(&Sqlite::open_to_read(folder)?)?;
        rows = report.to_csv().lines().count() - 1;
        times.push(began.elapsed());
    }
    times.sort();
    Ok((rows, times[TIMES / 2]))
}

fn tags(
    Traffic {
        keys, models, tasks, ..
    }: Traffic,
) -> Vec<Arc<Tags>> {
    let mut all = Vec::new();
    for key in 0..keys {
        for model in 0..models {
            for task in 0..tasks {
                all.push(Arc::new(Tags {
                    key: format!("key{key}").into(),
                    team: format!("team{}", key / 10).into(),
                    organisation: "acme".into(),
                    route: "auto".into(),
                    provider: format!("provider{}", model % 3).into(),
                    model: format!("provider{}/model{model}", model % 3).into(),
                    labels: vec![("task".to_owned(), format!("task{task}"))],
                }));
            }
        }
    }
    all
}

/// Figures differ from line to line, and are the same in every run.
fn line(number: u64, at_ms: u64, tags: &[Arc<Tags>]) -> Line {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let cost = Nanodollars(mixed % 20_000_000);
    Line {
        id: number + 1,
        at_ms,
        request: format!("req-{mixed:016x}").into(),
        tags: tags[usize::try_from(mixed).unwrap_or(0) % tags.len()].clone(),
        outcome: "answered".to_owned(),
        usage: Usage {
            input: mixed % 4_000,
            cache_read: mixed % 1_000,
            output: mixed % 700,
            ..Usage::default()
        },
        cost: Some(cost),
        ceiling: Nanodollars(cost.0 * 4),
        reference: Some(Nanodollars(cost.0 * 2)),
        price_version: 7,
        is_estimated: false,
        is_recovered: false,
        corrects: None,
        metadata: None,
    }
}
