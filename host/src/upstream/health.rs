//! What the gateway has seen of each model lately. Kept over reloads, by the model's id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One model's record; cheap to update, and read without a lock.
#[derive(Debug, Default)]
pub struct Health {
    in_flight: AtomicU32,
    /// Decaying averages in milliseconds; 0 until something was seen.
    first_token: AtomicU32,
    total: AtomicU32,
    /// Decaying share of failures in thousandths.
    errors: AtomicU32,
}

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
        average(&self.first_token, milliseconds(after));
    }

    /// An attempt ended well.
    pub fn success(&self, total: Duration) {
        average(&self.total, milliseconds(total));
        self.outcome(0);
    }

    /// An attempt failed by the provider's fault.
    pub fn failure(&self) {
        self.outcome(1000);
    }

    /// What the record says now.
    pub fn read(&self) -> Reading {
        let seen = |value: &AtomicU32| Some(value.load(Ordering::Relaxed)).filter(|value| *value > 0);
        Reading {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            first_token_ms: seen(&self.first_token),
            total_ms: seen(&self.total),
            error_permille: self.errors.load(Ordering::Relaxed),
        }
    }

    fn outcome(&self, permille: u32) {
        let update = |old: u32| Some((old * 9 + permille).div_ceil(10).min(1000)).filter(|new| *new != old);
        let _ = self.errors.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            // Rounded down on the way to zero, so that an old failure is forgotten in the end.
            if permille == 0 { Some(old * 9 / 10) } else { update(old) }
        });
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// The newest value counts a fifth.
fn average(cell: &AtomicU32, value: u32) {
    let mix = |old: u32| {
        if old == 0 {
            value
        } else {
            ((u64::from(old) * 4 + u64::from(value)) / 5).max(1) as u32
        }
    };
    let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(mix(old)));
}

/// All records.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<String, Arc<Health>>>);

impl Registry {
    /// A model's record; begun when it is first asked for. Called when a generation is built, not per request.
    pub fn of(&self, model: &str) -> Arc<Health> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.entry(model.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_seen_at_once_and_forgotten_in_time() {
        let health = Arc::new(Health::default());
        assert_eq!(health.read(), Reading::default());
        health.failure();
        assert_eq!(health.read().error_permille, 100);
        for _ in 0..100 {
            health.failure();
        }
        assert!(health.read().error_permille > 990);
        for _ in 0..100 {
            health.success(Duration::from_millis(20));
        }
        assert_eq!(health.read().error_permille, 0);
        assert_eq!(health.read().total_ms, Some(20));
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
