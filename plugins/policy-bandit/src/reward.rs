//! What an answer is worth, between 0 and 1.

use pointsman_plugin::{Attempt, money::Usd};
use schemars::JsonSchema;
use serde::Deserialize;

/// The parts of an answer's worth, each with its weight. What is not known of an answer does not count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reward {
    /// The weight of having answered at all.
    #[serde(default = "one")]
    pub(crate) success: f64,
    /// The weight of the judgement that somebody gave, 0 to 1. In this version nobody gives one.
    #[serde(default)]
    pub(crate) score: f64,
    /// A target for the time to the first token.
    pub(crate) first_token: Option<Time>,
    /// A target for the time to the whole answer.
    pub(crate) total: Option<Time>,
    /// A target for what the answer costs.
    pub(crate) cost: Option<Cost>,
}

/// A target in milliseconds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    /// An answer that took longer gets nothing for it.
    under_ms: u32,
    /// How much it counts.
    #[serde(default = "one")]
    weight: f64,
    /// Whether less is better below the target too: half the target is worth half.
    #[serde(default)]
    graded: bool,
}

/// A target in US dollars.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// An answer that cost more gets nothing for it.
    under_usd: Usd,
    /// How much it counts.
    #[serde(default = "one")]
    weight: f64,
    /// Whether less is better below the target too: half the target is worth half.
    #[serde(default)]
    graded: bool,
}

/// A target of either kind, in milliseconds or nano-dollars.
pub(crate) struct Target {
    place: &'static str,
    under: u64,
    pub(crate) weight: f64,
    is_graded: bool,
}

/// Failures that say nothing about the model: the caller's own, and one that did not wait.
const NOT_THE_MODELS: [&str; 7] = [
    "invalid_request",
    "content_policy",
    "context_length",
    "adapter_fault",
    "client_disconnected",
    "client_slow",
    "hedge_lost",
];

fn one() -> f64 {
    1.0
}

impl Default for Reward {
    fn default() -> Self {
        Reward {
            success: 1.0,
            score: 0.0,
            first_token: None,
            total: None,
            cost: None,
        }
    }
}

impl Reward {
    /// None where nothing can be said. What failed is worth nothing, however fast and cheap it was.
    pub(crate) fn of(&self, attempt: &Attempt, score: Option<f64>) -> Option<f64> {
        match attempt.error.as_deref() {
            Some(error) if NOT_THE_MODELS.contains(&error) => return None,
            Some(_) => return Some(0.0),
            None => {}
        }
        let score = score
            .filter(|score| score.is_finite())
            .map(|score| score.clamp(0.0, 1.0));
        let mut parts = vec![(self.success, Some(1.0)), (self.score, score)];
        let values = [
            attempt.first_token_ms.map(u64::from),
            Some(attempt.total_ms.into()),
            attempt.cost,
        ];
        for (target, value) in self.by_kind().into_iter().zip(values) {
            let Some(target) = target else { continue };
            parts.push((target.weight, value.map(|value| target.worth(value))));
        }
        let known = parts.iter().filter_map(|(weight, worth)| Some((weight, (*worth)?)));
        let (sum, weights) = known.fold((0.0, 0.0), |(sum, weights), (weight, worth)| {
            (sum + weight * worth, weights + weight)
        });
        (weights > 0.0).then(|| sum / weights)
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        self.by_kind().into_iter().flatten()
    }

    fn by_kind(&self) -> [Option<Target>; 3] {
        let time = |place, time: &Time| Target {
            place,
            under: time.under_ms.into(),
            weight: time.weight,
            is_graded: time.graded,
        };
        let cost = |cost: &Cost| Target {
            place: "cost",
            under: cost.under_usd.nanos,
            weight: cost.weight,
            is_graded: cost.graded,
        };
        [
            self.first_token.as_ref().map(|target| time("first_token", target)),
            self.total.as_ref().map(|target| time("total", target)),
            self.cost.as_ref().map(cost),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let mut weights = vec![("success".to_owned(), self.success), ("score".to_owned(), self.score)];
        for Target {
            place, under, weight, ..
        } in self.targets()
        {
            if under == 0 {
                return Err(format!("`reward.{place}`: nothing is under 0, expected more"));
            }
            weights.push((format!("{place}.weight"), weight));
        }
        for (place, weight) in &weights {
            if !(0.0..=1e6).contains(weight) {
                return Err(format!(
                    "`reward.{place}`: {weight} is no weight, expected 0 to 1000000"
                ));
            }
        }
        match weights.iter().any(|(_, weight)| *weight > 0.0) {
            true => Ok(()),
            false => Err("`reward`: all weights are 0, expected one that is not".into()),
        }
    }
}

impl Target {
    fn worth(&self, value: u64) -> f64 {
        match (value <= self.under, self.is_graded) {
            (false, _) => 0.0,
            (true, false) => 1.0,
            (true, true) => 1.0 - value as f64 / self.under as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(reward: serde_json::Value, attempt: Attempt, score: Option<f64>) -> Option<f64> {
        let reward: Reward = serde_json::from_value(reward).unwrap();
        reward.check().unwrap();
        reward.of(&attempt, score)
    }

    fn attempt(error: Option<&str>, first_token_ms: u32, cost: Option<u64>) -> Attempt {
        Attempt {
            candidate: "a".into(),
            status: 200,
            error: error.map(str::to_owned),
            first_token_ms: Some(first_token_ms),
            total_ms: 2000,
            cost,
        }
    }

    #[test]
    fn parts_count_by_their_weights() {
        let reward = json!({ "first_token": { "under_ms": 500, "weight": 3 } });
        assert_eq!(of(reward.clone(), attempt(None, 500, None), None), Some(1.0));
        assert_eq!(of(reward, attempt(None, 501, None), None), Some(0.25));
    }

    #[test]
    fn what_is_not_known_does_not_count() {
        let reward = json!({ "success": 1, "score": 1, "cost": { "under_usd": 0.001 } });
        assert_eq!(of(reward.clone(), attempt(None, 1, None), None), Some(1.0));
        assert_eq!(of(reward.clone(), attempt(None, 1, Some(2_000_000)), None), Some(0.5));
        assert_eq!(
            of(reward.clone(), attempt(None, 1, Some(2_000_000)), Some(0.5)),
            Some(0.5)
        );
        assert_eq!(of(reward, attempt(None, 1, None), Some(f64::NAN)), Some(1.0));
        let score_alone = json!({ "success": 0, "score": 1 });
        assert_eq!(of(score_alone.clone(), attempt(None, 1, None), None), None);
        assert_eq!(of(score_alone, attempt(None, 1, None), Some(7.0)), Some(1.0));
    }

    #[test]
    fn below_a_graded_target_less_is_better() {
        let reward = json!({ "success": 0, "cost": { "under_usd": 0.001, "graded": true } });
        for (cost, worth) in [(0, 1.0), (250_000, 0.75), (1_000_000, 0.0), (1_000_001, 0.0)] {
            assert_eq!(
                of(reward.clone(), attempt(None, 1, Some(cost)), None),
                Some(worth),
                "{cost}"
            );
        }
    }

    #[test]
    fn a_failure_is_worth_nothing_unless_it_is_not_the_models() {
        let reward = json!({ "first_token": { "under_ms": 500 } });
        assert_eq!(
            of(reward.clone(), attempt(Some("timed_out"), 1, None), Some(1.0)),
            Some(0.0)
        );
        for error in NOT_THE_MODELS {
            assert_eq!(of(reward.clone(), attempt(Some(error), 1, None), None), None);
        }
    }
}
