//! What a request has cost beside the answer that serves it: models that policies asked, and answers that were passed over.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::money::Nanodollars;

/// A sum to which several attempts may add at once. One unknown part makes it unknown.
#[derive(Debug, Default)]
pub(super) struct Bill(AtomicU64);

/// No sum gets there.
const UNKNOWN: u64 = u64::MAX;

impl Bill {
    pub(super) fn add(&self, cost: Option<Nanodollars>) {
        let add = |sum: u64| match cost {
            Some(cost) if sum != UNKNOWN => Some(sum.saturating_add(cost.0).min(UNKNOWN - 1)),
            _ => Some(UNKNOWN),
        };
        // The closure always has a value.
        let _ = self.0.fetch_update(Relaxed, Relaxed, add);
    }

    pub(super) fn total(&self) -> Option<Nanodollars> {
        Some(self.0.load(Relaxed))
            .filter(|sum| *sum != UNKNOWN)
            .map(Nanodollars)
    }

    /// The sum with one more part.
    pub(super) fn with(&self, cost: Nanodollars) -> Option<Nanodollars> {
        Some(Nanodollars(self.total()?.0.saturating_add(cost.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_with_an_unknown_part_stays_unknown() {
        let bill = Bill::default();
        bill.add(Some(Nanodollars(2)));
        assert_eq!(bill.with(Nanodollars(3)), Some(Nanodollars(5)));
        bill.add(None);
        bill.add(Some(Nanodollars(1)));
        assert_eq!((bill.total(), bill.with(Nanodollars(3))), (None, None));
    }
}
