//! The answers themselves with their bounds, and who is getting which: plain data behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::flight::State;
use super::{Entry, Key};

/// How often answers that are too old are looked for among those that nobody asks for.
const SWEEP_MS: u64 = 60_000;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    entries: HashMap<Key, Kept>,
    /// The least recently used first.
    order: BTreeMap<u64, Key>,
    /// Counts uses.
    uses: u64,
    bytes: u64,
    /// Counts how often everything was thrown away.
    epoch: u64,
    swept_ms: u64,
    flights: HashMap<Key, watch::Receiver<State>>,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    used: u64,
    /// The longest that anybody has wanted it for.
    until_ms: u64,
}

/// What a look brought.
pub(super) enum Looked {
    Hit(Arc<Entry>),
    /// Nobody is getting it: the asker does, in this epoch.
    Lead(watch::Sender<State>, u64),
    Wait(watch::Receiver<State>),
}

impl Shelf {
    pub(super) fn look(&mut self, key: Key, ttl: Duration, now_ms: u64, may_have: &impl Fn(&Entry) -> bool) -> Looked {
        if let Some(entry) = self.get(key, ttl, now_ms)
            && may_have(&entry)
        {
            return Looked::Hit(entry);
        }
        if let Some(flight) = self.flights.get(&key) {
            return Looked::Wait(flight.clone());
        }
        let (flight, state) = watch::channel(State::UnderWay);
        self.flights.insert(key, state);
        Looked::Lead(flight, self.epoch)
    }

    /// An answer that is not too old, which is then the one that was used last.
    fn get(&mut self, key: Key, ttl: Duration, now_ms: u64) -> Option<Arc<Entry>> {
        let kept = self.entries.get_mut(&key)?;
        let ttl_ms = milliseconds(ttl);
        if !is_fresh(&kept.entry, ttl, now_ms) {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        self.order.remove(&kept.used);
        kept.used = self.uses;
        kept.until_ms = kept.until_ms.max(kept.entry.stored_ms.saturating_add(ttl_ms));
        self.order.insert(self.uses, key);
        Some(kept.entry.clone())
    }

    /// Keeps an answer for so long, and as many of the others as there is room for. Returns how many had to go.
    pub(super) fn keep(&mut self, key: Key, entry: Arc<Entry>, ttl: Duration, most_bytes: u64) -> u64 {
        if entry.bytes() > most_bytes {
            return 0;
        }
        self.remove(key);
        self.sweep(entry.stored_ms);
        let until_ms = entry.stored_ms.saturating_add(milliseconds(ttl));
        self.uses += 1;
        self.bytes += entry.bytes();
        self.order.insert(self.uses, key);
        self.entries.insert(
            key,
            Kept {
                entry,
                used: self.uses,
                until_ms,
            },
        );
        self.shrink(most_bytes)
    }

    /// Lets the least recently used go until the rest has room. Returns how many had to.
    pub(super) fn shrink(&mut self, most_bytes: u64) -> u64 {
        let mut evicted = 0;
        while self.bytes > most_bytes {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            self.remove(*oldest);
            evicted += 1;
        }
        evicted
    }

    /// What nobody will ask for in time does not stay until its room is needed.
    fn sweep(&mut self, now_ms: u64) {
        if now_ms.abs_diff(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        let old = self.entries.iter().filter(|(_, kept)| kept.until_ms <= now_ms);
        let old: Vec<Key> = old.map(|(key, _)| *key).collect();
        for key in old {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(kept) = self.entries.remove(&key) {
            self.order.remove(&kept.used);
            self.bytes -= kept.entry.bytes();
        }
    }

    /// Nobody is getting it any more.
    pub(super) fn land(&mut self, key: &Key) {
        self.flights.remove(key);
    }

    pub(super) fn clear(&mut self) -> usize {
        let count = self.entries.len();
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
        self.epoch += 1;
        count
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Whether an answer is no older than this. One from the future was given before the clock was set back: nobody knows how
/// old it is.
pub(super) fn is_fresh(entry: &Entry, ttl: Duration, now_ms: u64) -> bool {
    let age_ms = now_ms.checked_sub(entry.stored_ms);
    age_ms.is_some_and(|age_ms| age_ms < milliseconds(ttl))
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
