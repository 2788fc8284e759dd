//! Whether a model is left alone after failures: several in a row, or half of the last ones, open the breaker; after a while
//! one request tries the model again, and how that goes decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::health::{Health, now_ms};

/// So many failures in a row open it.
const IN_A_ROW: u32 = 5;
/// And so large a share of the last ones.
const PERMILLE: u32 = 500;
/// How long it is open at first; twice as long after each trial that fails.
const OPEN_MS: u64 = 1_000;
/// Never longer, so that a model that has recovered is found out soon.
const OPEN_MOST_MS: u64 = 4_000;
/// A trial of which nobody has heard for so long is over.
const TRIAL_MS: u64 = 600_000;

/// One model's.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    in_a_row: AtomicU32,
    /// How often it has opened since an answer last came to its end.
    opened: AtomicU32,
    /// When the model may be tried again; 0 while the breaker is closed.
    until_ms: AtomicU64,
    /// By when the trial under way has to end; 0 where there is none.
    trial_ms: AtomicU64,
}

/// What the breaker says of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// It may be asked.
    Closed,
    /// One request may try it.
    Due,
    /// It is left alone for so long.
    Open(Duration),
}

impl Breaker {
    pub(super) fn at(&self, now_ms: u64) -> Current {
        match self.until_ms.load(Relaxed) {
            0 => Current::Closed,
            until if now_ms < until => Current::Open(Duration::from_millis(until - now_ms)),
            _ if now_ms < self.trial_ms.load(Relaxed) => Current::Open(Duration::from_millis(OPEN_MS)),
            _ => Current::Due,
        }
    }

    /// Whether the caller is the one that tries the model.
    fn begin_trial(&self, now_ms: u64) -> bool {
        let is_free = |until: u64| (until <= now_ms).then_some(now_ms + TRIAL_MS);
        self.at(now_ms) == Current::Due && self.trial_ms.fetch_update(Relaxed, Relaxed, is_free).is_ok()
    }

    /// An answer has begun: the model may be asked again. What it failed at before is not forgotten, since whoever begins every
    /// answer and breaks it is not well: the next failure opens the breaker anew, and for longer.
    pub(super) fn answers(&self) {
        // Usually there is nothing to change, and a line that nobody writes to is cheap to share.
        if self.until_ms.load(Relaxed) != 0 {
            self.until_ms.store(0, Relaxed);
            self.trial_ms.store(0, Relaxed);
        }
    }

    /// An answer has come to its end. One that began before the breaker opened says nothing of what comes after.
    pub(super) fn success(&self) {
        if self.in_a_row.load(Relaxed) != 0 && self.until_ms.load(Relaxed) == 0 {
            self.in_a_row.store(0, Relaxed);
            self.opened.store(0, Relaxed);
        }
    }

    /// A failure, as the last ones have that share. How long the model is left alone, where this is what opened the breaker.
    pub(super) fn failure(&self, permille: u32, now_ms: u64) -> Option<Duration> {
        let in_a_row = self.in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        match self.until_ms.load(Relaxed) {
            0 if in_a_row < IN_A_ROW && permille < PERMILLE => None,
            // What was under way when it opened says nothing new.
            until if now_ms < until => None,
            _ => Some(self.open(now_ms)),
        }
    }

    fn open(&self, now_ms: u64) -> Duration {
        let times = self.opened.fetch_add(1, Relaxed).min(16);
        let open = (OPEN_MS << times).min(OPEN_MOST_MS);
        self.until_ms.store(now_ms + open, Relaxed);
        self.trial_ms.store(0, Relaxed);
        Duration::from_millis(open)
    }
}

/// The right to try a model again. Let go without a result, as by a client that goes away, the next request but one may.
#[derive(Debug)]
pub struct Trial(Arc<Health>);

impl Trial {
    /// The right, where the model is to be tried and nobody does so yet.
    pub fn of(health: &Arc<Health>) -> Option<Self> {
        health.breaker.begin_trial(now_ms()).then(|| Self(health.clone()))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let breaker = &self.0.breaker;
        // Otherwise it has been decided: closed by a success, opened anew by a failure.
        if breaker.trial_ms.swap(0, Relaxed) != 0 && breaker.until_ms.load(Relaxed) != 0 {
            breaker.until_ms.store(now_ms() + OPEN_MS, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_request_at_a_time_tries_again() {
        let breaker = Breaker::default();
        for _ in 1..IN_A_ROW {
            assert_eq!(breaker.failure(0, 10), None);
        }
        assert_eq!(breaker.at(10), Current::Closed);
        assert_eq!(breaker.failure(0, 10), Some(Duration::from_secs(1)));
        // Those that were under way do not keep it open.
        assert_eq!(breaker.failure(900, 20), None);
        assert_eq!(breaker.at(1_009), Current::Open(Duration::from_millis(1)));
        assert!(!breaker.begin_trial(1_009));
        assert!(breaker.begin_trial(1_010));
        assert!(!breaker.begin_trial(1_010));
        assert_eq!(breaker.at(1_010), Current::Open(Duration::from_secs(1)));
        // Each trial that fails doubles the time, up to the most.
        for (now, open) in [(1_020, 2), (3_020, 4), (7_020, 4)] {
            assert_eq!(breaker.failure(900, now), Some(Duration::from_secs(open)));
        }
        assert!(breaker.begin_trial(11_020));
        breaker.answers();
        assert_eq!(breaker.at(11_020), Current::Closed);
        breaker.success();
        assert_eq!(breaker.failure(0, 11_030), None);
        assert_eq!(breaker.failure(PERMILLE, 11_030), Some(Duration::from_secs(1)));
    }

    #[test]
    fn who_begins_to_answer_and_breaks_off_is_left_alone_for_longer_each_time() {
        let breaker = Breaker::default();
        let mut now = 10;
        for _ in 1..IN_A_ROW {
            breaker.answers();
            assert_eq!(breaker.failure(0, now), None);
        }
        for open in [1, 2, 4, 4] {
            assert_eq!(breaker.failure(0, now), Some(Duration::from_secs(open)));
            // An answer from before comes to its end.
            breaker.success();
            now += open * 1_000;
            assert!(breaker.begin_trial(now));
            breaker.answers();
            assert_eq!(breaker.at(now), Current::Closed);
        }
        breaker.success();
        assert_eq!(breaker.failure(0, now), None);
    }

    #[test]
    fn a_trial_that_nobody_decided_leaves_the_model_to_another() {
        let health = Arc::new(Health::default());
        for _ in 0..IN_A_ROW {
            health.failure();
        }
        health.breaker.until_ms.store(1, Relaxed);
        let trial = Trial::of(&health).unwrap();
        assert!(Trial::of(&health).is_none());
        drop(trial);
        assert!(matches!(health.current(), Current::Open(left) if left <= Duration::from_secs(1)));
        health.breaker.until_ms.store(1, Relaxed);
        let trial = Trial::of(&health).unwrap();
        health.answers();
        drop(trial);
        assert_eq!(health.current(), Current::Closed);
    }
}
