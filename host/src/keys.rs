//! Who may call: virtual keys, their teams and organisations, and what each of them may use. Keys are declared in the
//! configuration or made at run time; of neither more is kept than a hash. What a caller's money is held to is declared
//! here and enforced by the ledger.

mod caller;
mod keyring;
mod limits;
mod operators;
mod pepper;
mod record;
#[cfg(test)]
mod timing;
mod token;
mod vault;
mod wish;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::{KeysConfig, TokenConfig};
pub use caller::Caller;
pub use keyring::{Denied, Keyring, declared};
pub use limits::Admission;
pub use operators::{Operator, Operators, StoredToken, TokenRecord};
pub use pepper::Pepper;
pub use record::{KeyRecord, RecordBudget, RecordHash, Stored};
pub use token::{Malformed, NewKey, PREFIX, Presented};
pub use vault::{Vault, VaultError};
pub use wish::{Wish, WishedBudget, listed};

/// The keys in force: one value that is swapped whole.
#[derive(Debug, Default)]
pub struct Keys {
    ring: ArcSwap<Keyring>,
    operators: ArcSwap<Operators>,
    registry: limits::Registry,
    sources: Mutex<Sources>,
}

/// What the keyring is made of. No request looks at it.
#[derive(Debug, Default)]
struct Sources {
    config: Option<KeysConfig>,
    /// `None` until they were read.
    stored: Option<Vec<Stored>>,
    declared_tokens: BTreeMap<String, TokenConfig>,
    stored_tokens: Vec<StoredToken>,
    /// So that nothing is said again at every change of something else.
    warned: Vec<String>,
}

impl Keys {
    /// The keys in force now.
    pub fn ring(&self) -> Arc<Keyring> {
        self.ring.load_full()
    }

    /// Who may use the admin listener now.
    pub fn operators(&self) -> Arc<Operators> {
        self.operators.load_full()
    }

    /// Puts the tokens of a configuration in force; the keys of the same configuration follow.
    pub fn declare_tokens(&self, tokens: &BTreeMap<String, TokenConfig>) {
        self.change(|sources| sources.declared_tokens.clone_from(tokens));
    }

    /// Puts the tokens of the store in force.
    pub fn put_stored_tokens(&self, tokens: Vec<StoredToken>) {
        self.change(|sources| sources.stored_tokens = tokens);
    }

    /// Puts those of a configuration in force, beside those of the store.
    pub fn declare(&self, config: &KeysConfig) {
        self.change(|sources| sources.config = Some(config.clone()));
    }

    /// Puts those of the store in force, beside those of the configuration. What has changed is told, whoever changed it.
    pub fn put_stored(&self, stored: Vec<Stored>) {
        self.change(|sources| {
            let before = sources.stored.replace(stored);
            let after = sources.stored.iter().flatten();
            // At the start all that there is was there before.
            if let Some(before) = before {
                after.for_each(|stored| tell(&before, stored));
            }
        });
    }

    /// Follows what other processes change in the store, on a thread of its own, for as long as the process lives.
    pub fn follow(self: &Arc<Self>, vault: Arc<Vault>) -> std::io::Result<()> {
        let keys = self.clone();
        let thread = std::thread::Builder::new().name("pointsman-keys".to_owned());
        let follow = move || {
            let mut has_failed = false;
            loop {
                std::thread::sleep(LOOK);
                match vault.refresh(&keys) {
                    Err(error) if !has_failed => {
                        tracing::error!(%error, "the keys of the store cannot be read; those in force stay");
                        has_failed = true;
                    }
                    Ok(()) if has_failed => {
                        tracing::info!("the keys of the store can be read again");
                        has_failed = false;
                    }
                    _ => {}
                }
            }
        };
        thread.spawn(follow).map(drop)
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let Some(config) = &sources.config else { return };
        let stored = sources.stored.as_deref().unwrap_or_default();
        let (ring, mut warnings) = Keyring::of(config, stored, &self.registry);
        self.ring.store(Arc::new(ring));
        let tokens = (&sources.declared_tokens, &*sources.stored_tokens);
        let (operators, odd) = Operators::of(&config.pepper, tokens.0, tokens.1);
        self.operators.store(Arc::new(operators));
        warnings.extend(odd);
        self.registry.sweep();
        for warning in warnings.iter().filter(|warning| !sources.warned.contains(warning)) {
            tracing::warn!("{warning}");
        }
        sources.warned = warnings;
    }
}

/// How often the store is looked at. A key that was revoked by another process is in force for no longer.
const LOOK: Duration = Duration::from_millis(250);

/// A line for whoever wants to know who changed what: the gateway's, whichever process made the change.
fn tell(before: &[Stored], stored: &Stored) {
    let Stored::Key(key) = stored else { return };
    let known = before.iter().find_map(|stored| match stored {
        Stored::Key(known) if known.id == key.id => Some(known),
        _ => None,
    });
    let is_revoked = |key: &KeyRecord| key.revoked_ms.is_some();
    let changes = [
        ("made", known.is_none()),
        ("rotated", known.is_some_and(|known| known.hashes != key.hashes)),
        (
            "given another end",
            known.is_some_and(|known| known.expires_ms != key.expires_ms),
        ),
        (
            "revoked",
            is_revoked(key) && !known.is_some_and(|known| is_revoked(known)),
        ),
    ];
    for (change, _) in changes.into_iter().filter(|(_, has_happened)| *has_happened) {
        tracing::info!(
            audit = true,
            key = key.id,
            name = key.name,
            team = key.team,
            "a key was {change}"
        );
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
