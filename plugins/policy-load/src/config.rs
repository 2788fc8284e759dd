//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::standing::Percent;
use schemars::JsonSchema;
use serde::Deserialize;

/// How load is spread over the candidates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who leads.
    #[serde(default)]
    pub(crate) pick: Pick,
    /// Candidates by id or by `tag:NAME`, tier by tier: one tier leads only while nobody of those before it is well. Those
    /// that no tier names come after the last.
    #[serde(default)]
    pub(crate) tiers: Vec<Vec<String>>,
    /// From so many attempts under way on, a candidate counts as full and comes behind those that are not.
    pub(crate) max_in_flight: Option<u32>,
    /// Candidates of which more attempts failed lately come behind those that are well.
    #[serde(default = "most_errors")]
    pub(crate) max_error_percent: Percent,
    /// What is counted for `lowest-usage`.
    #[serde(default)]
    pub(crate) usage: Usage,
    /// How many seconds `lowest-usage` counts before it starts again at nothing.
    #[serde(default = "window")]
    pub(crate) window_s: u32,
}

/// Who leads among the candidates that are well, in the first tier that has any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pick {
    /// The one with the fewest attempts under way, for its weight.
    #[default]
    LeastBusy,
    /// Of two that are drawn by the decision's seed, the one with fewer attempts under way, for its weight.
    PowerOfTwo,
    /// One that is drawn by the decision's seed, by weight.
    Random,
    /// Each in its turn, as often as its weight says. Needs the grant `state`.
    RoundRobin,
    /// The one that has used least lately, for its weight. Needs the grant `state`.
    LowestUsage,
    /// The one whose provider leaves most tokens.
    MostTokensLeft,
    /// The one whose provider leaves most requests.
    MostRequestsLeft,
}

/// What is counted of the answers that a candidate gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Usage {
    /// Input and output.
    #[default]
    Tokens,
    InputTokens,
    OutputTokens,
    /// Attempts, those that failed too.
    Requests,
    /// Money, where the price is known.
    Cost,
}

fn most_errors() -> Percent {
    Percent::whole(50)
}

fn window() -> u32 {
    60
}

impl Config {
    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(empty) = self.tiers.iter().position(Vec::is_empty) {
            return Err(format!("`tiers[{empty}]` is empty, expected at least one candidate"));
        }
        if self.max_in_flight == Some(0) {
            return Err("`max_in_flight`: at 0 everybody is always full, expected 1 or more".into());
        }
        if self.window_s == 0 {
            return Err("`window_s`: nothing is used in 0 seconds, expected 1 or more".into());
        }
        Ok(())
    }
}

impl Pick {
    pub(crate) fn needs_state(self) -> bool {
        matches!(self, Pick::RoundRobin | Pick::LowestUsage)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pick::LeastBusy => "least-busy",
            Pick::PowerOfTwo => "power-of-two",
            Pick::Random => "random",
            Pick::RoundRobin => "round-robin",
            Pick::LowestUsage => "lowest-usage",
            Pick::MostTokensLeft => "most-tokens-left",
            Pick::MostRequestsLeft => "most-requests-left",
        }
    }
}
