//! How long a model's answers take: a peak that decays, which policies see, and the last ones, for what most of them stay within.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many are remembered.
const LAST: usize = 64;
/// Fewer say nothing of most.
const ENOUGH: usize = 20;
/// A peak has decayed to a third of the way to what is usual after so long.
const DECAY_MS: f64 = 10_000.0;

/// One kind of time of one model, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Times(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    peak: f64,
    at_ms: u64,
    last: [u32; LAST],
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            peak: 0.0,
            at_ms: 0,
            last: [0; LAST],
            count: 0,
        }
    }
}

impl Times {
    /// Slower is believed at once, faster bit by bit: so a model that becomes slow is found out by its first slow answer.
    pub(super) fn note(&self, value: u32, now_ms: u64) {
        let mut seen = self.seen();
        let value_ms = f64::from(value);
        seen.peak = if value_ms > seen.peak {
            value_ms
        } else {
            let passed = now_ms.saturating_sub(seen.at_ms) as f64;
            // What comes in quick succession counts as well, if little.
            let kept = (-passed / DECAY_MS).exp().min(0.9);
            seen.peak * kept + value_ms * (1.0 - kept)
        };
        seen.at_ms = now_ms;
        let place = seen.count % LAST;
        seen.last[place] = value;
        seen.count += 1;
    }

    /// Nothing until something was seen.
    pub(super) fn peak(&self) -> Option<u32> {
        let seen = self.seen();
        (seen.count > 0).then(|| seen.peak.round() as u32)
    }

    pub(super) fn p95(&self) -> Option<Duration> {
        let seen = self.seen();
        let known = seen.count.min(LAST);
        if known < ENOUGH {
            return None;
        }
        let mut last = seen.last;
        drop(seen);
        let (_, within, _) = last[..known].select_nth_unstable((known * 95).div_ceil(100) - 1);
        Some(Duration::from_millis((*within).into()))
    }

    /// Held for a few instructions only.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_believed_at_once_and_forgotten_bit_by_bit() {
        let times = Times::default();
        assert_eq!(times.peak(), None);
        times.note(100, 1_000);
        times.note(1_000, 1_000);
        assert_eq!(times.peak(), Some(1_000));
        times.note(100, 1_000);
        assert_eq!(times.peak(), Some(910));
        times.note(100, 11_000);
        assert_eq!(times.peak(), Some(398));
        times.note(100, 100_000);
        assert_eq!(times.peak(), Some(100));
    }

    #[test]
    fn most_of_the_last_answers_stay_within_the_p95() {
        let times = Times::default();
        for value in 1..=19 {
            times.note(value, 0);
        }
        assert_eq!(times.p95(), None);
        times.note(20, 0);
        assert_eq!(times.p95(), Some(Duration::from_millis(19)));
        for _ in 0..LAST {
            times.note(7, 0);
        }
        assert_eq!(times.p95(), Some(Duration::from_millis(7)));
    }
}
