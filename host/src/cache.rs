//! Answers to requests that came before: kept by an exact key for a while, in bounded room, the least recently used gone
//! first; behind them in the store, with room of their own, so that they outlive the process. Of equal requests at one time one
//! is answered and the others wait for that answer.
//!
//! What makes requests equal, and which answers may be kept, is the pipeline's to say; here a key is a digest and an answer
//! is bytes. Nothing is kept that nobody handed over whole.

mod flight;
mod kept;
mod shelf;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
pub use flight::Lead;
use flight::State;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shelf::{Looked, Shelf};

use crate::documents::Documents;
use crate::money::{Nanodollars, Usage};
use crate::store::StoreError;
use crate::telemetry::CacheMeter;

/// What requests with the same answer have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// A digest over all parts, each told from its neighbours by its length.
    pub fn of(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        Self(digest.finalize().into())
    }
}

impl fmt::Display for Key {
    /// All of it, in hexadecimal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it goes out again: JSON, or all events of a stream with the closing one.
    pub body: Bytes,
    /// Who gave it.
    pub model: String,
    /// See `model`.
    pub provider: String,
    /// What it cost, and what serving it again saves.
    pub cost: Option<Nanodollars>,
    /// What it used, as far as its provider said.
    pub usage: Option<Usage>,
    /// Milliseconds since 1970.
    pub stored_ms: u64,
}

/// What an entry takes beside its texts, roughly.
const ENTRY_BYTES: u64 = 300;

impl Entry {
    /// How long ago it was given.
    pub fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.stored_ms))
    }

    fn bytes(&self) -> u64 {
        (self.body.len() + self.model.len() + self.provider.len()) as u64 + ENTRY_BYTES
    }
}

/// What came of looking for an answer.
#[derive(Debug)]
pub enum Found {
    /// It is there.
    Hit(Arc<Entry>),
    /// It is not, and whoever holds this gets it for all who ask for it meanwhile.
    Lead(Lead),
    /// It is not, and nobody waits for it: it cannot be kept, or others have failed to get it often enough.
    Alone,
}

/// How many others a request waits for, one after the other, before it asks the provider itself.
const LEADS: usize = 3;

/// How much room answers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In memory.
    pub memory_bytes: u64,
    /// In the store.
    pub disk_bytes: u64,
}

/// All answers that are kept.
#[derive(Debug)]
pub struct Cache {
    shelf: Mutex<Shelf>,
    documents: Documents,
    meter: CacheMeter,
}

impl Cache {
    /// An empty one.
    pub fn new(meter: CacheMeter, documents: Documents) -> Arc<Self> {
        Arc::new(Self {
            shelf: Mutex::default(),
            documents,
            meter,
        })
    }

    /// Counts what happens.
    pub fn meter(&self) -> &CacheMeter {
        &self.meter
    }

    /// Looks for an answer that is no older than this and that the asker may have. Waits where somebody is getting it.
    pub async fn find(
        self: &Arc<Self>,
        key: Key,
        ttl: Duration,
        room: Room,
        may_have: impl Fn(&Entry) -> bool,
    ) -> Found {
        for _ in 0..LEADS {
            let mut state = match self.look(key, ttl, &may_have) {
                Looked::Hit(entry) => return Found::Hit(entry),
                Looked::Lead(flight, epoch) => {
                    let lead = Lead::new(self.clone(), key, flight, epoch, true);
                    return match self.kept(key, ttl, room).await.filter(|entry| may_have(entry)) {
                        Some(entry) => Found::Hit(lead.found(entry, ttl, room)),
                        None => Found::Lead(lead),
                    };
                }
                Looked::Wait(state) => state,
            };
            // An error says that whoever was getting it is gone without it.
            if let Ok(ended) = state.wait_for(|state| !matches!(state, State::UnderWay)).await {
                return match &*ended {
                    State::Landed(entry) if may_have(entry) => Found::Hit(entry.clone()),
                    _ => Found::Alone,
                };
            }
        }
        Found::Alone
    }

    fn look(&self, key: Key, ttl: Duration, may_have: &impl Fn(&Entry) -> bool) -> Looked {
        let mut shelf = self.shelf();
        let looked = shelf.look(key, ttl, now_ms(), may_have);
        self.count(&shelf, 0);
        looked
    }

    /// An answer in the store that is not too old. Where the store cannot say, there is none.
    async fn kept(&self, key: Key, ttl: Duration, room: Room) -> Option<Entry> {
        if room.disk_bytes == 0 {
            return None;
        }
        let read = self.documents.read(kept::KIND, key.to_string(), now_ms()).await;
        let content = read.inspect_err(|error| tracing::warn!(%error, "the kept answers cannot be read"));
        kept::read(&content.ok()??).filter(|entry| shelf::is_fresh(entry, ttl, now_ms()))
    }

    /// Gets an answer anew, whatever is there. Nobody waits for it.
    pub fn refresh(self: &Arc<Self>, key: Key) -> Lead {
        let epoch = self.shelf().epoch();
        let (flight, _) = tokio::sync::watch::channel(State::UnderWay);
        Lead::new(self.clone(), key, flight, epoch, false)
    }

    /// Throws everything away, and what is being got at this moment is not kept either. Returns how many answers there were:
    /// in the store, or in memory where that has more.
    pub async fn clear(&self) -> Result<u64, StoreError> {
        let (count, emptied) = {
            let mut shelf = self.shelf();
            let count = shelf.clear() as u64;
            self.count(&shelf, 0);
            // Said while nobody can keep anything: what is kept after this is of the next epoch.
            (count, self.documents.empty(kept::KIND))
        };
        Ok(count.max(emptied.await?))
    }

    /// Answers have so much room from now on.
    pub fn bound(&self, room: Room) {
        self.documents.bound(kept::KIND, room.disk_bytes);
        let mut shelf = self.shelf();
        let evicted = shelf.shrink(room.memory_bytes);
        self.count(&shelf, evicted);
    }

    /// Figures for operators.
    pub fn shown(&self) -> Value {
        let shelf = self.shelf();
        json!({
            "entries": shelf.entries(),
            "bytes": shelf.bytes(),
            "hits": self.meter.hits(),
            "misses": self.meter.misses(),
            "bypasses": self.meter.bypasses(),
            "evictions": self.meter.evictions(),
            "saved_usd": self.meter.saved().to_string(),
        })
    }

    fn keep(&self, key: Key, entry: &Arc<Entry>, ttl: Duration, epoch: u64, room: Room) {
        let mut shelf = self.shelf();
        if epoch != shelf.epoch() {
            return;
        }
        let evicted = shelf.keep(key, entry.clone(), ttl, room.memory_bytes);
        self.count(&shelf, evicted);
        if entry.bytes() <= room.disk_bytes {
            self.documents.write_soon(vec![kept::written(key, entry, ttl)]);
        }
    }

    /// What was found in the store is in memory again.
    fn found(&self, key: Key, entry: &Arc<Entry>, ttl: Duration, epoch: u64, room: Room) {
        let mut shelf = self.shelf();
        if epoch == shelf.epoch() {
            let evicted = shelf.keep(key, entry.clone(), ttl, room.memory_bytes);
            self.count(&shelf, evicted);
        }
    }

    fn count(&self, shelf: &Shelf, evicted: u64) {
        self.meter.holds(shelf.entries() as u64, shelf.bytes(), evicted);
    }

    /// Held for a look-up, never while somebody waits.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;
