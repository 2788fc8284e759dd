//! How much the model thinks: the provider's own `thinking`, or what `reasoning_effort` comes to.

use crate::body::Thinking;
use crate::chat::{self, Text, refuse};
use crate::settings::Settings;
use pointsman_plugin::Failure;

const KNOWN: &str = "none, minimal, low, medium, high, xhigh or max";

/// An explicit `thinking` counts before `reasoning_effort`. A model that does not think is told nothing of an effort.
pub(crate) fn choose(
    given: Option<chat::Thinking>,
    effort: Option<&Text>,
    max_tokens: Option<u64>,
    settings: &Settings,
) -> Result<Option<Thinking>, Failure> {
    if let Some(explicit) = given.and_then(explicit) {
        return Ok(Some(explicit));
    }
    let Some(Text(word)) = effort else { return Ok(None) };
    // Nothing but the length of the answer limits a high effort: that is what the provider does by itself.
    let budget = match word.as_ref() {
        "none" => Some(0),
        "minimal" | "low" => Some(1024),
        "medium" => Some(4096),
        "high" | "xhigh" | "max" => None,
        other => {
            return Err(refuse(format!(
                "reasoning_effort is `{other}`, but must be one of {KNOWN}"
            )));
        }
    };
    match (settings.thinks, budget) {
        (false, Some(0)) => Ok(None),
        (false, _) if settings.refuses() => Err(refuse(
            "reasoning_effort cannot be asked of this model, which does not think; leave it out",
        )),
        (false, _) => Ok(None),
        (true, Some(0)) => Ok(Some(made("disabled", None))),
        (true, budget) => Ok(Some(made("enabled", budget.map(|budget| within(budget, max_tokens))))),
    }
}

/// Other providers have other words for thinking that is on. `None` where `thinking` tells neither that nor a budget.
fn explicit(given: chat::Thinking) -> Option<Thinking> {
    let budget = given.token_budget.or(given.budget_tokens);
    match given.kind.as_ref().map(|kind| kind.0.as_ref()) {
        None if budget.is_none() => None,
        Some("disabled") => Some(made("disabled", None)),
        _ => Some(made("enabled", budget)),
    }
}

/// Thinking counts as output: at least half of the limit is left to the answer, if the limit is any more than a token.
fn within(budget: u64, max_tokens: Option<u64>) -> u64 {
    max_tokens.map_or(budget, |most| budget.min(most / 2).max(1))
}

fn made(kind: &'static str, token_budget: Option<u64>) -> Thinking {
    Thinking { kind, token_budget }
}
