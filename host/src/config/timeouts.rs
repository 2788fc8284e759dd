//! How long things may take: said of a provider, a model or a route, each over the one before, and the defaults below all.

use std::time::Duration;

use super::reader::Section;

/// What somebody said; nothing where it is left to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Up to the established connection, TLS included.
    pub connect: Option<Duration>,
    /// Up to the first event of one attempt's answer.
    pub first_token: Option<Duration>,
    /// Between two events of a stream.
    pub gap: Option<Duration>,
    /// Up to the whole answer of one attempt.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// What is said where nobody says anything.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// See [`Self::CONNECT`].
    pub const FIRST_TOKEN: Duration = Duration::from_secs(60);
    /// See [`Self::CONNECT`].
    pub const GAP: Duration = Duration::from_secs(60);
    /// See [`Self::CONNECT`].
    pub const TOTAL: Duration = Duration::from_secs(600);

    /// What is said here, and else there.
    pub fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect.or(other.connect),
            first_token: self.first_token.or(other.first_token),
            gap: self.gap.or(other.gap),
            total: self.total.or(other.total),
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Timeouts {
    let milliseconds = |key, most| section.number(key, 1..=most).map(Duration::from_millis);
    Timeouts {
        connect: milliseconds("connect_timeout_ms", 600_000),
        first_token: milliseconds("first_token_timeout_ms", 86_400_000),
        gap: milliseconds("gap_timeout_ms", 86_400_000),
        total: milliseconds("timeout_ms", 86_400_000),
    }
}
