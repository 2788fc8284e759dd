//! What somebody wants a new key to be, in the words of the configuration, and how keys are listed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{KeyRecord, RecordBudget, RecordHash, Stored};
use crate::budget::{Budget, Period, Zone};
use crate::config::{Config, KeyConfig, RateLimits, parse_span, parse_time};
use crate::money::Nanodollars;

/// A key to be made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// For people.
    pub name: String,
    /// Its team's name.
    pub team: Option<String>,
    /// One, or
    pub budget: Option<WishedBudget>,
    /// several.
    pub budgets: Vec<WishedBudget>,
    /// At which pace.
    pub limits: RateLimits,
    /// Patterns of names that may be asked for.
    pub routes: Option<Vec<String>>,
    /// Patterns of models that may serve.
    pub models: Option<Vec<String>>,
    /// What models must be tagged with.
    pub tags: Vec<String>,
    /// A time as the configuration has it, or how long from now.
    pub expires: Option<String>,
    /// For the ledger.
    pub metadata: BTreeMap<String, String>,
}

/// A budget as people write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WishedBudget {
    /// A number, or a text with one.
    pub limit_usd: Value,
    /// `hour` to `total`.
    pub period: String,
    /// UTC where absent.
    #[serde(default)]
    pub zone: Option<String>,
    /// Whether it refuses.
    #[serde(default)]
    pub hard: Option<bool>,
    /// When it warns.
    #[serde(default)]
    pub warn_percent: Option<Vec<u8>>,
}

impl WishedBudget {
    fn budget(&self) -> Result<Budget, String> {
        let limit = match &self.limit_usd {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let period = Period::named(&self.period);
        let warn = self.warn_percent.clone().unwrap_or_else(|| vec![80, 100]);
        if warn.iter().any(|percent| !(1..=100).contains(percent)) {
            return Err("`warn_percent` has whole numbers from 1 to 100".to_owned());
        }
        Ok(Budget {
            limit: Nanodollars::from_usd(&limit)?,
            period: period.ok_or_else(|| {
                format!(
                    "no period `{}`; there are hour, day, week, month and total",
                    self.period
                )
            })?,
            zone: self.zone.as_deref().map(Zone::named).transpose()?.unwrap_or_default(),
            is_hard: self.hard.unwrap_or(true),
            warn,
        })
    }
}

/// Longer names are no names.
const NAME_BYTES: usize = 200;
const METADATA_BYTES: usize = 16 << 10;

impl Wish {
    /// Whether it can be: a key that belongs to nothing, or may use what is not there, is a mistake.
    pub(super) fn check(&self, config: &Config, now_ms: u64) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES || self.name.chars().any(char::is_control) {
            return Err(format!(
                "a key needs a name of 1 to {NAME_BYTES} bytes without control characters"
            ));
        }
        if let Some(team) = self.team.as_ref().filter(|team| !config.keys.teams.contains_key(*team)) {
            return Err(format!("there is no team `{team}` in the configuration"));
        }
        let limits = [self.limits.rpm, self.limits.tpm, self.limits.parallel];
        if limits.contains(&Some(0)) {
            return Err("limits begin at 1; a key that may do nothing is better revoked".to_owned());
        }
        let size: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > METADATA_BYTES {
            return Err(format!("the metadata has {size} bytes; {METADATA_BYTES} are accepted"));
        }
        let is_unlisted = |name: &str| {
            let provider = name.split_once('/').and_then(|(name, _)| config.providers.get(name));
            provider.is_some_and(|provider| provider.allow_any_model)
        };
        let is_there = |name: &&String| {
            name.contains('*') || config.routes.contains_key(*name) || config.models.contains_key(*name)
        };
        let names = self.routes.iter().chain(&self.models).flatten();
        if let Some(name) = names.filter(|name| !is_unlisted(name)).find(|name| !is_there(name)) {
            return Err(format!("there is no route or model `{name}` in the configuration"));
        }
        for tag in &self.tags {
            if !config.models.values().any(|model| model.tags.contains(tag)) {
                return Err(format!(
                    "no model has the tag `{tag}`, so that none could serve the key"
                ));
            }
        }
        self.expires_ms(now_ms)?;
        let mut periods = Vec::new();
        for budget in self.budgets() {
            let Budget { period, zone, .. } = budget.budget()?;
            if periods.contains(&(period, zone.clone())) {
                return Err(format!("two budgets for the same period, `{}`", period.name()));
            }
            periods.push((period, zone));
        }
        Ok(())
    }

    fn expires_ms(&self, now_ms: u64) -> Result<Option<u64>, String> {
        self.expires.as_deref().map(|text| end(text, now_ms)).transpose()
    }

    fn budgets(&self) -> impl Iterator<Item = &WishedBudget> {
        self.budget.iter().chain(&self.budgets)
    }

    /// The key, once it has been checked.
    pub(super) fn record(self, hash: RecordHash, now_ms: u64) -> KeyRecord {
        let budgets = self.budgets().filter_map(|budget| budget.budget().ok());
        KeyRecord {
            id: hash.hash.id.clone(),
            hashes: vec![hash],
            created_ms: now_ms,
            expires_ms: self.expires_ms(now_ms).unwrap_or_default(),
            revoked_ms: None,
            budgets: budgets.map(RecordBudget).collect(),
            name: self.name,
            team: self.team,
            limits: self.limits,
            routes: self.routes,
            models: self.models,
            tags: self.tags,
            metadata: self.metadata,
        }
    }
}

/// When a key ends, as people write it: a time, or how long from now.
pub(super) fn end(text: &str, now_ms: u64) -> Result<u64, String> {
    let end = match parse_span(text) {
        Ok(span) => now_ms.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        Err(_) => parse_time(text).map_err(|reason| format!("{reason}, and not a span such as 30d"))?,
    };
    match end > now_ms {
        true => Ok(end),
        false => Err("`expires` is over already".to_owned()),
    }
}

/// All keys for people and programs, the declared ones first: everything but what a key could be known by.
pub fn listed(config: &Config, stored: &[Stored], now_ms: u64) -> Vec<Value> {
    let declared = config.keys.declared.iter().map(|(name, key)| {
        let record = declared(name, key);
        let mut shown = show(&record, "configuration", now_ms);
        shown.as_object_mut().map(|shown| shown.remove("created_ms"));
        shown
    });
    let stored = stored.iter().map(|stored| match stored {
        Stored::Key(record) => show(record, "store", now_ms),
        Stored::Unreadable { id, reason } => {
            json!({"id": id, "source": "store", "status": "unreadable", "error": reason})
        }
    });
    declared.chain(stored).collect()
}

fn declared(name: &str, key: &KeyConfig) -> KeyRecord {
    let hash = |hash: &crate::config::KeyHash| RecordHash {
        hash: hash.clone(),
        not_after_ms: None,
    };
    KeyRecord {
        id: name.to_owned(),
        name: name.to_owned(),
        hashes: key.hashes.iter().map(hash).collect(),
        created_ms: 0,
        expires_ms: key.expires_ms,
        revoked_ms: None,
        team: key.team.clone(),
        budgets: key.allowance.budgets.iter().cloned().map(RecordBudget).collect(),
        limits: key.allowance.limits,
        routes: key.allowance.routes.clone(),
        models: key.allowance.models.clone(),
        tags: key.allowance.tags.clone(),
        metadata: key.allowance.metadata.clone(),
    }
}

fn show(record: &KeyRecord, source: &str, now_ms: u64) -> Value {
    let mut shown = json!(record);
    let is_live = |hash: &&RecordHash| hash.not_after_ms.is_none_or(|end| end > now_ms);
    let secrets = record.hashes.iter().filter(is_live).count();
    let status = match record {
        _ if record.revoked_ms.is_some() => "revoked",
        _ if record.expires_ms.is_some_and(|end| end <= now_ms) => "expired",
        _ => "active",
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("hashes");
        shown.insert("source".to_owned(), source.into());
        shown.insert("status".to_owned(), status.into());
        shown.insert("secrets".to_owned(), secrets.into());
    }
    shown
}
