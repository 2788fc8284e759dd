//! Whether everything holds that was promised: `pointsman store check`.

use std::collections::HashMap;

use rusqlite::Connection;

use super::read::{self, TagReader};
use super::spans::{ALL, Bucket, HOUR, SPANS, beginning, total};
use super::write::clamp;
use super::{StoreError, Sums, failed};

/// More findings than this say nothing new.
const MOST: usize = 100;

/// All that does not hold, in sentences.
pub(super) fn all(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut findings = structure(connection)?;
    // One reading of the store as it stands, though others may go on writing.
    connection.execute_batch("BEGIN").map_err(failed)?;
    contents(connection, &mut findings);
    connection.execute_batch("ROLLBACK").map_err(failed)?;
    findings.truncate(MOST);
    Ok(findings)
}

fn structure(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut check = connection.prepare("PRAGMA integrity_check(100)").map_err(failed)?;
    let rows = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut findings = Vec::new();
    for row in rows {
        match row {
            Ok(text) if text == "ok" => {}
            Ok(text) => findings.push(format!("structure: {text}")),
            Err(error) => {
                findings.push(format!("structure: {error}"));
                break;
            }
        }
    }
    Ok(findings)
}

/// Each part says what it finds, so that one damaged row does not hide the others.
fn contents(connection: &Connection, findings: &mut Vec<String>) {
    for part in [holds, tags, ledger, documents] {
        if let Err(error) = part(connection, findings) {
            findings.push(error.to_string());
        }
    }
}

/// A hold is resolved once: by a line, or by being released.
fn holds(connection: &Connection, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let mut known = TagReader::new(connection);
    let mut select = connection.prepare("SELECT * FROM holds ORDER BY id").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        match read::hold(row, &mut known) {
            Ok(hold) if read::one_line(connection, hold.id)?.is_some() => {
                findings.push(format!("hold {} has a line and is still open", hold.id));
            }
            Ok(_) => {}
            Err(error) => findings.push(error.to_string()),
        }
    }
    Ok(())
}

fn tags(connection: &Connection, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let mut known = TagReader::new(connection);
    let mut select = connection.prepare("SELECT id FROM tags").map_err(failed)?;
    let ids = select.query_map([], |row| row.get(0)).map_err(failed)?;
    for id in ids {
        if let Err(error) = known.get(id.map_err(failed)?) {
            findings.push(error.to_string());
        }
    }
    Ok(())
}

fn ledger(connection: &Connection, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let counted = lines(connection, findings)?;
    corrections(connection, findings)?;
    sums(connection, &counted, findings)
}

/// A correction is a line of its own, and belongs to a line that is none.
fn corrections(connection: &Connection, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let since = read::lines_since(connection)?;
    let mut known = TagReader::new(connection);
    let mut select = connection
        .prepare("SELECT * FROM lines WHERE corrects IS NOT NULL")
        .map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        // One that cannot be read has been told of.
        let Ok((line, _)) = read::line(row, &mut known) else {
            continue;
        };
        let Some(correction) = line.corrects else { continue };
        let Ok(corrected) = read::one_line(connection, correction.line) else {
            continue;
        };
        let wrong = match corrected {
            None if line.at_ms < since => continue,
            None => "which is not there",
            Some(corrected) if corrected.corrects.is_some() => "which is a correction itself",
            Some(_) => continue,
        };
        findings.push(format!("line {} corrects line {}, {wrong}", line.id, correction.line));
    }
    Ok(())
}

/// What the lines that are kept add up to, by hour, and since when they are kept.
struct Counted {
    hours: HashMap<Bucket, Sums>,
    /// Lines before this may have been forgotten.
    since: i64,
}

fn lines(connection: &Connection, findings: &mut Vec<String>) -> Result<Counted, StoreError> {
    let mut known = TagReader::new(connection);
    let mut select = connection.prepare("SELECT * FROM lines ORDER BY id").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let mut hours: HashMap<Bucket, Sums> = HashMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        match read::line(row, &mut known) {
            Ok((line, tags)) => {
                let at = clamp(line.at_ms) / 1000;
                hours.entry((HOUR, beginning(HOUR, at), tags)).or_default().add(&line);
            }
            Err(error) => findings.push(error.to_string()),
        }
        if findings.len() >= MOST {
            break;
        }
    }
    let since = clamp(read::lines_since(connection)?) / 1000;
    Ok(Counted {
        hours,
        // The first hour may be kept in part.
        since: (since + HOUR - 1) / HOUR * HOUR,
    })
}

fn sums(connection: &Connection, counted: &Counted, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let mut select = connection.prepare("SELECT * FROM sums").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let mut kept: HashMap<Bucket, Sums> = HashMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (bucket, sums) = read::bucket_sums(row)?;
        kept.insert(bucket, sums);
    }
    let is_whole = |sums: &Sums, kept: Option<&Sums>| kept.is_some_and(|kept| sums.are(kept, read::MOST));
    for seconds in SPANS {
        let mut totals: HashMap<Bucket, Sums> = HashMap::new();
        for ((_, start, _), sums) in kept.iter().filter(|(bucket, _)| bucket.0 == seconds) {
            totals.entry(total(seconds, *start)).or_default().merge(sums);
        }
        let is_total = |bucket: &&Bucket| bucket.0 == -seconds;
        if kept.keys().filter(is_total).count() != totals.len() {
            findings.push(format!(
                "there are totals of {seconds} seconds without sums, or sums without totals"
            ));
        }
        for (bucket, sums) in totals
            .iter()
            .filter(|(bucket, sums)| !is_whole(sums, kept.get(*bucket)))
        {
            findings.push(format!(
                "the sums of {bucket:?} add up to {}, which is not what their total says",
                sums.cost
            ));
        }
    }
    for pair in SPANS.windows(2) {
        let (shorter, longer) = (pair[0], pair[1]);
        let mut added: HashMap<Bucket, Sums> = HashMap::new();
        for ((_, start, tags), sums) in kept.iter().filter(|(bucket, _)| bucket.0 == shorter) {
            let bucket = (longer, beginning(longer, *start), *tags);
            added.entry(bucket).or_default().merge(sums);
        }
        for bucket in added
            .iter()
            .filter_map(|(bucket, sums)| (!is_whole(sums, kept.get(bucket))).then_some(bucket))
        {
            findings.push(format!(
                "the sums of {shorter} seconds in {bucket:?} add up to something else than it says"
            ));
        }
        if kept.keys().filter(|bucket| bucket.0 == longer).count() != added.len() {
            findings.push(format!(
                "there are sums of {longer} seconds without any of {shorter} in them"
            ));
        }
    }
    let mut all = Sums::default();
    for (_, sums) in kept.iter().filter(|(bucket, _)| bucket.0 == HOUR) {
        all.merge(sums);
    }
    if !is_whole(&all, kept.get(&ALL).or((all == Sums::default()).then_some(&all))) {
        findings.push("the hours add up to something else than the sum of everything says".to_owned());
    }
    let since = counted.since;
    for (bucket, sums) in counted.hours.iter().filter(|(bucket, _)| bucket.1 >= since) {
        if !is_whole(sums, kept.get(bucket)) {
            findings.push(format!(
                "the lines of {bucket:?} add up to something else than its sums say"
            ));
        }
    }
    let orphans = kept.keys().filter(|bucket| bucket.0 == HOUR && bucket.1 >= since);
    for bucket in orphans.filter(|bucket| !counted.hours.contains_key(*bucket)) {
        findings.push(format!("there are sums of {bucket:?} and no lines"));
    }
    Ok(())
}

fn documents(connection: &Connection, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let mut select = connection
        .prepare("SELECT id, content, expires_ms, digest, kind FROM documents")
        .map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let document = read::read_document(row).map_err(failed)?;
        let kind: String = row.get(4).map_err(failed)?;
        if let Err(error) = read::live(&kind, document, 0) {
            findings.push(error.to_string());
        }
    }
    Ok(())
}
