//! One answer on its way, for which equal requests wait: somebody leads, and whatever becomes of them, those who wait hear
//! of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Cache, Entry, Key, Room};

/// What those who wait are told.
#[derive(Debug)]
pub(super) enum State {
    UnderWay,
    /// Here it is.
    Landed(Arc<Entry>),
    /// It came, and is not one that others may have.
    Private,
}

/// The duty to get an answer. Dropped without an answer, it goes to one of those who wait.
#[derive(Debug)]
pub struct Lead {
    cache: Arc<Cache>,
    key: Key,
    flight: watch::Sender<State>,
    /// Answers are thrown away when the cache has been emptied meanwhile.
    epoch: u64,
    /// Whether others can find the flight.
    is_shared: bool,
}

impl Lead {
    pub(super) fn new(cache: Arc<Cache>, key: Key, flight: watch::Sender<State>, epoch: u64, is_shared: bool) -> Self {
        Self {
            cache,
            key,
            flight,
            epoch,
            is_shared,
        }
    }

    /// The answer is there, for those who wait and for those who come.
    pub fn keep(self, entry: Entry, ttl: Duration, room: Room) {
        let entry = Arc::new(entry);
        self.cache.keep(self.key, &entry, ttl, self.epoch, room);
        self.flight.send_replace(State::Landed(entry));
    }

    /// It was in the store.
    pub(super) fn found(self, entry: Entry, ttl: Duration, room: Room) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.cache.found(self.key, &entry, ttl, self.epoch, room);
        self.flight.send_replace(State::Landed(entry.clone()));
        entry
    }

    /// The answer is there for those who wait, and not kept.
    pub fn share(self, entry: Entry) {
        self.flight.send_replace(State::Landed(Arc::new(entry)));
    }

    /// The answer is for nobody else: whoever waits asks for one of their own.
    pub fn decline(self) {
        self.flight.send_replace(State::Private);
    }
}

impl Drop for Lead {
    /// Nobody finds the flight any more before its end is known: the channel closes after this.
    fn drop(&mut self) {
        if self.is_shared {
            self.cache.shelf().land(&self.key);
        }
    }
}
