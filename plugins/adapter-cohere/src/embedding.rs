//! Texts as vectors, at `/v2/embed`.

use crate::PROVIDER;
use crate::settings::Settings;
use crate::usage::Reported;
use pointsman_plugin::translate::{self, Members, Raw, refuse, unreadable, upstream};
use pointsman_plugin::{Answer, Failure, Outgoing, Target};
use serde::{Deserialize, Serialize};

/// More texts the provider takes in no request.
const MOST_TEXTS: usize = 96;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    texts: Vec<Raw<'a>>,
    /// What the vectors are for, without which the provider makes none.
    input_type: String,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u64>,
}

#[derive(Deserialize)]
struct Embedded<'a> {
    #[serde(borrow)]
    embeddings: ByType<'a>,
    #[serde(borrow)]
    meta: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct ByType<'a> {
    #[serde(borrow)]
    float: Option<Vec<Raw<'a>>>,
}

pub(crate) fn encode(target: &Target, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let mut members = Members::of(body)?;
    let given: Option<String> = members.take("input_type")?;
    let texts = translate::texts(&mut members, PROVIDER)?;
    if texts.len() > MOST_TEXTS {
        return Err(refuse(format!(
            "input has {} texts, and {PROVIDER} takes {MOST_TEXTS} at most in one request; send several",
            texts.len()
        )));
    }
    let request = Request {
        model: &target.model,
        texts,
        input_type: given.unwrap_or_else(|| settings.input_type.clone()),
        embedding_types: ["float"],
        output_dimension: members.take("dimensions")?,
        truncate: members.take("truncate")?,
        max_tokens: members.take("max_tokens")?,
        priority: members.take("priority")?,
    };
    for name in members.names() {
        settings.losses.name(name);
    }
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json("/v2/embed", body)))
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let embedded: Embedded = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let vectors = embedded.embeddings.float;
    let vectors = vectors.ok_or_else(|| upstream("the provider's answer has no embeddings of the type float"))?;
    let billed = embedded.meta.and_then(|meta| Reported::read(meta).billed());
    translate::vectors(&target.model, vectors, billed.map(|usage| usage.input))
}
