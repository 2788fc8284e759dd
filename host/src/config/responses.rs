//! `[responses]`: which responses are kept, so that a turn may name the one before.

use std::time::Duration;

use super::reader::Section;

/// `[responses]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponsesConfig {
    /// For how long.
    pub keep: Duration,
    /// What all of them may take in the store.
    pub disk_bytes: u64,
    /// Larger conversations are not kept.
    pub entry_bytes: usize,
}

/// Nothing is kept where the section is not there.
pub(super) fn read(section: Section<'_>) -> Option<ResponsesConfig> {
    let hours = section.number("keep_hours", 1..=24 * 366).unwrap_or(24 * 30);
    let config = ResponsesConfig {
        keep: Duration::from_secs(hours * 3600),
        disk_bytes: section.number("disk_bytes", 0..=1 << 40).unwrap_or(1 << 30),
        entry_bytes: section.number("entry_bytes", 1..=64 << 20).unwrap_or(4 << 20) as usize,
    };
    let is_present = section.is_present();
    section.finish();
    is_present.then_some(config)
}
