//! `[fleet]`: with whom budgets are shared.

use std::path::Path;
use std::time::Duration;

use super::interpolate::{Secret, interpolate};
use super::reader::Section;
use crate::fleet::postgres::Database;

/// `[fleet]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetConfig {
    /// The database's URL, which may have a password in it.
    pub database: Secret,
    /// Files in it start here.
    pub base: std::path::PathBuf,
    /// By which this gateway is known there; without it, by one that is made once.
    pub name: Option<String>,
    /// How long a call waits for it.
    pub timeout: Duration,
}

/// Names are columns of tables.
const NAME_BYTES: usize = 100;

pub(super) fn read(section: Section<'_>, base: &Path, has_ledger: bool) -> Option<FleetConfig> {
    if section.is_present() && !has_ledger {
        section.note(
            section.span(),
            "a fleet shares budgets, and without the ledger there are none: leave `[store] ledger` on, or take this out",
        );
    }
    let config = section.is_present().then(|| read_present(&section, base)).flatten();
    section.finish();
    config
}

fn read_present(section: &Section<'_>, base: &Path) -> Option<FleetConfig> {
    let database = section.required_string("database").and_then(|placed| {
        let span = placed.1.clone();
        let url = interpolate(section, base, placed)?;
        let parsed = Database::parse(&url, base).map_err(|reason| section.note(span, reason));
        parsed.ok().map(|_| Secret::new(url))
    });
    let name = section.string("name").map(|(name, span)| {
        if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            section.note(span, format!("`name` has 1 to {NAME_BYTES} bytes, and no spaces"));
        }
        name
    });
    let timeout = Duration::from_millis(section.number("timeout_ms", 1..=60_000).unwrap_or(100));
    Some(FleetConfig {
        database: database?,
        base: base.to_owned(),
        name,
        timeout,
    })
}
