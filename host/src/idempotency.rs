//! Idempotency keys: of all requests that come with one key, one is served, and the others learn what became of it.
//!
//! That a request has begun is on disk before anything of it goes out, so that a process that ends in the middle leaves the
//! truth behind: nobody knows what became of it, and it is not tried again. What was answered is on disk before the end of
//! the answer goes out.

mod record;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use record::{Failed, Outcome};
use record::{KIND, Record};

use crate::cache::{Key, now_ms};
use crate::config::IdempotencyConfig;
use crate::documents::Documents;
use crate::store::{Document, StoreError};

/// All keys.
#[derive(Debug)]
pub struct Idempotency {
    documents: Documents,
    /// What is being served now, with the digest of the request.
    running: Mutex<HashMap<Key, Key>>,
}

/// What a key leads to.
#[derive(Debug)]
pub enum Claimed {
    /// Nobody has come with it: this request is the one.
    First(Claim),
    /// What became of the one before.
    Again(Outcome),
    /// The one before is being served.
    UnderWay,
    /// What became of the one before, nobody knows.
    Unknown,
    /// The one before was answered, and the answer was too large to be kept.
    TooLarge,
    /// It stood for another request.
    Mismatch,
}

/// The duty to say what became of a request. Dropped without a word, the key is free again where nothing was sent, and else
/// stands for a request of which nobody knows what became.
#[derive(Debug)]
pub struct Claim {
    idempotency: Arc<Idempotency>,
    id: Key,
    request: Key,
    expires_ms: u64,
    answer_bytes: usize,
    /// Attempts of the request that may have reached a provider; none once somebody has said what became of it.
    sent: Option<Arc<AtomicU32>>,
}

impl Idempotency {
    /// With the keys that are in the store.
    pub fn new(documents: Documents) -> Arc<Self> {
        Arc::new(Self {
            documents,
            running: Mutex::default(),
        })
    }

    /// Claims a key of this owner for a request. A claim is on disk when this returns.
    pub async fn claim(
        self: &Arc<Self>,
        owner: &str,
        key: &str,
        request: Key,
        config: &IdempotencyConfig,
        sent: &Arc<AtomicU32>,
    ) -> Result<Claimed, StoreError> {
        let id = Key::of(&[owner, key]);
        let now_ms = now_ms();
        if let Some(known) = self.begin(id, request) {
            return Ok(if known == request {
                Claimed::UnderWay
            } else {
                Claimed::Mismatch
            });
        }
        let keep_ms = u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX);
        // From here on the key is given back on every way out.
        let mut claim = Claim {
            idempotency: self.clone(),
            id,
            request,
            expires_ms: now_ms.saturating_add(keep_ms),
            answer_bytes: config.answer_bytes,
            sent: None,
        };
        let known = self.documents.read(KIND, id.to_string(), now_ms).await?;
        if let Some(known) = known {
            // What cannot be read says at least that somebody was here.
            return Ok(Record::parse(&known).map_or(Claimed::Unknown, |known| known.leads(request)));
        }
        claim.sent = Some(sent.clone());
        let begun = claim.document(&Record::begun(request));
        self.documents.write(vec![begun]).await?;
        Ok(Claimed::First(claim))
    }

    /// Puts a request among those that are being served, unless its key is there: then, which request it is.
    fn begin(&self, id: Key, request: Key) -> Option<Key> {
        let mut running = self.running();
        if let Some(known) = running.get(&id) {
            return Some(*known);
        }
        running.insert(id, request);
        None
    }

    /// Held for a look-up.
    fn running(&self) -> MutexGuard<'_, HashMap<Key, Key>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The most of an answer that is kept.
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Whether anything has gone out.
    pub fn is_sent(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.load(Ordering::Relaxed) > 0)
    }

    /// Says what became of the request; none where it is too large to be kept. It is on disk when this returns, unless the
    /// store fails, which is in the log: the answer is no worse for it.
    pub async fn settle(mut self, outcome: Option<Outcome>) {
        self.sent = None;
        let record = Record::ended(self.request, outcome);
        let ended = self.document(&record);
        if let Err(error) = self.idempotency.documents.write(vec![ended]).await {
            tracing::warn!(%error, "what became of a request cannot be kept under its idempotency key");
        }
    }

    /// Nothing was sent: the key is as if it had never come.
    pub async fn release(mut self) {
        self.sent = None;
        let gone = self.gone();
        if let Err(error) = self.idempotency.documents.write(vec![gone]).await {
            tracing::warn!(%error, "an idempotency key cannot be freed");
        }
    }

    fn document(&self, record: &Record) -> Document {
        Document {
            content: Some(record.to_bytes().into()),
            expires_ms: Some(self.expires_ms),
            ..self.gone()
        }
    }

    fn gone(&self) -> Document {
        Document {
            kind: KIND,
            id: self.id.to_string(),
            content: None,
            expires_ms: None,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let is_unsaid_and_unsent = self.sent.is_some() && !self.is_sent();
        let (idempotency, id) = (self.idempotency.clone(), self.id);
        if is_unsaid_and_unsent && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let gone = self.gone();
            runtime.spawn(async move {
                let _ = idempotency.documents.write(vec![gone]).await;
                idempotency.running().remove(&id);
            });
            return;
        }
        idempotency.running().remove(&id);
    }
}

#[cfg(test)]
mod tests;
