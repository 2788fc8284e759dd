//! Chance for policies: drawn from the decision's seed, so that the same decision draws the same again.

/// The numbers that one decision draws for one purpose. They are SplitMix64's (Steele, Lea and Flood, 2014), started at
/// the seed stirred with the purpose, so that two policies of a chain do not draw alike.
#[derive(Debug, Clone)]
pub struct Draw(u64);

/// 2^64 divided by the golden ratio, SplitMix64's stride.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draw {
    /// Draws for a purpose: a policy's name, say.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let start = purpose
            .bytes()
            .fold(seed, |state, byte| stir(state.wrapping_add(STRIDE) ^ u64::from(byte)));
        Draw(start)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        stir(self.0)
    }

    /// A number below the bound; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The number as a fraction of 2^64, without a modulo's slant.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// True so many times in a million.
    pub fn happens(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// An index, as often as its weight is of all weights; none where there is no weight at all. The sum of the weights
    /// has to fit into 64 bits.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
        let mut rest = self.below(weights.clone().sum());
        for (index, weight) in weights.enumerate() {
            match rest.checked_sub(weight) {
                Some(left) => rest = left,
                None => return Some(index),
            }
        }
        None
    }
}

fn stir(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_draw_the_same_and_others_do_not() {
        let numbers = |seed, purpose| {
            let mut draw = Draw::new(seed, purpose);
            [draw.number(), draw.number()]
        };
        assert_eq!(numbers(7, "load"), numbers(7, "load"));
        assert_ne!(numbers(7, "load"), numbers(8, "load"));
        assert_ne!(numbers(7, "load"), numbers(7, "cost"));
    }

    #[test]
    fn neighbouring_seeds_follow_weights_and_shares() {
        let drawn = |seed| Draw::new(seed, "test").weighted([3, 0, 1].into_iter());
        let indices: Vec<_> = (0..4000).map(drawn).collect();
        let first = indices.iter().filter(|index| **index == Some(0)).count();
        assert!((2900..3100).contains(&first), "{first} of 4000 went to three quarters");
        assert!(!indices.contains(&Some(1)) && !indices.contains(&None));
        let happened = (0..4000)
            .filter(|seed| Draw::new(*seed, "test").happens(50_000))
            .count();
        assert!((150..250).contains(&happened), "{happened} of 4000 are no twentieth");
    }

    #[test]
    fn nothing_is_drawn_from_nothing_and_a_share_may_be_none_or_all() {
        let mut draw = Draw::new(1, "test");
        assert_eq!(draw.weighted([0, 0].into_iter()), None);
        assert_eq!(draw.weighted([].into_iter()), None);
        assert!((0..100).all(|_| !draw.happens(0) && draw.happens(1_000_000)));
    }
}
