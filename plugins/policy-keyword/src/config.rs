//! What can be configured, field by field; the comments are the schema's descriptions.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};

/// Rules and how they are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The rules, in the order in which they are tried.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
    /// What happens where no rule matches. Without it the candidates stay as they were.
    pub(crate) default: Option<Action>,
    /// Whether the first rule that matches ends the search, or all that match add up: labels and preferences in the order
    /// of the rules, and the first rejection counts.
    #[serde(default, rename = "match")]
    pub(crate) mode: Mode,
    /// Where words and expressions are looked for, unless a rule says otherwise.
    #[serde(default)]
    pub(crate) look_in: Place,
    /// Whether a word counts only where no letter or digit touches it, unless a rule says otherwise.
    #[serde(default = "yes")]
    pub(crate) whole_words: bool,
    /// Whether upper and lower case are the same, unless a rule says otherwise.
    #[serde(default = "yes")]
    pub(crate) ignore_case: bool,
    /// How many bytes are read where all text is looked in.
    #[serde(default = "read_at_most")]
    pub(crate) read_at_most: u32,
}

/// One rule. It matches if something of `any` or `regex` is found (where either is given), and all of `all`, and nothing
/// of `none`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Words or phrases of which one is enough.
    #[serde(default)]
    pub(crate) any: Vec<String>,
    /// Words or phrases that must all be there.
    #[serde(default)]
    pub(crate) all: Vec<String>,
    /// Words or phrases that must not be there.
    #[serde(default)]
    pub(crate) none: Vec<String>,
    /// Regular expressions of which one is enough. Without Unicode classes, and in time that grows with the text alone.
    #[serde(default)]
    pub(crate) regex: Vec<String>,
    /// Where this rule looks.
    pub(crate) look_in: Option<Place>,
    /// Whether this rule's words are whole words.
    pub(crate) whole_words: Option<bool>,
    /// Whether this rule takes upper and lower case for the same.
    pub(crate) ignore_case: Option<bool>,
    /// The request's label `class`, or a table of labels.
    pub(crate) label: Option<Labels>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// What follows where no rule matches.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// The request's label `class`, or a table of labels.
    pub(crate) label: Option<Labels>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// How a request is refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// The HTTP status, 400 to 599.
    #[serde(default = "forbidden")]
    pub(crate) status: u16,
    /// A stable word for programs.
    pub(crate) code: String,
    /// A sentence for people.
    pub(crate) message: String,
}

/// A label `class`, or labels by name.
#[derive(Debug, Clone)]
pub(crate) struct Labels(pub(crate) Vec<(String, String)>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    First,
    All,
}

/// Which of the request's text is looked in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The last message of the user.
    #[default]
    LastUser,
    /// All `system` and `developer` messages.
    System,
    /// All messages.
    All,
}

fn yes() -> bool {
    true
}

fn read_at_most() -> u32 {
    64 * 1024
}

fn forbidden() -> u16 {
    403
}

impl Action {
    /// What a rule or the default may not say. The error begins with the field's name and a closing backtick.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(refusal) = &self.reject else {
            return Ok(());
        };
        if !(400..600).contains(&refusal.status) {
            return Err(format!(
                "reject.status`: {} is no status of a refusal, expected 400 to 599",
                refusal.status
            ));
        }
        if !self.prefer.is_empty() || !self.only.is_empty() {
            return Err("reject`: what is refused goes nowhere, expected no `prefer` and no `only` beside it".into());
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label or a table of labels")
            }

            fn visit_str<E>(self, class: &str) -> Result<Labels, E> {
                Ok(Labels(vec![("class".into(), class.into())]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Labels, A::Error> {
                let mut labels = Vec::new();
                while let Some(label) = table.next_entry()? {
                    labels.push(label);
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The label `class`, or labels by name",
            "oneOf": [{ "type": "string" }, { "type": "object", "additionalProperties": { "type": "string" } }],
        })
    }
}

impl Rule {
    /// Whether it changes nothing where it matches.
    pub(crate) fn is_idle(&self) -> bool {
        self.label.is_none() && self.prefer.is_empty() && self.only.is_empty() && self.reject.is_none()
    }
}
