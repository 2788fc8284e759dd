//! How much the model thinks: the provider's own `thinking`, or what `reasoning_effort` comes to.

use crate::body;
use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Effort, Thinking, read};

/// An explicit `thinking` counts before `reasoning_effort`, but for an `adaptive` one, which leaves it to the effort. A model that does not think is told nothing of an effort.
pub(crate) fn choose(
    chat: &Chat,
    max_tokens: Option<u64>,
    settings: &Settings,
) -> Result<Option<body::Thinking>, Failure> {
    let given: Option<Thinking> = chat.thinking.map(|raw| read(raw.get(), "thinking")).transpose()?;
    let is_decided = |given: &Thinking| {
        let is_adaptive = given.kind.as_ref().is_some_and(|kind| kind.0 == "adaptive");
        !is_adaptive || given.budget_tokens.is_some() || chat.reasoning_effort.is_none()
    };
    if let Some(explicit) = given.filter(is_decided).and_then(explicit) {
        return Ok(Some(explicit));
    }
    let Some(word) = &chat.reasoning_effort else {
        return Ok(None);
    };
    let effort = Effort::read(&word.0)?;
    if !settings.thinks {
        if effort != Effort::None {
            settings
                .losses
                .leave_out("reasoning_effort (this model does not think)")?;
        }
        return Ok(None);
    }
    // Nothing but the length of the answer limits a high effort: that is what the provider does by itself.
    Ok(Some(match effort {
        Effort::None => made("disabled", None),
        Effort::Minimal | Effort::Low | Effort::Medium => made("enabled", Some(within(effort.budget(), max_tokens))),
        Effort::High | Effort::ExtraHigh | Effort::Max => made("enabled", None),
    }))
}

/// Other providers have other words for thinking that is on. `None` where `thinking` tells neither that nor a budget.
fn explicit(given: Thinking) -> Option<body::Thinking> {
    let budget = given.budget_tokens;
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

fn made(kind: &'static str, token_budget: Option<u64>) -> body::Thinking {
    body::Thinking { kind, token_budget }
}
