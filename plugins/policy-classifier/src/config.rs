//! What can be configured, field by field; the comments are the schema's descriptions.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

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
    /// Fields that are set in the request, by name: `{ temperature = 0.2 }`.
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
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

/// What a policy must not change, and what would be another request.
const NOT_PARAMETERS: [&str; 3] = ["model", "stream", "messages"];
/// A plan has no more edits.
const MOST_PARAMETERS: usize = 32;
const LABEL_BYTES: usize = 256;

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
        for (index, class) in self.classes.iter().enumerate() {
            class.check().map_err(|error| format!("`classes[{index}].{error}"))?;
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
        if !is_label(&self.label) {
            return Err(format!(
                "`label`: expected 1 to {LABEL_BYTES} bytes that can be printed"
            ));
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

    pub(crate) fn fallback(&self) -> Option<&Class> {
        let name = self.fallback.as_ref()?;
        self.classes.iter().find(|class| class.name == *name)
    }

    /// Whether the model has to tell the class from the others; a fallback may be what is left.
    pub(crate) fn is_named(&self, class: &Class) -> bool {
        self.fallback.as_ref() != Some(&class.name)
    }
}

impl Class {
    /// The error begins with the field's name and a closing backtick.
    fn check(&self) -> Result<(), String> {
        if !is_label(&self.name) {
            return Err(format!("name`: expected 1 to {LABEL_BYTES} bytes that can be printed"));
        }
        for field in self.parameters.keys() {
            if field.is_empty() || NOT_PARAMETERS.contains(&field.as_str()) {
                return Err(format!("parameters`: `{field}` is not a parameter"));
            }
        }
        match self.parameters.len() > MOST_PARAMETERS {
            true => Err(format!(
                "parameters`: {} are too many, expected at most {MOST_PARAMETERS}",
                self.parameters.len()
            )),
            false => Ok(()),
        }
    }
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES).contains(&text.len()) && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// RFC 6901 for a field of the request.
pub(crate) fn pointer(field: &str) -> String {
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}
