//! What one model's provider is believed to have in its cache of the conversations that it served lately: how many tokens of
//! each, from what its answers said. Bounded; whoever was not heard of for longest is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Conversations that are known until half of them are forgotten.
const MOST: usize = 10_000;

/// One model's record.
#[derive(Debug, Default)]
pub struct Prefixes(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    fresh: HashMap<u64, Noted>,
    /// Those that were fresh before.
    old: HashMap<u64, Noted>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    tokens: u64,
    at: Instant,
}

impl Prefixes {
    /// A conversation was served at this moment, after which so many tokens of it are cached.
    pub fn note(&self, conversation: u64, tokens: u64, at: Instant) {
        let mut seen = self.seen();
        if seen.fresh.len() >= MOST {
            seen.old = std::mem::take(&mut seen.fresh);
        }
        seen.old.remove(&conversation);
        seen.fresh.insert(conversation, Noted { tokens, at });
    }

    /// How many tokens of a conversation are cached, where the cache keeps them for so long; none where nothing is known.
    pub fn tokens(&self, conversation: u64, keeps: Duration, now: Instant) -> Option<u64> {
        let seen = self.seen();
        let noted = seen.fresh.get(&conversation).or_else(|| seen.old.get(&conversation))?;
        (now.saturating_duration_since(noted.at) < keeps).then_some(noted.tokens)
    }

    /// Held for a look-up.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_cached_is_known_for_as_long_as_the_cache_keeps_it() {
        let prefixes = Prefixes::default();
        let began = Instant::now();
        assert_eq!(prefixes.tokens(1, MINUTE, began), None);
        prefixes.note(1, 100, began);
        prefixes.note(2, 0, began);
        assert_eq!(prefixes.tokens(1, MINUTE, began + MINUTE / 2), Some(100));
        assert_eq!(prefixes.tokens(2, MINUTE, began), Some(0));
        prefixes.note(1, 120, began + MINUTE / 2);
        assert_eq!(prefixes.tokens(1, MINUTE, began + MINUTE), Some(120));
        assert_eq!(prefixes.tokens(1, MINUTE, began + 2 * MINUTE), None);
        assert_eq!(prefixes.tokens(1, Duration::ZERO, began + MINUTE), None);
    }

    #[test]
    fn who_was_not_heard_of_for_longest_is_forgotten() {
        let prefixes = Prefixes::default();
        let now = Instant::now();
        for conversation in 0..3 * MOST as u64 {
            prefixes.note(conversation, 1, now);
            prefixes.note(7, 1, now);
        }
        assert_eq!(prefixes.tokens(0, MINUTE, now), None);
        assert_eq!(prefixes.tokens(7, MINUTE, now), Some(1));
        assert_eq!(prefixes.tokens(3 * MOST as u64 - 1, MINUTE, now), Some(1));
        let seen = prefixes.seen();
        assert!(seen.fresh.len() + seen.old.len() <= 2 * MOST);
    }
}
