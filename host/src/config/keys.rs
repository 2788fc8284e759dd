//! `[keys.*]`, `[teams.*]` and `[organisations.*]`: who may call, and what each of them may use and spend.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::budgets;
use super::key_hash::KeyHash;
use super::reader::{Section, suggestion};
use super::{ModelConfig, ProviderConfig, RouteConfig, Secret, routes};
use crate::budget::Budget;

/// Who may call, as far as the configuration says.
#[derive(Debug, Clone, PartialEq)]
pub struct KeysConfig {
    /// By name.
    pub declared: BTreeMap<String, KeyConfig>,
    /// By name.
    pub teams: BTreeMap<String, TeamConfig>,
    /// By name.
    pub organisations: BTreeMap<String, Allowance>,
    /// What keys are hashed with.
    pub pepper: PepperConfig,
}

/// Where the pepper is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PepperConfig {
    /// In a file of the store, made when it is first needed.
    File(PathBuf),
    /// `server.pepper`
    Given(Secret),
}

/// `[keys.*]`
#[derive(Debug, Clone, PartialEq)]
pub struct KeyConfig {
    /// Of each key that is accepted under this name.
    pub hashes: Vec<KeyHash>,
    /// Its team's name.
    pub team: Option<String>,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// What it may.
    pub allowance: Allowance,
}

/// `[teams.*]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TeamConfig {
    /// Its organisation's name.
    pub organisation: Option<String>,
    /// What it may.
    pub allowance: Allowance,
}

/// What a key, a team or an organisation may use and spend. A caller is held to all of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Allowance {
    /// All of them hold.
    pub budgets: Vec<Budget>,
    /// How much at what pace.
    pub limits: RateLimits,
    /// Patterns of the names that may be asked for; all where absent.
    pub routes: Option<Vec<String>>,
    /// Patterns of the models that may serve; all where absent.
    pub models: Option<Vec<String>>,
    /// What a model must be tagged with to serve.
    pub tags: Vec<String>,
    /// For whoever reads the ledger.
    pub metadata: BTreeMap<String, String>,
}

/// `limits = { rpm, tpm, parallel }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Requests in a minute.
    pub rpm: Option<u32>,
    /// Tokens in a minute.
    pub tpm: Option<u32>,
    /// Requests at one time.
    pub parallel: Option<u32>,
}

impl RateLimits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the names in allowances may mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) providers: &'a BTreeMap<String, ProviderConfig>,
    pub(super) models: &'a BTreeMap<String, ModelConfig>,
    pub(super) routes: &'a BTreeMap<String, RouteConfig>,
}

pub(super) fn read(
    root: &Section<'_>,
    known: Known<'_>,
    pepper: Option<Secret>,
    store: &Path,
    warnings: &mut Vec<String>,
) -> KeysConfig {
    let mut organisations = BTreeMap::new();
    for (name, section) in root.sections("organisations") {
        check_name(&section, &name);
        organisations.insert(name, allowance(&section, known, warnings));
        section.finish();
    }
    let mut teams = BTreeMap::new();
    for (name, section) in root.sections("teams") {
        check_name(&section, &name);
        let organisation = named(&section, "organisation", organisations.keys());
        let allowance = allowance(&section, known, warnings);
        section.finish();
        teams.insert(
            name,
            TeamConfig {
                organisation,
                allowance,
            },
        );
    }
    let mut declared = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (name, section) in root.sections("keys") {
        check_name(&section, &name);
        if name == ANONYMOUS {
            section.note(
                section.span(),
                format!("`{name}` is what callers without a key are called"),
            );
        }
        let key = KeyConfig {
            hashes: hashes(&section, &mut ids),
            team: named(&section, "team", teams.keys()),
            expires_ms: expires(&section),
            allowance: allowance(&section, known, warnings),
        };
        section.finish();
        declared.insert(name, key);
    }
    KeysConfig {
        declared,
        teams,
        organisations,
        pepper: pepper.map_or_else(|| PepperConfig::File(store.join("pepper")), PepperConfig::Given),
    }
}

/// The id of whoever calls where no key is required.
pub const ANONYMOUS: &str = "anonymous";

fn check_name(section: &Section<'_>, name: &str) {
    if routes::is_reserved(name) {
        section.note(
            section.span(),
            format!(
                "`{}` cannot be a name: 1 to 200 bytes without spaces",
                name.escape_debug()
            ),
        );
    }
}

/// A name that another table must have.
fn named<'n>(
    section: &Section<'_>,
    key: &'static str,
    known: impl Iterator<Item = &'n String> + Clone,
) -> Option<String> {
    let (name, span) = section.string(key)?;
    if !known.clone().any(|known| *known == name) {
        let near = suggestion(&name, known.map(String::as_str));
        section.note(span, format!("no {key} `{name}`{near}"));
    }
    Some(name)
}

/// `hash`, or `hashes` where a key is being rotated.
fn hashes(section: &Section<'_>, ids: &mut BTreeSet<String>) -> Vec<KeyHash> {
    let written: Vec<_> = section
        .string("hash")
        .into_iter()
        .chain(section.strings("hashes"))
        .collect();
    if written.is_empty() && section.any("hash").is_none() {
        let message = "`hash` is missing: `pointsman keys hash` makes a key and prints it";
        section.note(section.span(), message);
    }
    let mut hashes = Vec::new();
    for (text, span) in written {
        match KeyHash::parse(&text) {
            Ok(hash) if !ids.insert(hash.id.clone()) => {
                section.note(span, format!("the key `{}` is declared twice", hash.id));
            }
            Ok(hash) => hashes.push(hash),
            Err(reason) => section.note(span, reason),
        }
    }
    hashes
}

fn expires(section: &Section<'_>) -> Option<u64> {
    let value = section.any("expires")?;
    let text = match value.get_ref() {
        DeValue::Datetime(time) => time.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => String::new(),
    };
    parse_time(&text)
        .map_err(|reason| section.note(value.span(), format!("`expires`: {reason}")))
        .ok()
}

/// A point in time as people write it, in milliseconds since 1970: with its offset, or by UTC.
pub fn parse_time(text: &str) -> Result<u64, String> {
    let by_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| Some(by_utc()?.timestamp()))
        .and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let shown = crate::error::printable(text, 40);
    time.ok_or_else(|| format!("`{shown}` is not a time such as 2027-01-31 or 2027-01-31T18:00:00Z"))
}

/// A span of time as people write it: a number of seconds, minutes, hours, days or weeks.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];
    let number = |(unit, seconds): (&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds);
    let seconds = units.into_iter().find_map(number);
    let shown = crate::error::printable(text, 40);
    let span = seconds.map(Duration::from_secs);
    span.ok_or_else(|| format!("`{shown}` is not a span of time such as 90s, 30m, 24h, 7d or 2w"))
}

fn allowance(section: &Section<'_>, known: Known<'_>, warnings: &mut Vec<String>) -> Allowance {
    let names = || known.routes.keys().chain(known.models.keys()).map(String::as_str);
    let tags = section
        .strings("tags")
        .into_iter()
        .map(|(tag, _)| tag)
        .collect::<Vec<_>>();
    for tag in &tags {
        if !known.models.values().any(|model| model.tags.contains(tag)) {
            warnings.push(format!(
                "{}: no model has the tag `{tag}`, so that none may serve",
                section.path()
            ));
        }
    }
    Allowance {
        budgets: budgets::read(section),
        limits: rate_limits(&section.section("limits")),
        routes: patterns(section, "routes", "route or model", known, names()),
        models: patterns(
            section,
            "models",
            "model",
            known,
            known.models.keys().map(String::as_str),
        ),
        tags,
        metadata: section
            .string_map("metadata")
            .into_iter()
            .map(|(name, (value, _))| (name, value))
            .collect(),
    }
}

pub(super) fn rate_limits(section: &Section<'_>) -> RateLimits {
    let number = |key| section.number(key, 1..=u64::from(u32::MAX)).map(|number| number as u32);
    let limits = RateLimits {
        rpm: number("rpm"),
        tpm: number("tpm"),
        parallel: number("parallel"),
    };
    section.finish_ref();
    limits
}

/// Patterns with `*`. A name without one must be there, or be one of those that a provider serves unlisted.
fn patterns<'n>(
    section: &Section<'_>,
    key: &'static str,
    kind: &str,
    known: Known<'_>,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Option<Vec<String>> {
    section.any(key)?;
    let mut patterns = Vec::new();
    for (pattern, span) in section.strings(key) {
        let is_unlisted = pattern
            .split_once('/')
            .and_then(|(provider, _)| known.providers.get(provider))
            .is_some_and(|provider| provider.allow_any_model);
        if !pattern.contains('*') && !is_unlisted && !names.clone().any(|name| name == pattern) {
            let near = suggestion(&pattern, names.clone());
            section.note(span, format!("no {kind} `{pattern}`{near}"));
        }
        patterns.push(pattern);
    }
    Some(patterns)
}
