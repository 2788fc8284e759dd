//! Rows as text with a digest before it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pointsman::money::{Nanodollars, Usage};
use pointsman::store::{Hold, Line, StoreError, Tags};
use serde_json::{Value, json};

fn digest(table: &str, key: &str, text: &str) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    (table, key, text).hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// A row as it is written.
pub(super) fn sealed(table: &str, key: &str, text: &str) -> Vec<u8> {
    [&digest(table, key, text)[..], text.as_bytes()].concat()
}

/// A row's text, if it is what was written.
pub(super) fn opened(table: &str, key: &str, row: &[u8]) -> Result<String, StoreError> {
    let damaged = || StoreError::Damaged(format!("{table} {key} is not what was written"));
    let (found, text) = row.split_at_checked(8).ok_or_else(damaged)?;
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    if found != digest(table, key, text) {
        return Err(damaged());
    }
    Ok(text.to_owned())
}

fn tags(tags: &Tags) -> Value {
    json!([
        &*tags.key,
        &*tags.team,
        &*tags.organisation,
        &*tags.route,
        &*tags.provider,
        &*tags.model,
        tags.labels
    ])
}

fn read_tags(value: &Value) -> Option<Arc<Tags>> {
    let text = |place: usize| -> Option<Arc<str>> { Some(value[place].as_str()?.into()) };
    let labels = value[6].as_array()?.iter();
    let label = |label: &Value| Some((label[0].as_str()?.to_owned(), label[1].as_str()?.to_owned()));
    Some(Arc::new(Tags {
        key: text(0)?,
        team: text(1)?,
        organisation: text(2)?,
        route: text(3)?,
        provider: text(4)?,
        model: text(5)?,
        labels: labels.map(label).collect::<Option<_>>()?,
    }))
}

/// A hold as text.
pub(super) fn hold(hold: &Hold) -> String {
    let Hold {
        id,
        at_ms,
        ceiling,
        request,
        price_version,
        ..
    } = hold;
    json!([id, at_ms, ceiling.0, &**request, price_version, tags(&hold.tags)]).to_string()
}

/// What [`hold`] wrote.
pub(super) fn read_hold(text: &str) -> Result<Hold, StoreError> {
    let read = || {
        let value: Value = serde_json::from_str(text).ok()?;
        Some(Hold {
            id: value[0].as_u64()?,
            at_ms: value[1].as_u64()?,
            ceiling: Nanodollars(value[2].as_u64()?),
            request: value[3].as_str()?.into(),
            price_version: value[4].as_u64()? as u32,
            tags: read_tags(&value[5])?,
        })
    };
    read().ok_or_else(|| StoreError::Damaged(format!("`{text}` is no hold")))
}

/// A line as text, as far as the script fills it.
pub(super) fn line(line: &Line) -> String {
    let (cost, reference) = (line.cost.map(|cost| cost.0), line.reference.map(|cost| cost.0));
    let usage = [line.usage.input, line.usage.output];
    json!([
        line.id,
        line.at_ms,
        &*line.request,
        line.outcome,
        usage,
        cost,
        line.ceiling.0,
        reference,
        line.price_version,
        line.is_estimated,
        tags(&line.tags)
    ])
    .to_string()
}

/// What [`line()`] wrote.
pub(super) fn read_line(text: &str) -> Result<Line, StoreError> {
    let read = || {
        let value: Value = serde_json::from_str(text).ok()?;
        Some(Line {
            id: value[0].as_u64()?,
            at_ms: value[1].as_u64()?,
            request: value[2].as_str()?.into(),
            tags: read_tags(&value[10])?,
            outcome: value[3].as_str()?.to_owned(),
            usage: Usage {
                input: value[4][0].as_u64()?,
                output: value[4][1].as_u64()?,
                ..Usage::default()
            },
            cost: value[5].as_u64().map(Nanodollars),
            ceiling: Nanodollars(value[6].as_u64()?),
            reference: value[7].as_u64().map(Nanodollars),
            price_version: value[8].as_u64()? as u32,
            is_estimated: value[9].as_bool()?,
            is_recovered: false,
            corrects: None,
            metadata: None,
        })
    };
    read().ok_or_else(|| StoreError::Damaged(format!("`{text}` is no line")))
}

/// What sums a line counts in: those of its hour, of its day, and of everything.
pub(super) fn buckets(line: &Line) -> [String; 3] {
    let tags = tags(&line.tags);
    let (hour, day) = (line.at_ms / 3_600_000, line.at_ms / 86_400_000);
    [
        format!("hour {hour} {tags}"),
        format!("day {day} {tags}"),
        "all".to_owned(),
    ]
}

/// Lines, and what they cost together.
pub(super) fn added((lines, cost): (u64, u64), line: &Line) -> (u64, u64) {
    (lines + 1, cost + line.cost.map_or(0, |cost| cost.0))
}

/// Sums as text.
pub(super) fn sums((lines, cost): (u64, u64)) -> String {
    json!([lines, cost]).to_string()
}

/// What [`sums`] wrote.
pub(super) fn read_sums(text: &str) -> Result<(u64, u64), StoreError> {
    serde_json::from_str::<(u64, u64)>(text).map_err(|_| StoreError::Damaged(format!("`{text}` are no sums")))
}

/// Bytes as text.
pub(super) fn bytes(content: &[u8]) -> String {
    json!(content).to_string()
}

/// What [`bytes`] wrote.
pub(super) fn read_bytes(text: &str) -> Result<Vec<u8>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged(format!("`{text}` are no bytes")))
}
