//! What a request used and how it ended: kept while it runs, and booked once on every way out, a dropped stream included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::Failure;
use super::decide::{Decided, Decision, Step};
use super::{Call, milliseconds};
use crate::error::ApiError;
use crate::generation::{Generation, Model, Route};
use crate::money::{Nanodollars, Usage};
use crate::plugins::words;
use crate::telemetry::Meter;

/// One request's book.
#[derive(Debug)]
pub(super) struct Account {
    /// Held to the end, so that no request sees two generations.
    _generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    meter: Meter,
    labels: Vec<(String, String)>,
    attempts: Vec<words::Attempt>,
    served: Option<Serving>,
    /// Time spent on providers, which is not the gateway's own.
    waited: Duration,
    has_ended_well: bool,
}

/// The attempt that answers.
#[derive(Debug)]
struct Serving {
    model: Arc<Model>,
    since: Instant,
    first_token: Duration,
    usage: Option<Usage>,
}

impl Account {
    pub(super) fn open(generation: Arc<Generation>, route: Arc<Route>, call: Arc<Call>, meter: Meter) -> Self {
        meter.in_flight.inc();
        Self {
            _generation: generation,
            route,
            call,
            meter,
            labels: Vec::new(),
            attempts: Vec::new(),
            served: None,
            waited: Duration::ZERO,
            has_ended_well: false,
        }
    }

    /// Notes a decision.
    pub(super) fn decided(&mut self, decided: Decided) -> Result<Decision, ApiError> {
        let decision = decided.outcome?;
        self.labels.clone_from(&decision.labels);
        Ok(decision)
    }

    /// Notes time spent on a provider.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Notes a failed attempt.
    pub(super) fn attempt_failed(&mut self, step: &Step, failure: &Failure, total: Duration) {
        let model = &step.model;
        let word = failure.word();
        model.meter.failed(&word);
        tracing::warn!(
            request_id = %self.call.id, model = model.id, kind = %word, status = failure.status,
            detail = failure.detail(), attempt = self.attempts.len() + 1, "an attempt failed"
        );
        self.attempts.push(words::Attempt {
            candidate: model.id.clone(),
            status: failure.status,
            error: Some(word.into_owned()),
            first_token_ms: None,
            total_ms: milliseconds(total),
            cost: None,
        });
    }

    /// Notes the attempt that answers, and how long it took to begin.
    pub(super) fn serving(&mut self, step: &Step, first_token: Duration) {
        let since = Instant::now().checked_sub(first_token).unwrap_or_else(Instant::now);
        self.served = Some(Serving {
            model: step.model.clone(),
            since,
            first_token,
            usage: None,
        });
    }

    /// Notes what was used.
    pub(super) fn used(&mut self, usage: Option<Usage>) {
        if let Some(served) = &mut self.served {
            served.usage = usage.or(served.usage);
        }
    }

    /// The answer is whole.
    pub(super) fn ended_well(&mut self) {
        self.has_ended_well = true;
    }

    /// Attempts so far, the one that answers included.
    pub(super) fn attempts(&self) -> usize {
        self.attempts.len() + usize::from(self.served.is_some())
    }

    /// What the answer cost, where price and usage are known.
    pub(super) fn cost(&self) -> Option<Nanodollars> {
        let served = self.served.as_ref()?;
        Some(served.model.price?.cost(&served.usage?))
    }

    /// The gateway's own time since the request's head was read.
    pub(super) fn overhead(&self) -> Duration {
        self.call.received.elapsed().saturating_sub(self.waited)
    }

    pub(super) fn route_name(&self) -> &str {
        &self.route.name
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    fn book(&mut self) {
        let cost = self.cost();
        let Some(served) = self.served.take() else { return };
        let total = served.since.elapsed();
        if self.call.ask.is_stream {
            served.model.meter.first_token(served.first_token);
        }
        if self.has_ended_well {
            served.model.health.success(total);
            self.route.served.inc();
        }
        served.model.meter.served(total, served.usage.as_ref(), cost);
        if self.route.policies.iter().any(|policy| policy.policy.has_outcome()) {
            self.tell(&served, total, cost);
        }
    }

    /// Tells the policies that want to know, off the request's path.
    fn tell(&mut self, served: &Serving, total: Duration, cost: Option<Nanodollars>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let usage = served.usage.unwrap_or_default();
        let mut attempts = std::mem::take(&mut self.attempts);
        attempts.push(words::Attempt {
            candidate: served.model.id.clone(),
            status: 200,
            error: (!self.has_ended_well).then(|| "ended_early".to_owned()),
            first_token_ms: Some(milliseconds(served.first_token)),
            total_ms: milliseconds(total),
            cost: cost.map(|cost| cost.0),
        });
        let ended = words::Ended {
            request_id: self.call.id.to_string(),
            key_id: "anonymous".to_owned(),
            route: self.route.name.clone(),
            now_ms: self.call.now_ms + u64::from(milliseconds(self.call.received.elapsed())),
            labels: std::mem::take(&mut self.labels),
            attempts,
            input_tokens: usage.all_input(),
            output_tokens: usage.output,
            score: None,
            extras: Vec::new(),
        };
        let route = self.route.clone();
        runtime.spawn(async move {
            for policy in route.policies.iter().filter(|policy| policy.policy.has_outcome()) {
                if let Err(fault) = policy.policy.observe(ended.clone()).await {
                    tracing::warn!(policy = policy.policy.name(), %fault, "a policy failed to hear how a request ended");
                }
            }
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.book();
        self.meter.in_flight.dec();
    }
}
