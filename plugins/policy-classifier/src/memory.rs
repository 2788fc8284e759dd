//! What is remembered between requests, where the grant `state` is given: answers, by a digest of the whole question, and
//! how often the model has failed lately. The store is bounded by the host: when it is full, what was not used for longest goes.

use pointsman_plugin::state;
use sha2::{Digest, Sha256};

use crate::{config::Config, question::Question, reply::Found};

/// What is known of one question.
pub(crate) struct Memory {
    answer: String,
    cache_ms: u64,
    classes: usize,
}

/// Counts failures of the model, whatever the question.
const FAILURES: &str = "failures";
/// So many of them within this time, counted from the first, and the model is left alone until it is over: a model that is
/// down must not cost every request its time limit.
const TOO_MANY: i64 = 3;
const WINDOW_MS: u64 = 10_000;

impl Memory {
    /// The digest covers all that the answer depends on, so that another configuration asks anew. Questions of two clients
    /// share an answer only if they are the same to the last byte: nobody can make two texts with the same SHA-256.
    pub(crate) fn new(config: &Config, question: &Question, text: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [&config.model, &question.system, &question.schema, text] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Memory {
            answer: format!("answer/{hex}"),
            cache_ms: config.cache_ms,
            classes: config.classes.len(),
        }
    }

    pub(crate) fn recall(&self) -> Option<Found> {
        let found = (self.cache_ms > 0).then(|| state::get::<Found>(&self.answer))??;
        (found.class < self.classes).then_some(found)
    }

    pub(crate) fn keep(&self, found: &Found) {
        if self.cache_ms > 0 {
            // A place and a number always have a JSON form.
            let _ = state::set(&self.answer, found, Some(self.cache_ms));
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        state::get::<i64>(FAILURES).is_some_and(|failures| failures >= TOO_MANY)
    }

    pub(crate) fn failed(&self) {
        state::add(FAILURES, 1, Some(WINDOW_MS));
    }
}
