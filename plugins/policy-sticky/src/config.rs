//! What can be configured, field by field; the comments are the schema's descriptions.

use std::{borrow::Cow, collections::BTreeMap};

use pointsman_plugin::standing::Percent;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize,
    de::{self, Deserializer},
};

/// Who stays where, and what it takes to move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who stays on its model: `session`, `key`, `user` (the request's `user` field) or `header:NAME`. A request without
    /// the named thing stays nowhere.
    #[serde(default)]
    pub(crate) by: Whom,
    /// Whether it stays for as long as it can, or only while that is worth its price.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// How many seconds after its last answer somebody is still known.
    #[serde(default = "keep_s")]
    pub(crate) keep_s: u32,
    /// Over how many turns, this one included, staying and switching are compared.
    #[serde(default = "turns")]
    pub(crate) turns: u32,
    /// How many seconds a provider's prompt cache holds a prefix after its last use.
    #[serde(default = "cache_s")]
    pub(crate) cache_s: u32,
    /// How many tokens a prefix must have before a provider caches it.
    #[serde(default = "cache_min_tokens")]
    pub(crate) cache_min_tokens: u32,
    /// Models whose cache is another; of several that name a model, the first counts.
    #[serde(default)]
    pub(crate) caches: Vec<Cache>,
    /// How many per cent of a model's last attempts may have failed before nobody is kept there.
    #[serde(default = "most_errors")]
    pub(crate) max_error_percent: Percent,
    /// Labels of policies before this one, with the values at which nobody is kept: the order stands.
    #[serde(default)]
    pub(crate) let_go: BTreeMap<String, Vec<String>>,
}

/// How some models' prompt cache behaves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cache {
    /// Candidates by id or by `tag:NAME`.
    pub(crate) models: Vec<String>,
    /// How many seconds it holds a prefix after its last use; 0 says that there is no cache. `cache_s` where it is not given.
    pub(crate) cache_s: Option<u32>,
    /// How many tokens a prefix must have; `cache_min_tokens` where it is not given.
    pub(crate) cache_min_tokens: Option<u32>,
}

/// When somebody is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Until the model is gone, cooling or failing.
    Always,
    /// As `always`, but only while its prompt cache is warm and switching would not pay.
    #[default]
    Price,
}

/// Who stays on its model.
#[derive(Debug, Default)]
pub(crate) enum Whom {
    #[default]
    Session,
    Key,
    User,
    Header(String),
}

fn keep_s() -> u32 {
    3600
}

fn turns() -> u32 {
    3
}

fn cache_s() -> u32 {
    300
}

fn cache_min_tokens() -> u32 {
    1024
}

fn most_errors() -> Percent {
    Percent::whole(50)
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.keep_s == 0 {
            return Err("`keep_s` is 0, so that nobody would be known; expected at least 1 second".into());
        }
        if !(1..=1000).contains(&self.turns) {
            return Err(format!("`turns`: {} is out of range, expected 1 to 1000", self.turns));
        }
        for (index, cache) in self.caches.iter().enumerate() {
            if cache.models.is_empty() {
                return Err(format!(
                    "`caches[{index}].models` is empty, expected at least one model"
                ));
            }
            if cache.cache_s.is_none() && cache.cache_min_tokens.is_none() {
                return Err(format!(
                    "`caches[{index}]` says nothing of the cache, expected `cache_s` or `cache_min_tokens`"
                ));
            }
        }
        if let Some((label, _)) = self.let_go.iter().find(|(_, values)| values.is_empty()) {
            return Err(format!("`let_go.{label}` is empty, expected at least one value"));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "session" => Whom::Session,
            "key" => Whom::Key,
            "user" => Whom::User,
            _ => match text.strip_prefix("header:") {
                Some(name) if !name.is_empty() => Whom::Header(name.to_owned()),
                _ => {
                    return Err(de::Error::custom(format!(
                        "nobody is known by `{text}`, expected `session`, `key`, `user` or `header:NAME`"
                    )));
                }
            },
        })
    }
}

impl JsonSchema for Whom {
    fn schema_name() -> Cow<'static, str> {
        "Whom".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(session|key|user|header:.+)$", "default": "session" })
    }
}
