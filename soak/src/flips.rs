//! D4: single bytes of a closed store turn over. Opening it, or asking it, has to notice, or the answers have to be the same:
//! never another balance in silence.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::chance::Chance;
use crate::kinds::Kind;
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
    /// The answers were others, and only the check found it.
    late: usize,
    /// The answers were others, and nothing was found.
    pub(crate) silent: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flips,
            noticed,
            checked,
            harmless,
            late,
            silent,
        } = self;
        write!(
            formatter,
            "{flips} flips: {noticed} noticed when opened or asked, {checked} found by the check with the same answers, \
             {harmless} harmless, {late} other answers that only the check finds, {silent} other answers in silence"
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
    let file = only_file(folder.path())?;
    let whole = fs::read(&file)?;
    eprintln!("{}: {} bytes, {} lines", kind.name(), whole.len(), truth.lines());
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
        let Ok(store) = std::panic::catch_unwind(|| kind.open(image.path())).unwrap_or_else(|_| bail_out()) else {
            found.noticed += 1;
            continue;
        };
        let asked = std::panic::AssertUnwindSafe(|| Answers::of(store.as_ref()).ok());
        let Ok(Some(answers)) = std::panic::catch_unwind(asked) else {
            found.noticed += 1;
            continue;
        };
        let checking = std::panic::AssertUnwindSafe(|| store.check());
        let is_found = !matches!(std::panic::catch_unwind(checking), Ok(Ok(findings)) if findings.is_empty());
        match (answers == truth, is_found) {
            (true, true) => found.checked += 1,
            (true, false) => found.harmless += 1,
            (false, true) => {
                eprintln!("byte {place} by {by:#04x}: other answers, and only the check finds it");
                found.late += 1;
            }
            (false, false) => {
                eprintln!("byte {place} by {by:#04x}: other answers in silence");
                found.silent += 1;
            }
        }
    }
    ensure!(kind != Kind::Sqlite || found.silent + found.late == 0, "{found}");
    Ok(found)
}

/// A store that panics has noticed something, too.
fn bail_out() -> Result<Box<dyn pointsman::store::Store>, pointsman::store::StoreError> {
    Err(pointsman::store::StoreError::Damaged("it panicked".to_owned()))
}

/// A closed store is one file.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
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
