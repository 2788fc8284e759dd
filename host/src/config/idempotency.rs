//! `[idempotency]`: what becomes of requests that name themselves by an `Idempotency-Key`.

use std::time::Duration;

use super::reader::Section;

/// `[idempotency]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyConfig {
    /// For how long a key stands for the request that it came with.
    pub keep: Duration,
    /// Larger answers are not given again.
    pub answer_bytes: usize,
}

pub(super) fn read(section: Section<'_>) -> IdempotencyConfig {
    let hours = section.number("keep_hours", 1..=24 * 31).unwrap_or(24);
    let config = IdempotencyConfig {
        keep: Duration::from_secs(hours * 3600),
        answer_bytes: section.number("answer_bytes", 0..=64 << 20).unwrap_or(1 << 20) as usize,
    };
    section.finish();
    config
}
