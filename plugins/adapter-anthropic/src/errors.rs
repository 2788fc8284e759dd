//! What an error of the provider means. Its own word for it (`error.type`) counts before the status, because inside a
//! stream there is no status and in front of the provider there may be a proxy with a page of its own.

use pointsman_plugin::translate::{redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde::Deserialize;
use std::borrow::Cow;

/// The provider's limits, as they stand in `anthropic-ratelimit-<limit>-remaining` and `-reset`.
const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Reason<'a>,
}

/// The `error` member of a body or of an event. Google's edge, in front of some models, says `status` instead of `type`.
#[derive(Deserialize)]
pub(crate) struct Reason<'a> {
    #[serde(borrow, rename = "type", alias = "status", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let mut failure = match serde_json::from_slice::<Body>(body) {
        Ok(Body { error }) => describe(&error, status),
        Err(_) => Failure::new(
            kind_of_status(status),
            format!("the provider answered with status {status}"),
        ),
    };
    failure.retry_after_ms = retry::named_ms(headers).or_else(|| {
        let (left, reset) = ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset");
        retry::until_reset_ms(headers, left, reset, &LIMITS)
    });
    failure
}

/// An `error` event, after a status that promised success.
pub(crate) fn explain_event(reason: &Reason) -> Failure {
    describe(reason, 500)
}

fn describe(reason: &Reason, status: u16) -> Failure {
    let kind = kind_of(&reason.kind, &reason.message, status);
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let message = match reason.message.trim() {
        "" => format!("the provider answered with status {status}"),
        text => redact(text, is_about_keys),
    };
    let code = (!reason.kind.is_empty()).then(|| redact(&reason.kind, is_about_keys));
    Failure {
        kind,
        message,
        code,
        retry_after_ms: None,
    }
}

fn kind_of(word: &str, message: &str, status: u16) -> Kind {
    match word {
        "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => kind_of_message(message),
        "request_too_large" => Kind::InvalidRequest,
        "authentication_error" | "UNAUTHENTICATED" => Kind::Authentication,
        "billing_error" => Kind::QuotaExhausted,
        "permission_error" | "PERMISSION_DENIED" => Kind::Permission,
        "not_found_error" | "NOT_FOUND" => Kind::NotFound,
        "rate_limit_error" | "RESOURCE_EXHAUSTED" => Kind::RateLimited,
        "timeout_error" | "DEADLINE_EXCEEDED" => Kind::TimedOut,
        "overloaded_error" | "UNAVAILABLE" => Kind::Overloaded,
        "api_error" | "INTERNAL" => Kind::Upstream,
        _ => kind_of_status(status),
    }
}

/// One type stands for several mistakes; only the message tells them apart.
fn kind_of_message(message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if says(&[
        "prompt is too long",
        "exceed context limit",
        "exceeds the context",
        "context window",
        "context length",
    ]) {
        Kind::ContextLength
    } else if says(&["credit balance", "usage limit"]) {
        Kind::QuotaExhausted
    } else if says(&["content filter", "usage policy", "violat"]) {
        Kind::ContentPolicy
    } else {
        Kind::InvalidRequest
    }
}

fn kind_of_status(status: u16) -> Kind {
    match status {
        401 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        429 => Kind::RateLimited,
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, word: &str, message: &str) -> Kind {
        let body = serde_json::json!({"type": "error", "error": {"type": word, "message": message}});
        explain(status, &[], body.to_string().as_bytes()).kind
    }

    #[test]
    fn the_message_of_an_invalid_request_tells_what_is_wrong() {
        for (message, expected) in [
            (
                "prompt is too long: 210000 tokens > 200000 maximum",
                Kind::ContextLength,
            ),
            (
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
                Kind::ContextLength,
            ),
            ("Your credit balance is too low to access the API", Kind::QuotaExhausted),
            ("You have reached your specified API usage limits", Kind::QuotaExhausted),
            ("Output blocked by content filtering policy", Kind::ContentPolicy),
            ("max_tokens: Field required", Kind::InvalidRequest),
        ] {
            assert_eq!(kind(400, "invalid_request_error", message), expected, "{message}");
        }
    }

    #[test]
    fn the_providers_word_counts_before_the_status() {
        assert_eq!(kind(500, "overloaded_error", "Overloaded"), Kind::Overloaded);
        assert_eq!(kind(529, "not_invented_yet", "Overloaded"), Kind::Overloaded);
        assert_eq!(kind(402, "billing_error", "billing"), Kind::QuotaExhausted);
    }

    #[test]
    fn a_page_of_html_is_not_repeated() {
        let failure = explain(502, &[], b"<html><body>Bad Gateway</body></html>");
        assert_eq!(failure.message, "the provider answered with status 502");
        assert_eq!(failure.kind, Kind::Upstream);
    }
}
