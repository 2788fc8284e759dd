//! What a request has cost beside the answer that serves it: models that policies asked, answers that were passed over, and
//! attempts that were given up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::purse::Purse;
use crate::generation::Model;
use crate::money::Nanodollars;

/// What was spent beside the answer.
#[derive(Debug)]
pub(super) struct Bill {
    /// What all attempts are paid from.
    pub(super) purse: Arc<Purse>,
    total: Sum,
    /// The part of it that policies spent on models that they asked.
    asked: Sum,
    given_up: Mutex<Vec<GivenUp>>,
}

/// An attempt that was under way when nobody waited for it any more. What it cost nobody says.
#[derive(Debug)]
pub(super) struct GivenUp {
    pub(super) model: Arc<Model>,
    pub(super) after: Duration,
}

/// An answer that was given before and costs nothing now.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) model: String,
    pub(super) provider: String,
    /// What it cost when it was given, which is saved now.
    pub(super) saved: Option<Nanodollars>,
    /// What it would cost at the route's reference.
    pub(super) reference: Option<Nanodollars>,
}

/// A sum to which several attempts may add at once. One unknown part makes it unknown.
#[derive(Debug, Default)]
struct Sum(AtomicU64);

/// No sum gets there.
const UNKNOWN: u64 = u64::MAX;

impl Bill {
    pub(super) fn new(purse: Arc<Purse>) -> Self {
        Self {
            purse,
            total: Sum::default(),
            asked: Sum::default(),
            given_up: Mutex::default(),
        }
    }

    /// An answer that was passed over.
    pub(super) fn add(&self, cost: Option<Nanodollars>) {
        self.total.add(cost);
    }

    /// An answer to a policy.
    pub(super) fn add_asked(&self, cost: Option<Nanodollars>) {
        self.total.add(cost);
        self.asked.add(cost);
    }

    /// The client has gone.
    pub(super) fn give_up(&self, attempt: GivenUp) {
        self.given_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }

    pub(super) fn take_given_up(&self) -> Vec<GivenUp> {
        std::mem::take(&mut *self.given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn total(&self) -> Option<Nanodollars> {
        self.total.read()
    }

    pub(super) fn asked(&self) -> Option<Nanodollars> {
        self.asked.read()
    }

    /// The total with one more part.
    pub(super) fn with(&self, cost: Nanodollars) -> Option<Nanodollars> {
        Some(Nanodollars(self.total()?.0.saturating_add(cost.0)))
    }
}

impl Sum {
    fn add(&self, cost: Option<Nanodollars>) {
        let add = |sum: u64| match cost {
            Some(cost) if sum != UNKNOWN => Some(sum.saturating_add(cost.0).min(UNKNOWN - 1)),
            _ => Some(UNKNOWN),
        };
        // The closure always has a value.
        let _ = self.0.fetch_update(Relaxed, Relaxed, add);
    }

    fn read(&self) -> Option<Nanodollars> {
        Some(self.0.load(Relaxed))
            .filter(|sum| *sum != UNKNOWN)
            .map(Nanodollars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_with_an_unknown_part_stays_unknown() {
        let sum = Sum::default();
        sum.add(Some(Nanodollars(2)));
        assert_eq!(sum.read(), Some(Nanodollars(2)));
        sum.add(None);
        sum.add(Some(Nanodollars(1)));
        assert_eq!(sum.read(), None);
    }
}
