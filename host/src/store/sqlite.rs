//! The embedded store: one SQLite file, one connection that writes, and a journal beside it for what came last. Every row and
//! every record has a digest of its values, so that what a disk turns over is noticed and never taken for somebody's money.

mod check;
mod digest;
mod journal;
mod read;
mod record;
mod schema;
mod spans;
mod write;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use journal::Journal;
use rusqlite::{Connection, OpenFlags};

use super::{Batch, Costs, Hold, Line, Pruned, Question, Span, Spent, Store, StoreError, Sums, Tags};

/// The file's name in the store's folder.
pub const FILE: &str = "pointsman.db";
/// How long one process waits for another that writes.
const BUSY: Duration = Duration::from_secs(5);

/// An open store.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    met: RefCell<Met>,
    /// Something was written that may not be on disk.
    is_unsynced: Cell<bool>,
    /// Of the one that writes the ledger.
    journal: Option<RefCell<Journal>>,
}

/// What need not be asked of the tables again.
#[derive(Debug, Default)]
struct Met {
    /// What tags are called in the tables, as far as they were met.
    tags: HashMap<std::sync::Arc<Tags>, i64>,
    /// The sums that were written last, as they stand.
    sums: HashMap<spans::Bucket, Sums>,
    /// Numbers of the holds in the tables; nobody else writes any.
    holds: Option<HashSet<i64>>,
}

impl Sqlite {
    /// Opens the store of a folder, and makes it where there is none. What a process before this one left in the journal is in
    /// the tables afterwards. While it is open, nobody else opens it so.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        crate::plugins::create_private(folder)
            .map_err(|error| StoreError::Refused(format!("{}: {error}", folder.display())))?;
        let path = folder.join(FILE);
        let journal = Journal::open(&path)?;
        Self::open_with(path, journal)
    }

    fn open_with(path: PathBuf, mut journal: Journal) -> Result<Self, StoreError> {
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // The first journal is no log yet: that it has gone must be on disk, or it would take back what came after it.
        connection.pragma_update(None, "synchronous", "EXTRA").map_err(failed)?;
        // Durable when a commit returns; a checkpoint reads the log back, so its sync is what the next one rests on.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection
            .pragma_update(None, "journal_size_limit", 16 << 20)
            .map_err(failed)?;
        schema::migrate(&mut connection, &path)?;
        // A log whose sync failed once may be read back from memory and still not be on disk: what it says is written again.
        let checkpoint = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], checkpoint)
            .map_err(failed)?;
        let mut store = Self::over(connection, path);
        let mut published = read::published(&store.connection)?;
        if let Some(left) = journal.left(published)? {
            store.write(&journal::net(left.batch), Some(left.generation))?;
            published = left.generation;
        }
        journal.begin_after(published);
        store.journal = Some(RefCell::new(journal));
        Ok(store)
    }

    /// Opens the store of a folder to write a little, beside a gateway that may be serving from it: nothing of its log is
    /// copied, which would make the gateway wait, and its tables stay what they are.
    pub fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(StoreError::Refused(format!("there is no store at {}", path.display())));
        }
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::must_fit(&connection, &path)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        Ok(Self::over(connection, path))
    }

    /// Opens a store that is there, by its folder or its file, to read it. Another process may be writing: what it kept last is
    /// seen when that one has made rows of it. What a process left in the journal that has ended is in the tables afterwards.
    pub fn open_to_read(place: &Path) -> Result<Self, StoreError> {
        let path = match place.is_file() {
            true => place.to_owned(),
            false => place.join(FILE),
        };
        if !path.exists() {
            return Err(StoreError::Refused(format!("there is no store at {}", path.display())));
        }
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::must_fit(&connection, &path)?;
        if let Some(mut journal) = Journal::abandoned(&path)?
            && journal.left(read::published(&connection)?)?.is_some()
        {
            drop(Self::open_with(path.clone(), journal)?);
        }
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self::over(connection, path))
    }

    /// Copies the store as it stands into a new file. Others may go on writing.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let refused = |error: std::io::Error| StoreError::Refused(format!("cannot write {}: {error}", to.display()));
        // It holds what the store holds: nobody else is to read it.
        create_new(to).map_err(refused)?;
        let copied = self.copy(to);
        if copied.is_err() {
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let mut copy = Connection::open(to).map_err(failed)?;
        // In one step: after each, whatever was written meanwhile would make it begin anew.
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy).map_err(failed)?;
        backup
            .run_to_completion(i32::MAX, Duration::from_millis(50), None)
            .map_err(failed)?;
        drop(backup);
        // One file, without a log beside it.
        copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)
    }

    /// Keeps a batch in the journal, or, where it has documents, which others read, in the tables at once.
    fn keep(&self, batch: &Batch, waits: bool) -> Result<(), StoreError> {
        let Some(journal) = &self.journal else {
            return self.write(batch, None);
        };
        if !waits && batch.is_of_documents() {
            // The log that they are in is on disk when the journal becomes rows.
            self.is_unsynced.set(true);
            self.waits(false)?;
            let kept = self.write(batch, None);
            self.waits(true)?;
            return kept;
        }
        if batch.documents.is_empty() {
            if journal.borrow().is_full() {
                self.tabulate(None)?;
            }
            if journal.borrow_mut().write(batch, waits)? {
                return Ok(());
            }
        }
        self.tabulate(Some(batch))
    }

    fn waits(&self, waits: bool) -> Result<(), StoreError> {
        let level = if waits { "FULL" } else { "NORMAL" };
        self.connection
            .pragma_update(None, "synchronous", level)
            .map_err(failed)
    }

    /// Makes rows of what is in the journal, and of a batch that is not, and begins the journal anew.
    fn tabulate(&self, batch: Option<&Batch>) -> Result<(), StoreError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let mut journal = journal.borrow_mut();
        if journal.is_empty() && batch.is_none() && !self.is_unsynced.get() {
            return Ok(());
        }
        let mut all = journal.take();
        if let Some(batch) = batch {
            journal::join(&mut all, batch);
        }
        let generation = journal.generation();
        match self.write(&journal::net(all), Some(generation)) {
            Ok(()) => {
                self.is_unsynced.set(false);
                journal.begin_after(generation);
            }
            Err(error) => {
                // The next who opens it finds what is in the tables by then, and what is only here.
                journal.give_up();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The tables, with all in them that was kept.
    fn tables(&self) -> Result<&Connection, StoreError> {
        self.tabulate(None)?;
        Ok(&self.connection)
    }

    fn over(connection: Connection, path: PathBuf) -> Self {
        connection.set_prepared_statement_cache_capacity(32);
        Self {
            connection,
            path,
            met: RefCell::default(),
            is_unsynced: Cell::new(false),
            journal: None,
        }
    }
}

fn create_new(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let refused = |error: rusqlite::Error| StoreError::Refused(format!("cannot open {}: {error}", path.display()));
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(refused)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(failed)?;
    connection
        .pragma_update(None, "trusted_schema", false)
        .map_err(failed)?;
    Ok(connection)
}

/// What SQLite says, sorted into what a caller can do about it.
fn failed(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => StoreError::Damaged(error.to_string()),
            error => StoreError::Failed(error.to_string()),
        },
    }
}

impl Store for Sqlite {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep(batch, true)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep(batch, false)
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        self.tabulate(None)
    }

    fn open_holds(&self) -> Result<(Vec<Hold>, u64), StoreError> {
        let tables = self.tables()?;
        read::at_one_moment(tables, || read::open_holds(tables))
    }

    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError> {
        let tables = self.tables()?;
        read::at_one_moment(tables, || read::spent(tables, question))
    }

    fn costs(&self, span: Span) -> Result<Costs, StoreError> {
        let tables = self.tables()?;
        read::at_one_moment(tables, || read::costs(tables, span))
    }

    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
        let tables = self.tables()?;
        read::at_one_moment(tables, || read::lines(tables, span, each))
    }

    fn line(&self, id: u64) -> Result<Option<Line>, StoreError> {
        read::one_line(self.tables()?, id)
    }

    fn document(&self, kind: &str, id: &str, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        read::document(&self.connection, kind, id, now_ms)
    }

    fn documents(&self, kind: &str, now_ms: u64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        read::documents(&self.connection, kind, now_ms)
    }

    fn foreign_changes(&self) -> Result<u64, StoreError> {
        let version: i64 = self
            .connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(failed)?;
        Ok(version as u64)
    }

    fn prune(&mut self, now_ms: u64, lines_before_ms: u64) -> Result<Pruned, StoreError> {
        self.tabulate(None)?;
        self.forget(now_ms, lines_before_ms)
    }

    fn trim(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError> {
        self.keep_newest(kind, most_bytes)
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        check::all(self.tables()?)
    }

    fn reader(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Self::open_to_read(&self.path)?))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let has_failed = |journal: &RefCell<Journal>| journal.borrow().has_failed();
        if self.journal.as_ref().is_some_and(|journal| !has_failed(journal))
            && let Err(error) = self.tabulate(None)
        {
            tracing::warn!(%error, "the store's journal is left to whoever opens it next");
        }
    }
}
