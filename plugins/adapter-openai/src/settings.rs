//! How a provider's dialect differs from OpenAI's: data, which the files in `providers/` have for providers that are known,
//! and a configuration for any other. A provider without a difference has no settings, and its bodies pass as they are.

use pointsman_plugin::translate::{self, Effort, Losses, OnUnsupported};
use pointsman_plugin::{Failure, Operation, Target};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The settings as written in the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Members of a request that the provider calls otherwise.
    pub(crate) rename: BTreeMap<String, String>,
    /// Members that it does not know: they are left out, and named.
    pub(crate) drop: Vec<String>,
    /// The same, of messages.
    pub(crate) drop_in_messages: Vec<String>,
    /// All members that it knows, where it refuses any other: those are left out, and named.
    pub(crate) known: Option<Vec<String>>,
    /// The same of messages, by their role, of parts of their content, by their type, and of calls, tools and their functions, by
    /// these words.
    pub(crate) known_inside: BTreeMap<String, Vec<String>>,
    /// Members that cannot be left out, since the answer would not be what was asked for.
    pub(crate) refuse: Vec<String>,
    /// Roles of messages that it calls otherwise.
    pub(crate) roles: BTreeMap<String, String>,
    /// The least and the most of numbers.
    pub(crate) range: BTreeMap<String, (f64, f64)>,
    pub(crate) effort: Option<EffortStyle>,
    /// Models that think in streams only, and have to be told not to where the answer is to be whole.
    pub(crate) think_streamed_only: Vec<String>,
    /// Where the reasoning of earlier turns stands.
    pub(crate) reasoning_field: Option<ReasoningField>,
    pub(crate) call_ids: Option<CallIds>,
    /// The member by which an assistant's last message is one to go on with.
    pub(crate) prefill: Option<String>,
    /// The words that it knows for `tool_choice`, `function` for a choice of one; all of them where absent.
    pub(crate) tool_choice: Option<Vec<String>>,
    /// The types of parts that it takes in messages; all of them where absent.
    pub(crate) parts: Option<Vec<String>>,
    /// Whether every tool has to have parameters: empty ones, where a client gives none.
    pub(crate) parameters: bool,
    /// Whether answers can be held to a schema; else they are held to JSON.
    pub(crate) json_schema: Option<bool>,
    /// Whether it knows `stream_options`, without which others tell no usage.
    pub(crate) stream_options: Option<bool>,
    /// The path of requests: `{path}` stands in the place of the dialect's own, and `{model}` in the model's. Without `{path}` it is
    /// that of chat completions alone.
    path: Option<String>,
    on_unsupported: OnUnsupported,
}

/// How `reasoning_effort` is said.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EffortStyle {
    /// `thinking: {type}`.
    Thinking,
    /// `enable_thinking` and `thinking_budget`.
    EnableThinking,
    /// `reasoning: {effort}`.
    Reasoning,
    /// `none` and `high` alone.
    NoneOrHigh,
}

/// Where an assistant's reasoning stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReasoningField {
    ReasoningContent,
    Reasoning,
    /// Among the parts of the content.
    Parts,
    /// Nowhere: it is refused.
    None,
}

/// What ids of calls look like.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CallIds {
    /// Nine letters and digits.
    Nine,
}

impl Settings {
    /// Read once for each request. `None` where the provider speaks as OpenAI does.
    pub(crate) fn of(target: &Target) -> Result<Option<Self>, Failure> {
        match target.settings.trim() {
            "" | "{}" => Ok(None),
            _ => translate::settings(target).map(Some),
        }
    }

    /// What a request loses on its way.
    pub(crate) fn losses(&self) -> Losses {
        Losses::of("this provider", self.on_unsupported)
    }

    /// Where it goes, if that is not the dialect's place, which this is.
    pub(crate) fn path(&self, operation: Operation, usual: &str, target: &Target) -> Option<String> {
        let is_for = |path: &&String| operation == Operation::Chat || path.contains("{path}");
        let path = self.path.as_ref().filter(is_for)?;
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
        let mut model = String::with_capacity(target.model.len());
        for byte in target.model.bytes() {
            match is_plain(&byte) {
                true => model.push(byte as char),
                false => model.push_str(&format!("%{byte:02X}")),
            }
        }
        Some(path.replace("{path}", usual).replace("{model}", &model))
    }

    /// Whether a message may have to be changed.
    pub(crate) fn changes_messages(&self) -> bool {
        !self.roles.is_empty()
            || !self.drop_in_messages.is_empty()
            || self.reasoning_field.is_some()
            || self.call_ids.is_some()
            || self.prefill.is_some()
            || self.parts.is_some()
            || !self.known_inside.is_empty()
    }
}

impl EffortStyle {
    /// The member that says it, and what; the first of the two is left out where it is not `reasoning_effort` itself.
    pub(crate) fn members(self, effort: Effort) -> Vec<(&'static str, String)> {
        let is_on = effort != Effort::None;
        match self {
            EffortStyle::Thinking => {
                let kind = if is_on { "enabled" } else { "disabled" };
                vec![("thinking", format!(r#"{{"type":"{kind}"}}"#))]
            }
            EffortStyle::EnableThinking => {
                let mut members = vec![("enable_thinking", is_on.to_string())];
                // Nothing but the length of the answer limits a high effort.
                if is_on && effort < Effort::High {
                    members.push(("thinking_budget", effort.budget().to_string()));
                }
                members
            }
            EffortStyle::Reasoning if !is_on => vec![("reasoning", r#"{"enabled":false}"#.to_owned())],
            EffortStyle::Reasoning => vec![("reasoning", format!(r#"{{"effort":"{}"}}"#, word(effort)))],
            EffortStyle::NoneOrHigh => {
                let word = if is_on { "high" } else { "none" };
                vec![("reasoning_effort", format!(r#""{word}""#))]
            }
        }
    }
}

fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh | Effort::Max => "xhigh",
    }
}
