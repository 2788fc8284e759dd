//! What can be configured, field by field; the comments are the schema's descriptions.

use std::collections::BTreeMap;

use pointsman_plugin::{Candidate, standing::Percent};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reward::Reward;

/// What is learned, from what, and how fast it fades.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Labels whose values part the requests: each combination of values learns by itself. Without any, all requests learn
    /// together.
    #[serde(default)]
    pub(crate) context: Vec<String>,
    /// Candidates by id or by `tag:NAME` between which is chosen; the others stay behind them as fallbacks. Without any, all
    /// candidates are arms.
    #[serde(default)]
    pub(crate) arms: Vec<String>,
    /// What an answer is worth.
    #[serde(default)]
    pub(crate) reward: Reward,
    /// After how many hours an answer counts half. 0: it counts for ever.
    #[serde(default = "a_week")]
    pub(crate) half_life_hours: f64,
    /// What is believed of an arm before anything is known, as so many good and bad answers.
    #[serde(default)]
    pub(crate) prior: Prior,
    /// Other beliefs of some arms, by id or by `tag:NAME`.
    #[serde(default)]
    pub(crate) priors: BTreeMap<String, Prior>,
    /// The share of requests, 0 to 1, that goes to any arm that is well by chance, whatever is known.
    #[serde(default)]
    pub(crate) explore: f64,
    /// An arm of whose last attempts more failed is asked last, as one that cools down or is at its limits is.
    #[serde(default = "half")]
    pub(crate) max_error_percent: Percent,
    /// The label that names the arm.
    #[serde(default = "arm")]
    pub(crate) label: String,
}

/// A belief, as so many answers seen.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prior {
    /// Good ones, more than 0.
    #[serde(default = "one")]
    pub(crate) good: f64,
    /// Bad ones, more than 0.
    #[serde(default = "one")]
    pub(crate) bad: f64,
}

impl Default for Prior {
    /// Every quality is as likely as any other.
    fn default() -> Self {
        Prior { good: 1.0, bad: 1.0 }
    }
}

fn a_week() -> f64 {
    168.0
}

fn half() -> Percent {
    Percent::whole(50)
}

fn one() -> f64 {
    1.0
}

fn arm() -> String {
    "arm".into()
}

/// A century, and room for sums that stay exact.
const MOST_HOURS: f64 = 876_000.0;
/// A prior beyond it would not be moved by a year of traffic.
const MOST_ANSWERS: f64 = 1e6;
/// With the `-context` behind it, it is still a label.
const LABEL_BYTES: usize = 200;

impl Config {
    /// What a number or a name may not be.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.explore) {
            return Err(format!("`explore`: {} is no share, expected 0 to 1", self.explore));
        }
        let hours = self.half_life_hours;
        if hours != 0.0 && !(0.001..=MOST_HOURS).contains(&hours) {
            return Err(format!(
                "`half_life_hours`: {hours} is no half-life, expected 0.001 to {MOST_HOURS}, or 0 for ever"
            ));
        }
        check_prior("prior", &self.prior)?;
        for (name, prior) in &self.priors {
            check_prior(&format!("priors.{name}"), prior)?;
        }
        let is_printable = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !is_printable(&self.label) || self.label.len() > LABEL_BYTES {
            return Err(format!(
                "`label`: expected 1 to {LABEL_BYTES} bytes that can be printed"
            ));
        }
        if let Some(index) = self.context.iter().position(|label| label.is_empty()) {
            return Err(format!("`context[{index}]` is empty, expected a label's name"));
        }
        self.reward.check()
    }

    pub(crate) fn is_arm(&self, candidate: &Candidate) -> bool {
        self.arms.is_empty() || self.arms.iter().any(|name| candidate.answers_to(name))
    }

    /// That of its id, else of a tag, else the one for all.
    pub(crate) fn prior_of(&self, candidate: &Candidate) -> Prior {
        let by_tag = || {
            self.priors
                .iter()
                .find(|(name, _)| candidate.answers_to(name))
                .map(|(_, prior)| prior)
        };
        *self.priors.get(&candidate.id).or_else(by_tag).unwrap_or(&self.prior)
    }
}

fn check_prior(place: &str, prior: &Prior) -> Result<(), String> {
    for (name, answers) in [("good", prior.good), ("bad", prior.bad)] {
        if !(0.01..=MOST_ANSWERS).contains(&answers) {
            return Err(format!(
                "`{place}.{name}`: expected 0.01 to {MOST_ANSWERS} answers, got {answers}"
            ));
        }
    }
    Ok(())
}
