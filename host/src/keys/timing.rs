//! S3: whether the time that a wrong key takes says how much of it is right. `cargo xtask soak timing` asks often enough to know.

use std::hint::black_box;
use std::time::Instant;

use super::{Keyring, Keys, NewKey, Presented};
use crate::config::Source;

/// Beyond this, in standard errors, it is taken that two things do not take equally long.
const MOST_T: f64 = 4.5;

/// How long each of the two kinds took, in nanoseconds.
type Taken = [Vec<f64>; 2];

#[test]
fn a_key_that_is_nearly_right_takes_as_long_as_one_that_is_not_at_all() {
    let asked = std::env::var("POINTSMAN_SOAK_TIMES").ok();
    let times: usize = asked.as_ref().map_or(100, |times| times.parse().expect("a number"));
    let pepper = "a pepper of the tests";
    let right = NewKey::make().unwrap();
    let hash = super::Pepper::new(pepper.as_bytes()).unwrap().hash(&right.presented());
    let text = format!(
        "[server]\npepper = \"{pepper}\"\n[keys.one]\nhash = \"{}\"\n",
        hash.to_text()
    );
    let keys = Keys::default();
    keys.declare(&Source { path: None, text }.load().unwrap().keys);
    let ring = keys.ring();
    assert!(ring.find(&right.presented(), 0).is_ok());

    // All but the last characters are right, against none; its checksum fits in both.
    let near = super::token::sealed(&right.reveal()[..right.reveal().len() - 8], "xy");
    let far = NewKey::with_id(right.id()).unwrap();
    let kinds = [Presented::parse(near.as_bytes()).ok().unwrap(), far.presented()];
    let taken = measure(&ring, &kinds, times);
    let [near, far] = taken.map(|taken| Summary::of(&taken));
    let t = (near.mean - far.mean) / (near.error + far.error).sqrt();
    println!(
        "{times} wrong keys of each kind: nearly right {:.1} ns, not at all {:.1} ns; t = {t:.2}, of which up to {MOST_T} says nothing",
        near.mean, far.mean
    );
    // Few say nothing of time.
    if asked.is_some() {
        assert!(
            t.abs() < MOST_T,
            "how long a wrong key takes says how much of it is right"
        );
    }
}

/// In an order that nothing else could follow.
fn measure(ring: &Keyring, kinds: &[Presented<'_>; 2], times: usize) -> Taken {
    let mut taken = [Vec::new(), Vec::new()];
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    while taken.iter().any(|taken| taken.len() < times) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let kind = (chance >> 33) as usize % 2;
        let began = Instant::now();
        let found = black_box(ring.find(black_box(&kinds[kind]), 0));
        let time = began.elapsed();
        assert!(found.is_err());
        taken[kind].push(time.as_nanos() as f64);
    }
    taken
}

/// Of the quicker nine tenths: what is slower was interrupted.
struct Summary {
    mean: f64,
    /// The square of the mean's standard error.
    error: f64,
}

impl Summary {
    fn of(taken: &[f64]) -> Self {
        let mut sorted = taken.to_vec();
        sorted.sort_by(f64::total_cmp);
        let kept = &sorted[..sorted.len() * 9 / 10];
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self {
            mean,
            error: variance / count,
        }
    }
}
