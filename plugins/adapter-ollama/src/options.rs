//! `options`, where the provider has all that says how a model runs: the settings', the client's own, and the canonical wishes,
//! the later over the earlier.

use crate::settings::{Settings, made};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::Chat;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Of the client's words that have no canonical name, those that are options.
const OWN: [&str; 8] = [
    "num_ctx",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "num_keep",
    "num_batch",
    "num_gpu",
];

pub(crate) fn choose(chat: &mut Chat, settings: &Settings) -> Result<Option<Box<RawValue>>, Failure> {
    let mut options = settings.options.clone();
    options.extend(chat.own.take::<Map<String, Value>>("options")?.unwrap_or_default());
    for name in OWN {
        put(&mut options, name, chat.own.take::<Value>(name)?);
    }
    let capped = |most: u64| settings.max_output.map_or(most, |known| most.min(known));
    put(&mut options, "num_predict", chat.most_tokens().map(capped));
    put(&mut options, "temperature", chat.temperature);
    put(&mut options, "top_p", chat.top_p);
    put(&mut options, "top_k", chat.top_k);
    put(&mut options, "seed", chat.seed);
    put(&mut options, "presence_penalty", chat.presence_penalty);
    put(&mut options, "frequency_penalty", chat.frequency_penalty);
    let stops: Vec<Value> = chat.stops()?.into_iter().map(Value::from).collect();
    put(&mut options, "stop", (!stops.is_empty()).then_some(stops));
    if options.is_empty() {
        return Ok(None);
    }
    made(&Value::Object(options)).map(Some)
}

fn put(options: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        options.insert(name.to_owned(), value.into());
    }
}
