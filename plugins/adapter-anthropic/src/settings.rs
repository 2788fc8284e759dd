//! What the operator may set for a provider or a model of this dialect, and what follows from the model's name where
//! nothing was set. No list of models: only the generation that a name carries (`claude-sonnet-4-5` is 4.5) is read.

use pointsman_plugin::translate::{self, Losses, OnUnsupported, Thinker};
use pointsman_plugin::{Failure, Target};
use serde::Deserialize;

/// How far along the family a model is; a name without a readable number counts as the newest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Generation(u32, u32);

const NEWEST: Generation = Generation(u32::MAX, 0);

/// How `reasoning_effort` is put into the provider's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThinkingStyle {
    /// The model decides how long it thinks; `output_config.effort` guides it.
    Adaptive,
    /// A fixed number of tokens: `thinking.budget_tokens`.
    Budget,
    /// The model does not think.
    None,
}

/// Which of `temperature`, `top_p` and `top_k` the model takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sampling {
    /// All of them.
    All,
    /// `temperature` or `top_p`, not both: `temperature` is kept.
    One,
    /// None of them.
    None,
}

/// Where the models are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// At Anthropic's own API.
    #[default]
    Anthropic,
    /// On Google Cloud, where the path names the model and the body the version.
    Vertex,
}

/// The settings as written in the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    /// `max_tokens` of a request that names none; the model's largest output, else 8192, where absent.
    max_tokens: Option<u64>,
    thinking: Option<ThinkingStyle>,
    sampling: Option<Sampling>,
    /// Whether the model takes `output_config.format` and `strict` tools.
    structured_output: Option<bool>,
    on_unsupported: OnUnsupported,
    /// Values of the `anthropic-beta` header.
    betas: Vec<String>,
    place: Place,
}

/// The settings with every default filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) max_tokens: u64,
    /// The most that the model may be asked for, where it is known.
    pub(crate) max_output: Option<u64>,
    thinking: ThinkingStyle,
    /// Whether a budget is refused, and thinking is shown only where that is asked for.
    is_told_by_effort_only: bool,
    pub(crate) sampling: Sampling,
    pub(crate) structured_output: bool,
    /// What the request loses on its way.
    pub(crate) losses: Losses,
    pub(crate) betas: Vec<String>,
    pub(crate) place: Place,
}

impl Settings {
    /// Read once for each request; what is not set follows from the generation of the model.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let given: Given = translate::settings(target)?;
        let generation = Generation::of(&target.model);
        let max_output = target.max_output_tokens.map(u64::from);
        Ok(Settings {
            max_tokens: given.max_tokens.or(max_output).unwrap_or(8192),
            max_output,
            thinking: given.thinking.unwrap_or_else(|| generation.thinking()),
            is_told_by_effort_only: generation >= Generation(4, 7),
            sampling: given.sampling.unwrap_or_else(|| generation.sampling()),
            structured_output: given.structured_output.unwrap_or(generation >= Generation(4, 5)),
            losses: Losses::of(crate::PROVIDER, given.on_unsupported),
            betas: given.betas,
            place: given.place,
        })
    }

    /// `None` for a model that does not think.
    pub(crate) fn thinker(&self) -> Option<Thinker> {
        match self.thinking {
            ThinkingStyle::None => None,
            ThinkingStyle::Budget => Some(Thinker::ByBudget),
            ThinkingStyle::Adaptive if self.is_told_by_effort_only => Some(Thinker::ByEffort),
            ThinkingStyle::Adaptive => Some(Thinker::ByEither),
        }
    }
}

impl Generation {
    /// The first one or two short numbers of the name: dates (`20250929`) and revisions (`v1`) are longer or not alone.
    fn of(model: &str) -> Self {
        let mut words = model
            .split(['-', '.', '@', ':', '/', '_'])
            .map(|word| match word.len() {
                1 | 2 => word.parse::<u32>().ok(),
                _ => None,
            });
        let Some(major) = words.by_ref().flatten().next() else {
            return NEWEST;
        };
        Generation(major, words.next().flatten().unwrap_or(0))
    }

    fn thinking(self) -> ThinkingStyle {
        match self {
            _ if self >= Generation(4, 6) => ThinkingStyle::Adaptive,
            _ if self >= Generation(3, 7) => ThinkingStyle::Budget,
            _ => ThinkingStyle::None,
        }
    }

    fn sampling(self) -> Sampling {
        match self {
            _ if self >= Generation(4, 7) => Sampling::None,
            _ if self >= Generation(4, 1) => Sampling::One,
            _ => Sampling::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_tells_its_generation() {
        for (name, expected) in [
            ("claude-3-haiku-20240307", Generation(3, 0)),
            ("claude-3-7-sonnet-20250219", Generation(3, 7)),
            ("claude-opus-4-20250514", Generation(4, 0)),
            ("claude-sonnet-4-5@20250929", Generation(4, 5)),
            ("eu.anthropic.claude-opus-4-6-20260205-v1:0", Generation(4, 6)),
            ("claude-opus-5", Generation(5, 0)),
            ("claude-mythos-preview", NEWEST),
        ] {
            assert_eq!(Generation::of(name), expected, "{name}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_refused_by_name() {
        let target = Target {
            model: "claude-opus-5".to_owned(),
            settings: r#"{"max_token": 5}"#.to_owned(),
            max_output_tokens: None,
            request_id: "r".to_owned(),
            now_ms: 0,
        };
        let failure = Settings::of(&target).expect_err("the key is unknown");
        assert!(failure.message.contains("max_token"), "{}", failure.message);
    }
}
