//! What the operator may set for a provider or a model of this dialect, and what follows from the model's name where
//! nothing was set.

use pointsman_plugin::translate::{self, Losses, OnUnsupported};
use pointsman_plugin::{Failure, Target};
use serde::Deserialize;

/// How strictly the provider's models keep to what is safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Safety {
    Contextual,
    Strict,
    Off,
}

/// The settings as written in the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    on_unsupported: OnUnsupported,
    /// Whether the model thinks before it answers; by its name where absent.
    thinking: Option<bool>,
    /// For requests that name no `safety_mode` of their own.
    safety_mode: Option<Safety>,
    /// What vectors are for, where a request does not say.
    input_type: Option<String>,
}

/// The settings with every default filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the request loses on its way.
    pub(crate) losses: Losses,
    pub(crate) thinks: bool,
    pub(crate) safety_mode: Option<&'static str>,
    /// The most that the model may be asked for, where it is known.
    pub(crate) max_output: Option<u64>,
    /// What vectors are for.
    pub(crate) input_type: String,
}

impl Settings {
    /// Read once for each request.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let given: Given = translate::settings(target)?;
        Ok(Settings {
            losses: Losses::of(crate::PROVIDER, given.on_unsupported),
            thinks: given.thinking.unwrap_or_else(|| thinks(&target.model)),
            safety_mode: given.safety_mode.map(Safety::word),
            max_output: target.max_output_tokens.map(u64::from),
            input_type: given.input_type.unwrap_or_else(|| "search_document".to_owned()),
        })
    }
}

impl Safety {
    fn word(self) -> &'static str {
        match self {
            Safety::Contextual => "CONTEXTUAL",
            Safety::Strict => "STRICT",
            Safety::Off => "OFF",
        }
    }
}

/// Thinking began with `command-a-reasoning-08-2025`; what came after it thinks. Names end in month and year, and the
/// families from before have names without them too.
fn thinks(model: &str) -> bool {
    let mut words = model.split(['-', '.', '/', ':']);
    let is_old_year = |word: &str| word.len() == 4 && word.starts_with("20") && word < "2026";
    let is_old_family = ["command-r", "command-light", "command-nightly", "c4ai-"]
        .iter()
        .any(|family| model.starts_with(family));
    model.contains("reasoning") || !(is_old_family || model == "command" || words.any(is_old_year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_tells_whether_the_model_thinks() {
        for (name, expected) in [
            ("command-a-03-2025", false),
            ("command-r-plus", false),
            ("command-r7b-12-2024", false),
            ("command", false),
            ("command-a-vision-07-2025", false),
            ("c4ai-aya-expanse-32b", false),
            ("command-a-reasoning-08-2025", true),
            ("command-a-plus-05-2026", true),
            ("north-mini-code-1-0", true),
        ] {
            assert_eq!(thinks(name), expected, "{name}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_refused_by_name() {
        let target = Target {
            model: "command-a-03-2025".to_owned(),
            settings: r#"{"on_unsuported": "refuse"}"#.to_owned(),
            max_output_tokens: None,
            request_id: "r".to_owned(),
            now_ms: 0,
        };
        let failure = Settings::of(&target).expect_err("the key is unknown");
        assert!(failure.message.contains("on_unsuported"), "{}", failure.message);
    }
}
