//! All keys at one time: an immutable value that is made anew when the configuration or the store changes. Looking up a key
//! takes no lock.

use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::caller::Caller;
use super::limits::Registry;
use super::pepper::Pepper;
use super::record::{KeyRecord, Stored};
use super::token::Presented;
use crate::budget::Scope;
use crate::config::{Allowance, KeyHash, KeysConfig};

/// All keys.
#[derive(Debug)]
pub struct Keyring {
    pepper: Option<Pepper>,
    /// By the id in the key's text.
    entries: HashMap<String, Entry>,
    anonymous: Arc<Caller>,
    /// In the configuration, and in the store.
    counts: (usize, usize),
}

#[derive(Debug)]
struct Entry {
    hashes: Vec<Accepted>,
    expires_ms: Option<u64>,
    is_revoked: bool,
    /// Or why nobody can call with it.
    caller: Result<Arc<Caller>, String>,
}

#[derive(Debug)]
struct Accepted {
    hash: KeyHash,
    not_after_ms: Option<u64>,
}

/// Why a key is not accepted. Whoever is told more than `Unknown` has shown the key's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// No such key, or not this secret of it.
    Unknown,
    /// The key was rotated, and this secret's time is over.
    Rotated,
    /// Its time is over.
    Expired,
    /// Somebody has ended it.
    Revoked,
    /// What it belongs to is gone.
    Unusable(String),
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            pepper: None,
            entries: HashMap::new(),
            anonymous: Arc::new(Caller::anonymous()),
            counts: (0, 0),
        }
    }
}

impl Keyring {
    /// Puts all keys together, and says what is odd about them.
    pub(super) fn of(config: &KeysConfig, stored: &[Stored], registry: &Registry) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let found = Pepper::find(&config.pepper);
        let pepper = found.unwrap_or_else(|reason| {
            warnings.push(format!("no key can be known: {reason}"));
            None
        });
        let mut ring = Self {
            pepper,
            counts: (config.declared.len(), stored.len()),
            ..Self::default()
        };
        let making = Making { config, registry };
        for stored in stored {
            match stored {
                Stored::Key(record) => ring.put_record(&making, record, &mut warnings),
                Stored::Unreadable { id, reason } => {
                    warnings.push(format!("the key {id} cannot be read and is refused: {reason}"));
                }
            }
        }
        ring.put_declared(&making, &mut warnings);
        (ring, warnings)
    }

    fn put_declared(&mut self, making: &Making<'_>, warnings: &mut Vec<String>) {
        for (name, key) in &making.config.declared {
            let caller = making.caller(name.as_str().into(), name, key.team.as_deref(), &key.allowance);
            for hash in &key.hashes {
                self.check_pepper(hash, &format!("[keys.{name}]"), warnings);
                let entry = Entry {
                    hashes: vec![Accepted {
                        hash: hash.clone(),
                        not_after_ms: None,
                    }],
                    expires_ms: key.expires_ms,
                    is_revoked: false,
                    caller: caller.clone(),
                };
                self.entries.insert(hash.id.clone(), entry);
            }
        }
    }

    fn put_record(&mut self, making: &Making<'_>, record: &KeyRecord, warnings: &mut Vec<String>) {
        let (id, whose) = (&record.id, format!("the key {}", record.id));
        let caller = making.caller(
            id.as_str().into(),
            &record.name,
            record.team.as_deref(),
            &record.allowance(),
        );
        if let Err(reason) = &caller {
            warnings.push(format!("{whose} is refused: {reason}"));
        }
        let hashes = record.hashes.iter().map(|hash| Accepted {
            hash: hash.hash.clone(),
            not_after_ms: hash.not_after_ms,
        });
        let entry = Entry {
            hashes: hashes.collect(),
            expires_ms: record.expires_ms,
            is_revoked: record.revoked_ms.is_some(),
            caller,
        };
        for accepted in &entry.hashes {
            self.check_pepper(&accepted.hash, &whose, warnings);
        }
        self.entries.insert(id.clone(), entry);
    }

    fn check_pepper(&self, hash: &KeyHash, whose: &str, warnings: &mut Vec<String>) {
        if self.pepper.as_ref().is_none_or(|pepper| !pepper.made(hash)) {
            warnings.push(format!(
                "{whose}: its hash was made with another pepper than the gateway's, so that no key fits it"
            ));
        }
    }

    /// Whether requests need a key.
    pub fn is_required(&self) -> bool {
        self.counts != (0, 0)
    }

    /// How many keys there are in the configuration, and in the store.
    pub fn counts(&self) -> (usize, usize) {
        self.counts
    }

    /// Who calls where no key is required.
    pub fn anonymous(&self) -> &Arc<Caller> {
        &self.anonymous
    }

    /// Whose key this is. A key that is not there takes as long as one that is.
    pub fn find(&self, key: &Presented<'_>, now_ms: u64) -> Result<Arc<Caller>, Denied> {
        let pepper = self.pepper.as_ref().ok_or(Denied::Unknown)?;
        let digest = pepper.digest(key.text);
        let entry = self.entries.get(key.id);
        let nobody = [];
        let hashes = entry.map_or(&nobody[..], |entry| &entry.hashes);
        let is_it = |accepted: &&Accepted| bool::from(accepted.hash.digest.ct_eq(&digest));
        let (Some(entry), Some(accepted)) = (entry, hashes.iter().find(is_it)) else {
            return Err(Denied::Unknown);
        };
        let is_over = |end: Option<u64>| end.is_some_and(|end| end <= now_ms);
        match entry {
            _ if entry.is_revoked => Err(Denied::Revoked),
            _ if is_over(entry.expires_ms) => Err(Denied::Expired),
            _ if is_over(accepted.not_after_ms) => Err(Denied::Rotated),
            _ => entry.caller.clone().map_err(Denied::Unusable),
        }
    }
}

/// The caller that a declared key stands for, for whoever asks what it may.
pub fn declared(config: &KeysConfig, name: &str) -> Option<Arc<Caller>> {
    let key = config.declared.get(name)?;
    let registry = &Registry::default();
    let caller = Making { config, registry }.caller(name.into(), name, key.team.as_deref(), &key.allowance);
    caller.ok()
}

/// What callers are made of.
struct Making<'a> {
    config: &'a KeysConfig,
    registry: &'a Registry,
}

impl Making<'_> {
    fn caller(
        &self,
        id: Arc<str>,
        name: &str,
        team: Option<&str>,
        allowance: &Allowance,
    ) -> Result<Arc<Caller>, String> {
        let mut caller = Caller::new(id.clone(), name);
        caller.hold_to(&Scope::Key(id), allowance, self.registry);
        let Some(team) = team else {
            return Ok(Arc::new(caller));
        };
        let gone = |kind, name: &str| format!("its {kind} `{name}` is not in the configuration");
        let config = self.config.teams.get(team).ok_or_else(|| gone("team", team))?;
        let team: Arc<str> = team.into();
        caller.hold_to(&Scope::Team(team.clone()), &config.allowance, self.registry);
        caller.team = Some(team);
        if let Some(name) = &config.organisation {
            let allowance = self.config.organisations.get(name);
            let allowance = allowance.ok_or_else(|| gone("organisation", name))?;
            let organisation: Arc<str> = name.as_str().into();
            caller.hold_to(&Scope::Organisation(organisation.clone()), allowance, self.registry);
            caller.organisation = Some(organisation);
        }
        Ok(Arc::new(caller))
    }
}
