//! Files as a loss of power may leave them: what was synced is there; of what was written since, each piece is there or not,
//! whole or in part, in whatever order. Names are taken to be on disk with the first sync of their file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::chance::Chance;
use crate::strace::Did;

/// A disk writes so much at once.
const SECTOR: usize = 512;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All that was not synced.
    All,
    /// Nothing.
    Nothing,
    /// All from some write on.
    Tail,
    /// Any of the writes.
    Some,
    /// Any sector of any of them.
    Sectors,
}

/// Every kind of loss.
pub(crate) const LOSSES: [Loss; 5] = [Loss::All, Loss::Nothing, Loss::Tail, Loss::Some, Loss::Sectors];

#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// The files of a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    files: BTreeMap<PathBuf, File>,
    /// Removed, though not for certain.
    removed: BTreeMap<PathBuf, File>,
}

impl Disk {
    /// Something was done to them.
    pub(crate) fn take(&mut self, did: &Did) {
        match did {
            Did::Write { file, at, bytes } => {
                let file = self.files.entry(file.clone()).or_default();
                if !bytes.is_empty() {
                    file.since.push(Change::Write(*at, bytes.clone()));
                }
            }
            Did::Truncate { file, to } => {
                let file = self.files.entry(file.clone()).or_default();
                file.since.push(Change::Truncate(*to));
            }
            Did::Sync(file) => {
                match self.files.get_mut(file) {
                    Some(file) => {
                        for change in std::mem::take(&mut file.since) {
                            apply(&mut file.synced, &change);
                        }
                    }
                    // A folder: what was removed from it has gone for good.
                    None => self.removed.clear(),
                }
            }
            Did::Remove(path) => {
                if let Some(file) = self.files.remove(path) {
                    self.removed.insert(path.clone(), file);
                }
            }
            Did::Say(_) => {}
        }
    }

    /// Whether anything could be lost.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.files.values().all(|file| file.since.is_empty())
    }

    /// Writes the files as such a loss leaves them.
    pub(crate) fn write(&self, folder: &Path, loss: Loss, chance: &mut Chance) -> Result<()> {
        let mut all = self.files.clone();
        if chance.coin() {
            for (path, file) in &self.removed {
                all.entry(path.clone()).or_insert_with(|| file.clone());
            }
        }
        for (path, file) in all {
            // What only the process's own memory backs is gone with it.
            if path.extension().is_some_and(|extension| extension == "db-shm") {
                continue;
            }
            let mut contents = file.synced;
            let last = chance.below(file.since.len() as u64 + 1) as usize;
            for (number, change) in file.since.iter().enumerate() {
                match loss {
                    Loss::All => {}
                    Loss::Nothing => apply(&mut contents, change),
                    Loss::Tail if number < last => apply(&mut contents, change),
                    Loss::Some if chance.coin() => apply(&mut contents, change),
                    Loss::Sectors => torn(&mut contents, change, chance),
                    Loss::Tail | Loss::Some => {}
                }
            }
            let name = path.file_name().context("a file without a name")?;
            fs::write(folder.join(name), contents)?;
        }
        Ok(())
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, bytes) => {
            let (from, to) = (*at as usize, *at as usize + bytes.len());
            if contents.len() < to {
                contents.resize(to, 0);
            }
            contents[from..to].copy_from_slice(bytes);
        }
        Change::Truncate(to) => contents.resize(*to as usize, 0),
    }
}

fn torn(contents: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
    match change {
        Change::Write(at, bytes) => {
            let mut from = 0;
            while from < bytes.len() {
                // Up to the next border between sectors.
                let place = *at as usize + from;
                let to = (from + SECTOR - place % SECTOR).min(bytes.len());
                if chance.coin() {
                    apply(contents, &Change::Write(place as u64, bytes[from..to].to_vec()));
                }
                from = to;
            }
        }
        Change::Truncate(_) if chance.coin() => apply(contents, change),
        Change::Truncate(_) => {}
    }
}
