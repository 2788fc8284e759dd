//! What the gateway has seen of each model lately. Kept over reloads, by the model's id.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Current};
use super::lane::Lane;
use super::limits::Limiter;
use super::prefixes::Prefixes;
use super::queue::Queue;
use super::retries::RetryBudget;
use super::times::Times;

/// One model's record; cheap to update, and read without a lock.
#[derive(Debug, Default)]
pub struct Health {
    in_flight: AtomicU32,
    first_token: Times,
    total: Times,
    errors: Errors,
    /// Since when all that came of it was given up in a hurry; nought where something has answered since.
    silent_since_ms: AtomicU64,
    pub(super) breaker: Breaker,
    /// What its provider has in its cache.
    pub prefixes: Prefixes,
}

/// The share of failures: the newest attempt counts a tenth, and what is known halves every ten seconds, so that a model
/// that nobody asks any more because it failed is asked again. Thousandths in the upper ten
/// bits, the time of the last attempt in the others.
#[derive(Debug, Default)]
struct Errors(AtomicU64);

/// A reading of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Attempts under way.
    pub in_flight: u32,
    /// Time to the first token.
    pub first_token_ms: Option<u32>,
    /// Time to the whole answer.
    pub total_ms: Option<u32>,
    /// Failures in thousandths.
    pub error_permille: u32,
}

/// One attempt under way; counted out when it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Health>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Health {
    /// Counts an attempt in.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// An attempt brought its first token.
    pub fn first_token(&self, after: Duration) {
        self.first_token.note(milliseconds(after), now_ms());
    }

    /// An attempt brought an answer, or its beginning: whoever answers is there again. How it goes on is seen at its end.
    pub fn answers(&self) {
        // Seldom written, so that those who serve on other processors need not fetch it anew.
        if self.silent_since_ms.load(Ordering::Relaxed) > 0 {
            self.silent_since_ms.store(0, Ordering::Relaxed);
        }
        self.breaker.answers();
    }

    /// No connection stood in the time that somebody in a hurry gave it. Whether that speaks against the model all the same:
    /// it has been so for five seconds, and nothing has answered meanwhile.
    pub fn unreached_in_a_hurry(&self) -> bool {
        self.unreached_at(now_ms())
    }

    fn unreached_at(&self, now_ms: u64) -> bool {
        let since = self
            .silent_since_ms
            .compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        since.is_err_and(|since| now_ms.saturating_sub(since) >= SILENT_MS)
    }

    /// An attempt ended well.
    pub fn success(&self, total: Duration) {
        self.total.note(milliseconds(total), now_ms());
        self.errors.note(0, now_ms());
        self.breaker.success();
    }

    /// An attempt was given up after so long, because another was faster: it would have taken longer.
    pub fn outlasted(&self, took: Duration, is_stream: bool) {
        let (times, took, now) = (self.times(is_stream), milliseconds(took), now_ms());
        if times.peak().is_none_or(|peak| took > peak) {
            times.note(took, now);
        }
    }

    /// Within this 19 of 20 of its last answers came, or began where they are streamed; nothing before there were twenty.
    pub fn p95(&self, is_stream: bool) -> Option<Duration> {
        self.times(is_stream).p95()
    }

    fn times(&self, is_stream: bool) -> &Times {
        if is_stream { &self.first_token } else { &self.total }
    }

    /// An attempt failed by the provider's fault. How long the model is left alone, where that begins now.
    pub fn failure(&self) -> Option<Duration> {
        let now = now_ms();
        self.errors.note(1000, now);
        self.breaker.failure(self.errors.at(now), now)
    }

    /// Whether it may be asked, as far as its failures go.
    pub fn current(&self) -> Current {
        self.breaker.at(now_ms())
    }

    /// What the record says now.
    pub fn read(&self) -> Reading {
        Reading {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            first_token_ms: self.first_token.peak(),
            total_ms: self.total.peak(),
            error_permille: self.errors.at(now_ms()),
        }
    }
}

/// Whoever could not be reached for so long is not there, however much of a hurry those were in who tried.
const SILENT_MS: u64 = 5_000;
/// A share of failures is half of it after so long.
const HALF_LIFE_MS: f64 = 10_000.0;
/// Enough for half a million years.
const TIME_BITS: u32 = 54;

impl Errors {
    /// Mixes an attempt in: 1000 for a failure, 0 for a success.
    fn note(&self, permille: u32, now_ms: u64) {
        let mix = |packed: u64| {
            let old = decayed(packed, now_ms);
            // Up on the way to all, down on the way to none, so that both ends are reached.
            let new = if permille == 0 {
                old * 9 / 10
            } else {
                (old * 9 + permille).div_ceil(10)
            };
            Some(u64::from(new.min(1000)) << TIME_BITS | now_ms)
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mix);
    }

    fn at(&self, now_ms: u64) -> u32 {
        decayed(self.0.load(Ordering::Relaxed), now_ms)
    }
}

fn decayed(packed: u64, now_ms: u64) -> u32 {
    let (permille, at_ms) = ((packed >> TIME_BITS) as u32, packed & ((1 << TIME_BITS) - 1));
    if permille == 0 {
        return 0;
    }
    let passed = now_ms.saturating_sub(at_ms);
    (f64::from(permille) * (-(passed as f64) / HALF_LIFE_MS).exp2()).round() as u32
}

/// Since the first call, and a second at least, so that 0 is always past.
pub(super) fn now() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    Duration::from_secs(1) + BEGAN.get_or_init(Instant::now).elapsed()
}

pub(super) fn now_ms() -> u64 {
    now().as_millis() as u64
}

pub(super) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// All records. They are asked for when a generation is built, not per request.
#[derive(Debug, Default)]
pub struct Registry {
    models: Records<String, Health>,
    lanes: Records<(String, u64), Lane>,
    limiters: Records<(&'static str, String, u64), Limiter>,
    queues: Records<String, Queue>,
    retries: Records<String, RetryBudget>,
    all_retries: Arc<RetryBudget>,
}

#[derive(Debug)]
struct Records<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Records<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Default> Records<K, V> {
    /// Begun when it is first asked for.
    fn of(&self, key: K) -> Arc<V> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.entry(key).or_default().clone()
    }
}

impl Registry {
    /// A model's record.
    pub fn of(&self, model: &str) -> Arc<Health> {
        self.models.of(model.to_owned())
    }

    /// A model's under one credential, which is known by a number that says nothing of it.
    pub fn lane(&self, model: &str, credential: u64) -> Arc<Lane> {
        self.lanes.of((model.to_owned(), credential))
    }

    /// What has been used of a `provider`, a `model` or a `credential`; the last by a number that says nothing of it.
    pub fn limiter(&self, kind: &'static str, name: &str, credential: u64) -> Arc<Limiter> {
        self.limiters.of((kind, name.to_owned(), credential))
    }

    /// Who waits for a model.
    pub fn queue(&self, model: &str) -> Arc<Queue> {
        self.queues.of(model.to_owned())
    }

    /// How many more attempts than requests a provider gets.
    pub fn retries(&self, provider: &str) -> Arc<RetryBudget> {
        self.retries.of(provider.to_owned())
    }

    /// How many there are at all.
    pub fn all_retries(&self) -> Arc<RetryBudget> {
        self.all_retries.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_seen_at_once_and_forgotten_with_successes() {
        let errors = Errors::default();
        assert_eq!(errors.at(5), 0);
        errors.note(1000, 5);
        assert_eq!(errors.at(5), 100);
        for _ in 0..100 {
            errors.note(1000, 5);
        }
        assert_eq!(errors.at(5), 1000);
        for _ in 0..100 {
            errors.note(0, 5);
        }
        assert_eq!(errors.at(5), 0);
    }

    #[test]
    fn failures_are_forgotten_where_nobody_asks_any_more() {
        let errors = Errors::default();
        for _ in 0..100 {
            errors.note(1000, 5);
        }
        assert_eq!(errors.at(10_005), 500);
        assert_eq!(errors.at(30_005), 125);
        assert_eq!(errors.at(200_000), 0);
        errors.note(1000, 10_005);
        assert_eq!(errors.at(10_005), 550);
    }

    #[test]
    fn a_hurry_speaks_against_a_model_that_has_not_answered_for_long() {
        let health = Health::default();
        let seen = |times: &[u64]| times.iter().map(|now| health.unreached_at(*now)).collect::<Vec<_>>();
        assert_eq!(
            seen(&[1, 3_000, 5_000, 5_001, 9_000]),
            [false, false, false, true, true]
        );
        health.answers();
        assert_eq!(seen(&[9_001, 14_000, 14_001]), [false, false, true]);
    }

    #[test]
    fn an_attempt_is_in_flight_until_it_is_dropped() {
        let health = Arc::new(Health::default());
        let attempt = health.begin();
        assert_eq!(health.read().in_flight, 1);
        drop(attempt);
        assert_eq!(health.read().in_flight, 0);
    }
}
