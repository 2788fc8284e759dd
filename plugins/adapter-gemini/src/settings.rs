//! What the operator may set for a provider or a model of this dialect, and what follows from the model's name where
//! nothing was set. No list of models: only the generation that a name carries (`gemini-2.5-flash` is 2.5) is read, and
//! whether it is the family's large one.

use pointsman_plugin::translate::{self, Losses, OnUnsupported};
use pointsman_plugin::{Failure, Target};
use serde::{Deserialize, Serialize};

/// How far along the family a model is; a name without a readable number counts as the newest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Generation(pub(crate) u32, pub(crate) u32);

const NEWEST: Generation = Generation(u32::MAX, 0);

/// How `reasoning_effort` is put into the provider's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThinkingStyle {
    /// A word: `thinkingLevel`.
    Level,
    /// A number of tokens: `thinkingBudget`.
    Budget,
    /// The model does not think.
    None,
}

/// What the schemas of tools and of answers are sent as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SchemaStyle {
    /// JSON Schema, as the client wrote it.
    Json,
    /// The provider's older subset of OpenAPI's schema.
    Subset,
}

/// Who serves the models: both have the same words for conversations, and others for what is around them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The Gemini API.
    #[default]
    Gemini,
    /// Google Cloud.
    Vertex,
}

/// One of the provider's filters, in its own words.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SafetySetting {
    /// `HARM_CATEGORY_HARASSMENT` say.
    category: String,
    /// `BLOCK_ONLY_HIGH` say.
    threshold: String,
}

/// The settings as written in the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    thinking: Option<ThinkingStyle>,
    /// Ask for thoughts, even where the client names no effort.
    include_thoughts: bool,
    schema: Option<SchemaStyle>,
    /// For requests that bring none.
    safety_settings: Vec<SafetySetting>,
    on_unsupported: OnUnsupported,
    place: Place,
}

/// The settings with every default filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) generation: Generation,
    /// The family's large model thinks more, and cannot be kept from it.
    pub(crate) is_large: bool,
    pub(crate) thinking: ThinkingStyle,
    pub(crate) include_thoughts: bool,
    pub(crate) schema: SchemaStyle,
    pub(crate) safety_settings: Vec<SafetySetting>,
    pub(crate) place: Place,
    /// What the request loses on its way.
    pub(crate) losses: Losses,
}

impl Settings {
    /// Read once for each request; what is not set follows from the generation of the model.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let given: Given = translate::settings(target)?;
        let generation = Generation::of(&target.model);
        Ok(Settings {
            generation,
            is_large: target.model.split('-').any(|word| word == "pro"),
            thinking: given.thinking.unwrap_or_else(|| generation.thinking()),
            include_thoughts: given.include_thoughts,
            schema: given.schema.unwrap_or_else(|| generation.schema()),
            safety_settings: given.safety_settings,
            place: given.place,
            losses: Losses::of(crate::PROVIDER, given.on_unsupported),
        })
    }

    /// Whether a turn of the model that calls a function has to be signed.
    pub(crate) fn wants_signatures(&self) -> bool {
        self.generation >= Generation(3, 0)
    }
}

impl Generation {
    /// The first number of the name, with or without a fraction: `3.1`. Sizes (`27b`) and dates (`09`, `2025`) come later.
    fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        // The open models count on their own, and can no more than the family's second generation.
        if name.starts_with("gemma") {
            return Generation(2, 0);
        }
        let is_numeric = |word: &&str| word.len() <= 4 && word.starts_with(|letter: char| letter.is_ascii_digit());
        let Some(word) = name.split(['-', '@', ':', '_']).find(is_numeric) else {
            return NEWEST;
        };
        let (major, minor) = word.split_once('.').unwrap_or((word, "0"));
        match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) if major < 100 => Generation(major, minor),
            _ => NEWEST,
        }
    }

    fn thinking(self) -> ThinkingStyle {
        match self {
            _ if self >= Generation(3, 0) => ThinkingStyle::Level,
            _ if self >= Generation(2, 5) => ThinkingStyle::Budget,
            _ => ThinkingStyle::None,
        }
    }

    fn schema(self) -> SchemaStyle {
        if self >= Generation(2, 5) {
            SchemaStyle::Json
        } else {
            SchemaStyle::Subset
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_tells_its_generation() {
        for (name, expected) in [
            ("gemini-2.5-flash", Generation(2, 5)),
            ("models/gemini-2.0-flash-001", Generation(2, 0)),
            ("gemini-3-pro-preview", Generation(3, 0)),
            ("gemini-3.1-pro-preview", Generation(3, 1)),
            ("gemini-2.5-flash-preview-09-2025", Generation(2, 5)),
            ("gemini-1.5-pro-002", Generation(1, 5)),
            ("gemma-3-27b-it", Generation(2, 0)),
            ("gemini-flash-latest", NEWEST),
            ("my-tuned-model", NEWEST),
        ] {
            assert_eq!(Generation::of(name), expected, "{name}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_refused_by_name() {
        let target = Target {
            model: "gemini-2.5-flash".to_owned(),
            settings: r#"{"on_unsuported": "refuse"}"#.to_owned(),
            max_output_tokens: None,
            request_id: "r".to_owned(),
            now_ms: 0,
        };
        let failure = Settings::of(&target).expect_err("the key is unknown");
        assert!(failure.message.contains("on_unsuported"), "{}", failure.message);
    }
}
