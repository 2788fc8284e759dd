//! The keys of the store, and the tokens for the admin listener: made, rotated and ended by the commands and by the admin listener, in whichever process, and read
//! by the gateway. Keys are documents; what was changed last has a mark beside them, so that looking for changes is cheap.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::operators::{StoredToken, TokenRecord};
use super::record::{KeyRecord, RecordHash, Stored};
use super::token::NewKey;
use super::wish::{self, Wish};
use super::{Keys, Pepper, token};
use crate::config::{Config, PepperConfig, Role};
use crate::ledger::Opener;
use crate::store::{Batch, Document, Store, StoreError};

/// The documents' kind.
const KIND: &str = "key";
/// The documents' kind of tokens for the admin listener.
const TOKEN: &str = "admin-token";
/// The mark of the last change: kind and id.
const MARK: (&str, &str) = ("key-change", "last");
/// Of one key, at one time. Each is one more that can be stolen.
const MOST_SECRETS: usize = 4;
/// With those whose time is over, so that who still has one hears what became of it.
const KNOWN_SECRETS: usize = 16;
/// Documents without an end are there at any time.
const ANY_TIME: u64 = 0;

/// Keys in a store.
pub struct Vault {
    open: Opener,
    reader: Opener,
    /// Held while a key is read and written again, so that of two changes at once none is lost.
    lock: PathBuf,
    seen: Mutex<Seen>,
}

/// What was seen of the store last.
#[derive(Default)]
struct Seen {
    store: Option<Box<dyn Store>>,
    mark: Option<Option<Vec<u8>>>,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// There is no such key in the store.
    #[error("there is no key `{0}` in the store")]
    Unknown(String),
    /// It cannot be done, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The store, or the machine.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Vault")
    }
}

impl Vault {
    /// The keys of a store that these open, in a folder where this file can be.
    pub fn new(open: Opener, reader: Opener, lock: PathBuf) -> Self {
        Self {
            open,
            reader,
            lock,
            seen: Mutex::default(),
        }
    }

    /// All keys, those that have ended, too.
    pub fn list(&self) -> Result<Vec<Stored>, VaultError> {
        Ok(read(&*(self.reader)()?)?)
    }

    /// Makes a key. Its text is nowhere else.
    pub fn create(&self, wish: Wish, config: &Config, now_ms: u64) -> Result<NewKey, VaultError> {
        wish.check(config, now_ms).map_err(VaultError::Refused)?;
        let key = NewKey::make().map_err(VaultError::Failed)?;
        let hash = hash(&key, &config.keys.pepper)?;
        let record = wish.record(hash, now_ms);
        self.change(|store| match store.document(KIND, key.id(), ANY_TIME)? {
            Some(_) => Err(VaultError::Failed(format!("the id {} is taken; try again", key.id()))),
            None => key_document(&record),
        })?;
        Ok(key)
    }

    /// Makes another secret for a key. Those that there are go on for so long.
    pub fn rotate(
        &self,
        id: &str,
        overlap: Duration,
        pepper: &PepperConfig,
        now_ms: u64,
    ) -> Result<NewKey, VaultError> {
        self.change_one(id, |mut record| {
            if record.revoked_ms.is_some() || record.expires_ms.is_some_and(|end| end <= now_ms) {
                let message = format!("the key `{id}` has ended; make a new one");
                return Err(VaultError::Refused(message));
            }
            let until = now_ms.saturating_add(u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX));
            for hash in &mut record.hashes {
                hash.not_after_ms = Some(hash.not_after_ms.map_or(until, |end| end.min(until)));
            }
            let is_live = |hash: &&RecordHash| hash.not_after_ms.is_none_or(|end| end > now_ms);
            let live = record.hashes.iter().filter(is_live).count();
            if live >= MOST_SECRETS {
                let message = format!(
                    "the key `{id}` has {live} secrets that would still be accepted; rotate it with a shorter overlap, which \
                     holds for them, too"
                );
                return Err(VaultError::Refused(message));
            }
            let too_many = record.hashes.len().saturating_sub(KNOWN_SECRETS - 1);
            record.hashes.drain(..too_many);
            let key = NewKey::with_id(id).map_err(VaultError::Failed)?;
            record.hashes.push(hash(&key, pepper)?);
            Ok((record, key))
        })
    }

    /// Sets when a key ends, as people write it, or that it does not. One whose time is over is good again; one that was ended
    /// by somebody stays ended.
    pub fn expire(&self, id: &str, expires: Option<&str>, now_ms: u64) -> Result<Option<u64>, VaultError> {
        let end = expires.map(|text| wish::end(text, now_ms)).transpose();
        let expires_ms = end.map_err(VaultError::Refused)?;
        self.change_one(id, |record| {
            if record.revoked_ms.is_some() {
                let message = format!("the key `{id}` has been revoked, and stays so; make a new one");
                return Err(VaultError::Refused(message));
            }
            Ok((KeyRecord { expires_ms, ..record }, expires_ms))
        })
    }

    /// Ends a key at once; returns since when it has ended.
    pub fn revoke(&self, id: &str, now_ms: u64) -> Result<u64, VaultError> {
        self.change_one(id, |mut record| {
            let since = *record.revoked_ms.get_or_insert(now_ms);
            Ok((record, since))
        })
    }

    /// All tokens for the admin listener.
    pub fn tokens(&self) -> Result<Vec<StoredToken>, VaultError> {
        Ok(read_tokens(&*(self.reader)()?)?)
    }

    /// Makes a token for the admin listener. Its text is nowhere else.
    pub fn create_token(
        &self,
        name: &str,
        role: Role,
        pepper: &PepperConfig,
        now_ms: u64,
    ) -> Result<NewKey, VaultError> {
        let is_name = (1..=200).contains(&name.len()) && !name.chars().any(char::is_control);
        if !is_name {
            return Err(VaultError::Refused("a token needs a name of 1 to 200 bytes".to_owned()));
        }
        let token = NewKey::make_admin().map_err(VaultError::Failed)?;
        let record = TokenRecord {
            id: token.id().to_owned(),
            name: name.to_owned(),
            role,
            hash: hash(&token, pepper)?.hash,
            created_ms: now_ms,
        };
        let json = serde_json::to_vec(&record).map_err(|error| VaultError::Failed(error.to_string()))?;
        self.change(|_| Ok(document(TOKEN, &record.id, Some(json))))?;
        Ok(token)
    }

    /// Ends a token for the admin listener; gives what it was.
    pub fn remove_token(&self, id: &str) -> Result<StoredToken, VaultError> {
        let mut found = None;
        self.change(|store| {
            let json = store.document(TOKEN, id, ANY_TIME)?;
            let json =
                json.ok_or_else(|| VaultError::Refused(format!("there is no admin token `{id}` in the store")))?;
            found = Some(read_token(id, &json));
            Ok(document(TOKEN, id, None))
        })?;
        found.ok_or_else(|| VaultError::Failed("nothing was changed".to_owned()))
    }

    /// Makes the store where there is none, and puts its keys in force: at the start, since nothing may be served without them.
    pub fn begin(&self, keys: &Keys) -> Result<(), VaultError> {
        drop((self.open)()?);
        self.refresh(keys)
    }

    /// Puts the keys of the store in force, if they are others than those that were seen last.
    pub fn refresh(&self, keys: &Keys) -> Result<(), VaultError> {
        // Held to the end, so that no older keys follow newer ones.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.look(&mut seen, keys);
        if outcome.is_err() {
            seen.store = None;
        }
        outcome
    }

    fn look(&self, seen: &mut Seen, keys: &Keys) -> Result<(), VaultError> {
        let store = match &mut seen.store {
            Some(store) => store,
            none => none.insert((self.reader)()?),
        };
        // Read before the keys, so that what changes meanwhile is seen the next time.
        let mark = store.document(MARK.0, MARK.1, ANY_TIME)?;
        if seen.mark.as_ref() != Some(&mark) {
            // Tokens first: whoever sees that there is a key must need a token already.
            keys.put_stored_tokens(read_tokens(&**store)?);
            keys.put_stored(read(&**store)?);
            seen.mark = Some(mark);
        }
        Ok(())
    }

    fn change_one<T>(
        &self,
        id: &str,
        change: impl FnOnce(KeyRecord) -> Result<(KeyRecord, T), VaultError>,
    ) -> Result<T, VaultError> {
        let mut outcome = None;
        self.change(|store| {
            let document = store.document(KIND, id, ANY_TIME)?;
            let document = document.ok_or_else(|| VaultError::Unknown(id.to_owned()))?;
            match Stored::read(id, &document) {
                Stored::Key(record) => {
                    let (record, value) = change(*record)?;
                    outcome = Some(value);
                    key_document(&record)
                }
                Stored::Unreadable { reason, .. } => {
                    let message = format!("the key `{id}` cannot be read by this version, and is refused: {reason}");
                    Err(VaultError::Refused(message))
                }
            }
        })?;
        outcome.ok_or_else(|| VaultError::Failed("nothing was changed".to_owned()))
    }

    /// Writes the document that is made of what the store has.
    fn change(&self, make: impl FnOnce(&dyn Store) -> Result<Document, VaultError>) -> Result<(), VaultError> {
        let failed = |error: std::io::Error| VaultError::Failed(format!("{}: {error}", self.lock.display()));
        let mut store = (self.open)()?;
        let lock = File::create(&self.lock).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let made = make(&*store)?;
        let mark = token::mark().map_err(VaultError::Failed)?;
        store.commit(&Batch {
            documents: vec![made, document(MARK.0, MARK.1, Some(mark.into_bytes()))],
            ..Batch::default()
        })?;
        Ok(())
    }
}

fn document(kind: &'static str, id: &str, content: Option<Vec<u8>>) -> Document {
    Document {
        kind,
        id: id.to_owned(),
        content: content.map(Into::into),
        expires_ms: None,
    }
}

fn key_document(record: &KeyRecord) -> Result<Document, VaultError> {
    let json = serde_json::to_vec(record).map_err(|error| VaultError::Failed(error.to_string()))?;
    Ok(document(KIND, &record.id, Some(json)))
}

fn read_tokens(store: &dyn Store) -> Result<Vec<StoredToken>, StoreError> {
    let documents = store.documents(TOKEN, ANY_TIME)?;
    Ok(documents.iter().map(|(id, json)| read_token(id, json)).collect())
}

fn read_token(id: &str, json: &[u8]) -> StoredToken {
    let record = serde_json::from_slice::<TokenRecord>(json).ok();
    (
        id.to_owned(),
        record.filter(|record| record.id == id && record.hash.id == id),
    )
}

fn read(store: &dyn Store) -> Result<Vec<Stored>, StoreError> {
    let documents = store.documents(KIND, ANY_TIME)?;
    let stored = documents.iter().map(|(id, json)| Stored::read(id, json));
    Ok(stored.collect())
}

fn hash(key: &NewKey, pepper: &PepperConfig) -> Result<RecordHash, VaultError> {
    let pepper = Pepper::find_or_make(pepper).map_err(VaultError::Failed)?;
    Ok(RecordHash {
        hash: pepper.hash(&key.presented()),
        not_after_ms: None,
    })
}
