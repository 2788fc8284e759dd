//! What an answer in the canonical form says: of several choices, the first.

use crate::json::{Document, Value};

/// An answer as somebody would judge it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// Empty where there is none.
    pub(super) text: String,
    /// Empty where the provider did not say.
    pub(super) finish_reason: String,
}

impl Reading {
    /// Reads a whole answer.
    pub(super) fn of(answer: &Document) -> Self {
        let choices = answer.root().field("choices");
        let is_first = |choice: &Value<'_>| choice.get("index").is_none_or(|index| index.as_u64() == Some(0));
        let Some(choice) = choices.and_then(|choices| choices.elements().find(is_first)) else {
            return Self::default();
        };
        let message = choice.field("message");
        Self {
            text: message
                .and_then(|message| string(message, "content"))
                .unwrap_or_default(),
            finish_reason: string(choice, "finish_reason").unwrap_or_default(),
        }
    }
}

fn string(object: Value<'_>, key: &str) -> Option<String> {
    object.field(key)?.as_str().map(String::from)
}
