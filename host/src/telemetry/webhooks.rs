//! Metrics of webhooks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What became of messages. Clones are the same figures.
#[derive(Debug, Clone, Default)]
pub struct WebhookMeter(Family<Labels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    event: &'static str,
    outcome: &'static str,
}

impl WebhookMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self::default();
        registry.register(
            "pointsman_webhook_messages",
            "Messages to the webhook, and attempts that failed, by event and outcome",
            meter.0.clone(),
        );
        meter
    }

    /// `delivered`, `failed` (given up), `retried` (one attempt that failed) or `dropped` (too many were waiting).
    pub fn count(&self, event: &'static str, outcome: &'static str) {
        self.0.get_or_create(&Labels { event, outcome }).inc();
    }
}
