//! `[store]`: where the gateway keeps what must survive a restart, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Section;

/// What is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Whether calls are booked. Without it there are no budgets.
    pub is_on: bool,
    /// How long a reservation may wait for the disk.
    pub timeout: Duration,
    /// How long lines are kept; their sums stay for good.
    pub keep_lines: Duration,
}

/// `decisions = { keep_days = 7, megabytes = 256 }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionsConfig {
    /// How long.
    pub keep: Duration,
    /// How many bytes of them; the oldest make room.
    pub bytes: u64,
}

/// Where it is, what is booked, and which decisions are kept.
pub(super) fn read(section: Section<'_>, base: &Path) -> (PathBuf, LedgerConfig, Option<DecisionsConfig>) {
    let ledger = LedgerConfig {
        is_on: section.flag("ledger", true),
        timeout: Duration::from_millis(section.number("timeout_ms", 1..=60_000).unwrap_or(1_000)),
        keep_lines: days(section.number("keep_days", 1..=36_500).unwrap_or(400)),
    };
    let decisions = section
        .any("decisions")
        .map(|_| decisions(section.section("decisions")));
    let path = section
        .string("path")
        .map_or_else(|| "pointsman-data".to_owned(), |(path, _)| path);
    section.finish();
    let path = base.join(path);
    // Wherever the process goes later, its store stays where it was.
    (std::path::absolute(&path).unwrap_or(path), ledger, decisions)
}

fn decisions(section: Section<'_>) -> DecisionsConfig {
    let config = DecisionsConfig {
        keep: days(section.number("keep_days", 1..=36_500).unwrap_or(7)),
        bytes: section.number("megabytes", 1..=1_000_000).unwrap_or(256) << 20,
    };
    section.finish();
    config
}

fn days(days: u64) -> Duration {
    Duration::from_secs(86_400 * days)
}
