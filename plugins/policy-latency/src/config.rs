//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::standing::Percent;
use schemars::JsonSchema;
use serde::Deserialize;

/// How fast a candidate has to be, and who leads among those that are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Which of a candidate's times counts.
    #[serde(default)]
    pub(crate) measure: Measure,
    /// The time that is fast enough, in milliseconds.
    pub(crate) target_ms: Option<u32>,
    /// What becomes of candidates that are known to need longer than `target_ms`.
    #[serde(default)]
    pub(crate) over_target: OverTarget,
    /// Candidates that need at most so many per cent longer than the fastest are as good as it.
    pub(crate) within_percent: Option<u32>,
    /// Who leads among those that meet `target_ms` and are `within_percent` of the fastest. Default: `order` with
    /// `target_ms` alone, `random` with `within_percent`.
    pub(crate) pick: Option<Pick>,
    /// Candidates of which more attempts failed lately come behind all others.
    #[serde(default = "most_errors")]
    pub(crate) max_error_percent: Percent,
    /// The share of requests that a candidate leads of which nothing is known yet, so that it gets measured.
    #[serde(default = "explore")]
    pub(crate) explore_percent: Percent,
    /// The share of requests that a candidate leads that would not, so that one that was slow is measured again.
    #[serde(default = "remeasure")]
    pub(crate) remeasure_percent: Percent,
    /// How long the first step may take before the second is started beside it.
    pub(crate) hedge_after: Option<Wait>,
    /// How long a stream's first token may take before the next step is tried.
    pub(crate) first_token_timeout: Option<Wait>,
    /// How long a connection may take to stand before the next step is tried, in milliseconds.
    pub(crate) connect_timeout_ms: Option<u32>,
    /// How long a stream may pause before it is broken off, in milliseconds.
    pub(crate) gap_timeout_ms: Option<u32>,
}

/// Which of a candidate's times counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// That to the first token for streams, that to the whole answer for the others.
    #[default]
    Auto,
    FirstToken,
    Total,
}

/// What becomes of those that need longer than the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverTarget {
    /// They stay as fallbacks.
    #[default]
    Behind,
    /// They leave, unless nobody who is well would be left: then the fastest stays.
    Out,
}

/// Who leads among those that are fast enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pick {
    /// The fastest.
    Fastest,
    /// The one that came first.
    Order,
    /// One drawn by the decision's seed, all alike.
    Random,
    /// One drawn by the decision's seed, by the weights that the route gives.
    Weight,
    /// The one that costs least, by estimate.
    Price,
}

/// A time to wait: a fixed one, or the candidate's own times a factor.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Milliseconds: the time itself, or with a `factor` that for candidates of which none is known.
    pub(crate) ms: Option<u32>,
    /// Times what the candidate usually needs to begin to answer.
    pub(crate) factor: Option<f64>,
    /// No less than so many milliseconds, whatever the factor makes of it.
    #[serde(default)]
    pub(crate) at_least_ms: u32,
    /// No more than so many milliseconds, whatever the factor makes of it.
    pub(crate) at_most_ms: Option<u32>,
}

fn most_errors() -> Percent {
    Percent::whole(50)
}

fn explore() -> Percent {
    Percent::whole(10)
}

fn remeasure() -> Percent {
    Percent::whole(1)
}

impl Config {
    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.target_ms == Some(0) {
            return Err("`target_ms`: nobody answers in 0 milliseconds, expected 1 or more".into());
        }
        if self.pick.is_some() && self.target_ms.is_none() && self.within_percent.is_none() {
            return Err(
                "`pick` is who leads among those that are fast enough, expected `target_ms` or `within_percent` beside it"
                    .into(),
            );
        }
        if self.over_target == OverTarget::Out && self.target_ms.is_none() {
            return Err("`over_target`: there is no target, expected `target_ms` beside it".into());
        }
        let times = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("gap_timeout_ms", self.gap_timeout_ms),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| *time == Some(0)) {
            return Err(format!("`{name}`: 0 leaves no time at all, expected 1 or more"));
        }
        let waits = [
            ("hedge_after", self.hedge_after),
            ("first_token_timeout", self.first_token_timeout),
        ];
        waits
            .into_iter()
            .filter_map(|(name, wait)| Some((name, wait?)))
            .try_for_each(|(name, wait)| wait.check(name))
    }

    pub(crate) fn pick(&self) -> Pick {
        self.pick.unwrap_or(match (self.within_percent, self.target_ms) {
            (Some(_), _) => Pick::Random,
            (None, Some(_)) => Pick::Order,
            (None, None) => Pick::Fastest,
        })
    }
}

impl Wait {
    fn check(self, name: &str) -> Result<(), String> {
        if self.ms.is_none() && self.factor.is_none() {
            return Err(format!("`{name}` says no time, expected `ms` or `factor`"));
        }
        if self.ms == Some(0) {
            return Err(format!("`{name}.ms`: 0 leaves no time at all, expected 1 or more"));
        }
        if self.factor.is_some_and(|factor| !(factor > 0.0 && factor <= 1000.0)) {
            return Err(format!("`{name}.factor`: expected more than 0, at most 1000"));
        }
        if self.factor.is_none() && (self.at_least_ms > 0 || self.at_most_ms.is_some()) {
            return Err(format!(
                "`{name}`: `at_least_ms` and `at_most_ms` bound what `factor` gives, and there is none"
            ));
        }
        if self.at_most_ms.is_some_and(|most| most == 0 || most < self.at_least_ms) {
            return Err(format!(
                "`{name}.at_most_ms`: expected 1 or more, and no less than `at_least_ms`"
            ));
        }
        Ok(())
    }

    /// How long to wait for a candidate that usually needs so long; none where nothing says.
    pub(crate) fn of(self, usual_ms: Option<u32>) -> Option<u32> {
        match (self.factor, usual_ms) {
            (Some(factor), Some(usual)) => {
                // A conversion from f64 stops at the ends of u32.
                let wait = (f64::from(usual) * factor).round() as u32;
                Some(
                    wait.max(self.at_least_ms)
                        .min(self.at_most_ms.unwrap_or(u32::MAX))
                        .max(1),
                )
            }
            _ => self.ms,
        }
    }
}
