//! Texts as vectors, at `/api/embed`.

use crate::PROVIDER;
use crate::settings::{Settings, made};
use pointsman_plugin::translate::{self, Members, Raw, Text, refuse, unreadable, upstream};
use pointsman_plugin::{Answer, Failure, Outgoing, Target};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Box<RawValue>>,
}

/// What the provider answers.
#[derive(Deserialize)]
struct Embedded<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    embeddings: Option<Vec<Raw<'a>>>,
    prompt_eval_count: Option<u64>,
}

pub(crate) fn encode(target: &Target, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let mut members = Members::of(body)?;
    let input = translate::texts(&mut members, PROVIDER)?;
    let mut options = settings.options.clone();
    options.extend(members.take::<Map<String, Value>>("options")?.unwrap_or_default());
    let keep_alive: Option<Value> = members.take("keep_alive")?;
    let request = Request {
        model: &target.model,
        input,
        dimensions: members.take("dimensions")?,
        truncate: members.take("truncate")?,
        options: match options.is_empty() {
            true => None,
            false => Some(made(&Value::Object(options))?),
        },
        keep_alive: match keep_alive {
            Some(value) => Some(made(&value)?),
            None => settings.keep_alive.clone(),
        },
    };
    for name in members.names() {
        settings.losses.name(name);
    }
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json("/api/embed", body)))
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let embedded: Embedded = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let vectors = embedded
        .embeddings
        .ok_or_else(|| upstream("the provider's answer has no embeddings"))?;
    let model = embedded.model.as_ref().map_or(&target.model[..], |model| &model.0);
    translate::vectors(model, vectors, embedded.prompt_eval_count)
}
