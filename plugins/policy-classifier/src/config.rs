//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::{
    action::{Action, Labels, Refusal, Settings},
    limits::{self, LABEL_BYTES},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who is asked, and what about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The model that is asked, by its id; the grant `models` has to name it.
    pub(crate) model: String,
    /// The classes, of which the model chooses one.
    pub(crate) classes: Vec<Class>,
    /// The class of a request that could not be classified. Without it the candidates stay as they were.
    pub(crate) fallback: Option<String>,
    /// Which of the request's text is shown to the model.
    #[serde(default)]
    pub(crate) look_in: Place,
    /// How many bytes of it; of a longer text the beginning and the end.
    #[serde(default = "read_at_most")]
    pub(crate) read_at_most: u32,
    /// What the model should know beside the classes.
    #[serde(default)]
    pub(crate) instructions: String,
    /// How sure the model must say that it is, 0 to 1. Without it the model is not asked how sure it is.
    pub(crate) min_confidence: Option<f64>,
    /// Whether requests that have the label already are left alone.
    #[serde(default)]
    pub(crate) unless_labelled: bool,
    /// The label that names the class.
    #[serde(default = "class")]
    pub(crate) label: String,
    /// How long the model may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub(crate) timeout_ms: u32,
    /// How long its answer may be. A model that thinks before it answers needs more.
    #[serde(default = "max_output_tokens")]
    pub(crate) max_output_tokens: u32,
    /// How long an answer is remembered, in milliseconds. 0: not at all.
    #[serde(default = "cache_ms")]
    pub(crate) cache_ms: u64,
}

/// A kind of request, and what follows for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Class {
    /// Its name, for the model and in the label.
    pub(crate) name: String,
    /// What belongs to it, in a sentence for the model.
    #[serde(default)]
    pub(crate) description: String,
    /// Requests that belong to it.
    #[serde(default)]
    pub(crate) examples: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Labels beside the one that names the class.
    pub(crate) label: Option<Labels>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// Which of the request's text is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The last message of the user.
    #[default]
    LastUser,
    /// The last messages, as many as may be read.
    All,
}

fn read_at_most() -> u32 {
    4000
}

fn class() -> String {
    "class".into()
}

fn timeout_ms() -> u32 {
    2000
}

fn max_output_tokens() -> u32 {
    200
}

fn cache_ms() -> u64 {
    3_600_000
}

impl Config {
    /// What no type can say. An error names the field and what was expected there.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.model.is_empty() {
            return Err("`model` is empty, expected a model's id".into());
        }
        if self.classes.len() < 2 {
            return Err(format!(
                "`classes`: {} is no choice, expected at least 2",
                self.classes.len()
            ));
        }
        if !is_label(&self.label) {
            return Err(format!(
                "`label`: expected 1 to {LABEL_BYTES} bytes that can be printed"
            ));
        }
        for (index, class) in self.classes.iter().enumerate() {
            class
                .check(&self.label)
                .map_err(|error| format!("`classes[{index}].{error}"))?;
            let is_double = |other: &Class| other.name.eq_ignore_ascii_case(&class.name);
            if self.classes[..index].iter().any(is_double) {
                return Err(format!(
                    "`classes[{index}].name`: there are two classes `{}`",
                    class.name
                ));
            }
        }
        if let Some(name) = self.fallback.as_ref().filter(|_| self.fallback().is_none()) {
            return Err(format!("`fallback`: there is no class `{name}`"));
        }
        if let Some(least) = self.min_confidence.filter(|least| !(0.0..=1.0).contains(least)) {
            return Err(format!("`min_confidence`: {least} is no confidence, expected 0 to 1"));
        }
        let numbers = [
            ("read_at_most", self.read_at_most),
            ("timeout_ms", self.timeout_ms),
            ("max_output_tokens", self.max_output_tokens),
        ];
        match numbers.iter().find(|(_, number)| *number == 0) {
            Some((name, _)) => Err(format!("`{name}`: 0 leaves nothing, expected more")),
            None => Ok(()),
        }
    }

    /// The fallback's place among the classes.
    pub(crate) fn fallback(&self) -> Option<usize> {
        let name = self.fallback.as_ref()?;
        self.classes.iter().position(|class| class.name == *name)
    }

    /// Whether the model has to tell the class from the others; a fallback may be what is left.
    pub(crate) fn is_named(&self, class: &Class) -> bool {
        self.fallback.as_ref() != Some(&class.name)
    }
}

impl Class {
    /// The error begins with the field's name and a closing backtick.
    fn check(&self, label: &str) -> Result<(), String> {
        if !is_label(&self.name) {
            return Err(format!("name`: expected 1 to {LABEL_BYTES} bytes that can be printed"));
        }
        let more = self.label.iter().flat_map(|labels| &labels.0);
        if more.into_iter().any(|(key, _)| key == label) {
            return Err(format!(
                "label`: `{label}` names the class already, expected labels of other names"
            ));
        }
        self.action(label).check()
    }

    /// What follows for a request of this class; the label names it.
    pub(crate) fn action(&self, label: &str) -> Action {
        let own = (label.to_owned(), self.name.clone());
        let more = self.label.iter().flat_map(|labels| labels.0.iter().cloned());
        Action {
            label: Some(Labels([own].into_iter().chain(more).collect())),
            prefer: self.prefer.clone(),
            only: self.only.clone(),
            set: self.set.clone(),
            reject: self.reject.clone(),
        }
    }
}

fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && limits::is_label(text)
}
