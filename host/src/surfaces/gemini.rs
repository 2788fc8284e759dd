//! `/v1beta/models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`, `:embedContent` and `:batchEmbedContents`: Gemini's dialect, for clients that speak it to
//! models of any provider. The request becomes canonical in `request.rs`, `contents.rs` and `schema.rs`, a whole answer comes back
//! through `answer.rs` and a stream through `events.rs`. Where the provider speaks the dialect as well nothing is translated, and
//! `own.rs` listens.

mod answer;
mod contents;
mod embedding;
mod events;
mod models;
mod own;
mod request;
mod schema;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

pub(super) use answer::{count, whole};
pub(super) use embedding::{canonical as embedded, whole as vectors};
pub(super) use events::Events;
pub use models::{list, one};
pub(super) use own::{Hearing, is_filtered};
pub use own::{path, renamed};
pub(super) use request::{Method, canonical};

use crate::error::ApiError;
use crate::json::{Document, Limits, Value};

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// Before what this gateway keeps in a part's `thoughtSignature`: thinking as its provider signed it.
const SIGNED: &[u8] = b"pointsman.thinking.";

/// Whether the client wants to see what the model thought.
pub(super) fn shows_thoughts(request: Value<'_>) -> bool {
    let config = member(request, "generationConfig").and_then(|config| member(config, "thinkingConfig"));
    let wish = config.and_then(|config| member(config, "includeThoughts"));
    wish.and_then(|wish| wish.as_bool()) == Some(true)
}

/// An error in the shape of Google's APIs, with the gateway's own code among its details.
pub(super) fn error(error: &ApiError, id: &str) -> Vec<u8> {
    let mut metadata = json!({"request_id": id});
    if let Some(param) = &error.param {
        metadata["param"] = param.as_str().into();
    }
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code, "domain": "pointsman", "metadata": metadata});
    let mut details = vec![info];
    if let Some(delay) = error.retry_after {
        let delay = format!("{}s", delay.as_millis().div_ceil(1000));
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    let told = json!({"code": error.status.as_u16(), "message": error.message, "status": status(error.status), "details": details});
    json!({"error": told}).to_string().into_bytes()
}

/// Google's word for the class of an error.
fn status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        402 | 429 => "RESOURCE_EXHAUSTED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// A member by its name, or by the same name with underscores, which the API takes as well.
fn member<'a>(object: Value<'a>, name: &str) -> Option<Value<'a>> {
    object.field(name).or_else(|| object.field(&snake(name)))
}

fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn camel(name: &str) -> String {
    let mut pieces = name.split('_');
    let mut camel = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let mut letters = piece.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

/// A list; of an object, which the API takes for a list of one, that.
fn list_of<'a>(value: Option<Value<'a>>) -> impl Iterator<Item = Value<'a>> {
    let only = value.filter(|value| value.kind() == crate::json::Kind::Object);
    let several = value.filter(|value| value.kind() == crate::json::Kind::Array);
    only.into_iter()
        .chain(several.into_iter().flat_map(|value| value.elements()))
}

/// Base64 in the alphabet that everybody reads: Google's SDKs write the one for URLs.
fn standard(data: &str) -> String {
    data.replace('-', "+").replace('_', "/")
}

/// Blocks of signed thinking as a signature of Gemini's.
fn signature(blocks: &[String]) -> String {
    let blocks = format!("[{}]", blocks.join(","));
    STANDARD.encode([SIGNED, blocks.as_bytes()].concat())
}

/// The blocks in a signature, where it is one of this gateway's.
fn signed(signature: &str) -> Option<Document> {
    let text = STANDARD.decode(standard(signature)).ok()?;
    let blocks = text.strip_prefix(SIGNED)?;
    Document::parse(Bytes::copy_from_slice(blocks), LIMITS).ok()
}
