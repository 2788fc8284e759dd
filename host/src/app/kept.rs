//! What plugins keep under the grant `state`, kept in the store as well, so that it outlives the process.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::plugins::{StateChange, StateStore};
use crate::store::{Document, StoreError};

/// The documents' kind. Their ids: the plugin's name, a line feed, the key.
const KIND: &str = "state";
/// What a process that is killed may lose.
const EVERY: Duration = Duration::from_secs(1);

/// A value with what a document's own expiry does not say to those who read it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    value: Vec<u8>,
    expires_ms: Option<u64>,
}

/// Puts back what the process before this one kept.
pub fn restore(state: &StateStore, ledger: &Ledger, now_ms: u64) -> Result<(), StoreError> {
    for (id, content) in ledger.reader()?.documents(KIND, now_ms)? {
        let kept = serde_json::from_slice::<Kept>(&content).ok();
        if let (Some((plugin, key)), Some(kept)) = (id.split_once('\n'), kept) {
            state.restore(plugin, key, kept.value, kept.expires_ms);
        }
    }
    Ok(())
}

/// Writes what has changed.
pub fn write(state: &StateStore, ledger: &Ledger) {
    let documents: Vec<Document> = state.take_changes().into_iter().map(document).collect();
    if !documents.is_empty() {
        ledger.keep(documents);
    }
}

/// Writes what has changed, again and again.
pub async fn write_on(state: StateStore, ledger: Ledger) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        write(&state, &ledger);
    }
}

fn document(change: StateChange) -> Document {
    let expires_ms = change.value.as_ref().and_then(|(_, expires_ms)| *expires_ms);
    let content = change.value.map(|(value, expires_ms)| {
        // A struct of numbers and bytes always has a text.
        let text = serde_json::to_vec(&Kept { value, expires_ms }).unwrap_or_default();
        Arc::from(text)
    });
    Document {
        kind: KIND,
        id: format!("{}\n{}", change.plugin, change.key),
        content,
        expires_ms,
    }
}
