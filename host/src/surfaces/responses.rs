//! `POST /v1/responses`: OpenAI's newer dialect, for clients that speak it to models of any provider. The request becomes canonical
//! in `request.rs` and `items.rs`, a whole answer comes back through `answer.rs` and a stream through `events.rs`. Where the provider
//! speaks the dialect as well nothing is translated, and `own.rs` listens. `kept.rs` has conversations of which each turn names the one
//! before.

mod answer;
mod events;
mod items;
mod kept;
mod made;
mod own;
mod request;
#[cfg(test)]
mod tests;

pub(super) use answer::{Echo, whole};
pub(super) use events::Events;
pub use kept::{KIND, Kept, Turn, with_turn};
pub(super) use made::has_other_images;
pub(super) use own::Hearing;
pub(super) use request::canonical;
use serde_json::json;

use crate::error::ApiError;

/// Before what this gateway keeps in a reasoning item's `encrypted_content`: thinking as its provider signed it.
const SIGNED: &str = "pointsman.thinking.";
/// The one parameter of a function that stands for a tool which takes a text.
const CUSTOM_INPUT: &str = "input";

/// An error as the last event of a stream. SDKs raise what has an `error`; others read its members beside it.
pub(super) fn error_event(error: &ApiError, id: &str, number: Option<u64>) -> Vec<u8> {
    let inside: serde_json::Value = serde_json::from_slice(&error.to_json(id)).unwrap_or_default();
    let event = json!({
        "type": "error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "sequence_number": number,
        "error": inside["error"],
    });
    format!("event: error\ndata: {event}\n\n").into_bytes()
}
