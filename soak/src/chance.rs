//! Chance that can be repeated: a trial says its seed, and the same seed is the same trial.

use std::time::{SystemTime, UNIX_EPOCH};

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The one that the environment names by `POINTSMAN_SOAK_SEED`, else a new one, which is said.
    pub(crate) fn new() -> Self {
        let named = std::env::var("POINTSMAN_SOAK_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = named.unwrap_or_else(|| now.map_or(1, |now| now.as_nanos() as u64));
        eprintln!("POINTSMAN_SOAK_SEED={seed}");
        Self::of(seed)
    }

    /// The one of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number: SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    /// Heads.
    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}
