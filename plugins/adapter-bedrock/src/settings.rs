//! What the operator may set for a provider or a model of this dialect, and what follows from the model's name where nothing was
//! set: Converse is one for all models, but how they are asked to think is not.

use pointsman_plugin::translate::{self, Losses, OnUnsupported, Thinker};
use pointsman_plugin::{Failure, Target};
use serde::Deserialize;
use serde_json::{Map, Value};

/// How a model is asked to think.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThinkingStyle {
    /// Not at all.
    None,
    /// A budget of tokens up to 4.5, from 4.6 on an effort.
    Claude(Thinker),
    /// Nova 2: `reasoningConfig`.
    Nova,
    /// gpt-oss: `reasoning_effort`.
    Effort,
    /// Qwen and others: `reasoning_config`.
    Config,
}

/// The style as written in the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum GivenStyle {
    None,
    Budget,
    Adaptive,
    Nova,
    Effort,
    Config,
}

/// The settings as written in the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    on_unsupported: OnUnsupported,
    thinking: Option<GivenStyle>,
    /// Whether answers can be held to a schema.
    json_schema: Option<bool>,
    /// For the model's maker, beside what a request says.
    additional_model_request_fields: Map<String, Value>,
}

/// The settings with every default filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the request loses on its way.
    pub(crate) losses: Losses,
    pub(crate) thinking: ThinkingStyle,
    pub(crate) has_schemas: bool,
    pub(crate) additional: Map<String, Value>,
    /// The most that the model may be asked for, where it is known.
    pub(crate) max_output: Option<u64>,
}

impl Settings {
    /// Read once for each request.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let given: Given = translate::settings(target)?;
        Ok(Settings {
            losses: Losses::of(crate::PROVIDER, given.on_unsupported),
            thinking: style(given.thinking, &target.model),
            has_schemas: given.json_schema.unwrap_or(true),
            additional: given.additional_model_request_fields,
            max_output: target.max_output_tokens.map(u64::from),
        })
    }
}

fn style(given: Option<GivenStyle>, model: &str) -> ThinkingStyle {
    let named = thinking(model);
    match given {
        None => named,
        Some(GivenStyle::None) => ThinkingStyle::None,
        Some(GivenStyle::Budget) => ThinkingStyle::Claude(Thinker::ByBudget),
        // The profile of an account may have a name that tells nothing.
        Some(GivenStyle::Adaptive) => match named {
            ThinkingStyle::Claude(Thinker::ByEither) => named,
            _ => ThinkingStyle::Claude(Thinker::ByEffort),
        },
        Some(GivenStyle::Nova) => ThinkingStyle::Nova,
        Some(GivenStyle::Effort) => ThinkingStyle::Effort,
        Some(GivenStyle::Config) => ThinkingStyle::Config,
    }
}

/// By the name of the model, which an inference profile's has in it.
fn thinking(model: &str) -> ThinkingStyle {
    let Some((_, claude)) = model.split_once("anthropic.claude-") else {
        return match model {
            model if model.contains("amazon.nova-2") => ThinkingStyle::Nova,
            model if model.contains("openai.gpt-oss") => ThinkingStyle::Effort,
            model if model.contains("qwen.qwen3") => ThinkingStyle::Config,
            _ => ThinkingStyle::None,
        };
    };
    // `3-7-sonnet-20250219-v1:0`, `sonnet-4-5-20250929-v1:0`, `opus-4-6`, `sonnet-5`; a long number is a date.
    let mut numbers = claude
        .split('-')
        .filter_map(|word| word.parse::<u32>().ok())
        .filter(|number| *number < 100);
    match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (0..3, _) | (3, 0..7) => ThinkingStyle::None,
        (3, _) | (4, 0..6) => ThinkingStyle::Claude(Thinker::ByBudget),
        (4, 6) => ThinkingStyle::Claude(Thinker::ByEither),
        _ => ThinkingStyle::Claude(Thinker::ByEffort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: ThinkingStyle = ThinkingStyle::Claude(Thinker::ByBudget);
    const EFFORT: ThinkingStyle = ThinkingStyle::Claude(Thinker::ByEffort);

    #[test]
    fn a_model_name_tells_how_it_is_asked_to_think() {
        for (name, expected) in [
            ("anthropic.claude-3-5-sonnet-20240620-v1:0", ThinkingStyle::None),
            ("anthropic.claude-instant-v1", ThinkingStyle::None),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", BUDGET),
            ("anthropic.claude-sonnet-4-20250514-v1:0", BUDGET),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", BUDGET),
            (
                "us.anthropic.claude-sonnet-4-6",
                ThinkingStyle::Claude(Thinker::ByEither),
            ),
            ("us.anthropic.claude-sonnet-5", EFFORT),
            ("global.anthropic.claude-opus-4-7", EFFORT),
            ("us.amazon.nova-2-lite-v1:0", ThinkingStyle::Nova),
            ("us.amazon.nova-pro-v1:0", ThinkingStyle::None),
            ("openai.gpt-oss-120b-1:0", ThinkingStyle::Effort),
            ("qwen.qwen3-32b-v1:0", ThinkingStyle::Config),
            ("meta.llama3-70b-instruct-v1:0", ThinkingStyle::None),
        ] {
            assert_eq!(thinking(name), expected, "{name}");
        }
    }
}
