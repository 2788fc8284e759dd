//! Documents in the store: written through the ledger's writer, with whatever else it writes at that moment, and read
//! through a door of their own, off the threads that serve.

use std::sync::{Arc, Mutex, PoisonError};

use crate::handover::{self, Books};
use crate::store::{Document, Store, StoreError};

/// A handle to the documents; cheap to clone.
#[derive(Clone)]
pub struct Documents {
    ledger: Books,
    /// Opened when something is asked for first, and again after it failed.
    door: Arc<Mutex<Option<Box<dyn Store>>>>,
}

impl Documents {
    /// Of this ledger's store.
    pub fn new(ledger: impl Into<Books>) -> Self {
        Self {
            ledger: ledger.into(),
            door: Arc::default(),
        }
    }

    /// A document that has not expired.
    pub async fn read(&self, kind: &'static str, id: String, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(move |store| store.document(kind, &id, now_ms)).await
    }

    /// Asks the store something that may take its time.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (ledger, door) = (self.ledger.clone(), self.door.clone());
        let asking = tokio::task::spawn_blocking(move || {
            // Whoever waits here waits on a thread that nobody else needs.
            let mut door = door.lock().unwrap_or_else(PoisonError::into_inner);
            let store = match door.take() {
                Some(store) => store,
                None => ledger.reader()?,
            };
            let answer = question(store.as_ref())?;
            *door = Some(store);
            Ok(answer)
        });
        asking
            .await
            .unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }

    /// Writes documents; they are on disk when this returns.
    pub async fn write(&self, documents: Vec<Document>) -> Result<(), StoreError> {
        handover::keep_now(&self.ledger, documents).await
    }

    /// Documents of a kind have so many bytes from now on.
    pub fn bound(&self, kind: &'static str, most_bytes: u64) {
        self.ledger.bound(kind, most_bytes);
    }

    /// Takes away all documents of a kind, those that were written before this call; says how many there were.
    pub fn empty(&self, kind: &'static str) -> impl Future<Output = Result<u64, StoreError>> + use<> {
        self.ledger.empty(kind)
    }

    /// Writes documents some time soon.
    pub fn write_soon(&self, documents: Vec<Document>) {
        handover::keep(&self.ledger, documents);
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Documents")
    }
}
