//! Metrics of what was refused because there was too much to do.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Clones are the same figures.
#[derive(Debug, Clone, Default)]
pub struct LoadMeter {
    refused: Family<Labels, Counter>,
    /// How many requests may be begun at one time.
    pub limit: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: &'static str,
}

impl LoadMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self::default();
        registry.register(
            "pointsman_refused",
            "Requests and connections that were refused because there was too much to do, by reason",
            meter.refused.clone(),
        );
        registry.register(
            "pointsman_beginning_limit",
            "Requests that may be begun at one time",
            meter.limit.clone(),
        );
        meter
    }

    /// `connections`, `in_flight`, `beginning`, `queue`, `key`, `memory` or `admin_connections`.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Labels { reason }).inc();
    }
}
