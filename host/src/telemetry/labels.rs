//! Requests by the labels that policies gave them, for those labels that `metrics.labels` names: what an arm of an
//! experiment or a class of requests takes, costs and how often it fails.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::seconds;
use crate::money::{Nanodollars, Usage};

/// Values of one label that are told apart. A label's value may come from a request, and each makes metrics of its own.
const VALUES: usize = 100;
/// What all further values are counted as.
const OTHER: &str = "(other)";

/// How a request ended that has labels.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The kind of failure; none after a success.
    pub error: Option<&'a str>,
    /// Of a stream that began.
    pub first_token: Option<Duration>,
    /// Of the attempt that answered, to its proper end.
    pub total: Option<Duration>,
    /// Where it is known.
    pub usage: Option<&'a Usage>,
    /// Where it is known.
    pub cost: Option<Nanodollars>,
}

/// The metrics by label.
#[derive(Debug)]
pub(super) struct Labelled {
    requests: Family<RequestLabels, Counter>,
    durations: Family<ValueLabels, Histogram, fn() -> Histogram>,
    first_tokens: Family<ValueLabels, Histogram, fn() -> Histogram>,
    tokens: Family<TokenLabels, Counter>,
    spent: Family<ValueLabels, Counter<f64, AtomicU64>>,
    values: Mutex<HashMap<String, HashSet<String>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValueLabels {
    label: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    label: String,
    value: String,
    error_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    label: String,
    value: String,
    gen_ai_token_type: &'static str,
}

impl Labelled {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            first_tokens: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            spent: Family::default(),
            values: Mutex::default(),
        };
        let requests = metrics.requests.clone();
        registry.register("pointsman_label_requests", "Requests by label and outcome", requests);
        let (durations, first_tokens) = (metrics.durations.clone(), metrics.first_tokens.clone());
        let help = "Time to the whole answer, by label";
        registry.register_with_unit("pointsman_label_duration", help, Unit::Seconds, durations);
        let help = "Time to the first token, by label";
        registry.register_with_unit("pointsman_label_time_to_first_token", help, Unit::Seconds, first_tokens);
        registry.register(
            "pointsman_label_tokens",
            "Tokens as billed, by label",
            metrics.tokens.clone(),
        );
        registry.register(
            "pointsman_label_spent_usd",
            "What answers cost, by label",
            metrics.spent.clone(),
        );
        metrics
    }

    pub(super) fn ended(&self, label: &str, value: &str, ended: Ended<'_>) {
        let (label, value) = (label.to_owned(), self.bounded(label, value));
        let labels = ValueLabels {
            label: label.clone(),
            value: value.clone(),
        };
        let request = RequestLabels {
            label: label.clone(),
            value: value.clone(),
            error_type: ended.error.unwrap_or_default().to_owned(),
        };
        self.requests.get_or_create(&request).inc();
        if let Some(total) = ended.total {
            self.durations.get_or_create(&labels).observe(total.as_secs_f64());
        }
        if let Some(first_token) = ended.first_token {
            self.first_tokens
                .get_or_create(&labels)
                .observe(first_token.as_secs_f64());
        }
        if let Some(cost) = ended.cost {
            self.spent.get_or_create(&labels).inc_by(cost.0 as f64 / 1e9);
        }
        let Some(usage) = ended.usage else { return };
        let kinds = [
            ("input", usage.all_input()),
            ("cached_input", usage.cache_read),
            ("output", usage.output),
        ];
        for (gen_ai_token_type, count) in kinds {
            let labels = TokenLabels {
                label: label.clone(),
                value: value.clone(),
                gen_ai_token_type,
            };
            self.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    fn bounded(&self, label: &str, value: &str) -> String {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let known = values.entry(label.to_owned()).or_default();
        if known.contains(value) || known.len() < VALUES && known.insert(value.to_owned()) {
            value.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn values_beyond_the_bound_are_counted_together() {
        let mut registry = Registry::default();
        let metrics = Labelled::register(&mut registry);
        let nothing = Ended {
            error: None,
            first_token: None,
            total: None,
            usage: None,
            cost: None,
        };
        for user in 0..VALUES + 5 {
            metrics.ended("user", &user.to_string(), nothing);
        }
        metrics.ended("user", "7", nothing);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"value="(other)",error_type=""} 5"#), "{text}");
        assert!(text.contains(r#"value="7",error_type=""} 2"#), "{text}");
    }
}
