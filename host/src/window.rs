//! A sliding minute: what came in the last sixty seconds, whenever they began. It has an entry for each second in which
//! something came, so it does not grow.

use std::collections::VecDeque;
use std::time::Duration;

/// What came in which second, for as long as it counts.
#[derive(Debug, Clone, Default)]
pub struct Window {
    seconds: VecDeque<(u64, u64)>,
    sum: u64,
}

/// What came at the end of a second counts for a whole minute, so that what came at its beginning counts a little longer.
pub const SPAN: u64 = 61;

impl Window {
    /// What counts now, as of the last time that it was looked at.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many seconds it remembers.
    pub fn seconds(&self) -> usize {
        self.seconds.len()
    }

    /// What came long ago counts no more.
    pub fn forget(&mut self, now: u64) {
        while let Some((second, amount)) = self.seconds.front().copied() {
            if now < second + SPAN {
                break;
            }
            self.seconds.pop_front();
            self.sum -= amount;
        }
    }

    /// Whether so much more is within the limit; else how long it takes until it is.
    pub fn room(&self, amount: u64, most: u32, now: Duration) -> Result<(), Duration> {
        let too_much = self.sum.saturating_add(amount).saturating_sub(most.into());
        if too_much == 0 {
            return Ok(());
        }
        Err(self.until_gone(too_much, now))
    }

    /// When so much of what counts will count no more.
    pub fn until_gone(&self, amount: u64, now: Duration) -> Duration {
        let mut gone = 0;
        let last = self.seconds.iter().find(|(_, amount_then)| {
            gone += amount_then;
            gone >= amount
        });
        last.map_or(Duration::ZERO, |(second, _)| {
            Duration::from_secs(second + SPAN).saturating_sub(now)
        })
    }

    /// Counts so much.
    pub fn add(&mut self, second: u64, amount: u64) {
        match self.seconds.back_mut() {
            // Another thread may have come with a later second before.
            Some((last, counted)) if *last >= second => *counted = counted.saturating_add(amount),
            _ => self.seconds.push_back((second, amount)),
        }
        self.sum = self
            .seconds
            .iter()
            .fold(0, |sum, (_, amount)| sum.saturating_add(*amount));
    }

    /// What was counted in a second was another amount in truth. Of what counts no more, only what is beyond it is counted.
    pub fn correct(&mut self, second: u64, counted: u64, truth: u64, now: u64) {
        self.forget(now);
        match self.seconds.iter_mut().find(|(known, _)| *known >= second) {
            Some((_, amount)) if self.sum >= counted => {
                *amount = amount.saturating_sub(counted).saturating_add(truth);
                self.sum = self
                    .seconds
                    .iter()
                    .fold(0, |sum, (_, amount)| sum.saturating_add(*amount));
            }
            _ if truth > counted => self.add(now, truth - counted),
            _ => {}
        }
    }
}
