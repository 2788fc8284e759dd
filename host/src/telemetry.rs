//! Metrics: their names in one place, and handles that are looked up when a generation is built, so that a request only
//! adds to atomics. Names follow OpenTelemetry's conventions for generative AI; what they do not know begins with `pointsman_`.

mod cache;
mod labels;
mod ledger;
mod load;
mod log;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::money::{Nanodollars, Usage};
use crate::plugins::Counters;
pub use cache::CacheMeter;
pub use labels::Ended;
use labels::Labelled;
pub use ledger::LedgerMeter;
pub use load::LoadMeter;
pub use log::Log;
pub use webhooks::WebhookMeter;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<ModelLabels, Histogram, fn() -> Histogram>,
    first_tokens: Family<ModelLabels, Histogram, fn() -> Histogram>,
    tokens: Family<TokenLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    spent: Family<ModelLabels, Counter<f64, AtomicU64>>,
    cost_unknown: Family<ModelLabels, Counter>,
    retries_refused: Family<ModelLabels, Counter>,
    /// The gateway's own time in a request.
    pub overhead: Histogram,
    /// Streams and whole answers under way.
    pub in_flight: Gauge,
    generation: Gauge,
    alive: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    reload_failed: Family<PluginLabels, Gauge>,
    plugin_calls: Family<PluginLabels, Counter>,
    plugin_seconds: Family<PluginLabels, Counter<f64, AtomicU64>>,
    plugin_faults: Family<FaultLabels, Counter>,
    labelled: Labelled,
    /// What the ledger's writer counts.
    pub ledger: LedgerMeter,
    /// What became of messages to the webhook.
    pub webhooks: WebhookMeter,
    /// What was too much.
    pub load: LoadMeter,
    /// Answers that were kept.
    pub cache: CacheMeter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    error_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    plugin: String,
    kind: &'static str,
}

/// One model's handles.
#[derive(Debug, Clone)]
pub struct ModelMeter {
    provider: String,
    model: String,
    attempts: Family<AttemptLabels, Counter>,
    durations: Histogram,
    first_tokens: Histogram,
    input: Counter,
    cached: Counter,
    output: Counter,
    served: Counter,
    spent: Counter<f64, AtomicU64>,
    cost_unknown: Counter,
    retries_refused: Counter,
}

impl ModelMeter {
    /// An attempt was due and not made, because there had been too many.
    pub fn retry_refused(&self) {
        self.retries_refused.inc();
    }

    /// An answer ended well.
    pub fn served(&self, total: Duration) {
        self.durations.observe(total.as_secs_f64());
        self.served.inc();
    }

    /// What an answer used, whole or not.
    pub fn used(&self, usage: Option<&Usage>, cost: Option<Nanodollars>) {
        if let Some(usage) = usage {
            self.input.inc_by(usage.all_input());
            self.cached.inc_by(usage.cache_read);
            self.output.inc_by(usage.output);
        }
        if let Some(cost) = cost {
            self.spent.inc_by(cost.0 as f64 / 1e9);
        } else {
            self.cost_unknown.inc();
        }
    }

    /// An attempt failed.
    pub fn failed(&self, kind: &str) {
        self.attempts
            .get_or_create(&attempt_labels(&self.provider, &self.model, kind))
            .inc();
    }

    /// The first token of a stream came.
    pub fn first_token(&self, after: Duration) {
        self.first_tokens.observe(after.as_secs_f64());
    }
}

fn seconds() -> Histogram {
    Histogram::new([
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let labelled = Labelled::register(&mut registry);
        let ledger = LedgerMeter::register(&mut registry);
        registry.register(
            "pointsman_log_lines_lost",
            "Log lines that standard error did not take in time",
            log::lost(),
        );
        let webhooks = WebhookMeter::register(&mut registry);
        let load = LoadMeter::register(&mut registry);
        let mut metrics = Self {
            registry,
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            first_tokens: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            attempts: Family::default(),
            spent: Family::default(),
            cost_unknown: Family::default(),
            retries_refused: Family::default(),
            overhead: Histogram::new([
                0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1,
            ]),
            in_flight: Gauge::default(),
            generation: Gauge::default(),
            alive: Gauge::default(),
            reloads: Family::default(),
            reload_failed: Family::default(),
            plugin_calls: Family::default(),
            plugin_seconds: Family::default(),
            plugin_faults: Family::default(),
            labelled,
            webhooks,
            ledger,
            load,
            cache: CacheMeter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        self.cache.register(&mut self.registry);
        let registry = &mut self.registry;
        registry.register(
            "pointsman_requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        let duration = self.durations.clone();
        registry.register_with_unit(
            "gen_ai_server_request_duration",
            "Time to the whole answer",
            Unit::Seconds,
            duration,
        );
        let first = self.first_tokens.clone();
        registry.register_with_unit(
            "gen_ai_server_time_to_first_token",
            "Time to the first token",
            Unit::Seconds,
            first,
        );
        registry.register("gen_ai_client_token_usage", "Tokens as billed", self.tokens.clone());
        registry.register("pointsman_attempts", "Upstream calls by outcome", self.attempts.clone());
        registry.register("pointsman_spent_usd", "What answers cost", self.spent.clone());
        registry.register(
            "pointsman_cost_unknown",
            "Answers whose cost nobody knows",
            self.cost_unknown.clone(),
        );
        registry.register(
            "pointsman_retries_refused",
            "Attempts beyond a request's first that were due, and not made because there had been too many",
            self.retries_refused.clone(),
        );
        let overhead = self.overhead.clone();
        registry.register_with_unit(
            "pointsman_overhead",
            "The gateway's own time in a request",
            Unit::Seconds,
            overhead,
        );
        registry.register(
            "pointsman_in_flight",
            "Requests and streams under way",
            self.in_flight.clone(),
        );
        registry.register(
            "pointsman_generation",
            "The generation in service",
            self.generation.clone(),
        );
        registry.register(
            "pointsman_generations_alive",
            "Generations that requests still hold",
            self.alive.clone(),
        );
        registry.register("pointsman_reloads", "Reloads by outcome", self.reloads.clone());
        let failed = self.reload_failed.clone();
        registry.register(
            "pointsman_plugin_reload_failed",
            "1 while a newer version of the plugin could not be loaded",
            failed,
        );
        registry.register(
            "pointsman_plugin_calls",
            "Calls of the plugin in service",
            self.plugin_calls.clone(),
        );
        let time = self.plugin_seconds.clone();
        registry.register_with_unit(
            "pointsman_plugin_time",
            "Time in calls of the plugin in service",
            Unit::Seconds,
            time,
        );
        registry.register(
            "pointsman_plugin_faults",
            "Failed calls by kind",
            self.plugin_faults.clone(),
        );
    }

    /// A model's handles.
    pub fn model(&self, provider: &str, model: &str) -> ModelMeter {
        let labels = ModelLabels {
            gen_ai_provider_name: provider.to_owned(),
            gen_ai_request_model: model.to_owned(),
        };
        let tokens = |kind| {
            self.tokens.get_or_create_owned(&TokenLabels {
                gen_ai_provider_name: provider.to_owned(),
                gen_ai_request_model: model.to_owned(),
                gen_ai_token_type: kind,
            })
        };
        ModelMeter {
            provider: provider.to_owned(),
            model: model.to_owned(),
            attempts: self.attempts.clone(),
            durations: self.durations.get_or_create_owned(&labels),
            first_tokens: self.first_tokens.get_or_create_owned(&labels),
            input: tokens("input"),
            cached: tokens("cached_input"),
            output: tokens("output"),
            served: self.attempts.get_or_create_owned(&attempt_labels(provider, model, "")),
            spent: self.spent.get_or_create_owned(&labels),
            cost_unknown: self.cost_unknown.get_or_create_owned(&labels),
            retries_refused: self.retries_refused.get_or_create_owned(&labels),
        }
    }

    /// A request ended.
    pub fn request(&self, route: &str, status: u16) {
        self.requests
            .get_or_create(&RequestLabels {
                route: route.to_owned(),
                status,
            })
            .inc();
    }

    /// A request to a route ended well: the handle for the usual case.
    pub fn good_requests(&self, route: &str) -> Counter {
        self.requests.get_or_create_owned(&RequestLabels {
            route: route.to_owned(),
            status: 200,
        })
    }

    /// A request with this label ended.
    pub fn labelled(&self, label: &str, value: &str, ended: Ended<'_>) {
        self.labelled.ended(label, value, ended);
    }

    /// A reload ended.
    pub fn reload(&self, outcome: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { outcome }).inc();
    }

    /// Whether a newer version of a plugin could not be loaded.
    pub fn reload_failed(&self, plugin: &str, has_failed: bool) {
        self.reload_failed
            .get_or_create(&PluginLabels {
                plugin: plugin.to_owned(),
            })
            .set(i64::from(has_failed));
    }

    /// Everything as Prometheus text, with what is only read when somebody asks.
    pub fn text<'p>(
        &self,
        generation: u64,
        alive: &AtomicI64,
        plugins: impl Iterator<Item = (&'p str, &'p Counters)>,
    ) -> String {
        self.generation.set(generation as i64);
        self.alive.set(alive.load(Ordering::Relaxed));
        for (name, counters) in plugins {
            let labels = PluginLabels {
                plugin: name.to_owned(),
            };
            let stats = counters.read();
            self.plugin_calls
                .get_or_create(&labels)
                .inner()
                .store(stats.calls, Ordering::Relaxed);
            let seconds = stats.time.as_secs_f64();
            self.plugin_seconds
                .get_or_create(&labels)
                .inner()
                .store(seconds.to_bits(), Ordering::Relaxed);
            for (kind, count) in stats.faults {
                let labels = FaultLabels {
                    plugin: name.to_owned(),
                    kind,
                };
                self.plugin_faults
                    .get_or_create(&labels)
                    .inner()
                    .store(count, Ordering::Relaxed);
            }
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn attempt_labels(provider: &str, model: &str, kind: &str) -> AttemptLabels {
    AttemptLabels {
        gen_ai_provider_name: provider.to_owned(),
        gen_ai_request_model: model.to_owned(),
        error_type: kind.to_owned(),
    }
}

/// Shared by the parts that count.
pub type Meter = Arc<Metrics>;
