//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::{
    action::{Action, Labels, Mode, Refusal, Settings},
    when::Condition,
};
use schemars::JsonSchema;
use serde::Deserialize;

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
/// of `none`, and all of `when` holds.
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
    /// Conditions on what comes with the text, which must all hold: headers, fields, labels, who asks.
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
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
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
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
