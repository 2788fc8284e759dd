//! How much the model thinks: the canonical scale in the words that its generation knows, a level or a budget.

use crate::settings::{Generation, Settings, ThinkingStyle};
use crate::wire::Thinking;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Chat, Effort, Raw, read, refuse};

/// What the family's large model thinks at least, and at most.
const LARGE: (u64, u64) = (128, 32_768);

/// The most that its other models think; they can be kept from it.
const MOST: u64 = 24_576;

/// How the client is told that a model thinks all the same.
const ALWAYS_ON: &str = "reasoning_effort `none` (this model always reasons)";

/// What the client asked for, under whichever of its names.
enum Wish {
    Effort(Effort),
    Budget(u64),
}

/// `None` leaves the model to itself. The provider's own `thinking_config` goes out unchanged.
pub(crate) fn plan<'a>(
    chat: &Chat<'a>,
    own: Option<Raw<'a>>,
    settings: &Settings,
) -> Result<Option<Thinking<'a>>, Failure> {
    let wish = Wish::read(chat)?;
    if let Some(given) = own {
        return match wish {
            None => Ok(Some(Thinking::Given(given))),
            Some(_) => Err(refuse(
                "thinking_config cannot be sent together with reasoning_effort or thinking; send one of them",
            )),
        };
    }
    let is_asked = |wish: &Wish| !matches!(wish, Wish::Effort(Effort::None) | Wish::Budget(0));
    let include_thoughts = wish.as_ref().map_or(settings.include_thoughts, is_asked);
    let (thinking_budget, thinking_level) = match (settings.thinking, wish) {
        (ThinkingStyle::None, None | Some(Wish::Effort(Effort::None))) => return Ok(None),
        (ThinkingStyle::None, Some(_)) => {
            settings
                .losses
                .leave_out("reasoning_effort (this model does not think)")?;
            return Ok(None);
        }
        (_, None) => (None, None),
        (_, Some(Wish::Budget(budget))) => (Some(within(budget, settings)?), None),
        (ThinkingStyle::Budget, Some(Wish::Effort(effort))) => (Some(within(budget(effort), settings)?), None),
        (ThinkingStyle::Level, Some(Wish::Effort(effort))) => (None, Some(level(effort, settings)?)),
    };
    if !include_thoughts && thinking_budget.is_none() && thinking_level.is_none() {
        return Ok(None);
    }
    Ok(Some(Thinking::Made {
        include_thoughts,
        thinking_budget,
        thinking_level,
    }))
}

/// A budget as the model takes it. The large model thinks even where it was asked not to.
fn within(budget: u64, settings: &Settings) -> Result<u64, Failure> {
    if !settings.is_large {
        return Ok(budget.min(MOST));
    }
    if budget == 0 {
        settings.losses.leave_out(ALWAYS_ON)?;
    }
    Ok(budget.clamp(LARGE.0, LARGE.1))
}

impl Wish {
    /// Several clients send both; a number says more than a word.
    fn read(chat: &Chat) -> Result<Option<Self>, Failure> {
        let thinking: Option<translate::Thinking> = chat.thinking.map(|raw| read(raw.get(), "thinking")).transpose()?;
        let thinking = thinking.unwrap_or_default();
        if thinking.kind.is_some_and(|kind| kind.0 == "disabled") {
            return Ok(Some(Wish::Effort(Effort::None)));
        }
        let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
        let effort = effort.transpose()?.map(Wish::Effort);
        Ok(thinking.budget_tokens.map(Wish::Budget).or(effort))
    }
}

/// The numbers that Google's own OpenAI endpoint uses.
fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::ExtraHigh | Effort::Max => 32_768,
    }
}

/// These models always think; the large one knows neither `MINIMAL` nor, in its first release, `MEDIUM`.
fn level(effort: Effort, settings: &Settings) -> Result<&'static str, Failure> {
    if effort == Effort::None {
        settings.losses.leave_out(ALWAYS_ON)?;
    }
    let is_first = settings.generation < Generation(3, 1);
    Ok(match effort {
        Effort::None | Effort::Minimal if !settings.is_large => "MINIMAL",
        Effort::None | Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium if settings.is_large && is_first => "HIGH",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::ExtraHigh | Effort::Max => "HIGH",
    })
}
