//! One model under one credential of its provider: for how long it is to be left alone, and what is left of its limits, both as
//! its provider said.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::health::now_ms;
use super::limits::Room;
use super::told::Told;

/// How long a lane rests whose provider did not say; twice as long each further time.
const GUESS: Duration = Duration::from_secs(1);
const GUESS_MOST: Duration = Duration::from_secs(30);
/// After this it is tried whatever its provider said.
const TOLD_MOST: Duration = Duration::from_secs(3_600);

/// A lane's rest. Cheap to read, and kept over reloads.
#[derive(Debug, Default)]
pub struct Lane {
    /// Not before then: the provider's own word.
    told_ms: AtomicU64,
    /// Better not before then: the gateway's guess.
    guess_ms: AtomicU64,
    in_a_row: AtomicU32,
    /// What is left of requests and tokens, and until when that is so.
    left: Mutex<[Option<(u64, u64)>; 2]>,
}

/// What is left counts for so long where nobody says when the limit begins anew.
const LEFT: Duration = Duration::from_secs(60);

impl Lane {
    /// The provider had no room, and may have said for how long.
    pub fn limited(&self, retry_after: Option<Duration>) {
        self.limited_at(retry_after, now_ms());
    }

    fn limited_at(&self, retry_after: Option<Duration>, now_ms: u64) {
        let times = self.in_a_row.fetch_add(1, Relaxed).min(16);
        match retry_after.filter(|after| !after.is_zero()) {
            Some(after) => self
                .told_ms
                .fetch_max(now_ms + milliseconds(after.min(TOLD_MOST)), Relaxed),
            None => {
                let guess = (GUESS * (1 << times)).min(GUESS_MOST);
                self.guess_ms.fetch_max(now_ms + milliseconds(guess), Relaxed)
            }
        };
    }

    /// The provider answered.
    pub fn answered(&self) {
        // Usually there is nothing to forget, and a line that nobody writes to is cheap to share.
        if self.in_a_row.load(Relaxed) > 0 {
            self.in_a_row.store(0, Relaxed);
            self.guess_ms.store(0, Relaxed);
        }
    }

    /// What an answer said of the limits. Where it said nothing, what was said before holds.
    pub fn learn(&self, told: [Option<Told>; 2]) {
        if told.iter().all(Option::is_none) {
            return;
        }
        let now = now_ms();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, told) in left.iter_mut().zip(told) {
            let until = |told: Told| now + milliseconds(told.resets.unwrap_or(LEFT).min(TOLD_MOST));
            *known = told.map(|told| (told.left, until(told))).or(*known);
        }
    }

    fn left(&self, now: u64) -> [Option<(u64, u64)>; 2] {
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.map(|known| known.filter(|(_, until)| now < *until))
    }

    /// What there is room for, as far as its provider has said.
    pub fn room(&self) -> Room {
        let [requests, tokens] = self.left(now_ms());
        Room {
            requests: requests.and_then(|(left, _)| u32::try_from(left).ok()),
            tokens: tokens.map(|(left, _)| left),
        }
    }

    /// Whether its provider has room for a request of so many tokens, by its own word; else for how long it has not. What is more
    /// than the limit by estimate is not kept from being tried: only nothing is too little for it.
    pub fn room_for(&self, tokens: u64) -> Result<(), Duration> {
        let now = now_ms();
        let [requests, left] = self.left(now);
        let none = requests.filter(|(left, _)| *left == 0);
        let too_few = left.filter(|(left, _)| *left == 0 && tokens > 0);
        let until = none.into_iter().chain(too_few).map(|(_, until)| until).max();
        let told = self.told();
        let learned = until.map(|until| Duration::from_millis(until - now));
        told.into_iter().chain(learned).max().map_or(Ok(()), Err)
    }

    /// For how long its provider does not want to be asked.
    pub fn told(&self) -> Option<Duration> {
        left(&self.told_ms, now_ms())
    }

    /// For how long it had better not be asked.
    pub fn guessed(&self) -> Option<Duration> {
        left(&self.guess_ms, now_ms())
    }
}

fn left(until_ms: &AtomicU64, now_ms: u64) -> Option<Duration> {
    let left = until_ms.load(Relaxed).saturating_sub(now_ms);
    (left > 0).then(|| Duration::from_millis(left))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_taken_at_its_word_for_an_hour_and_else_guessed() {
        let lane = Lane::default();
        lane.limited_at(Some(Duration::from_secs(20)), 1_000);
        assert_eq!(left(&lane.told_ms, 1_000), Some(Duration::from_secs(20)));
        assert_eq!(left(&lane.guess_ms, 1_000), None);
        lane.limited_at(Some(Duration::MAX), 1_000);
        assert_eq!(left(&lane.told_ms, 1_000), Some(TOLD_MOST));

        let lane = Lane::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            lane.limited_at(None, 1_000);
            assert_eq!(left(&lane.guess_ms, 1_000), Some(Duration::from_secs(seconds)));
        }
        lane.answered();
        assert_eq!(left(&lane.guess_ms, 1_000), None);
        assert_eq!(left(&lane.told_ms, 1_000), None);
    }
}
