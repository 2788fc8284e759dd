//! What was kept last, in a file of fixed size beside the tables: a batch is one piece of writing there, and one sync. Rows are
//! made of it by the hundred (`Sqlite::publish`), so that a hold which is resolved soon never becomes one.
//!
//! The file begins anew with each *generation*. The transaction that makes rows of a generation writes its number into the
//! tables: whoever finds the file knows whether its records are rows already, and does not take those of another store's, or of
//! one that a backup has replaced, for this one's. Records begin at multiples of [`SECTOR`], so that no record is harmed by the
//! writing of the next, and each says how many before it were on disk: one of those that cannot be read is damage, while the
//! last ones may have been lost with the power, as nobody was told of them.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::digest::Digest;
use super::{StoreError, record};
use crate::store::Batch;

/// How large the file is made, before the first record: writing what is there already, a sync need not wait for the file
/// system's own journal.
const SIZE: u64 = 4 << 20;
/// A disk writes so much whole or not at all.
const SECTOR: usize = 512;
/// Mark, length, name, digest.
const HEAD: usize = 4 + 4 + 4 * 8 + 8;
/// Of so many holds and lines rows are made at once. A transaction changes some thirty pages, however few lines are in it.
const MANY: usize = 1_024;
/// How long one process waits for another that reads what a third one left.
const BUSY: Duration = Duration::from_secs(2);

/// The journal of a store that is written to. Nobody else writes to it as long as this lives.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Whether it has its size.
    is_made: bool,
    /// Of the next record.
    next: Name,
    /// Where it begins.
    at: u64,
    /// A record as it is written; kept for its room.
    buffer: Vec<u8>,
    /// What the records say.
    pending: Batch,
    /// What is on disk, nobody knows.
    has_failed: bool,
}

/// What tells a record from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    generation: u64,
    /// Drawn by who opened the file: another one's records of the same generation are not taken for this one's.
    session: u64,
    /// From 0 in each generation.
    number: u64,
    /// So many before it were on disk when it was written.
    synced: u64,
}

/// What a process left behind.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) generation: u64,
    pub(super) batch: Batch,
}

/// Its place beside a store's file.
pub(super) fn place(store: &Path) -> PathBuf {
    store.with_extension("journal")
}

impl Journal {
    /// Opens the journal of a store's file for writing; waits for those who only look what was left.
    pub(super) fn open(store: &Path) -> Result<Self, StoreError> {
        let path = place(store);
        let began = Instant::now();
        loop {
            if let Some(journal) = Self::try_open(&path)? {
                return Ok(journal);
            }
            if began.elapsed() >= BUSY {
                return Err(StoreError::Refused(format!(
                    "{}: another process is writing to this store",
                    path.display()
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The same for who would only read: nothing where there is none, or where somebody writes to it.
    pub(super) fn abandoned(store: &Path) -> Result<Option<Self>, StoreError> {
        let path = place(store);
        match path.metadata() {
            Ok(found) if found.len() > 0 => Self::try_open(&path),
            _ => Ok(None),
        }
    }

    fn try_open(path: &Path) -> Result<Option<Self>, StoreError> {
        let refused = |error: io::Error| StoreError::Refused(format!("cannot open {}: {error}", path.display()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let is_made = file.metadata().map_err(refused)?.len() == SIZE;
        Ok(Some(Self {
            file,
            path: path.to_owned(),
            is_made,
            next: Name {
                generation: 0,
                session: RandomState::new().hash_one(0),
                number: 0,
                synced: 0,
            },
            at: 0,
            buffer: Vec::new(),
            pending: Batch::default(),
            has_failed: false,
        }))
    }

    /// What is in it and no row yet, where this is the last generation that has become rows.
    pub(super) fn left(&mut self, published: u64) -> Result<Option<Left>, StoreError> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|error| self.failed(&error))?;
        let is_next = |found: &Found<'_>| found.name.generation == published + 1;
        let mut left: Option<Batch> = None;
        let mut session = None;
        let (mut at, mut records) = (0, 0);
        while let Some(found) = Found::at(&bytes, at).filter(is_next) {
            let Name {
                session: own, number, ..
            } = found.name;
            if own != *session.get_or_insert(own) || number != records {
                break;
            }
            let Some(batch) = record::read(found.text) else {
                let message = format!("{}: record {records} cannot be understood", self.path.display());
                return Err(StoreError::Damaged(message));
            };
            join(left.get_or_insert_default(), &batch);
            (at, records) = (found.end, records + 1);
        }
        let mut later = (at..bytes.len()).step_by(SECTOR).filter_map(|at| Found::at(&bytes, at));
        let is_of_it =
            |found: &Found<'_>| is_next(found) && session.is_none_or(|session| found.name.session == session);
        if later.any(|found| is_of_it(&found) && found.name.synced > records) {
            return Err(StoreError::Damaged(format!(
                "{}: record {records}, which was on disk, is not what was written",
                self.path.display()
            )));
        }
        Ok(left.map(|batch| Left {
            generation: published + 1,
            batch,
        }))
    }

    /// From the beginning: all that it said is in the tables, up to and with this generation.
    pub(super) fn begin_after(&mut self, published: u64) {
        self.next = Name {
            generation: published + 1,
            number: 0,
            synced: 0,
            ..self.next
        };
        self.at = 0;
        self.pending = Batch::default();
    }

    /// What is no row yet, for whoever makes rows of it.
    pub(super) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.pending)
    }

    /// Whether all of it has become rows.
    pub(super) fn is_empty(&self) -> bool {
        self.next.number == 0
    }

    /// Of what is written now.
    pub(super) fn generation(&self) -> u64 {
        self.next.generation
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Nothing more is to be written here.
    pub(super) fn give_up(&mut self) {
        self.has_failed = true;
    }

    /// Whether there is enough that rows should be made of it.
    pub(super) fn is_full(&self) -> bool {
        self.pending.holds.len() + self.pending.lines.len() + self.pending.released.len() >= MANY
    }

    /// Writes a batch. Gives no for one that does not fit any more.
    pub(super) fn write(&mut self, batch: &Batch, waits: bool) -> Result<bool, StoreError> {
        self.spell(batch);
        if self.at + self.buffer.len() as u64 > SIZE {
            return Ok(false);
        }
        let written = self.put(waits);
        if let Err(error) = written {
            self.has_failed = true;
            return Err(self.failed(&error));
        }
        self.at += self.buffer.len() as u64;
        self.next.number += 1;
        if waits {
            self.next.synced = self.next.number;
        }
        join(&mut self.pending, batch);
        Ok(true)
    }

    fn put(&mut self, waits: bool) -> io::Result<()> {
        if !self.is_made {
            self.make()?;
        }
        #[cfg(unix)]
        std::os::unix::fs::FileExt::write_all_at(&self.file, &self.buffer, self.at)?;
        #[cfg(not(unix))]
        self.file
            .seek(SeekFrom::Start(self.at))
            .and_then(|_| self.file.write_all(&self.buffer))?;
        if waits { self.file.sync_data() } else { Ok(()) }
    }

    /// Gives it its size, and its name a place on disk.
    fn make(&mut self) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        for _ in 0..SIZE / (1 << 20) {
            self.file.write_all(&zeros)?;
        }
        self.file.sync_all()?;
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.is_made = true;
        Ok(())
    }

    fn spell(&mut self, batch: &Batch) {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.resize(HEAD, 0);
        record::spell(batch, buffer);
        let length = buffer.len() - HEAD;
        let digest = self.next.digest(&buffer[HEAD..]);
        buffer.resize(buffer.len().next_multiple_of(SECTOR), 0);
        let mut head = &mut buffer[..HEAD];
        let mut put = |bytes: &[u8]| {
            let (place, rest) = std::mem::take(&mut head).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            head = rest;
        };
        put(&record::MARK);
        put(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        self.next.numbers().iter().for_each(|number| put(&number.to_le_bytes()));
        put(&digest.to_le_bytes());
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        StoreError::Failed(format!("{}: {error}", self.path.display()))
    }
}

impl Name {
    fn numbers(&self) -> [u64; 4] {
        [self.generation, self.session, self.number, self.synced]
    }

    /// Of a record of this name.
    fn digest(&self, text: &[u8]) -> i64 {
        let numbers = self.numbers().map(u64::cast_signed);
        let digest = numbers.into_iter().fold(Digest::of("journal"), Digest::number);
        digest.bytes(text).end()
    }
}

/// A record as it stands in the file.
struct Found<'a> {
    name: Name,
    text: &'a [u8],
    end: usize,
}

impl<'a> Found<'a> {
    /// The record that begins here, where there is one and it is what was written.
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at + HEAD)?.strip_prefix(&record::MARK)?;
        let (length, rest) = head.split_first_chunk()?;
        let (numbers, digest) = rest.split_last_chunk()?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|number| number.try_into().map(u64::from_le_bytes));
        let mut number = || numbers.next()?.ok();
        let name = Name {
            generation: number()?,
            session: number()?,
            number: number()?,
            synced: number()?,
        };
        let length = u32::from_le_bytes(*length) as usize;
        let text = bytes.get(at + HEAD..)?.get(..length)?;
        let is_whole = name.digest(text) == i64::from_le_bytes(*digest);
        is_whole.then(|| Self {
            name,
            text,
            end: at + (HEAD + length).next_multiple_of(SECTOR),
        })
    }
}

/// Puts a batch behind others.
pub(super) fn join(batch: &mut Batch, next: &Batch) {
    batch.holds.extend_from_slice(&next.holds);
    batch.released.extend_from_slice(&next.released);
    batch.lines.extend_from_slice(&next.lines);
    batch.documents.extend_from_slice(&next.documents);
}

/// A batch without the holds that it resolves itself.
pub(super) fn net(mut batch: Batch) -> Batch {
    let lines = batch.lines.iter().map(|line| line.id);
    let resolved: HashSet<u64> = batch.released.iter().copied().chain(lines).collect();
    batch.holds.retain(|hold| !resolved.contains(&hold.id));
    batch
}

#[cfg(test)]
mod tests;
