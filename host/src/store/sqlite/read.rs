//! What is asked of the tables. No row is believed whose digest does not fit.

mod report;

pub(super) use report::{costs, spent};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::spans::{self, Bucket, HOUR, beginning, ending};
use super::write::{self, ESTIMATED, RECOVERED, clamp};
use super::{Hold, Line, Span, StoreError, Sums, Tags, failed};
use crate::money::{Nanodollars, Usage};
use crate::store::{Correction, labels};

/// Answers from the store as it stands at one moment, though others may go on writing.
pub(super) fn at_one_moment<T>(
    connection: &Connection,
    answer: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if !connection.is_autocommit() {
        return answer();
    }
    connection.execute_batch("BEGIN").map_err(failed)?;
    let answer = answer();
    connection.execute_batch("ROLLBACK").map_err(failed)?;
    answer
}

pub(super) fn open_holds(connection: &Connection) -> Result<(Vec<Hold>, u64), StoreError> {
    // A hold that is missing would be money that nobody accounts for. There are few of them.
    let structure: String = connection
        .query_row("PRAGMA quick_check(holds)", [], |row| row.get(0))
        .map_err(failed)?;
    fits(structure == "ok", || "the table of holds".to_owned())?;
    let mut known = TagReader::new(connection);
    let mut select = connection.prepare("SELECT * FROM holds ORDER BY id").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        holds.push(hold(row, &mut known)?);
    }
    let last: i64 = connection
        .query_row(
            "SELECT max(coalesce((SELECT max(id) FROM holds), 0), coalesce((SELECT max(id) FROM lines), 0))",
            [],
            |row| row.get(0),
        )
        .map_err(failed)?;
    Ok((holds, positive(last)? + 1))
}

pub(super) fn hold_ids(connection: &Connection) -> Result<HashSet<i64>, StoreError> {
    let mut select = connection.prepare("SELECT id FROM holds").map_err(failed)?;
    let ids = select.query_map([], |row| row.get(0)).map_err(failed)?;
    ids.collect::<Result<_, _>>().map_err(failed)
}

pub(super) fn hold(row: &Row<'_>, known: &mut TagReader<'_>) -> Result<Hold, StoreError> {
    let tags: i64 = row.get(4).map_err(failed)?;
    let hold = Hold {
        id: number(row, 0)?,
        at_ms: number(row, 1)?,
        ceiling: Nanodollars(number(row, 2)?),
        request: text(row, 3)?.into(),
        tags: known.get(tags)?,
        price_version: version(row, 5)?,
    };
    let digest: i64 = row.get(6).map_err(failed)?;
    fits(digest == write::hold_digest(&hold, tags), || {
        format!("hold {}", hold.id)
    })?;
    Ok(hold)
}

/// Lines in order. Where they were read to the end, those of whole hours have to be all that there were.
pub(super) fn lines(connection: &Connection, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
    let mut known = TagReader::new(connection);
    let (from, to) = (clamp(span.from_ms), clamp(span.to_ms));
    let since = clamp(lines_since(connection)?);
    // In seconds; there is no hour at the end of time.
    let whole = ending(HOUR, from.max(since).saturating_add(999) / 1000)..beginning(HOUR, to / 1000);
    let mut select = connection
        .prepare_cached("SELECT * FROM lines WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY at_ms, id")
        .map_err(failed)?;
    let mut rows = select.query([from, to]).map_err(failed)?;
    let mut found = Sums::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let (line, _) = line(row, &mut known)?;
        if whole.contains(&(clamp(line.at_ms) / 1000)) {
            found.add(&line);
        }
        if !each(line) {
            return Ok(());
        }
    }
    let wanted = totals(connection, HOUR, whole.start, whole.end)?;
    fits(found.are(&wanted, MOST), || {
        format!("what the lines of {whole:?} add up to")
    })
}

pub(super) fn one_line(connection: &Connection, id: u64) -> Result<Option<Line>, StoreError> {
    let mut known = TagReader::new(connection);
    let mut select = connection
        .prepare_cached("SELECT * FROM lines WHERE id = ?1")
        .map_err(failed)?;
    let mut rows = select.query([clamp(id)]).map_err(failed)?;
    let row = rows.next().map_err(failed)?;
    row.map(|row| line(row, &mut known).map(|(line, _)| line)).transpose()
}

/// A line, and its tags' number.
pub(super) fn line(row: &Row<'_>, known: &mut TagReader<'_>) -> Result<(Line, i64), StoreError> {
    let tags: i64 = row.get(3).map_err(failed)?;
    let maybe = |column: usize| -> Result<Option<i64>, StoreError> { row.get(column).map_err(failed) };
    let amount = |column| -> Result<Option<Nanodollars>, StoreError> {
        maybe(column)?.map(|cost| positive(cost).map(Nanodollars)).transpose()
    };
    let flags: i64 = row.get(10).map_err(failed)?;
    let corrects = match (maybe(11)?, maybe(12)?) {
        (Some(line), Some(by)) => Some(Correction {
            line: positive(line)?,
            by,
        }),
        _ => None,
    };
    let line = Line {
        id: number(row, 0)?,
        at_ms: number(row, 1)?,
        request: text(row, 2)?.into(),
        tags: known.get(tags)?,
        outcome: text(row, 4)?,
        usage: usage(&text(row, 5)?)?,
        cost: amount(6)?,
        ceiling: Nanodollars(number(row, 7)?),
        reference: amount(8)?,
        price_version: version(row, 9)?,
        is_estimated: flags & ESTIMATED != 0,
        is_recovered: flags & RECOVERED != 0,
        corrects,
        metadata: row.get::<_, Option<String>>(13).map_err(failed)?.map(Arc::from),
    };
    let digest: i64 = row.get(14).map_err(failed)?;
    fits(digest == write::Row::of(&line, tags).digest, || {
        format!("line {}", line.id)
    })?;
    Ok((line, tags))
}

/// One row of the sums.
pub(super) fn sums(connection: &Connection, bucket: Bucket) -> Result<Option<Sums>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT * FROM sums WHERE seconds = ?1 AND start = ?2 AND tags = ?3")
        .map_err(failed)?;
    let mut rows = select.query(params![bucket.0, bucket.1, bucket.2]).map_err(failed)?;
    rows.next()
        .map_err(failed)?
        .map(|row| bucket_sums(row).map(|(_, sums)| sums))
        .transpose()
}

/// The most that a row can say of money: nine thousand million dollars.
pub(super) const MOST: i128 = i64::MAX as i128;

/// A sum that has reached the most was more, and nobody knows how much: whatever is taken away from it, it stays there.
fn amount(kept: i64) -> i128 {
    if kept == i64::MAX { i128::MAX / 2 } else { kept.into() }
}

/// A row of the sums with its place.
pub(super) fn bucket_sums(row: &Row<'_>) -> Result<(Bucket, Sums), StoreError> {
    let signed = |column: usize| -> Result<i64, StoreError> { row.get(column).map_err(failed) };
    let bucket = (signed(0)?, signed(1)?, signed(2)?);
    // Reports read many of these: the text is looked at where it is.
    let used = row.get_ref(6).map_err(failed)?.as_str();
    let used = used.map_err(|error| StoreError::Damaged(error.to_string()))?;
    let sums = Sums {
        calls: number(row, 3)?,
        estimated: number(row, 4)?,
        unpriced: number(row, 5)?,
        usage: usage(used)?,
        cost: amount(signed(7)?),
        reference: amount(signed(8)?),
    };
    let digest = signed(9)?;
    fits(digest == write::sums_digest(bucket, &sums, used), || {
        format!("the sums of {bucket:?}")
    })?;
    Ok((bucket, sums))
}

/// What the sums of all tags have to add up to.
fn totals(connection: &Connection, seconds: i64, from: i64, to: i64) -> Result<Sums, StoreError> {
    let mut all = Sums::default();
    each_sums(connection, spans::total(seconds, from).0, from, to, |_, sums| {
        all.merge(sums)
    })?;
    Ok(all)
}

fn each_sums(
    connection: &Connection,
    seconds: i64,
    from: i64,
    to: i64,
    mut each: impl FnMut(Bucket, &Sums),
) -> Result<(), StoreError> {
    let mut select = connection
        .prepare_cached("SELECT * FROM sums WHERE seconds = ?1 AND start >= ?2 AND start < ?3")
        .map_err(failed)?;
    let mut rows = select.query([seconds, from, to]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (bucket, sums) = bucket_sums(row)?;
        each(bucket, &sums);
    }
    Ok(())
}

pub(super) fn document(
    connection: &Connection,
    kind: &str,
    id: &str,
    now_ms: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = connection
        .prepare_cached("SELECT id, content, expires_ms, digest FROM documents WHERE kind = ?1 AND id = ?2")
        .and_then(|mut select| select.query_row([kind, id], read_document).optional())
        .map_err(failed)?;
    let Some(found) = found else { return Ok(None) };
    Ok(live(kind, found, now_ms)?.map(|(_, content)| content))
}

pub(super) fn documents(
    connection: &Connection,
    kind: &str,
    now_ms: u64,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT id, content, expires_ms, digest FROM documents WHERE kind = ?1 ORDER BY id")
        .map_err(failed)?;
    let found = select.query_map([kind], read_document).map_err(failed)?;
    let mut documents = Vec::new();
    for document in found {
        documents.extend(live(kind, document.map_err(failed)?, now_ms)?);
    }
    Ok(documents)
}

/// Since when all lines are kept; older ones may have been forgotten.
pub(super) fn lines_since(connection: &Connection) -> Result<u64, StoreError> {
    noted(connection, write::LINES_SINCE)
}

/// The last generation of the journal that there are rows of.
pub(super) fn published(connection: &Connection) -> Result<u64, StoreError> {
    noted(connection, write::PUBLISHED)
}

/// A number that the store has noted for itself; nought where it has not yet.
fn noted(connection: &Connection, (kind, id): (&str, &str)) -> Result<u64, StoreError> {
    let Some(text) = document(connection, kind, id, 0)? else {
        return Ok(0);
    };
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| StoreError::Damaged(format!("the document {kind} `{id}` is no number")))
}

pub(super) type Found = (String, Vec<u8>, Option<i64>, i64);

pub(super) fn read_document(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

pub(super) fn live(
    kind: &str,
    (id, content, expires, digest): Found,
    now_ms: u64,
) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    fits(digest == write::document_digest(kind, &id, &content, expires), || {
        format!("the document {kind} `{id}`")
    })?;
    let is_over = expires.is_some_and(|expires| expires <= clamp(now_ms));
    Ok((!is_over).then_some((id, content)))
}

/// Tags by their number, each read once.
pub(super) struct TagReader<'a> {
    connection: &'a Connection,
    known: HashMap<i64, Arc<Tags>>,
}

impl<'a> TagReader<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            known: HashMap::new(),
        }
    }

    /// Where so many are needed that one question costs less than many, it knows all of them from the start.
    fn for_so_many(connection: &'a Connection, many: usize) -> Result<Self, StoreError> {
        let mut this = Self::new(connection);
        if many < MANY {
            return Ok(this);
        }
        let mut select = connection.prepare(TAGS).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        let mut last = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let (id, tags) = tags(row)?;
            // There are no gaps between numbers, so that one which is another is not in its order.
            fits(id > last, || format!("the number of the tags {id}"))?;
            last = id;
            this.known.insert(id, tags);
        }
        Ok(this)
    }

    pub(super) fn get(&mut self, id: i64) -> Result<Arc<Tags>, StoreError> {
        if let Some(tags) = self.known.get(&id) {
            return Ok(tags.clone());
        }
        let mut select = self
            .connection
            .prepare_cached(&format!("{TAGS} WHERE id = ?1 AND id = ({NUMBER})"))
            .map_err(failed)?;
        let mut rows = select.query([id]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else {
            return Err(StoreError::Damaged(format!(
                "the tags {id} are missing, or are not under this number"
            )));
        };
        let (_, tags) = tags(row)?;
        self.known.insert(id, tags.clone());
        Ok(tags)
    }
}

/// From how many tags on all are read.
const MANY: usize = 100;
const TAGS: &str = "SELECT id, key, team, organisation, route, provider, model, labels, digest FROM tags";

/// What an index says that a row's number is. No digest has it, and money of a row that has another's is somebody else's.
const NUMBER: &str = "SELECT same.id FROM tags AS same WHERE same.key = tags.key AND same.team = tags.team
    AND same.organisation = tags.organisation AND same.route = tags.route AND same.provider = tags.provider
    AND same.model = tags.model AND same.labels = tags.labels";

fn tags(row: &Row<'_>) -> Result<(i64, Arc<Tags>), StoreError> {
    let id: i64 = row.get(0).map_err(failed)?;
    let mut texts = [""; 7];
    for (column, text) in texts.iter_mut().enumerate() {
        let value = row.get_ref(column + 1).map_err(failed)?.as_str();
        *text = value.map_err(|error| StoreError::Damaged(error.to_string()))?;
    }
    let digest: i64 = row.get(8).map_err(failed)?;
    fits(digest == write::tags_digest(&texts), || format!("the tags {id}"))?;
    let [key, team, organisation, route, provider, model, labels] = texts;
    let tags = Tags {
        key: key.into(),
        team: team.into(),
        organisation: organisation.into(),
        route: route.into(),
        provider: provider.into(),
        model: model.into(),
        labels: labels::parse(labels).ok_or_else(|| StoreError::Damaged(format!("the labels of the tags {id}")))?,
    };
    Ok((id, Arc::new(tags)))
}

fn fits(is_so: bool, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if is_so {
        return Ok(());
    }
    Err(StoreError::Damaged(format!("{} is not what was written", what())))
}

/// What [`write::usage_text`] wrote.
fn usage(text: &str) -> Result<Usage, StoreError> {
    let damaged = || StoreError::Damaged(format!("`{text}` is no usage"));
    let members = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let members = members.ok_or_else(damaged)?.split(',');
    let mut is_good = true;
    let members = members.filter(|member| !member.is_empty()).map_while(|member| {
        let read = member.strip_prefix('"').and_then(|member| member.split_once('"'));
        let read = read.and_then(|(name, tokens)| Some((name, tokens.strip_prefix(':')?.parse().ok()?)));
        is_good &= read.is_some();
        read
    });
    let usage = Usage::from_named(members);
    usage.filter(|_| is_good).ok_or_else(damaged)
}

fn text(row: &Row<'_>, column: usize) -> Result<String, StoreError> {
    row.get(column).map_err(failed)
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    positive(row.get(column).map_err(failed)?)
}

fn version(row: &Row<'_>, column: usize) -> Result<u32, StoreError> {
    row.get(column).map_err(failed)
}

fn positive(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("{number} where there is nothing below nought")))
}
