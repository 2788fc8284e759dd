//! How much the model thinks, and what it then refuses: sampling other than the default.

use crate::settings::{Sampling, Settings};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Circumstances, Effort, Thinking, ThinkingPlan, ThinkingWords, read};

/// What was decided; the words for the wire, and whether the model will think.
pub(crate) struct Plan<'a> {
    pub(crate) thinking: Option<ThinkingWords<'a>>,
    pub(crate) effort: Option<&'static str>,
    pub(crate) max_tokens: u64,
    is_on: bool,
}

impl<'a> Plan<'a> {
    /// Where nobody named `max_tokens`, a budget that the client named is added to the default, since the provider counts thinking
    /// as output.
    pub(crate) fn of(chat: &Chat<'a>, settings: &Settings, around: Circumstances) -> Result<Self, Failure> {
        let named = chat.most_tokens();
        let max_tokens = capped(named.unwrap_or(settings.max_tokens), settings);
        let Some(thinker) = settings.thinker() else {
            leave_out(chat, settings)?;
            return Ok(Plan {
                thinking: None,
                effort: None,
                max_tokens,
                is_on: false,
            });
        };
        let around = Circumstances {
            max_tokens: Some(max_tokens),
            ..around
        };
        let plan = ThinkingPlan::of(chat, thinker, &around, &settings.losses)?;
        let room = plan
            .room
            .filter(|room| named.is_none() && plan.is_on && *room >= max_tokens);
        Ok(Plan {
            thinking: plan.thinking,
            effort: plan.effort,
            max_tokens: room.map_or(max_tokens, |room| capped(room.saturating_add(max_tokens), settings)),
            is_on: plan.is_on,
        })
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

/// A model that does not think is told nothing of it.
fn leave_out(chat: &Chat, settings: &Settings) -> Result<(), Failure> {
    let thinking: Option<Thinking> = chat.thinking.map(|raw| read(raw.get(), "thinking")).transpose()?;
    let is_wished = |thinking: Thinking| thinking.kind.is_none_or(|kind| kind.0 != "disabled");
    if thinking.is_some_and(is_wished) {
        settings.losses.leave_out("thinking (this model does not think)")?;
    }
    let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
    if effort.transpose()?.is_some_and(|effort| effort != Effort::None) {
        settings
            .losses
            .leave_out("reasoning_effort (this model does not think)")?;
    }
    Ok(())
}

fn capped(tokens: u64, settings: &Settings) -> u64 {
    settings.max_output.map_or(tokens, |most| tokens.min(most))
}
