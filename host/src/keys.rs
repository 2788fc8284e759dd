//! Who may call: virtual keys, their teams and organisations, and what each of them may use. Keys are declared in the
//! configuration or made at run time; of neither more is kept than a hash. What a caller's money is held to is declared
//! here and enforced by the ledger.

mod caller;
mod keyring;
mod limits;
mod pepper;
mod record;
mod token;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::config::KeysConfig;
pub use caller::Caller;
pub use keyring::{Denied, Keyring};
pub use limits::Admission;
pub use pepper::Pepper;
pub use record::{KeyRecord, RecordBudget, RecordHash, Stored};
pub use token::{Malformed, NewKey, PREFIX, Presented};

/// The keys in force: one value that is swapped whole.
#[derive(Debug, Default)]
pub struct Keys {
    ring: ArcSwap<Keyring>,
    registry: limits::Registry,
    sources: Mutex<Sources>,
}

/// What the keyring is made of. No request looks at it.
#[derive(Debug, Default)]
struct Sources {
    config: Option<KeysConfig>,
    stored: Vec<Stored>,
    /// So that nothing is said again at every change of something else.
    warned: Vec<String>,
}

impl Keys {
    /// The keys in force now.
    pub fn ring(&self) -> Arc<Keyring> {
        self.ring.load_full()
    }

    /// Puts those of a configuration in force, beside those of the store.
    pub fn declare(&self, config: &KeysConfig) {
        self.change(|sources| sources.config = Some(config.clone()));
    }

    /// Puts those of the store in force, beside those of the configuration.
    pub fn put_stored(&self, stored: Vec<Stored>) {
        self.change(|sources| sources.stored = stored);
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let Some(config) = &sources.config else { return };
        let (ring, warnings) = Keyring::of(config, &sources.stored, &self.registry);
        self.ring.store(Arc::new(ring));
        self.registry.sweep();
        for warning in warnings.iter().filter(|warning| !sources.warned.contains(warning)) {
            tracing::warn!("{warning}");
        }
        sources.warned = warnings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    const PEPPER: &str = "a pepper of the tests";

    fn config(text: &str) -> KeysConfig {
        let text = format!("[server]\npepper = \"{PEPPER}\"\n{text}");
        Source { path: None, text }.load().unwrap().keys
    }

    fn find(keys: &Keys, key: &NewKey, now_ms: u64) -> Result<Arc<Caller>, Denied> {
        keys.ring().find(&key.presented(), now_ms)
    }

    fn record(key: &NewKey, pepper: &Pepper) -> KeyRecord {
        KeyRecord {
            id: pepper.hash(&key.presented()).id,
            name: "one".to_owned(),
            hashes: vec![RecordHash {
                hash: pepper.hash(&key.presented()),
                not_after_ms: None,
            }],
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
            team: None,
            budgets: Vec::new(),
            limits: Default::default(),
            routes: None,
            models: None,
            tags: Vec::new(),
            metadata: Default::default(),
        }
    }

    #[test]
    fn keys_are_required_once_there_is_one() {
        let keys = Keys::default();
        keys.declare(&config(""));
        assert!(!keys.ring().is_required());
        let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
        let key = NewKey::make().unwrap();
        let hash = pepper.hash(&key.presented()).to_text();
        let declared = format!(
            "[keys.ci]\nhash = \"{hash}\"\nteam = \"t\"\nexpires = 1970-01-01T00:00:10Z\nmetadata = {{ a = \"key\" }}\n\
             budget = {{ limit_usd = 1, period = \"day\" }}\n\
             [teams.t]\norganisation = \"o\"\nmetadata = {{ a = \"team\", b = \"team\" }}\n\
             [organisations.o]\nbudget = {{ limit_usd = 9, period = \"month\" }}\n"
        );
        keys.declare(&config(&declared));
        assert!(keys.ring().is_required());
        let caller = find(&keys, &key, 9_999).unwrap();
        let seen = (&*caller.id, caller.team.as_deref(), caller.organisation.as_deref());
        assert_eq!(seen, ("ci", Some("t"), Some("o")));
        let scopes: Vec<String> = caller.budgets.iter().map(|budget| budget.scope.to_string()).collect();
        assert_eq!(scopes, ["key:ci", "organisation:o"]);
        assert_eq!(caller.metadata.as_deref(), Some(r#"{"a":"key","b":"team"}"#));
        assert_eq!(find(&keys, &key, 10_000).unwrap_err(), Denied::Expired);
        assert_eq!(find(&keys, &NewKey::make().unwrap(), 0).unwrap_err(), Denied::Unknown);
    }

    #[test]
    fn only_who_shows_the_secret_hears_what_became_of_a_key() {
        let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
        let old = NewKey::make().unwrap();
        let mut record = record(&old, &pepper);
        let new = NewKey::with_id(&record.id).unwrap();
        record.hashes[0].not_after_ms = Some(50);
        record.hashes.push(RecordHash {
            hash: pepper.hash(&new.presented()),
            not_after_ms: None,
        });
        let keys = Keys::default();
        keys.declare(&config(""));
        let put = |record: &KeyRecord| keys.put_stored(vec![Stored::Key(Box::new(record.clone()))]);
        put(&record);
        assert!(find(&keys, &old, 49).is_ok() && find(&keys, &new, 49).is_ok());
        assert_eq!(find(&keys, &old, 50).unwrap_err(), Denied::Rotated);
        assert!(find(&keys, &new, 50).is_ok());
        record.revoked_ms = Some(40);
        put(&record);
        assert_eq!(find(&keys, &new, 50).unwrap_err(), Denied::Revoked);
        let guessed = NewKey::with_id(&record.id).unwrap();
        assert_eq!(find(&keys, &guessed, 50).unwrap_err(), Denied::Unknown);
        record.team = Some("gone".to_owned());
        record.revoked_ms = None;
        put(&record);
        assert!(matches!(find(&keys, &new, 50).unwrap_err(), Denied::Unusable(reason) if reason.contains("`gone`")));
    }

    #[test]
    fn a_record_survives_the_store_and_one_that_says_more_than_this_version_knows_is_refused() {
        let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
        let mut record = record(&NewKey::make().unwrap(), &pepper);
        let budgets =
            "[teams.t]\nbudget = { limit_usd = 2.5, period = \"week\", zone = \"Europe/Berlin\", hard = false }\n";
        let budgets = config(budgets).teams["t"].allowance.budgets.clone();
        record.budgets = budgets.into_iter().map(RecordBudget).collect();
        record.routes = Some(Vec::new());
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            Stored::read(&record.id, text.as_bytes()),
            Stored::Key(Box::new(record.clone()))
        );
        let newer = text.replacen('{', "{\"only_on_sundays\":true,", 1);
        for (id, json) in [(&*record.id, &*newer), ("another", &text), (&record.id, "{}")] {
            assert!(
                matches!(Stored::read(id, json.as_bytes()), Stored::Unreadable { .. }),
                "{json}"
            );
        }
    }
}
