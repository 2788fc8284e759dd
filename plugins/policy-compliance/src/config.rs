//! What can be configured, field by field; the comments are the schema's descriptions.

use std::collections::BTreeMap;

use pointsman_plugin::{action::Refusal, limits, when::Condition};
use schemars::JsonSchema;
use serde::Deserialize;

/// Rules, and how much of a request they look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The rules. All that match apply together.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
    /// Content classes of one's own, by name.
    #[serde(default)]
    pub(crate) classes: BTreeMap<String, Custom>,
    /// How often a class has to be found before it counts; once unless given.
    #[serde(default)]
    pub(crate) at_least: BTreeMap<String, u32>,
    /// Which text is looked at.
    #[serde(default)]
    pub(crate) look_in: Place,
    /// How many bytes of it are looked at.
    #[serde(default = "read_at_most")]
    pub(crate) read_at_most: u32,
    /// What is done where there is more.
    #[serde(default)]
    pub(crate) beyond: Beyond,
}

/// A rule. It matches if all of `when` holds and, where `content` is given, something of it is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// What it is called in the label `compliance`, in reasons and in refusals.
    pub(crate) name: String,
    /// Conditions on what comes with the text, which must all hold: headers, fields, labels, who asks.
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
    /// Classes of content of which one is enough: built-in ones, groups of them, `image`, and those of `classes`.
    #[serde(default)]
    pub(crate) content: Vec<String>,
    /// Tags of which a model must have every one.
    #[serde(default)]
    pub(crate) require: Vec<String>,
    /// Tags of which a model may have none.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// A content class of one's own: what is found by one of its words or expressions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Custom {
    /// Words or phrases, found where no letter or digit touches them.
    #[serde(default)]
    pub(crate) words: Vec<String>,
    /// Regular expressions. Without Unicode classes, and in time that grows with the text alone.
    #[serde(default)]
    pub(crate) regex: Vec<String>,
    /// Whether upper and lower case are the same.
    #[serde(default = "yes")]
    pub(crate) ignore_case: bool,
}

/// Which of the request's text is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The last message of the user.
    LastUser,
    /// All `system` and `developer` messages.
    System,
    /// All messages, and the arguments of the functions that they call.
    #[default]
    All,
}

/// What is done where a text is longer than what is read of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Beyond {
    /// Every class counts as found, since the rest may hold anything.
    #[default]
    Assume,
    /// The rest counts as empty.
    Ignore,
    /// The request is refused with 413, if a rule would have to know.
    Reject,
}

fn yes() -> bool {
    true
}

fn read_at_most() -> u32 {
    256 * 1024
}

/// Whether a rule or a class can be called so: labels list the names with commas between them.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && !name.contains(',') && limits::is_label(name)
}

impl Rule {
    /// What a rule may not say. The error begins with the field's name and a closing backtick.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err("name` has to have 1 to 64 bytes that can be printed, and no comma".into());
        }
        for (field, tags) in [("require", &self.require), ("forbid", &self.forbid)] {
            if let Some(tag) = tags.iter().find(|tag| tag.trim().is_empty() || tag.starts_with("tag:")) {
                return Err(format!(
                    "{field}`: `{tag}` is not a tag, expected one without `tag:` before it"
                ));
            }
        }
        if let Some(tag) = self.require.iter().find(|tag| self.forbid.contains(tag)) {
            return Err(format!(
                "forbid`: `{tag}` is required by the same rule, so that no model could serve"
            ));
        }
        let Some(refusal) = &self.reject else {
            return Ok(());
        };
        refusal.check()?;
        if !self.require.is_empty() || !self.forbid.is_empty() {
            return Err(
                "reject`: what is refused goes nowhere, expected no `require` and no `forbid` beside it".into(),
            );
        }
        Ok(())
    }
}
