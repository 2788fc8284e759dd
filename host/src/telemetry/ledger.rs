//! Metrics of the ledger.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What the ledger's writer counts.
#[derive(Debug, Clone)]
pub struct LedgerMeter {
    commits: Histogram,
    lines: Counter,
    estimated: Counter,
    open: Gauge<i64, AtomicI64>,
    held: Gauge<f64, AtomicU64>,
    failed: Gauge,
    fleet_lost: Gauge,
    exchanges: Histogram,
    events: Family<EventLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
}

impl LedgerMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self {
            commits: Histogram::new([0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]),
            lines: Counter::default(),
            estimated: Counter::default(),
            open: Gauge::default(),
            held: Gauge::default(),
            failed: Gauge::default(),
            fleet_lost: Gauge::default(),
            exchanges: Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5]),
            events: Family::default(),
        };
        registry.register_with_unit(
            "pointsman_ledger_commit",
            "Time to write one batch to disk",
            Unit::Seconds,
            meter.commits.clone(),
        );
        registry.register(
            "pointsman_ledger_lines",
            "Attempts that were booked",
            meter.lines.clone(),
        );
        registry.register(
            "pointsman_ledger_estimated_lines",
            "Booked attempts of which nobody said what was used",
            meter.estimated.clone(),
        );
        registry.register(
            "pointsman_ledger_holds",
            "Reservations that are open",
            meter.open.clone(),
        );
        registry.register(
            "pointsman_ledger_held_usd",
            "Money reserved for attempts under way",
            meter.held.clone(),
        );
        registry.register(
            "pointsman_ledger_failed",
            "1 while the store cannot be written",
            meter.failed.clone(),
        );
        registry.register(
            "pointsman_fleet_lost",
            "1 while the fleet's database does not answer",
            meter.fleet_lost.clone(),
        );
        registry.register_with_unit(
            "pointsman_fleet_exchange",
            "Time that the fleet's database took to answer",
            Unit::Seconds,
            meter.exchanges.clone(),
        );
        registry.register(
            "pointsman_ledger_events",
            "What was told of budgets, by event",
            meter.events.clone(),
        );
        meter
    }

    /// A batch is on disk.
    pub fn committed(&self, took: Duration, lines: usize, estimated: usize) {
        self.commits.observe(took.as_secs_f64());
        self.lines.inc_by(lines as u64);
        self.estimated.inc_by(estimated as u64);
    }

    /// What is reserved now.
    pub fn holds(&self, open: usize, nanodollars: u128) {
        self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.held.set(nanodollars as f64 / 1e9);
    }

    /// Whether the store can be written.
    pub fn store(&self, has_failed: bool) {
        self.failed.set(has_failed.into());
    }

    /// Whether the fleet's database answers.
    pub fn fleet(&self, is_lost: bool) {
        self.fleet_lost.set(is_lost.into());
    }

    /// It has answered.
    pub fn exchanged(&self, took: Duration) {
        self.exchanges.observe(took.as_secs_f64());
    }

    /// Something was told.
    pub fn event(&self, name: &'static str) {
        self.events.get_or_create(&EventLabels { event: name }).inc();
    }
}
