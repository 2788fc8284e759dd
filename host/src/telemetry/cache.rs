//! What the cache of answers does, and what it saves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::money::Nanodollars;

/// Figures of the cache. Clones are the same figures.
#[derive(Debug, Clone, Default)]
pub struct CacheMeter {
    requests: Family<OutcomeLabels, Counter>,
    entries: Gauge,
    bytes: Gauge,
    evictions: Counter,
    saved: Counter<f64, AtomicU64>,
    /// The same, exactly.
    saved_nanos: Arc<AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl CacheMeter {
    pub(super) fn register(&self, registry: &mut Registry) {
        let requests = self.requests.clone();
        registry.register(
            "pointsman_cache_requests",
            "Requests that the cache was for, by outcome",
            requests,
        );
        registry.register("pointsman_cache_entries", "Answers in memory", self.entries.clone());
        registry.register("pointsman_cache_bytes", "What they take", self.bytes.clone());
        let evictions = self.evictions.clone();
        registry.register("pointsman_cache_evictions", "Answers that had to make room", evictions);
        registry.register(
            "pointsman_cache_saved_usd",
            "What answers from the cache would have cost",
            self.saved.clone(),
        );
    }

    /// An answer was there.
    pub fn hit(&self, saved: Option<Nanodollars>) {
        self.outcome("hit").inc();
        if let Some(saved) = saved {
            self.saved.inc_by(saved.0 as f64 / 1e9);
            // The closure always has a value.
            let _ = self
                .saved_nanos
                .fetch_update(Relaxed, Relaxed, |sum| Some(sum.saturating_add(saved.0)));
        }
    }

    /// None was there.
    pub fn miss(&self) {
        self.outcome("miss").inc();
    }

    /// None was looked for.
    pub fn bypass(&self) {
        self.outcome("bypass").inc();
    }

    /// What is held now, and how much had to go for it.
    pub fn holds(&self, entries: u64, bytes: u64, evicted: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.evictions.inc_by(evicted);
    }

    /// Since the process began.
    pub fn hits(&self) -> u64 {
        self.outcome("hit").get()
    }

    /// See `hits`.
    pub fn misses(&self) -> u64 {
        self.outcome("miss").get()
    }

    /// See `hits`.
    pub fn bypasses(&self) -> u64 {
        self.outcome("bypass").get()
    }

    /// See `hits`.
    pub fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    /// See `hits`.
    pub fn saved(&self) -> Nanodollars {
        Nanodollars(self.saved_nanos.load(Relaxed))
    }

    fn outcome(&self, outcome: &'static str) -> Counter {
        self.requests.get_or_create_owned(&OutcomeLabels { outcome })
    }
}
