//! A key that was made at run time, as the store keeps it: JSON whose missing members are as if nobody had set them. What
//! this version does not understand is refused rather than left out: it may be a restriction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Period, Zone};
use crate::config::{Allowance, KeyHash, RateLimits};
use crate::money::Nanodollars;

/// A key of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Public.
    pub id: String,
    /// For people; need not be unique.
    pub name: String,
    /// More than one while a rotation overlaps.
    pub hashes: Vec<RecordHash>,
    /// In milliseconds since 1970, like all times here.
    pub created_ms: u64,
    /// When its time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When somebody ended it. It is kept, so that nobody gets its id again and everybody sees what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// The name of its team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What it may spend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<RecordBudget>,
    /// At which pace.
    #[serde(default, skip_serializing_if = "RateLimits::is_empty")]
    pub limits: RateLimits,
    /// Patterns; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Patterns; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// What models must be tagged with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// For whoever reads the ledger.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A hash, and until when it is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHash {
    /// Of one secret.
    pub hash: KeyHash,
    /// For good where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_ms: Option<u64>,
}

/// A budget in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RecordBudget(pub Budget);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    limit_nanousd: u64,
    period: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    hard: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warn_percent: Vec<u8>,
}

impl From<RecordBudget> for Written {
    fn from(RecordBudget(budget): RecordBudget) -> Self {
        let is_usual = budget.zone == Zone::default();
        Self {
            limit_nanousd: budget.limit.0,
            period: budget.period.name().to_owned(),
            zone: (!is_usual).then(|| budget.zone.name().to_owned()),
            hard: budget.is_hard,
            warn_percent: budget.warn,
        }
    }
}

impl TryFrom<Written> for RecordBudget {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let period = Period::named(&written.period).ok_or_else(|| format!("no period `{}`", written.period))?;
        let zone = written.zone.as_deref().map(Zone::named).transpose()?;
        Ok(Self(Budget {
            limit: Nanodollars(written.limit_nanousd),
            period,
            zone: zone.unwrap_or_default(),
            is_hard: written.hard,
            warn: written.warn_percent,
        }))
    }
}

impl KeyRecord {
    /// What it may.
    pub fn allowance(&self) -> Allowance {
        Allowance {
            budgets: self.budgets.iter().map(|RecordBudget(budget)| budget.clone()).collect(),
            limits: self.limits,
            routes: self.routes.clone(),
            models: self.models.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// What the store has under a key's id.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A key.
    Key(Box<KeyRecord>),
    /// Something that this version cannot read; nobody can call with it.
    Unreadable {
        /// The key's.
        id: String,
        /// In words, without what it holds.
        reason: String,
    },
}

impl Stored {
    /// Reads a document.
    pub fn read(id: &str, json: &[u8]) -> Self {
        match serde_json::from_slice::<KeyRecord>(json) {
            Ok(record) if record.id == id => Self::Key(Box::new(record)),
            Ok(_) => Self::unreadable(id, "it belongs to another id"),
            Err(error) => Self::unreadable(id, error),
        }
    }

    fn unreadable(id: &str, reason: impl ToString) -> Self {
        Self::Unreadable {
            id: id.to_owned(),
            reason: reason.to_string(),
        }
    }
}
