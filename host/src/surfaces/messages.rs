//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's dialect, for clients that speak it to models of any provider.
//! The request becomes canonical in `request.rs` and `blocks.rs`, a whole answer comes back through `answer.rs` and a stream
//! through `events.rs`. Where the provider speaks the dialect as well nothing is translated, and `own.rs` listens.

mod answer;
mod blocks;
mod events;
mod models;
mod own;
mod request;
mod stop;
#[cfg(test)]
mod tests;

pub(super) use events::Events;
use hyper::StatusCode;
pub use models::{list, one};
pub(super) use own::Hearing;
use serde_json::json;

pub(super) use answer::whole;
pub(super) use request::canonical;
pub(super) use stop::sequences;

use crate::error::ApiError;

/// What a stream says while it has nothing to say.
pub(super) const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// By these words clients know that a conversation has become too long for a model, and shorten it.
const TOO_LONG: &str = "prompt is too long";

/// An error in Anthropic's shape, with the gateway's own code beside it.
pub(super) fn error(error: &ApiError, id: &str) -> Vec<u8> {
    let message = if error.code == "context_length_exceeded" && !error.message.contains(TOO_LONG) {
        format!("{TOO_LONG}: {}", error.message)
    } else {
        error.message.clone()
    };
    let told = json!({"type": kind(error.status), "message": message, "code": error.code, "param": error.param});
    let body = json!({"type": "error", "error": told, "request_id": id});
    body.to_string().into_bytes()
}

/// Anthropic's word for the class of an error.
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
