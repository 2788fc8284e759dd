//! Lines of the ledger as other programs read them: one object or one row for each.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::money::usd;
use crate::store::Line;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// One JSON object in each line.
    Jsonl,
    /// A head, and a row for each line.
    Csv,
}

/// The members of a line, in the order of CSV's columns. Labels, usage and metadata are JSON there.
const COLUMNS: [&str; 21] = [
    "id",
    "at",
    "request",
    "key",
    "team",
    "organisation",
    "route",
    "provider",
    "model",
    "labels",
    "outcome",
    "usage",
    "cost_nano",
    "ceiling_nano",
    "reference_nano",
    "price_version",
    "estimated",
    "recovered",
    "corrects",
    "corrected_by_nano",
    "metadata",
];

impl Export {
    /// What stands before the first line.
    pub fn begin(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Jsonl => Ok(()),
            Self::Csv => out.write_all(csv_row(COLUMNS).as_bytes()),
        }
    }

    /// Writes one line.
    pub fn write(self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        let object = line_json(line);
        match self {
            Self::Jsonl => writeln!(out, "{object}"),
            Self::Csv => {
                let cells = COLUMNS.map(|column| match &object[column] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                out.write_all(csv_row(cells.iter().map(String::as_str)).as_bytes())
            }
        }
    }
}

/// A line as an object: amounts in whole nano-dollars, and the cost in US dollars beside.
fn line_json(line: &Line) -> Value {
    let tags = &line.tags;
    let labels: Map<String, Value> = tags
        .labels
        .iter()
        .map(|(label, value)| (label.clone(), json!(value)))
        .collect();
    let usage = line.usage.named().into_iter().filter(|(_, tokens)| *tokens > 0);
    let usage: Map<String, Value> = usage.map(|(name, tokens)| (name.to_owned(), json!(tokens))).collect();
    json!({
        "id": line.id,
        "at": at_text(line.at_ms),
        "request": &*line.request,
        "key": &*tags.key,
        "team": &*tags.team,
        "organisation": &*tags.organisation,
        "route": &*tags.route,
        "provider": &*tags.provider,
        "model": &*tags.model,
        "labels": labels,
        "outcome": line.outcome,
        "usage": usage,
        "cost_nano": line.cost.map(|cost| cost.0),
        "cost_usd": line.cost.map(|cost| usd(cost.0.into())),
        "ceiling_nano": line.ceiling.0,
        "reference_nano": line.reference.map(|cost| cost.0),
        "price_version": format!("{:08x}", line.price_version),
        "estimated": line.is_estimated,
        "recovered": line.is_recovered,
        "corrects": line.corrects.map(|correction| correction.line),
        "corrected_by_nano": line.corrects.map(|correction| correction.by),
        "metadata": line.metadata.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
    })
}

/// A moment as RFC 3339 has it.
pub fn at_text(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.to_string())
}

/// As RFC 4180 has it, but for the end of the line.
pub(super) fn csv_row<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    let quoted = |cell: &str| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    };
    let cells: Vec<String> = cells.into_iter().map(quoted).collect();
    cells.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_row_is_quoted() {
        assert_eq!(csv_row(["a", "b,c", "d\"e", ""]), "a,\"b,c\",\"d\"\"e\",\n");
    }
}
