//! What an error of the provider means. It has a message and rarely more (`error_type`), so the status and the message's
//! own words tell one from the other.

use pointsman_plugin::translate::{redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    error_type: Option<Cow<'a, str>>,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let (message, code) = match serde_json::from_slice::<Body>(body) {
        Ok(Body { message, error_type }) => (message, error_type.filter(|code| !code.is_empty())),
        Err(_) => (Cow::Borrowed(""), None),
    };
    let kind = kind_of(status, code.as_deref().unwrap_or_default(), &message);
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let shown = match message.trim() {
        "" => format!("the provider answered with status {status}"),
        text => redact(text, is_about_keys),
    };
    Failure {
        kind,
        message: shown,
        code: code.map(|code| redact(&code, is_about_keys)),
        retry_after_ms: retry::named_ms(headers),
    }
}

/// An answer that ended for a `reason` that ends no answer, after a status that promised success.
pub(crate) fn broken_off(kind: Kind, reason: Option<&str>, message: &str) -> Failure {
    let kind = match kind_of_message(message) {
        Some(said) => said,
        None => kind,
    };
    let shown = match (message.trim(), reason) {
        ("", Some(reason)) => format!("the provider broke off the answer: {}", redact(reason, false)),
        ("", None) => "the provider broke off the answer".to_owned(),
        (text, _) => redact(text, false),
    };
    Failure {
        kind,
        message: shown,
        code: reason.map(|reason| redact(reason, false)),
        retry_after_ms: None,
    }
}

fn kind_of(status: u16, code: &str, message: &str) -> Kind {
    match status {
        400 | 413 | 422 if code == "TOO_MANY_TOKENS" && !is_about_output(message) => Kind::ContextLength,
        400 | 413 | 422 => kind_of_message(message).unwrap_or(Kind::InvalidRequest),
        401 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        429 if is_used_up(message) => Kind::QuotaExhausted,
        429 => Kind::RateLimited,
        // A word of the request or of the answer is on the provider's list.
        498 => Kind::ContentPolicy,
        // The provider's word for a connection that was given up on: not the caller's mistake.
        499 => Kind::Upstream,
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Upstream,
    }
}

/// What the words alone tell, with or without a status.
fn kind_of_message(message: &str) -> Option<Kind> {
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if is_about_output(message) {
        Some(Kind::InvalidRequest)
    } else if says(&["too many tokens", "context length", "context window"]) {
        Some(Kind::ContextLength)
    } else if says(&[
        "blocked input",
        "blocked output",
        "deny-list",
        "safety filter",
        "content policy",
    ]) {
        Some(Kind::ContentPolicy)
    } else {
        None
    }
}

/// `too many tokens: max tokens must be less than or equal to …` is about the answer: a shorter prompt would not help.
fn is_about_output(message: &str) -> bool {
    message.to_ascii_lowercase().contains("max tokens must be")
}

/// Limits by the minute and limits by the month come with the same status.
fn is_used_up(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["/ month", "/month", "per month", "monthly", "billing limit"]
        .iter()
        .any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str) -> Kind {
        let body = serde_json::json!({ "id": "e", "message": message });
        explain(status, &[], body.to_string().as_bytes()).kind
    }

    #[test]
    fn status_and_words_tell_what_is_wrong() {
        for (status, message, expected) in [
            (
                400,
                "too many tokens: size limit exceeded by 7 tokens",
                Kind::ContextLength,
            ),
            (
                400,
                "too many tokens: max tokens must be less than or equal to 4096",
                Kind::InvalidRequest,
            ),
            (
                400,
                "invalid request: temperature must be between 0 and 1",
                Kind::InvalidRequest,
            ),
            (402, "add a payment method", Kind::QuotaExhausted),
            (422, "parameter tools is of type object", Kind::InvalidRequest),
            (429, "limited to 20 API calls / minute", Kind::RateLimited),
            (429, "limited to 1000 API calls / month", Kind::QuotaExhausted),
            (498, "blocked", Kind::ContentPolicy),
            (499, "request cancelled", Kind::Upstream),
            (503, "", Kind::Overloaded),
            (504, "", Kind::TimedOut),
        ] {
            assert_eq!(kind(status, message), expected, "{status} {message}");
        }
    }

    #[test]
    fn a_page_of_html_is_not_repeated() {
        let failure = explain(502, &[], b"<html><body>Bad Gateway</body></html>");
        assert_eq!(failure.message, "the provider answered with status 502");
        assert_eq!(failure.kind, Kind::Upstream);
    }
}
