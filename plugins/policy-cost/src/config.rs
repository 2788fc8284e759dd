//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::{money::Usd, standing::Percent};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who is cheap enough, and who leads among those that are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who leads.
    #[serde(default)]
    pub(crate) pick: Pick,
    /// Tags that a candidate must have, all of them; the others are out.
    #[serde(default)]
    pub(crate) require_tags: Vec<String>,
    /// What a million tokens may cost at most; candidates of which one costs more are out.
    pub(crate) max_price: Option<MaxPrice>,
    /// What one call may cost at most, in US dollars; candidates that cost more are out.
    pub(crate) max_call_usd: Option<Usd>,
    /// Which of a candidate's costs `max_call_usd` is held against.
    #[serde(default)]
    pub(crate) cap_on: Figure,
    /// What happens where everybody costs more than `max_call_usd`.
    #[serde(default)]
    pub(crate) over_cap: OverCap,
    /// What becomes of candidates whose price nobody has stated. Default: `out` with `max_call_usd` or `max_price`, else `last`.
    pub(crate) unpriced: Option<Unpriced>,
    /// Candidates of which more attempts failed lately come behind those that are well, whatever they cost.
    #[serde(default = "most_errors")]
    pub(crate) max_error_percent: Percent,
}

/// What a million tokens may cost at most, in US dollars.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaxPrice {
    /// Of input that is not cached.
    pub(crate) input: Option<Usd>,
    /// Of output.
    pub(crate) output: Option<Usd>,
}

/// Who leads among the candidates that are well and have a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pick {
    /// The one that costs least by estimate; those that cost the same keep their order.
    #[default]
    Cheapest,
    /// One drawn by the decision's seed: half the cost, four times as often. The others follow, the cheapest first.
    InverseSquare,
}

/// A cost that the host gives for each candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// What the call probably costs.
    Estimate,
    /// The most that it can cost.
    #[default]
    Ceiling,
}

/// What happens where everybody costs more than one call may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverCap {
    /// The request is refused with status 429 and code `budget_exceeded`.
    #[default]
    Reject,
    /// The one that costs least serves, alone.
    Cheapest,
}

/// What becomes of those whose price nobody has stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unpriced {
    /// They stay, behind those that have one.
    Last,
    /// They leave.
    Out,
}

fn most_errors() -> Percent {
    Percent::whole(50)
}

impl Config {
    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(empty) = self.require_tags.iter().position(|tag| tag.trim().is_empty()) {
            return Err(format!("`require_tags[{empty}]` is empty, expected a tag"));
        }
        if let Some(tag) = self.require_tags.iter().find(|tag| tag.starts_with("tag:")) {
            return Err(format!(
                "`require_tags`: `{tag}` is how lists of candidates name a tag, expected the tag alone"
            ));
        }
        if self
            .max_price
            .is_some_and(|most| most.input.is_none() && most.output.is_none())
        {
            return Err("`max_price` says nothing, expected `input`, `output` or both".into());
        }
        if self.max_call_usd.is_none() && self.over_cap == OverCap::Cheapest {
            return Err("`over_cap`: there is no cap, expected `max_call_usd` beside it".into());
        }
        Ok(())
    }

    /// Whether there is a limit that a model without a price could break.
    pub(crate) fn is_limited(&self) -> bool {
        self.max_call_usd.is_some() || self.max_price.is_some()
    }

    pub(crate) fn unpriced(&self) -> Unpriced {
        self.unpriced.unwrap_or(if self.is_limited() {
            Unpriced::Out
        } else {
            Unpriced::Last
        })
    }
}
