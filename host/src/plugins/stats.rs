//! How a plugin has been doing since it was loaded: counters that cost a few atomic additions per call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::fault::Fault;

/// One plugin's counters.
#[derive(Debug, Default)]
pub struct Counters {
    calls: AtomicU64,
    nanos: AtomicU64,
    faults: [AtomicU64; Fault::KINDS.len()],
}

/// What the counters showed at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Time spent in them, waiting for an instance included.
    pub time: Duration,
    /// Faults by kind, those that happened.
    pub faults: Vec<(&'static str, u64)>,
}

impl Counters {
    pub(super) fn record<T>(&self, took: Duration, outcome: &Result<T, Fault>) {
        self.calls.fetch_add(1, Relaxed);
        self.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        if let Err(fault) = outcome {
            self.fault(fault);
        }
    }

    /// A call that ended well, and whose result turned out to be of no use.
    pub(super) fn fault(&self, fault: &Fault) {
        self.faults[fault.index()].fetch_add(1, Relaxed);
    }

    /// Reads all counters.
    pub fn read(&self) -> Stats {
        let faults = Fault::KINDS
            .iter()
            .zip(&self.faults)
            .map(|(kind, count)| (*kind, count.load(Relaxed)));
        Stats {
            calls: self.calls.load(Relaxed),
            time: Duration::from_nanos(self.nanos.load(Relaxed)),
            faults: faults.filter(|(_, count)| *count > 0).collect(),
        }
    }
}
