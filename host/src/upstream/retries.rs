//! How many attempts beyond the first of each request are made: a share of the requests, and a few in any case. A provider
//! that fails is then asked little more than usual, instead of many times as much.

use std::sync::{Arc, Mutex, PoisonError};

use super::health::now_ms;
use crate::config::RetryRate;

/// What is counted is of the last ten seconds.
const SECONDS: usize = 10;

/// One provider's, or that of all together. Kept over reloads.
#[derive(Debug, Default)]
pub struct RetryBudget(Mutex<[Second; SECONDS]>);

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    number: u64,
    requests: u64,
    retries: u64,
}

/// The budgets that attempts at one provider have to fit into.
#[derive(Debug, Clone)]
pub struct Retries {
    /// Its own.
    pub own: Arc<RetryBudget>,
    /// That of all providers.
    pub all: Arc<RetryBudget>,
    /// How much of either there is.
    pub rate: RetryRate,
}

impl Retries {
    /// One more attempt at the provider, where there is room for it in both.
    pub fn take(&self) -> bool {
        let now = now_ms() / 1000;
        if !self.own.take(self.rate, now) {
            return false;
        }
        let is_taken = self.all.take(self.rate, now);
        if !is_taken {
            self.own.give_back(now);
        }
        is_taken
    }
}

impl RetryBudget {
    /// A request came that may be sent there.
    pub fn request(&self) {
        self.count(now_ms() / 1000);
    }

    fn count(&self, now: u64) {
        self.with(now, |second, _| second.requests += 1);
    }

    fn take(&self, rate: RetryRate, now: u64) -> bool {
        self.with(now, |second, (requests, retries)| {
            let share = requests.saturating_mul(rate.percent.into()) / 100;
            let most = share.saturating_add(u64::from(rate.per_second) * SECONDS as u64);
            let has_room = retries < most;
            second.retries += u64::from(has_room);
            has_room
        })
    }

    fn give_back(&self, now: u64) {
        self.with(now, |second, _| second.retries = second.retries.saturating_sub(1));
    }

    /// Does something to the current second, knowing the sums of all.
    fn with<T>(&self, now: u64, change: impl FnOnce(&mut Second, (u64, u64)) -> T) -> T {
        // Held for a few instructions only.
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seconds.iter().filter(|second| second.number + SECONDS as u64 > now);
        let sums = known.fold((0, 0), |(requests, retries), second| {
            (requests + second.requests, retries + second.retries)
        });
        let current = &mut seconds[now as usize % SECONDS];
        if current.number != now {
            *current = Second {
                number: now,
                ..Second::default()
            };
        }
        change(current, sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RetryRate = RetryRate {
        percent: 20,
        per_second: 1,
    };

    #[test]
    fn retries_are_a_share_of_the_requests_of_ten_seconds_and_a_few_more() {
        let budget = RetryBudget::default();
        let taken = |now| (0..1000).filter(|_| budget.take(RATE, now)).count();
        assert_eq!(taken(100), 10);
        for second in 100..110 {
            (0..10).for_each(|_| budget.count(second));
        }
        assert_eq!(taken(109), 20);
        // A second after, what the first of them brought and took is forgotten.
        assert_eq!(taken(110), 8);
        assert_eq!(taken(200), 10);
    }

    #[test]
    fn what_does_not_fit_into_both_is_taken_from_neither() {
        let retries = Retries {
            own: Arc::default(),
            all: Arc::default(),
            rate: RATE,
        };
        let other = Retries {
            own: Arc::default(),
            ..retries.clone()
        };
        let taken = |retries: &Retries| (0..1000).filter(|_| retries.take()).count();
        let first = taken(&retries);
        // The clock runs meanwhile, and may give a little more.
        assert!(first >= 10, "{first}");
        assert!(taken(&other) <= 2);
        (0..1000).for_each(|_| retries.all.request());
        assert!(taken(&other) >= 8);
    }
}
