//! What an error of the provider means. It is a message and nothing else, so the status and the message's own words tell one from
//! the other.

use pointsman_plugin::translate::{Raw, redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What a proxy in front of it may send.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let body = serde_json::from_slice::<Body>(body).ok();
    let message = body.and_then(|body| body.error).map(said).unwrap_or_default();
    let kind = kind_of(status, &message);
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let shown = match message.trim() {
        "" => format!("the provider answered with status {status}"),
        text => redact(text, is_about_keys),
    };
    Failure {
        kind,
        message: shown,
        code: None,
        retry_after_ms: retry::named_ms(headers),
    }
}

/// An error in place of an answer, after a status that promised one.
pub(crate) fn broken_off(error: Raw) -> Failure {
    let message = said(error);
    let kind = kind_of_message(&message).unwrap_or(Kind::Upstream);
    match message.trim() {
        "" => Failure::new(kind, "the provider broke off with an error that says nothing"),
        text => Failure::new(kind, redact(text, false)),
    }
}

fn said(error: &RawValue) -> Cow<'_, str> {
    let text = error.get();
    match text.starts_with('"') {
        true => serde_json::from_str(text).map(Cow::<str>::Owned).unwrap_or_default(),
        false => serde_json::from_str::<Nested>(text).map_or(Cow::Borrowed(""), |nested| nested.message),
    }
}

fn kind_of(status: u16, message: &str) -> Kind {
    match status {
        400 | 413 | 422 => kind_of_message(message).unwrap_or(Kind::InvalidRequest),
        401 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        429 if is_used_up(message) => Kind::QuotaExhausted,
        429 => Kind::RateLimited,
        // What the provider says while its queue is full.
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => kind_of_message(message).unwrap_or(Kind::Upstream),
    }
}

/// What the words alone tell, with or without a status.
fn kind_of_message(message: &str) -> Option<Kind> {
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&[
        "context length",
        "prompt too long",
        "context window",
        "exceeded max context",
    ]) {
        Some(Kind::ContextLength)
    } else if says(&["server busy", "requires more system memory", "out of memory"]) {
        Some(Kind::Overloaded)
    } else {
        None
    }
}

/// ollama.com has limits by the hour and by the week beside those that pass.
fn is_used_up(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["usage limit", "weekly", "hourly", "upgrade"]
        .iter()
        .any(|phrase| message.contains(phrase))
}
