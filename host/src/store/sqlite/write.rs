//! One batch, one transaction.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::digest::Digest;
use super::spans::{ALL, Bucket, HOUR, SPANS, beginning, total};
use super::{Batch, Hold, Line, Met, Pruned, Sqlite, StoreError, Sums, Tags, failed, read};
use crate::money::Usage;
use crate::store::{Document, labels};

/// The document that says since when all lines are kept, in milliseconds.
pub(super) const LINES_SINCE: (&str, &str) = ("store", "lines-since");
/// The document that says up to which generation of the journal there are rows.
pub(super) const PUBLISHED: (&str, &str) = ("store", "journal");

/// Remembered sums and tags are forgotten beyond so many, and read again.
const REMEMBERED: usize = 50_000;
/// So many lines are forgotten in one transaction, so that nobody waits for long.
const FORGOTTEN: u64 = 5_000;

pub(super) const ESTIMATED: i64 = 1;
pub(super) const RECOVERED: i64 = 2;

impl Sqlite {
    /// Writes a batch, and which generation of the journal are rows with it.
    pub(super) fn write(&self, batch: &Batch, generation: Option<u64>) -> Result<(), StoreError> {
        let mut met = self.met.borrow_mut();
        if met.tags.len() > REMEMBERED {
            met.tags.clear();
        }
        if met.sums.len() > REMEMBERED {
            met.sums.clear();
        }
        let outcome = self.write_as_one(batch, generation, &mut met);
        if outcome.is_err() {
            // What is on disk now, nobody knows; what was remembered of it is of no use.
            *met = Met::default();
        }
        outcome
    }

    fn write_as_one(&self, batch: &Batch, generation: Option<u64>, met: &mut Met) -> Result<(), StoreError> {
        let open = match &mut met.holds {
            Some(holds) => holds,
            unknown => unknown.insert(read::hold_ids(&self.connection)?),
        };
        // Not a deferred one: it would fail instead of waiting where another process writes.
        self.execute("BEGIN IMMEDIATE")?;
        let mut writer = Writer {
            connection: &self.connection,
            known_tags: &mut met.tags,
            sums: &mut met.sums,
            open,
            touched: Vec::new(),
        };
        let written = writer.batch(batch).and_then(|()| match generation {
            Some(generation) => note(&self.connection, PUBLISHED, &generation.to_string()),
            None => Ok(()),
        });
        let written = written.and_then(|()| self.execute("COMMIT"));
        if written.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        written
    }

    fn execute(&self, statement: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(failed)
    }

    pub(super) fn forget(&mut self, now_ms: u64, lines_before_ms: u64) -> Result<Pruned, StoreError> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        let lines = transaction
            .execute(
                // The last one stays, however old: the next number is the one after it.
                "DELETE FROM lines WHERE id IN (SELECT id FROM lines WHERE at_ms < ?1 AND id < (SELECT max(id) FROM lines)
                 ORDER BY at_ms LIMIT ?2)",
                params![clamp(lines_before_ms), clamp(FORGOTTEN)],
            )
            .map_err(failed)?;
        if lines > 0 {
            mark_forgotten(&transaction, lines_before_ms)?;
        }
        let documents = transaction
            .execute("DELETE FROM documents WHERE expires_ms <= ?1", [clamp(now_ms)])
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Pruned {
            lines: lines as u64,
            documents: documents as u64,
        })
    }
}

/// What a document takes up beside its content.
const AROUND: i64 = 64;

impl Sqlite {
    /// Lengths are read without the contents, which may be large.
    pub(super) fn keep_newest(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError> {
        let connection = &self.connection;
        let size = connection
            .prepare_cached("SELECT coalesce(sum(length(content) + length(id) + ?2), 0) FROM documents WHERE kind = ?1")
            .and_then(|mut select| select.query_row(params![kind, AROUND], |row| row.get::<_, i64>(0)))
            .map_err(failed)?;
        if size <= clamp(most_bytes) {
            return Ok(0);
        }
        // A tenth more goes, so that the next few do not come here again.
        let kept = clamp(most_bytes) / 10 * 9;
        let removed = connection
            .execute(
                "DELETE FROM documents WHERE kind = ?1 AND id IN (SELECT id FROM (
                     SELECT id, sum(length(content) + length(id) + ?2) OVER (ORDER BY expires_ms DESC, id) AS so_far
                     FROM documents WHERE kind = ?1) WHERE so_far > ?3)",
                params![kind, AROUND, kept],
            )
            .map_err(failed)?;
        Ok(removed as u64)
    }
}

/// Notes since when all lines are kept, so that lines which are missing for another reason are missed.
fn mark_forgotten(transaction: &Transaction<'_>, before_ms: u64) -> Result<(), StoreError> {
    let since = before_ms.max(read::lines_since(transaction)?).to_string();
    note(transaction, LINES_SINCE, &since)
}

/// Writes a document of the store's own.
fn note(connection: &Connection, (kind, id): (&str, &str), text: &str) -> Result<(), StoreError> {
    let digest = document_digest(kind, id, text.as_bytes(), None);
    connection
        .prepare_cached("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, NULL, ?4)")
        .and_then(|mut insert| insert.execute(params![kind, id, text.as_bytes(), digest]))
        .map(drop)
        .map_err(failed)
}

struct Writer<'a> {
    connection: &'a Connection,
    known_tags: &'a mut std::collections::HashMap<Arc<Tags>, i64>,
    sums: &'a mut std::collections::HashMap<Bucket, Sums>,
    /// Holds that are in the tables.
    open: &'a mut HashSet<i64>,
    /// Sums that this batch has changed.
    touched: Vec<Bucket>,
}

impl Writer<'_> {
    fn batch(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.holds(&batch.holds)?;
        self.resolve(&batch.released, &batch.lines)?;
        self.lines(&batch.lines)?;
        for bucket in std::mem::take(&mut self.touched) {
            write_sums(
                self.connection,
                bucket,
                &self.sums.get(&bucket).copied().unwrap_or_default(),
            )?;
        }
        batch.documents.iter().try_for_each(|document| self.document(document))
    }

    fn holds(&mut self, holds: &[Hold]) -> Result<(), StoreError> {
        if holds.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .map_err(failed)?;
        for hold in holds {
            let tags = self.tags(&hold.tags)?;
            insert
                .execute(params![
                    clamp(hold.id),
                    clamp(hold.at_ms),
                    clamp(hold.ceiling.0),
                    &*hold.request,
                    tags,
                    hold.price_version,
                    hold_digest(hold, tags)
                ])
                .map_err(failed)?;
            self.open.insert(clamp(hold.id));
        }
        Ok(())
    }

    /// Takes away the holds of what was released and of what has come to a line.
    fn resolve(&mut self, released: &[u64], lines: &[Line]) -> Result<(), StoreError> {
        if released.is_empty() && lines.is_empty() {
            return Ok(());
        }
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM holds WHERE id = ?1")
            .map_err(failed)?;
        let ids = released.iter().copied().chain(lines.iter().map(|line| line.id));
        // Most have never become rows.
        let mut known = ids.map(clamp).filter(|id| self.open.remove(id));
        known.try_for_each(|id| delete.execute([id]).map(drop)).map_err(failed)
    }

    fn lines(&mut self, lines: &[Line]) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO lines VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )
            .map_err(failed)?;
        // What lines add, by the hour and by what they are counted under: sums are brought up to date once for each.
        let mut added: BTreeMap<(i64, i64), Sums> = BTreeMap::new();
        for line in lines {
            let tags = self.tags(&line.tags)?;
            let row = Row::of(line, tags);
            let inserted = insert
                .execute(params![
                    clamp(line.id),
                    clamp(line.at_ms),
                    &*line.request,
                    tags,
                    line.outcome,
                    row.usage,
                    row.cost,
                    clamp(line.ceiling.0),
                    row.reference,
                    line.price_version,
                    row.flags,
                    row.corrects,
                    line.corrects.map(|correction| correction.by),
                    line.metadata.as_deref(),
                    row.digest
                ])
                .map_err(failed)?;
            // What is kept already has been summed already.
            if inserted > 0 {
                let hour = beginning(HOUR, clamp(line.at_ms) / 1000);
                added.entry((hour, tags)).or_default().add(line);
            }
        }
        for ((hour, tags), sums) in &added {
            for seconds in SPANS {
                let start = beginning(seconds, *hour);
                self.add((seconds, start, *tags), sums)?;
                self.add(total(seconds, start), sums)?;
            }
            self.add(ALL, sums)?;
        }
        Ok(())
    }

    fn add(&mut self, bucket: Bucket, added: &Sums) -> Result<(), StoreError> {
        if !self.sums.contains_key(&bucket) {
            let kept = read::sums(self.connection, bucket)?;
            self.sums.insert(bucket, kept.unwrap_or_default());
        }
        self.sums.entry(bucket).or_default().merge(added);
        if !self.touched.contains(&bucket) {
            self.touched.push(bucket);
        }
        Ok(())
    }

    fn tags(&mut self, tags: &Arc<Tags>) -> Result<i64, StoreError> {
        if let Some(id) = self.known_tags.get(tags) {
            return Ok(*id);
        }
        let labels = labels::text(&tags.labels);
        let values: [&str; 7] = [
            &tags.key,
            &tags.team,
            &tags.organisation,
            &tags.route,
            &tags.provider,
            &tags.model,
            &labels,
        ];
        let known = self
            .connection
            .prepare_cached(
                "SELECT id FROM tags WHERE key = ?1 AND team = ?2 AND organisation = ?3 AND route = ?4 AND provider = ?5
                 AND model = ?6 AND labels = ?7",
            )
            .and_then(|mut select| select.query_row(values, |row| row.get(0)).optional())
            .map_err(failed)?;
        let id = match known {
            Some(id) => id,
            None => self
                .connection
                .prepare_cached(
                    "INSERT INTO tags (key, team, organisation, route, provider, model, labels, digest)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )
                .and_then(|mut insert| {
                    let [key, team, organisation, route, provider, model, labels] = values;
                    let digest = tags_digest(&values);
                    insert.insert(params![key, team, organisation, route, provider, model, labels, digest])
                })
                .map_err(failed)?,
        };
        self.known_tags.insert(tags.clone(), id);
        Ok(id)
    }

    fn document(&self, document: &Document) -> Result<(), StoreError> {
        let Some(content) = &document.content else {
            return self
                .connection
                .prepare_cached("DELETE FROM documents WHERE kind = ?1 AND id = ?2")
                .and_then(|mut delete| delete.execute([document.kind, &document.id]))
                .map(drop)
                .map_err(failed);
        };
        let expires = document.expires_ms.map(clamp);
        let digest = document_digest(document.kind, &document.id, content, expires);
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut insert| insert.execute(params![document.kind, document.id, &content[..], expires, digest]))
            .map(drop)
            .map_err(failed)
    }
}

pub(super) fn write_sums(connection: &Connection, bucket: Bucket, sums: &Sums) -> Result<(), StoreError> {
    let usage = usage_text(&sums.usage);
    connection
        .prepare_cached("INSERT OR REPLACE INTO sums VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
        .and_then(|mut insert| {
            insert.execute(params![
                bucket.0,
                bucket.1,
                bucket.2,
                clamp(sums.calls),
                clamp(sums.estimated),
                clamp(sums.unpriced),
                usage,
                signed(sums.cost),
                signed(sums.reference),
                sums_digest(bucket, sums, &usage)
            ])
        })
        .map(drop)
        .map_err(failed)
}

/// The columns of a line that are computed.
pub(super) struct Row {
    pub(super) usage: String,
    pub(super) cost: Option<i64>,
    pub(super) reference: Option<i64>,
    pub(super) flags: i64,
    pub(super) corrects: Option<i64>,
    pub(super) digest: i64,
}

impl Row {
    pub(super) fn of(line: &Line, tags: i64) -> Self {
        let usage = usage_text(&line.usage);
        let cost = line.cost.map(|cost| clamp(cost.0));
        let reference = line.reference.map(|cost| clamp(cost.0));
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(line.is_estimated, ESTIMATED) | flag(line.is_recovered, RECOVERED);
        let corrects = line.corrects.map(|correction| clamp(correction.line));
        let digest = Digest::of("lines")
            .number(clamp(line.id))
            .number(clamp(line.at_ms))
            .text(&line.request)
            .number(tags)
            .text(&line.outcome)
            .text(&usage)
            .maybe(cost)
            .number(clamp(line.ceiling.0))
            .maybe(reference)
            .number(line.price_version.into())
            .number(flags)
            .maybe(corrects)
            .maybe(line.corrects.map(|correction| correction.by))
            .text(line.metadata.as_deref().unwrap_or_default())
            .end();
        Self {
            usage,
            cost,
            reference,
            flags,
            corrects,
            digest,
        }
    }
}

pub(super) fn hold_digest(hold: &Hold, tags: i64) -> i64 {
    Digest::of("holds")
        .number(clamp(hold.id))
        .number(clamp(hold.at_ms))
        .number(clamp(hold.ceiling.0))
        .text(&hold.request)
        .number(tags)
        .number(hold.price_version.into())
        .end()
}

pub(super) fn sums_digest(bucket: Bucket, sums: &Sums, usage: &str) -> i64 {
    Digest::of("sums")
        .number(bucket.0)
        .number(bucket.1)
        .number(bucket.2)
        .number(clamp(sums.calls))
        .number(clamp(sums.estimated))
        .number(clamp(sums.unpriced))
        .text(usage)
        .number(signed(sums.cost))
        .number(signed(sums.reference))
        .end()
}

pub(super) fn tags_digest(values: &[&str; 7]) -> i64 {
    values
        .iter()
        .fold(Digest::of("tags"), |digest, value| digest.text(value))
        .end()
}

pub(super) fn document_digest(kind: &str, id: &str, content: &[u8], expires: Option<i64>) -> i64 {
    Digest::of("documents")
        .text(kind)
        .text(id)
        .bytes(content)
        .maybe(expires)
        .end()
}

/// What is not nought, as a JSON object.
pub(super) fn usage_text(usage: &Usage) -> String {
    // As much as the counts of most answers take, so that it need not grow.
    let mut text = String::with_capacity(128);
    text.push('{');
    for (name, tokens) in usage.named().into_iter().filter(|(_, tokens)| *tokens > 0) {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}\"{name}\":{}", clamp(tokens));
    }
    text.push('}');
    text
}

/// SQLite's integers are signed; no sum of money and no moment gets there.
pub(super) fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn signed(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
