//! D4: single bytes of a closed store turn over. Opening it, or asking it, has to notice, or the answers have to be the same:
//! never another balance in silence.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use pointsman::store::Store;

use crate::chance::Chance;
use crate::kinds::Kind;
use crate::process::{own, text};
use crate::script::{Answers, batch};

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    flips: usize,
    /// The store would not open, or would not answer.
    noticed: usize,
    /// The answers were the same, and the check found it.
    checked: usize,
    /// The answers were the same, and nothing was found: the byte says nothing.
    harmless: usize,
    /// A document was not there, and only the check found it: nobody counts documents.
    hidden: usize,
    /// Other answers were others, and only the check found it.
    late: usize,
    /// The answers were others, and nothing was found.
    pub(crate) silent: usize,
    /// The library panicked.
    panicked: usize,
    /// It took the process down, or did not come to an end.
    lost: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flips,
            noticed,
            checked,
            harmless,
            hidden,
            late,
            silent,
            panicked,
            lost,
        } = self;
        write!(
            formatter,
            "{flips} flips: {noticed} noticed when opened or asked, {checked} found by the check with the same answers, \
             {harmless} harmless, {hidden} documents that only the check misses, {late} other answers that only the check finds, {silent} other answers in silence, \
             {panicked} panics, {lost} processes lost"
        )
    }
}

/// Enough batches for several pages of every table.
const BATCHES: u64 = 150;

/// Flips bytes, one at a time.
pub(crate) fn run(kind: Kind, flips: usize) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let mut store = kind.open(folder.path())?;
    for number in 1..=BATCHES {
        store.commit(&batch(number))?;
    }
    let truth = Answers::of(store.as_ref())?;
    drop(store);
    eprintln!("{}: {} lines", kind.name(), truth.lines());
    let truth = truth.digests();
    let file = only_file(folder.path())?;
    let whole = fs::read(&file)?;
    eprintln!("{}: {} bytes", kind.name(), whole.len());
    // In memory, where there is such a place: ten thousand copies are written.
    let shared = Path::new("/dev/shm");
    let image = match shared.is_dir() {
        true => tempfile::tempdir_in(shared)?,
        false => tempfile::tempdir()?,
    };
    let copy = image.path().join(file.file_name().context("a file without a name")?);
    let mut chance = Chance::new();
    let mut found = Found::default();
    for _ in 0..flips {
        let mut bytes = whole.clone();
        let place = chance.below(bytes.len() as u64) as usize;
        let by = 1 + chance.below(255) as u8;
        bytes[place] ^= by;
        empty(image.path())?;
        fs::write(&copy, &bytes)?;
        found.flips += 1;
        let seen = match kind {
            Kind::Sqlite => look(kind, image.path()),
            Kind::Redb => look_apart(kind, image.path())?,
        };
        match seen {
            Seen::Noticed => found.noticed += 1,
            Seen::Panicked => found.panicked += 1,
            Seen::Lost => found.lost += 1,
            Seen::Answered(answers, is_found) => {
                let names = truth.iter().zip(answers).filter(|((_, truth), said)| truth != said);
                let others: Vec<&str> = names.map(|((name, _), _)| *name).collect();
                match (others.as_slice(), is_found) {
                    ([], true) => found.checked += 1,
                    ([], false) => found.harmless += 1,
                    (["documents"], true) => found.hidden += 1,
                    (_, true) => found.late += 1,
                    (_, false) => found.silent += 1,
                }
                if !others.is_empty() {
                    eprintln!("byte {place} by {by:#04x}: other {others:?}; the check finds it: {is_found}");
                }
            }
        }
    }
    let wrong = found.silent + found.late + found.panicked + found.lost;
    ensure!(kind != Kind::Sqlite || wrong == 0, "{found}");
    Ok(found)
}

/// What a store says of which a byte is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// An error.
    Noticed,
    Panicked,
    /// Its process has gone, or does not come to an end.
    Lost,
    /// Answers, by the digests of their parts, and whether the check finds something.
    Answered([u64; 4], bool),
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed => formatter.write_str("noticed"),
            Self::Panicked => formatter.write_str("panicked"),
            Self::Lost => formatter.write_str("lost"),
            Self::Answered([holds, sums, lines, documents], is_found) => {
                write!(formatter, "{holds} {sums} {lines} {documents} {is_found}")
            }
        }
    }
}

/// Opens a store, asks it and checks it.
fn look(kind: Kind, folder: &Path) -> Seen {
    let looking = AssertUnwindSafe(|| -> Option<(Box<dyn Store>, Answers)> {
        let store = kind.open(folder).ok()?;
        let answers = Answers::of(store.as_ref()).ok()?;
        Some((store, answers))
    });
    let (store, answers) = match catch_unwind(looking) {
        Ok(Some(seen)) => seen,
        Ok(None) => return Seen::Noticed,
        Err(_) => return Seen::Panicked,
    };
    let checking = AssertUnwindSafe(|| store.check());
    let is_found = !matches!(catch_unwind(checking), Ok(Ok(findings)) if findings.is_empty());
    Seen::Answered(answers.digests().map(|(_, digest)| digest), is_found)
}

/// Which store another process is to look at.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, value_enum)]
    kind: Kind,
    #[arg(long)]
    folder: PathBuf,
}

/// Looks, and says what it has seen.
pub(crate) fn look_and_say(options: &Options) {
    println!("{}", look(options.kind, &options.folder));
}

/// Nobody takes longer over a store this small.
const LONGEST: Duration = Duration::from_secs(20);

/// As [`look`], by a process of its own: one that goes down with its store takes nothing along.
fn look_apart(kind: Kind, folder: &Path) -> Result<Seen> {
    let mut command = own(&["look", "--kind", kind.name(), "--folder", text(folder)?])?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > LONGEST {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let said = child.wait_with_output()?.stdout;
    let said = String::from_utf8_lossy(&said);
    let answered = || {
        let words: Vec<&str> = said.split_whitespace().collect();
        let (is_found, digests) = words.split_last()?;
        let digests: Option<Vec<u64>> = digests.iter().map(|digest| digest.parse().ok()).collect();
        Some(Seen::Answered(digests?.try_into().ok()?, is_found.parse().ok()?))
    };
    Ok(match said.trim() {
        "noticed" => Seen::Noticed,
        "panicked" => Seen::Panicked,
        _ => answered().unwrap_or(Seen::Lost),
    })
}

/// A closed store is one file, and at most a journal of which all is in it.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_none_or(|extension| extension != "journal"));
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        (file, _) => bail!("a closed store has {file:?} and {files:?}"),
    }
}

fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
