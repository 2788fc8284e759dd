//! What the operator may set for a provider or a model of this dialect.

use pointsman_plugin::translate::{self, Losses, OnUnsupported};
use pointsman_plugin::{Failure, Target};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The settings as written in the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    on_unsupported: OnUnsupported,
    /// The provider's own options, `num_ctx` say; a request's come over them.
    options: Map<String, Value>,
    /// How long the model stays loaded.
    keep_alive: Option<KeepAlive>,
    /// Whether the model thinks.
    thinking: Option<bool>,
}

/// A duration, or a number of seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeepAlive {
    Duration(String),
    Seconds(i64),
}

/// The settings with every default filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the request loses on its way.
    pub(crate) losses: Losses,
    pub(crate) options: Map<String, Value>,
    pub(crate) keep_alive: Option<Box<RawValue>>,
    pub(crate) thinks: bool,
    /// The most that the model may be asked for, where it is known.
    pub(crate) max_output: Option<u64>,
}

impl Settings {
    /// Read once for each request.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let given: Given = translate::settings(target)?;
        let keep_alive = given.keep_alive.map(|keep| match keep {
            KeepAlive::Duration(text) => Value::from(text),
            KeepAlive::Seconds(number) => Value::from(number),
        });
        Ok(Settings {
            losses: Losses::of(crate::PROVIDER, given.on_unsupported),
            options: given.options,
            keep_alive: keep_alive.map(|value| made(&value)).transpose()?,
            thinks: given.thinking.unwrap_or(true),
            max_output: target.max_output_tokens.map(u64::from),
        })
    }
}

/// JSON that was not the client's.
pub(crate) fn made(value: &Value) -> Result<Box<RawValue>, Failure> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| translate::refuse(format!("the request cannot be written: {error}")))
}
