//! Draws from a Beta distribution, out of the decision's chance.

use pointsman_plugin::draw::Draw;

/// What one decision draws for one purpose.
#[derive(Debug)]
pub(crate) struct Random(Draw);

impl Random {
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Random(Draw::new(seed, purpose))
    }

    /// Evenly between 0 and 1, and neither of them.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.0.number() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal, by Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// Gamma with this shape, more than 0, and scale 1 (Marsaglia and Tsang, "A Simple Method for Generating Gamma
    /// Variables", ACM TOMS 26(3), 2000): a cubed normal, of which more than 95 in 100 are taken. Below shape 1 by their
    /// own remark: Gamma(a) is Gamma(a + 1) · U^(1/a).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.unit().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Beta with these shapes, more than 0: one of two Gammas as a share of both.
    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        match x + y > 0.0 {
            true => x / (x + y),
            // Both were too small for a number: with such shapes all lies at 0 and 1.
            false => f64::from(self.unit() < a / (a + b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 20_000;

    fn draws(a: f64, b: f64) -> Vec<f64> {
        let mut random = Random::new(7, "test");
        let mut draws: Vec<f64> = (0..DRAWS).map(|_| random.beta(a, b)).collect();
        draws.sort_by(f64::total_cmp);
        draws
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_their_distribution() {
        for (a, b) in [
            (1.0, 1.0),
            (0.3, 0.7),
            (0.01, 0.01),
            (2.0, 5.0),
            (50.0, 3.0),
            (1e6, 2e6),
        ] {
            let draws = draws(a, b);
            let mean = draws.iter().sum::<f64>() / DRAWS as f64;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / DRAWS as f64;
            let expected = a / (a + b);
            let spread = expected * (1.0 - expected) / (a + b + 1.0);
            // Five times the error of a mean of so many draws.
            assert!(
                (mean - expected).abs() < 5.0 * (spread / DRAWS as f64).sqrt(),
                "{a}, {b}: mean {mean}"
            );
            assert!(
                (variance / spread - 1.0).abs() < 0.05,
                "{a}, {b}: variance {variance}, expected {spread}"
            );
        }
    }

    /// Two shapes, and the distribution function that they have.
    type Known = (f64, f64, fn(f64) -> f64);

    /// Kolmogorov and Smirnov's distance: 1.95 / √n is passed once in a thousand times by chance.
    #[test]
    fn draws_follow_the_distribution_function() {
        let functions: [Known; 4] = [
            (1.0, 1.0, |x| x),
            (3.0, 1.0, |x| x.powi(3)),
            (0.5, 1.0, |x| x.sqrt()),
            (2.0, 2.0, |x| x * x * (3.0 - 2.0 * x)),
        ];
        for (a, b, function) in functions {
            let draws = draws(a, b);
            let distance = |(index, draw): (usize, &f64)| (function(*draw) - index as f64 / DRAWS as f64).abs();
            let farthest = draws.iter().enumerate().map(distance).fold(0.0, f64::max);
            assert!(farthest < 1.95 / (DRAWS as f64).sqrt(), "{a}, {b}: {farthest}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let twice = [3, 3].map(|seed| Random::new(seed, "test").beta(2.0, 3.0));
        assert_eq!(twice[0], twice[1]);
        assert_ne!(twice[0], Random::new(4, "test").beta(2.0, 3.0));
    }
}
