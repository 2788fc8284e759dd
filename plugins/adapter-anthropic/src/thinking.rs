//! How much the model thinks, and what it then refuses: sampling other than the default, and a forced tool.

use crate::messages::Thinking;
use crate::settings::{Sampling, Settings, ThinkingStyle};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Chat, Effort, Raw, read};

/// The smallest budget that the provider takes.
const LEAST_BUDGET: u64 = 1024;

/// What was decided; the words for the wire, and whether the model will think.
pub(crate) struct Plan<'a> {
    pub(crate) thinking: Option<Thinking<'a>>,
    pub(crate) effort: Option<&'static str>,
    pub(crate) max_tokens: u64,
    is_on: bool,
}

/// What the conversation allows.
pub(crate) struct Circumstances {
    /// A tool is forced, which goes together with no thinking.
    pub(crate) is_tool_forced: bool,
    /// The turn under way called tools and lost its signed thinking on the way through the client: with a budget the
    /// provider would refuse it.
    pub(crate) has_unsigned_calls: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn of(chat: &Chat<'a>, settings: &Settings, around: &Circumstances) -> Result<Self, Failure> {
        let named = chat.most_tokens();
        let max_tokens = capped(named.unwrap_or(settings.max_tokens), settings);
        if let Some(given) = chat.thinking {
            return Self::as_given(given, named.is_some(), max_tokens, settings, around);
        }
        let effort = chat
            .reasoning_effort
            .as_ref()
            .map(|text| Effort::read(&text.0))
            .transpose()?;
        let Some(effort) = effort else {
            return Ok(Self::off(max_tokens));
        };
        Ok(match settings.thinking {
            ThinkingStyle::None if effort == Effort::None => Self::off(max_tokens),
            ThinkingStyle::None => {
                settings
                    .losses
                    .leave_out("reasoning_effort (this model does not think)")?;
                Self::off(max_tokens)
            }
            ThinkingStyle::Adaptive => Self::adaptive(effort, max_tokens, settings, around),
            ThinkingStyle::Budget => Self::budgeted(effort, max_tokens, around),
        })
    }

    /// An explicit `thinking` goes out unchanged, and one in another provider's words as Claude's: on without a budget is a medium
    /// effort, a budget below the least a low one, and what says neither on nor off is left out. Where nobody named `max_tokens`, the budget is added to the default, since
    /// the provider counts thinking as output.
    fn as_given(
        given: Raw<'a>,
        is_named: bool,
        max_tokens: u64,
        settings: &Settings,
        around: &Circumstances,
    ) -> Result<Self, Failure> {
        let config: translate::Thinking = read(given.get(), "thinking")?;
        let Some(kind) = &config.kind else {
            settings.losses.leave_out("thinking")?;
            return Ok(Self::off(max_tokens));
        };
        let effort = match config.budget_tokens {
            None => Some(Effort::Medium),
            Some(budget) if budget < LEAST_BUDGET => Some(Effort::Low),
            Some(_) => None,
        };
        // Whoever thinks as much as is needed has no budget.
        let is_budgeted = kind.0 == "enabled" || kind.0 == "adaptive" && config.budget_tokens.is_some();
        if let Some(effort) = effort.filter(|_| is_budgeted) {
            return Ok(match settings.thinking {
                ThinkingStyle::Adaptive => Self::adaptive(effort, max_tokens, settings, around),
                _ => Self::budgeted(effort, max_tokens, around),
            });
        }
        let is_on = kind.0 != "disabled";
        let budget = config.budget_tokens.filter(|budget| !is_named && *budget >= max_tokens);
        let max_tokens = budget.map_or(max_tokens, |budget| capped(budget.saturating_add(max_tokens), settings));
        Ok(Plan {
            thinking: Some(Thinking::Given(given)),
            effort: None,
            max_tokens,
            is_on,
        })
    }

    fn off(max_tokens: u64) -> Self {
        Plan {
            thinking: None,
            effort: None,
            max_tokens,
            is_on: false,
        }
    }

    fn adaptive(effort: Effort, max_tokens: u64, settings: &Settings, around: &Circumstances) -> Self {
        let is_on = effort != Effort::None && !around.is_tool_forced;
        let kind = if is_on { "adaptive" } else { "disabled" };
        let thinking = Some(Thinking::Made {
            kind,
            budget_tokens: None,
        });
        Plan {
            thinking,
            effort: word(effort, settings.has_highest_effort),
            max_tokens,
            is_on,
        }
    }

    /// At least half of `max_tokens` is left to the answer; where that leaves less than the least budget, nothing is
    /// thought.
    fn budgeted(effort: Effort, max_tokens: u64, around: &Circumstances) -> Self {
        let budget = effort.budget().min(max_tokens / 2);
        if budget < LEAST_BUDGET || around.is_tool_forced || around.has_unsigned_calls {
            return Self::off(max_tokens);
        }
        let thinking = Some(Thinking::Made {
            kind: "enabled",
            budget_tokens: Some(budget),
        });
        Plan {
            thinking,
            effort: None,
            max_tokens,
            is_on: true,
        }
    }

    /// `temperature` runs to 2 in the canonical form and to 1 here; a thinking model takes no sampling of the client's.
    pub(crate) fn temperature(&self, chat: &Chat, settings: &Settings) -> Option<f64> {
        let is_taken = settings.sampling != Sampling::None && !self.is_on;
        chat.temperature
            .filter(|_| is_taken)
            .map(|temperature| temperature.clamp(0.0, 1.0))
    }

    pub(crate) fn top_p(&self, chat: &Chat, settings: &Settings) -> Option<f64> {
        let is_taken = match settings.sampling {
            Sampling::None => false,
            Sampling::One => chat.temperature.is_none() || self.is_on,
            Sampling::All => true,
        };
        chat.top_p.filter(|top_p| is_taken && (!self.is_on || *top_p >= 0.95))
    }

    pub(crate) fn top_k(&self, chat: &Chat, settings: &Settings) -> Option<u64> {
        chat.top_k
            .filter(|_| settings.sampling != Sampling::None && !self.is_on)
    }
}

fn word(effort: Effort, has_highest: bool) -> Option<&'static str> {
    Some(match effort {
        Effort::None => return None,
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh if has_highest => "xhigh",
        Effort::ExtraHigh => "high",
        Effort::Max => "max",
    })
}

fn capped(tokens: u64, settings: &Settings) -> u64 {
    settings.max_output.map_or(tokens, |most| tokens.min(most))
}
