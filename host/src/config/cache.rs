//! `[cache]` and the `cache` of a route: which answers are kept, for whom, for how long, and in how much room.

use std::time::Duration;

use super::reader::Section;

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// What answers in memory may take.
    pub memory_bytes: u64,
    /// What answers in the store may take.
    pub disk_bytes: u64,
    /// Larger answers are not kept.
    pub entry_bytes: usize,
    /// Whether a request may ask for the cache where its route says nothing.
    pub on_request: bool,
    /// What holds for routes that do not say otherwise.
    pub rule: CacheRule,
}

/// Which answers of a route are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRule {
    /// For how long.
    pub ttl: Duration,
    /// Who shares them.
    pub scope: CacheScope,
    /// Whether a request need not ask for one answer at temperature 0.
    pub any_temperature: bool,
}

/// Who shares answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheScope {
    /// Callers with the same key.
    Key,
    /// Callers of one team.
    Team,
    /// All callers.
    Shared,
}

impl CacheScope {
    const ALL: [(&'static str, Self); 3] = [("key", Self::Key), ("team", Self::Team), ("shared", Self::Shared)];

    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, scope)| *scope == self)
            .map_or("", |(name, _)| name)
    }
}

/// A month.
const LONGEST_SECONDS: u64 = 31 * 24 * 3600;

pub(super) fn read(section: Section<'_>) -> CacheConfig {
    let default = CacheRule {
        ttl: Duration::from_secs(3600),
        scope: CacheScope::Key,
        any_temperature: false,
    };
    let config = CacheConfig {
        memory_bytes: section.number("memory_bytes", 0..=1 << 40).unwrap_or(64 << 20),
        disk_bytes: section.number("disk_bytes", 0..=1 << 40).unwrap_or(256 << 20),
        entry_bytes: section.number("entry_bytes", 1..=64 << 20).unwrap_or(1 << 20) as usize,
        on_request: section.flag("on_request", false),
        rule: rule(&section, default),
    };
    section.finish();
    config
}

/// A route's own, which begins with what holds for all.
pub(super) fn of_route(section: Section<'_>, default: CacheRule) -> Option<CacheRule> {
    let rule = section.is_present().then(|| rule(&section, default));
    section.finish();
    rule
}

fn rule(section: &Section<'_>, default: CacheRule) -> CacheRule {
    let ttl = section.number("ttl_seconds", 1..=LONGEST_SECONDS);
    CacheRule {
        ttl: ttl.map_or(default.ttl, Duration::from_secs),
        scope: scope(section).unwrap_or(default.scope),
        any_temperature: section.flag("any_temperature", default.any_temperature),
    }
}

fn scope(section: &Section<'_>) -> Option<CacheScope> {
    let (text, span) = section.string("scope")?;
    let found = CacheScope::ALL.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        section.note(span, format!("`{text}` is none of `key`, `team` and `shared`"));
    }
    found.map(|(_, scope)| *scope)
}
