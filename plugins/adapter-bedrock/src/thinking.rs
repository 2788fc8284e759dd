//! How much the model thinks, in the words of its maker: Converse has none of its own. What a model that thinks refuses, sampling
//! and a forced tool, decides with it.

use crate::settings::{Settings, ThinkingStyle};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Effort, read};
use serde_json::{Map, Value, json};

/// The smallest budget that Claude takes.
const LEAST_BUDGET: u64 = 1024;

/// What the conversation allows.
pub(crate) struct Circumstances {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) is_tool_forced: bool,
    /// Claude wants its own signed thinking back before calls, and the client has lost it.
    pub(crate) has_unsigned_calls: bool,
}

/// Adds to the fields that go to the model's maker; whether Claude will think.
pub(crate) fn choose(
    chat: &Chat,
    settings: &Settings,
    around: &Circumstances,
    fields: &mut Map<String, Value>,
) -> Result<bool, Failure> {
    let is_claude = matches!(settings.thinking, ThinkingStyle::Budget | ThinkingStyle::Adaptive);
    if let (Some(raw), true) = (chat.thinking, is_claude) {
        let given: Value = read(raw.get(), "thinking")?;
        let is_on = given["type"] != "disabled";
        fields.insert("thinking".to_owned(), given);
        return Ok(is_on);
    }
    let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
    let Some(effort) = effort.transpose()? else {
        if chat.thinking.is_some() {
            settings.losses.leave_out("thinking")?;
        }
        return Ok(false);
    };
    if is_claude && effort != Effort::None && (around.is_tool_forced || around.has_unsigned_calls) {
        let why = match around.is_tool_forced {
            true => "reasoning_effort (a tool is forced)",
            false => "reasoning_effort (the thinking before the calls is lost)",
        };
        settings.losses.leave_out(why)?;
        return Ok(false);
    }
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match settings.thinking {
        ThinkingStyle::None if effort != Effort::None => {
            settings
                .losses
                .leave_out("reasoning_effort (this model does not think)")?;
        }
        ThinkingStyle::None => {}
        ThinkingStyle::Budget if effort == Effort::None => {}
        ThinkingStyle::Adaptive if effort == Effort::None => {
            put("thinking", json!({ "type": "disabled" }));
        }
        ThinkingStyle::Budget => {
            // Thinking counts as output: half of the limit is left to the answer.
            let most = around.max_tokens.map_or(u64::MAX, |most| most / 2);
            let budget = effort.budget().min(most);
            if budget < LEAST_BUDGET {
                settings
                    .losses
                    .leave_out("reasoning_effort (max_tokens leaves no room to think)")?;
                return Ok(false);
            }
            put("thinking", json!({ "type": "enabled", "budget_tokens": budget }));
            return Ok(true);
        }
        ThinkingStyle::Adaptive => {
            put("thinking", json!({ "type": "adaptive" }));
            put("output_config", json!({ "effort": word(effort) }));
            return Ok(true);
        }
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

fn low_to_high(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::ExtraHigh | Effort::Max => "high",
    }
}

fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::ExtraHigh => "xhigh",
        Effort::Max => "max",
        effort => low_to_high(effort),
    }
}
