//! What is known of an arm: the sums of its good and bad answers, kept as atomic counters that fade without being touched.
//!
//! An answer counts for 2^(-age / half-life). Instead of shrinking what is stored, what is new is stored larger: an answer
//! at time t adds 2^((t - start) / half-life), and a reader divides by the same power of now (forward decay: Cormode,
//! Shkapenyuk, Srivastava and Xu, ICDE 2009). So adding is all that ever happens to a counter, and instances side by side lose
//! nothing. That the powers stay small, time is cut into epochs of sixteen half-lives; a reader looks at this epoch and
//! the one before, and what is older counts less than a sixty-five-thousandth.

use pointsman_plugin::state;

/// An answer's worth is counted in thousandths.
const UNIT: f64 = 1000.0;
/// Half-lives in an epoch: 2^16 · 1000 for each answer leaves room for 10^11 of them in a counter.
const EPOCH: f64 = 16.0;
const HOUR_MS: f64 = 3_600_000.0;

/// What the plugin's store holds.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// None where nothing fades.
    half_life_ms: Option<f64>,
}

/// What is known of one arm in one context, in answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) good: f64,
    pub(crate) bad: f64,
}

impl Record {
    pub(crate) fn weight(&self) -> f64 {
        self.good + self.bad
    }

    /// None where less than a hundredth of an answer is known.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.weight() >= 0.01).then(|| self.good / self.weight())
    }
}

impl Evidence {
    pub(crate) fn new(half_life_hours: f64) -> Self {
        Evidence {
            half_life_ms: (half_life_hours > 0.0).then_some(half_life_hours * HOUR_MS),
        }
    }

    /// Costs four looks into the store, two where nothing fades.
    pub(crate) fn of(&self, context: &str, arm: &str, now_ms: u64) -> Record {
        let (epoch, power) = self.at(now_ms);
        let sum = |kind| {
            let counter = |epoch| state::get::<i64>(&key(epoch, context, arm, kind)).unwrap_or(0) as f64;
            let before = match epoch.checked_sub(1) {
                Some(before) if self.half_life_ms.is_some() => counter(before) / EPOCH.exp2(),
                _ => 0.0,
            };
            // A counter that somebody else has spoilt may be negative; a shape of the distribution must not.
            ((counter(epoch) + before) / power / UNIT).max(0.0)
        };
        Record {
            good: sum("good"),
            bad: sum("bad"),
        }
    }

    /// Adds an answer that was worth so much of 1.
    pub(crate) fn note(&self, context: &str, arm: &str, now_ms: u64, reward: f64) {
        let (epoch, power) = self.at(now_ms);
        let ttl_ms = self.half_life_ms.map(|half_life| (2.0 * EPOCH * half_life) as u64);
        for (kind, worth) in [("good", reward), ("bad", 1.0 - reward)] {
            let amount = (worth * UNIT * power).round() as i64;
            if amount > 0 {
                state::add(&key(epoch, context, arm, kind), amount, ttl_ms);
            }
        }
    }

    /// The epoch, and how large an answer is at this moment of it.
    fn at(&self, now_ms: u64) -> (u64, f64) {
        let Some(half_life) = self.half_life_ms else {
            return (0, 1.0);
        };
        let half_lives = now_ms as f64 / half_life;
        let epoch = (half_lives / EPOCH).floor();
        (epoch as u64, (half_lives - epoch * EPOCH).exp2())
    }
}

fn key(epoch: u64, context: &str, arm: &str, kind: &str) -> String {
    format!("{epoch}/{context}/{}/{kind}", bounded(arm))
}

/// The store takes keys of 256 bytes. A long name is its beginning and a hash of all of it.
pub(crate) fn bounded(name: &str) -> String {
    const BYTES: usize = 90;
    match name.len() <= BYTES {
        true => name.to_owned(),
        false => format!(
            "{}~{:016x}",
            &name[..name.floor_char_boundary(BYTES - 17)],
            fnv(name.as_bytes())
        ),
    }
}

/// 64-bit FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::TestHost;

    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn an_answer_counts_half_after_each_half_life_and_over_the_border_of_epochs() {
        let _host = TestHost::new();
        let evidence = Evidence::new(1.0);
        // Fifteen and a half hours into an epoch of sixteen.
        let then = 1000 * 16 * HOUR + 15 * HOUR + HOUR / 2;
        evidence.note("", "a", then, 0.75);
        for (hours, share) in [(0, 1.0), (1, 0.5), (2, 0.25), (5, 0.03125)] {
            let record = evidence.of("", "a", then + hours * HOUR);
            assert!((record.good - 0.75 * share).abs() < 1e-4, "{hours} h: {record:?}");
            assert!((record.bad - 0.25 * share).abs() < 1e-4, "{hours} h: {record:?}");
        }
        assert_eq!(evidence.of("", "a", then + 40 * HOUR).mean(), None);
    }

    #[test]
    fn without_a_half_life_nothing_fades() {
        let _host = TestHost::new();
        let evidence = Evidence::new(0.0);
        for hours in 0..10 {
            evidence.note("x", "a", hours * 1000 * HOUR, 1.0);
        }
        let record = evidence.of("x", "a", 1_000_000 * HOUR);
        assert_eq!((record.good, record.bad, record.mean()), (10.0, 0.0, Some(1.0)));
        assert_eq!(evidence.of("y", "a", 0).mean(), None, "another context knows nothing");
    }

    #[test]
    fn counters_are_forgotten_when_they_no_longer_count() {
        let host = TestHost::new();
        let evidence = Evidence::new(1.0);
        let bandit = |now: u64| {
            let case = pointsman_plugin::testing::Case::json(serde_json::json!({ "now_ms": now }));
            host.show(&case);
        };
        bandit(0);
        evidence.note("", "a", 0, 1.0);
        bandit(31 * HOUR);
        assert_eq!(host.keys(), ["0//a/good"]);
        bandit(32 * HOUR);
        assert!(host.keys().is_empty());
    }

    #[test]
    fn long_names_stay_apart_and_fit_a_key() {
        let [one, other] = ["x", "y"].map(|end| bounded(&("ä".repeat(200) + end)));
        assert!(one != other && one.len() <= 90, "{one}");
        assert_eq!(bounded("short"), "short");
    }
}
