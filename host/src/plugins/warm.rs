//! Instances that are kept from call to call, for guests whose start is dear: interpreters above all. Last in, first
//! out, so that few of them stay busy and the rest grow old. Off unless the configuration asks for it: a kept instance
//! remembers what it saw.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use tokio::sync::OwnedSemaphorePermit;

use super::engine::Engine;
use super::instance::Instance;

/// Whether instances are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// A new instance for every call.
    #[default]
    Fresh,
    /// Instances are kept for further calls, one call at a time each.
    Warm {
        /// Instances that wait for a call at most.
        warm: u32,
        /// Calls that one instance serves.
        max_calls: u32,
        /// How long one instance serves.
        max_age: Duration,
    },
}

/// The instances of one plugin that wait for their next call.
pub(super) struct Shelf {
    instances: Instances,
    parked: Mutex<Vec<(Worn, OwnedSemaphorePermit)>>,
}

/// An instance and how long it has served.
pub(super) struct Worn {
    pub(super) instance: Instance,
    calls: u32,
    since: Moment,
}

impl Worn {
    pub(super) fn new(instance: Instance) -> Worn {
        Worn {
            instance,
            calls: 0,
            since: Moment::now(),
        }
    }
}

impl Shelf {
    pub(super) fn new(instances: Instances) -> Shelf {
        Shelf {
            instances,
            parked: Mutex::default(),
        }
    }

    /// The instance that was parked last, if it may still serve.
    pub(super) fn take(&self) -> Option<Worn> {
        let Instances::Warm { max_age, .. } = self.instances else {
            return None;
        };
        let mut parked = self.parked();
        parked.retain(|(worn, _)| worn.since.elapsed() < max_age);
        parked.pop().map(|(worn, _)| worn)
    }

    /// Keeps an instance whose call went well, if there is room for it and a slot to hold.
    pub(super) fn park(&self, mut worn: Worn, engine: &Engine) {
        let Instances::Warm { warm, max_calls, .. } = self.instances else {
            return;
        };
        worn.calls += 1;
        if worn.calls >= max_calls {
            return;
        }
        let Ok(slot) = engine.hold() else { return };
        let mut parked = self.parked();
        if parked.len() < warm as usize {
            parked.push((worn, slot));
        }
    }

    fn parked(&self) -> MutexGuard<'_, Vec<(Worn, OwnedSemaphorePermit)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
