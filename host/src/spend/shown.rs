//! A report as people and programs read it.

use serde_json::{Map, Value, json};

use super::Report;
use super::lines::{at_text, csv_row};
use crate::money::usd;
use crate::store::{By, Spent, Sums};

/// Beside the group: the columns of CSV.
const COLUMNS: [&str; 18] = [
    "calls",
    "estimated",
    "unpriced",
    "input",
    "audio_input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_output",
    "image_input",
    "image_output",
    "characters",
    "searches",
    "cost_usd",
    "reference_usd",
    "savings_usd",
];

impl Report {
    /// One object, with nano-dollars as text: JSON's numbers are not exact everywhere.
    pub fn to_json(&self) -> Value {
        let row = |spent: &Spent| {
            let names = self.by.iter().map(|by| by.name().to_owned());
            let group = names.zip(spent.group.iter().map(|value| json!(value)));
            Value::Object(group.chain(figures(&spent.sums)).collect())
        };
        json!({
            "from": at_text(self.span.from_ms),
            "to": at_text(self.span.to_ms),
            "by": self.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "total": Value::Object(figures(&self.total).collect()),
        })
    }

    /// A head, and a line for each group. No total: whoever adds up a column would count it twice.
    pub fn to_csv(&self) -> String {
        let head = self.by.iter().map(|by| by.name()).chain(COLUMNS);
        let mut text = csv_row(head);
        for Spent { group, sums } in &self.rows {
            let cells: Vec<String> = group.iter().cloned().chain(cells(sums)).collect();
            text.push_str(&csv_row(cells.iter().map(String::as_str)));
        }
        text
    }

    /// Columns for a terminal, with the total below.
    pub fn to_table(&self) -> String {
        let mut head: Vec<String> = self.by.iter().map(|by| by.name().to_owned()).collect();
        head.extend(
            [
                "calls",
                "input",
                "cached",
                "output",
                "cost USD",
                "reference USD",
                "savings USD",
            ]
            .map(str::to_owned),
        );
        let mut rows = vec![head];
        rows.extend(self.rows.iter().map(|spent| self.row(&spent.group, &spent.sums)));
        if self.by.is_empty() && self.rows.is_empty() || !self.by.is_empty() {
            let mut group = vec![String::new(); self.by.len()];
            if let Some(first) = group.first_mut() {
                *first = "total".to_owned();
            }
            rows.push(self.row(&group, &self.total));
        }
        let (from, to) = (at_text(self.span.from_ms), at_text(self.span.to_ms));
        let mut text = format!("from {from} to {to}\n\n{}", aligned(&rows, self.by.len()));
        let Sums {
            estimated, unpriced, ..
        } = self.total;
        if estimated > 0 {
            text.push_str(&format!(
                "\n{estimated} with figures of the gateway's own: nobody said what was used\n"
            ));
        }
        if unpriced > 0 {
            text.push_str(&format!("\n{unpriced} without a price, whose cost is in no sum\n"));
        }
        text
    }

    fn row(&self, group: &[String], sums: &Sums) -> Vec<String> {
        let shown = |(value, by): (&String, &By)| match (value.is_empty(), by) {
            (true, By::Label) => "(no label)".to_owned(),
            (true, _) => "-".to_owned(),
            // Names may come from clients; a terminal is not theirs to steer.
            (false, _) => value.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        };
        let group = group.iter().zip(&self.by).map(shown);
        let figures = [
            sums.calls.to_string(),
            sums.usage.all_input().to_string(),
            sums.usage.cache_read.to_string(),
            sums.usage.output.to_string(),
            usd(sums.cost),
            usd(sums.reference),
            usd(sums.savings()),
        ];
        group.chain(figures).collect()
    }
}

/// Names to the left, figures to the right.
fn aligned(rows: &[Vec<String>], names: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < names {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn figures(sums: &Sums) -> impl Iterator<Item = (String, Value)> {
    let tokens: Map<String, Value> = tokens(sums)
        .map(|(name, tokens)| (name.to_owned(), tokens.into()))
        .collect();
    let amounts = [
        ("cost", sums.cost),
        ("reference", sums.reference),
        ("savings", sums.savings()),
    ];
    let amounts = amounts.into_iter().flat_map(|(name, nano)| {
        [
            (format!("{name}_usd"), json!(usd(nano))),
            (format!("{name}_nano"), json!(nano.to_string())),
        ]
    });
    let counts = [
        ("calls".to_owned(), json!(sums.calls)),
        ("estimated".to_owned(), json!(sums.estimated)),
        ("unpriced".to_owned(), json!(sums.unpriced)),
        ("tokens".to_owned(), Value::Object(tokens)),
    ];
    counts.into_iter().chain(amounts)
}

fn cells(sums: &Sums) -> impl Iterator<Item = String> {
    let counts = [sums.calls, sums.estimated, sums.unpriced];
    let tokens = tokens(sums).map(|(_, tokens)| tokens);
    let counts = counts.into_iter().chain(tokens).map(|count| count.to_string());
    counts.chain([sums.cost, sums.reference, sums.savings()].map(usd))
}

/// How a call was served says nothing of a sum.
fn tokens(sums: &Sums) -> impl Iterator<Item = (&'static str, u64)> {
    sums.usage
        .named()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("is_"))
}
