//! The embedded store: one SQLite file beside its write-ahead log, one connection that writes. Every row has a digest of its
//! values, so that what a disk turns over is noticed and never taken for somebody's money.

mod check;
mod digest;
mod read;
mod schema;
mod spans;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// What tags are called in the tables, as far as they were met.
    known_tags: HashMap<std::sync::Arc<Tags>, i64>,
    /// The sums that were written last, as they stand.
    recent_sums: HashMap<spans::Bucket, Sums>,
}

impl Sqlite {
    /// Opens the store of a folder, and makes it where there is none.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        crate::plugins::create_private(folder)
            .map_err(|error| StoreError::Refused(format!("{}: {error}", folder.display())))?;
        let path = folder.join(FILE);
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
        Ok(Self::over(connection, path))
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

    /// Opens a store that is there, by its folder or its file, to read it. Another process may be writing.
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

    /// Keeps a batch in the log, and on disk. A log is synced as a whole, so that what was kept without waiting is on disk with
    /// the next that waits.
    fn keep(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let outcome = self.write(batch);
        if outcome.is_err() {
            // What is on disk now, nobody knows; what was remembered of it is of no use.
            self.known_tags.clear();
            self.recent_sums.clear();
        }
        outcome
    }

    fn waits(&self, waits: bool) -> Result<(), StoreError> {
        let level = if waits { "FULL" } else { "NORMAL" };
        self.connection
            .pragma_update(None, "synchronous", level)
            .map_err(failed)
    }

    fn over(connection: Connection, path: PathBuf) -> Self {
        connection.set_prepared_statement_cache_capacity(32);
        Self {
            connection,
            path,
            known_tags: HashMap::new(),
            recent_sums: HashMap::new(),
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
        self.keep(batch)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.waits(false)?;
        let kept = self.keep(batch);
        // At once, while nobody waits.
        self.waits(true)?;
        kept
    }

    /// The log itself is synced: a checkpoint, which leaves the next commits a short one, does so only where nobody who reads
    /// keeps it from copying anything.
    fn sync(&mut self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let synced = std::fs::File::open(&log).and_then(|log| log.sync_data());
        synced.map_err(|error| StoreError::Failed(format!("{}: {error}", log.display())))?;
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(failed)
    }

    fn open_holds(&self) -> Result<(Vec<Hold>, u64), StoreError> {
        read::at_one_moment(&self.connection, || read::open_holds(&self.connection))
    }

    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError> {
        read::at_one_moment(&self.connection, || read::spent(&self.connection, question))
    }

    fn costs(&self, span: Span) -> Result<Costs, StoreError> {
        read::at_one_moment(&self.connection, || read::costs(&self.connection, span))
    }

    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
        read::at_one_moment(&self.connection, || read::lines(&self.connection, span, each))
    }

    fn line(&self, id: u64) -> Result<Option<Line>, StoreError> {
        read::one_line(&self.connection, id)
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
        self.forget(now_ms, lines_before_ms)
    }

    fn trim(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError> {
        self.keep_newest(kind, most_bytes)
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        check::all(&self.connection)
    }

    fn reader(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Self::open_to_read(&self.path)?))
    }
}
