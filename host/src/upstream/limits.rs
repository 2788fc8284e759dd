//! How much of a provider, a model or a credential may be used: requests and tokens in a minute, and calls at one time, as the
//! configuration says. An attempt takes from all of its limits or from none, and gives back what it did not use.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::health::now;
use crate::config::RateLimits;
use crate::window::Window;

/// What has been used of one of them. Kept over reloads.
#[derive(Debug, Default)]
pub struct Limiter {
    minute: Mutex<Minute>,
    parallel: AtomicU32,
}

#[derive(Debug, Default)]
struct Minute {
    requests: Window,
    tokens: Window,
}

/// A limiter and its limits.
#[derive(Debug, Default)]
pub struct Limited {
    limits: RateLimits,
    limiter: Arc<Limiter>,
}

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Requests, where they are limited.
    pub requests: Option<u32>,
    /// Tokens, where they are limited.
    pub tokens: Option<u64>,
}

/// When to look again for room among calls under way: nobody knows when one of them ends.
const SOON: Duration = Duration::from_secs(1);

impl Room {
    /// The less of both.
    pub fn and(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        let requests = least(self.requests.map(u64::from), other.requests.map(u64::from));
        Self {
            requests: requests.and_then(|requests| u32::try_from(requests).ok()),
            tokens: least(self.tokens, other.tokens),
        }
    }
}

/// An attempt's place within its limits, to the end of its answer.
#[derive(Debug)]
pub struct Pass {
    /// Which of the provider's credentials it goes out with.
    pub credential: usize,
    held: Vec<(RateLimits, Arc<Limiter>)>,
    second: u64,
    tokens: u64,
}

impl Limited {
    /// These limits, kept by this limiter.
    pub fn new(limits: RateLimits, limiter: Arc<Limiter>) -> Self {
        Self { limits, limiter }
    }

    /// What there is room for now.
    pub fn room(&self) -> Room {
        if self.limits.is_empty() {
            return Room::default();
        }
        let now = now();
        let mut minute = self.limiter.minute();
        let left = |most: Option<u32>, window: &mut Window| {
            window.forget(now.as_secs());
            most.map(|most| u64::from(most).saturating_sub(window.sum()))
        };
        let requests = left(self.limits.rpm, &mut minute.requests);
        let tokens = left(self.limits.tpm, &mut minute.tokens);
        drop(minute);
        let parallel = self
            .limits
            .parallel
            .map(|most| most.saturating_sub(self.limiter.parallel.load(Relaxed)));
        Room {
            requests: requests.and_then(|left| u32::try_from(left).ok()),
            tokens,
        }
        .and(Room {
            requests: parallel,
            tokens: None,
        })
    }

    fn take(&self, tokens: u64, now: Duration) -> Result<(), Duration> {
        let Limiter { parallel, .. } = &*self.limiter;
        if let Some(most) = self.limits.parallel {
            let one_more = |under_way: u32| (under_way < most).then_some(under_way + 1);
            parallel.fetch_update(Relaxed, Relaxed, one_more).map_err(|_| SOON)?;
        }
        self.count(tokens, now).inspect_err(|_| {
            if self.limits.parallel.is_some() {
                parallel.fetch_sub(1, Relaxed);
            }
        })
    }

    fn count(&self, tokens: u64, now: Duration) -> Result<(), Duration> {
        let mut minute = self.limiter.minute();
        if let Some(most) = self.limits.rpm {
            minute.requests.forget(now.as_secs());
            minute.requests.room(1, most, now)?;
        }
        if let Some(most) = self.limits.tpm {
            minute.tokens.forget(now.as_secs());
            // What is larger by estimate than a whole minute's tokens may go when nothing else did.
            minute.tokens.room(tokens.min(most.into()), most, now)?;
            minute.tokens.add(now.as_secs(), tokens);
        }
        if self.limits.rpm.is_some() {
            minute.requests.add(now.as_secs(), 1);
        }
        Ok(())
    }
}

impl Limiter {
    /// Held for a few instructions only.
    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Room for so many tokens in all of these; else how long it takes until there is, as far as that is known.
    pub fn of<'a>(
        limited: impl IntoIterator<Item = &'a Limited>,
        credential: usize,
        tokens: u64,
    ) -> Result<Self, Duration> {
        let mut pass = Self {
            credential,
            held: Vec::new(),
            second: 0,
            tokens,
        };
        for one in limited.into_iter().filter(|one| !one.limits.is_empty()) {
            let now = now();
            pass.second = now.as_secs();
            if let Err(wait) = one.take(tokens, now) {
                pass.give_back();
                return Err(wait);
            }
            pass.held.push((one.limits, one.limiter.clone()));
        }
        Ok(pass)
    }

    /// What was used in truth takes the place of what was taken for it.
    pub fn settle(&mut self, tokens: u64) {
        let now = now().as_secs();
        for (_, limiter) in self.held.iter().filter(|(limits, _)| limits.tpm.is_some()) {
            limiter.minute().tokens.correct(self.second, self.tokens, tokens, now);
        }
        self.tokens = tokens;
    }

    /// Nothing was sent.
    pub fn give_back(&mut self) {
        self.settle(0);
        let now = now().as_secs();
        for (_, limiter) in self.held.iter().filter(|(limits, _)| limits.rpm.is_some()) {
            limiter.minute().requests.correct(self.second, 1, 0, now);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        for (_, limiter) in self.held.iter().filter(|(limits, _)| limits.parallel.is_some()) {
            limiter.parallel.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(rpm: Option<u32>, tpm: Option<u32>, parallel: Option<u32>) -> Limited {
        Limited::new(RateLimits { rpm, tpm, parallel }, Arc::default())
    }

    #[test]
    fn an_attempt_takes_from_all_or_none_and_gives_back_what_it_did_not_use() {
        let (provider, model) = (limited(Some(2), None, None), limited(None, Some(100), Some(1)));
        let both = [&provider, &model];
        let mut first = Pass::of(both, 0, 60).unwrap();
        assert_eq!(Pass::of(both, 0, 10).unwrap_err(), SOON);
        assert_eq!(provider.room().requests, Some(1));
        first.settle(30);
        drop(first);
        assert_eq!(
            model.room(),
            Room {
                requests: Some(1),
                tokens: Some(70)
            }
        );
        assert!(Pass::of(both, 0, 80).unwrap_err() > Duration::from_secs(50));
        assert_eq!(provider.room().requests, Some(1));
        let mut second = Pass::of(both, 0, 70).unwrap();
        second.give_back();
        drop(second);
        assert_eq!((provider.room().requests, model.room().tokens), (Some(1), Some(70)));
    }

    #[test]
    fn what_is_larger_than_a_minute_goes_when_nothing_else_did() {
        let model = limited(None, Some(100), None);
        drop(Pass::of([&model], 0, 500).unwrap());
        assert_eq!(model.room().tokens, Some(0));
        assert!(Pass::of([&model], 0, 1).is_err());
    }
}
