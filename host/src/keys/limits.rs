//! Requests and tokens in a minute and requests at one time, of keys, teams and organisations. A minute is the last sixty
//! seconds, whenever they began: no more than the limit gets through in any of them. All in memory, by the monotonic clock;
//! each count has an entry for each second in which something came, so it does not grow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::budget::Scope;
use crate::config::RateLimits;
use crate::error::ApiError;
use crate::window::Window;

/// One limit of a caller.
#[derive(Debug)]
pub(super) struct Limited {
    /// As in ``team `research` ``.
    pub(super) whose: String,
    pub(super) limits: RateLimits,
    pub(super) limiter: Arc<Limiter>,
}

/// What has been used of one key, team or organisation's limits.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    minute: Mutex<Minute>,
    parallel: AtomicU32,
}

#[derive(Debug, Default)]
struct Minute {
    requests: Window,
    tokens: Window,
}

/// The limiters in use; what was counted outlives a change of the keys.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<HashMap<Scope, Weak<Limiter>>>);

impl Registry {
    pub(super) fn of(&self, scope: &Scope) -> Arc<Limiter> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = known.get(scope).and_then(Weak::upgrade) {
            return limiter;
        }
        let limiter = Arc::<Limiter>::default();
        known.insert(scope.clone(), Arc::downgrade(&limiter));
        limiter
    }

    /// Forgets those that nobody has any more.
    pub(super) fn sweep(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, limiter| limiter.strong_count() > 0);
    }
}

/// Since something fixed in the life of the process.
pub(super) fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// A request that was let in, until it has ended.
#[derive(Debug, Default)]
pub struct Admission {
    held: Vec<Held>,
    second: u64,
    tokens: u64,
}

#[derive(Debug)]
struct Held {
    limits: RateLimits,
    limiter: Arc<Limiter>,
}

impl Admission {
    /// Takes from all limits, or from none.
    pub(super) fn of(limited: &[Limited], tokens: u64, now: Duration) -> Result<Self, ApiError> {
        let mut admission = Self {
            held: Vec::with_capacity(limited.len()),
            second: now.as_secs(),
            tokens,
        };
        for one in limited {
            if let Err(error) = one.limiter.take(&one.limits, &one.whose, tokens, now) {
                admission.take_back();
                return Err(error);
            }
            admission.held.push(Held {
                limits: one.limits,
                limiter: one.limiter.clone(),
            });
        }
        Ok(admission)
    }

    /// What was used in truth takes the place of what was taken for it.
    pub fn settle(&mut self, tokens: u64) {
        let now = now().as_secs();
        for held in self.held.iter().filter(|held| held.limits.tpm.is_some()) {
            let mut minute = held.limiter.minute();
            minute.tokens.correct(self.second, self.tokens, tokens, now);
        }
        self.tokens = tokens;
    }

    /// What it is counted as.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    fn take_back(&self) {
        for held in &self.held {
            let mut minute = held.limiter.minute();
            if held.limits.rpm.is_some() {
                minute.requests.correct(self.second, 1, 0, self.second);
            }
            if held.limits.tpm.is_some() {
                minute.tokens.correct(self.second, self.tokens, 0, self.second);
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for held in self.held.iter().filter(|held| held.limits.parallel.is_some()) {
            held.limiter.parallel.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Limiter {
    fn minute(&self) -> std::sync::MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, limits: &RateLimits, whose: &str, tokens: u64, now: Duration) -> Result<(), ApiError> {
        if let Some(most) = limits.parallel {
            let one_more = |under_way: u32| (under_way < most).then_some(under_way + 1);
            let taken = self
                .parallel
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            taken.map_err(|_| {
                let message = format!("{whose} has {most} requests under way, which is its limit at one time");
                exceeded(message, Some(Duration::from_secs(1)))
            })?;
        }
        self.count(limits, whose, tokens, now).inspect_err(|_| {
            if limits.parallel.is_some() {
                self.parallel.fetch_sub(1, Ordering::Relaxed);
            }
        })
    }

    fn count(&self, limits: &RateLimits, whose: &str, tokens: u64, now: Duration) -> Result<(), ApiError> {
        let mut minute = self.minute();
        let minute = &mut *minute;
        if let Some(most) = limits.rpm {
            minute.requests.forget(now.as_secs());
            minute.requests.room(1, most, now).map_err(|after| {
                let message = format!(
                    "{whose} may make {most} requests in a minute and has made them; try again in {}",
                    spelt(after)
                );
                exceeded(message, Some(after))
            })?;
        }
        if let Some(most) = limits.tpm {
            if tokens > u64::from(most) {
                let message = format!(
                    "the request is counted as {tokens} tokens, and {whose} may use {most} in a minute: \
                     it can never be let in; shorten it, or lower `max_tokens`"
                );
                return Err(exceeded(message, None).final_answer());
            }
            minute.tokens.forget(now.as_secs());
            minute.tokens.room(tokens, most, now).map_err(|after| {
                let message = format!(
                    "the request is counted as {tokens} tokens; {whose} may use {most} in a minute and has used {}; \
                     try again in {}",
                    minute.tokens.sum(),
                    spelt(after)
                );
                exceeded(message, Some(after))
            })?;
            minute.tokens.add(now.as_secs(), tokens);
        }
        if limits.rpm.is_some() {
            minute.requests.add(now.as_secs(), 1);
        }
        Ok(())
    }
}

fn exceeded(message: String, after: Option<Duration>) -> ApiError {
    ApiError::busy(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).with_retry_after(after)
}

const NAMES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];

/// The same in Anthropic's words.
const ANTHROPIC_NAMES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    ],
];

/// Of several limits the one of which least is left; in Anthropic's words, too, where it is so late by the clock.
pub(super) fn put_headers(limited: &[Limited], headers: &mut HeaderMap, now: Duration, clock: Option<Timestamp>) {
    let mut tightest: [Option<(u64, u32, Duration)>; 2] = [None, None];
    for one in limited {
        let mut minute = one.limiter.minute();
        let minute = &mut *minute;
        let counts = [
            (one.limits.rpm, &mut minute.requests),
            (one.limits.tpm, &mut minute.tokens),
        ];
        for (tightest, (most, window)) in tightest.iter_mut().zip(counts) {
            let Some(most) = most else { continue };
            window.forget(now.as_secs());
            let left = u64::from(most).saturating_sub(window.sum());
            if tightest.is_none_or(|(least, ..)| left < least) {
                *tightest = Some((left, most, window.until_gone(window.sum(), now)));
            }
        }
    }
    let names = NAMES.into_iter().zip(ANTHROPIC_NAMES);
    for (([limit, remaining, reset], anthropic), tightest) in names.zip(tightest) {
        let Some((left, most, until)) = tightest else { continue };
        if let Some(at) = clock.and_then(|clock| whole_second(clock, until)) {
            let [limit, remaining, reset] = anthropic;
            headers.insert(limit, most.into());
            headers.insert(remaining, left.into());
            headers.insert(reset, at);
        }
        headers.insert(limit, most.into());
        headers.insert(remaining, left.into());
        if let Ok(until) = HeaderValue::from_str(&spelt(until)) {
            headers.insert(reset, until);
        }
    }
}

/// The moment after so long, as RFC 3339 spells it; not before all of it has passed.
fn whole_second(clock: Timestamp, until: Duration) -> Option<HeaderValue> {
    let at = clock.checked_add(until).ok()?;
    let second = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    HeaderValue::from_str(&Timestamp::from_second(second).ok()?.to_string()).ok()
}

/// As OpenAI spells durations: `120ms`, `59.5s`, `1m0s`.
fn spelt(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let fraction = format!("{:03}", ms % 1_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let minutes = if ms < 60_000 {
        String::new()
    } else {
        format!("{}m", ms / 60_000)
    };
    format!("{minutes}{}{point}{fraction}s", ms / 1_000 % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limited(limits: RateLimits) -> Limited {
        Limited {
            whose: "key `ci`".to_owned(),
            limits,
            limiter: Arc::default(),
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn rpm(rpm: u32) -> RateLimits {
        RateLimits {
            rpm: Some(rpm),
            ..RateLimits::default()
        }
    }

    #[test]
    fn a_request_beyond_the_limit_is_told_when_it_will_be_let_in_and_then_it_is() {
        let limited = [limited(rpm(2))];
        let admit = |now| Admission::of(&limited, 0, at(now)).map(drop);
        assert!(admit(10_900).is_ok() && admit(20_000).is_ok());
        let error = admit(20_001).unwrap_err();
        assert_eq!((error.status.as_u16(), &*error.code), (429, "rate_limit_exceeded"));
        let after = error.retry_after.unwrap();
        assert_eq!(after, at(71_000 - 20_001));
        assert!(admit(70_999).is_err() && admit(71_000).is_ok() && admit(71_001).is_err());
    }

    #[test]
    fn who_is_refused_by_one_limit_has_taken_from_none() {
        let both = [limited(rpm(5)), limited(rpm(1))];
        let admit = || Admission::of(&both, 0, at(1_000));
        let first = admit().unwrap();
        assert!(admit().is_err() && admit().is_err());
        drop(first);
        assert_eq!(both[0].limiter.minute().requests.sum(), 1);
    }

    #[test]
    fn those_under_way_count_until_they_have_ended() {
        let limited = [limited(RateLimits {
            parallel: Some(1),
            ..RateLimits::default()
        })];
        let first = Admission::of(&limited, 0, at(0)).unwrap();
        assert!(Admission::of(&limited, 0, at(0)).is_err());
        drop(first);
        assert!(Admission::of(&limited, 0, at(0)).is_ok());
    }

    #[test]
    fn tokens_are_corrected_when_it_is_known_how_many_there_were() {
        let limited = [limited(RateLimits {
            tpm: Some(1_000),
            ..RateLimits::default()
        })];
        let mut first = Admission::of(&limited, 900, now()).unwrap();
        assert!(Admission::of(&limited, 200, now()).is_err());
        first.settle(100);
        assert!(Admission::of(&limited, 900, now()).is_ok());
        let error = Admission::of(&limited, 1_001, now()).unwrap_err();
        assert_eq!((error.retry_after, error.should_retry), (None, Some(false)));
    }

    #[test]
    fn headers_are_of_the_limit_of_which_least_is_left() {
        let tokens = RateLimits {
            tpm: Some(100),
            ..rpm(10)
        };
        let both = [limited(tokens), limited(rpm(5))];
        let _admission = Admission::of(&both, 30, at(500)).unwrap();
        let mut headers = HeaderMap::new();
        put_headers(&both, &mut headers, at(1_500), None);
        assert!(headers.keys().all(|name| !name.as_str().starts_with("anthropic")));
        let clock = "2026-11-22T10:00:00.5Z".parse().unwrap();
        put_headers(&both, &mut headers, at(1_500), Some(clock));
        let read = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(read("x-ratelimit-limit-requests"), Some("5"));
        assert_eq!(read("x-ratelimit-remaining-requests"), Some("4"));
        assert_eq!(read("x-ratelimit-reset-requests"), Some("59.5s"));
        assert_eq!(read("x-ratelimit-remaining-tokens"), Some("70"));
        assert_eq!(read("anthropic-ratelimit-requests-limit"), Some("5"));
        assert_eq!(read("anthropic-ratelimit-tokens-remaining"), Some("70"));
        // After 59.5 seconds, in whole ones.
        assert_eq!(read("anthropic-ratelimit-requests-reset"), Some("2026-11-22T10:01:00Z"));
    }

    #[test]
    fn durations_are_spelt_as_openai_spells_them() {
        for (ms, text) in [
            (0, "0ms"),
            (120, "120ms"),
            (1_000, "1s"),
            (59_500, "59.5s"),
            (60_000, "1m0s"),
        ] {
            assert_eq!(spelt(at(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_limit(limit in 1_u32..6, pauses in proptest::collection::vec(0_u64..30_000, 1..60)) {
            let limited = [limited(rpm(limit))];
            let mut now = 0;
            let mut let_in: Vec<u64> = Vec::new();
            for pause in pauses {
                now += pause;
                match Admission::of(&limited, 0, at(now)) {
                    Ok(_) => let_in.push(now),
                    Err(error) => {
                        let after = error.retry_after.unwrap();
                        let then = at(now) + after;
                        prop_assert!(after <= Duration::from_secs(crate::window::SPAN));
                        let minute = limited[0].limiter.minute();
                        let mut later = minute.requests.clone();
                        later.forget(then.as_secs());
                        prop_assert!(later.room(1, limit, then).is_ok(), "the time to wait is too short");
                    }
                }
                let last_minute = let_in.iter().filter(|then| **then + 60_000 > now).count();
                prop_assert!(last_minute <= limit as usize);
                prop_assert!(limited[0].limiter.minute().requests.seconds() <= crate::window::SPAN as usize);
            }
        }
    }
}
