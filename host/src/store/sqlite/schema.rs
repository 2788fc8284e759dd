//! The tables, and how a store of an earlier release becomes one of this.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::spans::{Bucket, DAY, MONTH, beginning, total};
use super::{StoreError, Sums, failed, read, write};

/// "PMAN": what kind of file it is, for those who find it.
const APPLICATION: i32 = 0x504d_414e;

/// Each makes a store of the version of its place one of the next. They run once, in one transaction each, and are never changed
/// after a release.
const MIGRATIONS: [Migration; 3] = [
    Migration {
        script: include_str!("schema-1.sql"),
        fill: |_| Ok(()),
    },
    Migration {
        script: include_str!("schema-2.sql"),
        fill: sum_months,
    },
    Migration {
        script: include_str!("schema-3.sql"),
        fill: |_| Ok(()),
    },
];

struct Migration {
    /// Makes the tables.
    script: &'static str,
    /// Writes what has to be computed from the rows that are there.
    fill: fn(&Transaction<'_>) -> Result<(), StoreError>,
}

/// What this release writes.
const VERSION: i32 = MIGRATIONS.len() as i32;

/// Brings a store to this release's version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection)?;
    if found == 0 {
        must_be_empty(connection, path)?;
    }
    check(found, path)?;
    for (before, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        // Two processes may be at it at the same time: the second finds that it is done.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        if version(&transaction)? != before as i32 {
            continue;
        }
        transaction.execute_batch(migration.script).map_err(failed)?;
        (migration.fill)(&transaction)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION)
            .map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", before as i32 + 1)
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// A store that is only read has to be of this version.
pub(super) fn must_fit(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection)?;
    check(found, path)?;
    if found < VERSION {
        let message = format!(
            "{}: its schema has version {found}, and this release reads version {VERSION}; `pointsman serve` brings it there",
            path.display()
        );
        return Err(StoreError::Refused(message));
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i32, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)
}

fn check(found: i32, path: &Path) -> Result<(), StoreError> {
    if found > VERSION {
        let message = format!(
            "{}: its schema has version {found}, and this release knows up to {VERSION}; use the release that wrote it, or a newer one",
            path.display()
        );
        return Err(StoreError::Refused(message));
    }
    Ok(())
}

fn must_be_empty(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if tables > 0 {
        return Err(StoreError::Refused(format!(
            "{} is not a store of Pointsman's",
            path.display()
        )));
    }
    Ok(())
}

/// The sums by month are what the days of each add up to, and so are their totals.
fn sum_months(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let mut months: BTreeMap<Bucket, Sums> = BTreeMap::new();
    {
        let mut select = transaction
            .prepare("SELECT * FROM sums WHERE seconds IN (?1, ?2)")
            .map_err(failed)?;
        let mut rows = select.query([DAY, total(DAY, 0).0]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let ((seconds, start, tags), sums) = read::bucket_sums(row)?;
            let bucket = (MONTH * seconds.signum(), beginning(MONTH, start), tags);
            months.entry(bucket).or_default().merge(&sums);
        }
    }
    months
        .iter()
        .try_for_each(|(bucket, sums)| write::write_sums(transaction, *bucket, sums))
}
