//! Texts as vectors, at `/api/embed`.

use crate::PROVIDER;
use crate::settings::{Settings, made};
use pointsman_plugin::translate::{Members, Raw, Text, read, refuse, unreadable, upstream};
use pointsman_plugin::{Answer, Failure, Outgoing, Target, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Raw<'a>,
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

/// The canonical list.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Vector<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
}

#[derive(Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: Raw<'a>,
}

#[derive(Serialize)]
struct Tokens {
    prompt_tokens: u64,
    total_tokens: u64,
}

pub(crate) fn encode(target: &Target, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let mut members = Members::of(body)?;
    // The gateway itself writes vectors in the format that was asked for.
    for silent in ["model", "encoding_format", "user"] {
        members.remove(silent);
    }
    let mut options = settings.options.clone();
    options.extend(members.take::<Map<String, Value>>("options")?.unwrap_or_default());
    let keep_alive: Option<Value> = members.take("keep_alive")?;
    let request = Request {
        model: &target.model,
        input: texts(&mut members)?,
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

/// A text or a list of them; numbers of tokens are another model's.
fn texts<'a>(members: &mut Members<'a>) -> Result<Raw<'a>, Failure> {
    let input = members.take_raw("input").ok_or_else(|| refuse("input is missing"))?;
    let is_text = |raw: &str| raw.starts_with('"');
    if is_text(input.get()) {
        return Ok(input);
    }
    let list: Vec<Raw> = read(input.get(), "input")?;
    match list.iter().position(|item| !is_text(item.get())) {
        Some(at) => Err(refuse(format!("input[{at}] is no text; {PROVIDER} takes texts only"))),
        None => Ok(input),
    }
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let embedded: Embedded = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let vectors = embedded
        .embeddings
        .ok_or_else(|| upstream("the provider's answer has no embeddings"))?;
    let tokens = embedded.prompt_eval_count;
    let vector = |(index, embedding)| Vector {
        object: "embedding",
        index,
        embedding,
    };
    let list = List {
        object: "list",
        data: vectors.into_iter().enumerate().map(vector).collect(),
        model: embedded.model.as_ref().map_or(&target.model, |model| &model.0),
        usage: tokens.map(|tokens| Tokens {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }),
    };
    let body = serde_json::to_vec(&list).map_err(|error| upstream(format!("the answer cannot be written: {error}")))?;
    let usage = tokens.map(|input| Usage { input, ..Usage::none() });
    Ok(Answer { body, usage })
}
