//! Texts as vectors. The provider makes them many at a time; on Google Cloud, where that is another service, it makes one.

use crate::request::resource;
use crate::settings::{Place, Settings};
use pointsman_plugin::translate::{self, Members, Raw, Text, refuse, unreadable, upstream};
use pointsman_plugin::{Answer, Failure, Outgoing, Target};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Requests<'a> {
    requests: Vec<Request<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    /// In a list each names it; on its own the path does.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: Raw<'a>,
}

/// What the provider answers: vectors, or one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Embedded<'a> {
    #[serde(borrow, default)]
    embeddings: Vec<Vector<'a>>,
    #[serde(borrow)]
    embedding: Option<Vector<'a>>,
    usage_metadata: Option<Used>,
}

#[derive(Deserialize)]
struct Vector<'a> {
    #[serde(borrow)]
    values: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    prompt_token_count: Option<u64>,
}

pub(crate) fn encode(target: &Target, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let model = resource(&target.model)?;
    let mut members = Members::of(body)?;
    let texts = translate::texts(&mut members, crate::PROVIDER)?;
    let task_type: Option<Text> = members.take("task_type")?;
    let title: Option<Text> = members.take("title")?;
    let dimensions: Option<u64> = members.take("dimensions")?;
    for name in members.names() {
        settings.losses.name(name);
    }
    let is_cloud = settings.place == Place::Vertex;
    let request = |text| Request {
        model: (!is_cloud).then_some(model.as_str()),
        content: Content { parts: [Part { text }] },
        task_type: task_type.as_ref().map(|kind| &*kind.0),
        title: title.as_ref().map(|title| &*title.0),
        output_dimensionality: dimensions,
    };
    let requests: Vec<Request> = texts.into_iter().map(request).collect();
    let (method, body) = match (is_cloud, &requests[..]) {
        (false, _) => ("batchEmbedContents", serde_json::to_vec(&Requests { requests })),
        (true, [one]) => ("embedContent", serde_json::to_vec(one)),
        (true, _) => return Err(refuse("input has several texts, but Vertex takes one at a time")),
    };
    let body = body.map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json(format!("/{model}:{method}"), body)))
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let mut embedded: Embedded = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    embedded.embeddings.extend(embedded.embedding);
    if embedded.embeddings.is_empty() {
        return Err(upstream("the provider's answer has no embeddings"));
    }
    let vectors = embedded.embeddings.into_iter().map(|vector| vector.values).collect();
    let tokens = embedded.usage_metadata.and_then(|used| used.prompt_token_count);
    translate::vectors(&target.model, vectors, tokens)
}
