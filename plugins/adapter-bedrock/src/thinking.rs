//! How much the model thinks, in the words of its maker: Converse has none of its own.

use crate::settings::{Settings, ThinkingStyle};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Circumstances, Effort, Thinker, Thinking, ThinkingPlan, read, refuse};
use serde_json::{Map, Value, json};

/// Adds to the fields that go to the model's maker; whether Claude will think, and then refuse sampling of the client's.
pub(crate) fn choose(
    chat: &Chat,
    settings: &Settings,
    around: &Circumstances,
    fields: &mut Map<String, Value>,
) -> Result<bool, Failure> {
    if let ThinkingStyle::Claude(thinker) = settings.thinking {
        return ask_claude(chat, thinker, settings, around, fields);
    }
    let Some(effort) = effort(chat, settings)? else {
        return Ok(false);
    };
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match settings.thinking {
        ThinkingStyle::Claude(_) => {}
        ThinkingStyle::None if effort != Effort::None => {
            settings
                .losses
                .leave_out("reasoning_effort (this model does not think)")?;
        }
        ThinkingStyle::None => {}
        ThinkingStyle::Nova => {
            let config = match effort {
                Effort::None => json!({ "type": "disabled" }),
                effort => json!({ "type": "enabled", "maxReasoningEffort": low_to_high(effort) }),
            };
            put("reasoningConfig", config);
        }
        // It always thinks.
        ThinkingStyle::Effort => {
            put("reasoning_effort", low_to_high(effort).into());
        }
        ThinkingStyle::Config if effort == Effort::None => {}
        ThinkingStyle::Config => {
            put("reasoning_config", low_to_high(effort).into());
        }
    }
    Ok(false)
}

fn ask_claude(
    chat: &Chat,
    thinker: Thinker,
    settings: &Settings,
    around: &Circumstances,
    fields: &mut Map<String, Value>,
) -> Result<bool, Failure> {
    let plan = ThinkingPlan::of(chat, thinker, around, &settings.losses)?;
    if let Some(thinking) = &plan.thinking {
        let thinking = serde_json::to_value(thinking).map_err(|error| refuse(format!("thinking: {error}")))?;
        fields.insert("thinking".to_owned(), thinking);
    }
    if let Some(effort) = plan.effort {
        fields.insert("output_config".to_owned(), json!({ "effort": effort }));
    }
    Ok(plan.is_on)
}

/// `reasoning_effort`, or what `thinking` comes to; a budget or a switch says more than a word, but for `adaptive`.
fn effort(chat: &Chat, settings: &Settings) -> Result<Option<Effort>, Failure> {
    let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
    let effort = effort.transpose()?;
    let given: Option<Thinking> = chat.thinking.map(|raw| read(raw.get(), "thinking")).transpose()?;
    let Some(given) = given else {
        return Ok(effort);
    };
    let by_budget = given.budget_tokens.map(Effort::of_budget);
    Ok(match given.kind.as_ref().map(|kind| kind.0.as_ref()) {
        Some("disabled") => Some(Effort::None),
        Some("adaptive") => effort.or(by_budget).or(Some(Effort::Medium)),
        Some("enabled") => by_budget.or(effort).or(Some(Effort::Medium)),
        _ => {
            settings.losses.leave_out("thinking")?;
            effort
        }
    })
}

fn low_to_high(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::ExtraHigh | Effort::Max => "high",
    }
}
