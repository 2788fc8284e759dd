//! Texts in the order of what they have to do with a question, at `/v2/rerank`. The canonical form is the provider's own, but for
//! documents that are objects, and documents that come back.

use crate::settings::Settings;
use crate::usage;
use pointsman_plugin::translate::{Members, Raw, read, refuse, unreadable};
use pointsman_plugin::{Answer, Failure, Outgoing, Target};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    query: Raw<'a>,
    documents: Vec<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens_per_doc: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u64>,
}

/// What has to be in an answer, which is passed on as it came.
#[derive(Deserialize)]
struct Ranked<'a> {
    #[serde(rename = "results")]
    _results: Vec<Place>,
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    billed_units: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "index")]
    _index: u64,
    #[serde(rename = "relevance_score")]
    _relevance_score: f64,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    text: Option<Raw<'a>>,
}

pub(crate) fn encode(target: &Target, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let mut members = Members::of(body)?;
    members.remove("model");
    let documents = members
        .take_raw("documents")
        .ok_or_else(|| refuse("documents is missing"))?;
    let documents: Vec<Raw> = read(documents.get(), "documents")?;
    let request = Request {
        model: &target.model,
        query: members.take_raw("query").ok_or_else(|| refuse("query is missing"))?,
        documents: documents.into_iter().enumerate().map(text).collect::<Result<_, _>>()?,
        top_n: members.take("top_n")?,
        max_tokens_per_doc: members.take("max_tokens_per_doc")?,
        priority: members.take("priority")?,
    };
    if members.take::<bool>("return_documents")? == Some(true) {
        settings.losses.leave_out("return_documents")?;
    }
    for name in members.names() {
        settings.losses.name(name);
    }
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json("/v2/rerank", body)))
}

/// The provider takes texts only.
fn text((index, document): (usize, Raw<'_>)) -> Result<Raw<'_>, Failure> {
    let is_text = |raw: &Raw| raw.get().starts_with('"');
    if is_text(&document) {
        return Ok(document);
    }
    let text = read::<Document>(document.get(), "documents")?.text;
    text.filter(is_text)
        .ok_or_else(|| refuse(format!("documents[{index}] has no text")))
}

/// Searches are billed.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Failure> {
    let ranked: Ranked = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let units = ranked.meta.and_then(|meta| meta.billed_units);
    Ok(Answer {
        usage: units.and_then(usage::of_searches),
        ..Answer::new(body)
    })
}
