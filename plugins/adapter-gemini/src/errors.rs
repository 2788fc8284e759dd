//! What an error of the provider means. Its own word for it (`error.status`) counts before the status, because inside a
//! stream there is no status; one word stands for many mistakes, which details and message tell apart. There are no
//! headers with limits: when to come again stands in the details, else in the message.

use pointsman_plugin::translate::{redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;

const TOO_LONG: [&str; 4] = [
    "exceeds the maximum number of tokens",
    "input token count",
    "context length",
    "context window",
];

const FILTERED: [&str; 6] = [
    "due to safety",
    "safety filter",
    "safety reasons",
    "prohibited content",
    "prohibited use",
    "responsible ai",
];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Reason<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reason<'a> {
    code: Option<u16>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(deserialize_with = "known")]
    details: Vec<Detail>,
}

/// The members of all kinds of details.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    reason: String,
    /// `38s`, with or without a fraction.
    retry_delay: String,
    violations: Vec<Violation>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Violation {
    quota_id: String,
    quota_value: String,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let mut failure = describe(&read(body).unwrap_or_default(), status);
    failure.retry_after_ms = retry::named_ms(headers).or(failure.retry_after_ms);
    failure
}

/// An error after a status that promised success, whose own code is the status that it would have had.
pub(crate) fn explain_inside(body: &[u8]) -> Failure {
    let reason = read(body).unwrap_or_default();
    let status = reason.code.filter(|code| (400..600).contains(code));
    describe(&reason, status.unwrap_or(500))
}

/// A stream that was not asked for as events has its error in a list.
fn read(body: &[u8]) -> Option<Reason<'_>> {
    if body.trim_ascii_start().starts_with(b"[") {
        let listed: Vec<Body> = serde_json::from_slice(body).ok()?;
        return listed.into_iter().map(|body| body.error).next();
    }
    serde_json::from_slice::<Body>(body).ok().map(|body| body.error)
}

fn describe(reason: &Reason, status: u16) -> Failure {
    let kind = kind_of(reason, status);
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let message = match reason.message.trim() {
        "" => format!("the provider answered with status {status}"),
        text => redact(text, is_about_keys),
    };
    let may_wait = matches!(
        kind,
        Kind::RateLimited | Kind::QuotaExhausted | Kind::Overloaded | Kind::TimedOut | Kind::Upstream
    );
    Failure {
        code: (!reason.status.is_empty()).then(|| redact(&reason.status, is_about_keys)),
        retry_after_ms: reason.delay_ms().filter(|_| may_wait),
        kind,
        message,
    }
}

fn kind_of(reason: &Reason, status: u16) -> Kind {
    let message = reason.message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    let is_key = |detail: &Detail| detail.reason.starts_with("API_KEY_");
    if reason.details.iter().any(is_key) || says(&["api key", "unregistered callers"]) {
        return Kind::Authentication;
    }
    match reason.status.as_ref() {
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" => {
            // A message may repeat names out of the request, so only whole phrases count.
            if says(&TOO_LONG) {
                Kind::ContextLength
            } else if says(&FILTERED) {
                Kind::ContentPolicy
            } else {
                Kind::InvalidRequest
            }
        }
        "FAILED_PRECONDITION" if says(&["billing", "credits", "prepay"]) => Kind::QuotaExhausted,
        "FAILED_PRECONDITION" if says(&["user location", "not available in your"]) => Kind::Permission,
        "FAILED_PRECONDITION" => Kind::InvalidRequest,
        "UNAUTHENTICATED" => Kind::Authentication,
        "PERMISSION_DENIED" => Kind::Permission,
        "NOT_FOUND" => Kind::NotFound,
        "RESOURCE_EXHAUSTED" if reason.is_used_up() || says(&["credits", "prepay", "spending"]) => Kind::QuotaExhausted,
        "RESOURCE_EXHAUSTED" => Kind::RateLimited,
        "DEADLINE_EXCEEDED" => Kind::TimedOut,
        "UNAVAILABLE" => Kind::Overloaded,
        "INTERNAL" | "UNKNOWN" | "ABORTED" | "CANCELLED" | "DATA_LOSS" => Kind::Upstream,
        "UNIMPLEMENTED" => Kind::InvalidRequest,
        _ => kind_of_status(status),
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
        499 => Kind::Upstream,
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Upstream,
    }
}

impl Reason<'_> {
    /// A quota of the day, or one of nothing, is no matter of a short wait.
    fn is_used_up(&self) -> bool {
        let mut violations = self.details.iter().flat_map(|detail| &detail.violations);
        violations.any(|violation| violation.quota_id.contains("PerDay") || violation.quota_value == "0")
    }

    fn delay_ms(&self) -> Option<u32> {
        let delay = |detail: &Detail| retry::duration_ms(&detail.retry_delay).and_then(retry::whole);
        let named = self.details.iter().find_map(delay);
        named.or_else(|| retry::said_ms(&self.message))
    }
}

/// A detail of another shape is none, and spoils nothing.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Detail>, D::Error> {
    let details = match Value::deserialize(deserializer)? {
        Value::Array(details) => details,
        _ => Vec::new(),
    };
    let read = |detail| serde_json::from_value(detail).ok();
    Ok(details.into_iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(word: &str, message: &str) -> Kind {
        let body = serde_json::json!({ "error": { "code": 400, "status": word, "message": message } });
        explain(400, &[], body.to_string().as_bytes()).kind
    }

    #[test]
    fn the_message_of_an_invalid_request_tells_what_is_wrong() {
        for (word, message, expected) in [
            (
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                Kind::ContextLength,
            ),
            ("INVALID_ARGUMENT", "API key not valid.", Kind::Authentication),
            (
                "INVALID_ARGUMENT",
                "API key expired. Please renew the API key.",
                Kind::Authentication,
            ),
            (
                "INVALID_ARGUMENT",
                "The prompt was blocked for safety reasons.",
                Kind::ContentPolicy,
            ),
            (
                "INVALID_ARGUMENT",
                "Invalid value at 'safety_settings[0].category'",
                Kind::InvalidRequest,
            ),
            (
                "INVALID_ARGUMENT",
                "Unknown name \"credits\" at 'contents'",
                Kind::InvalidRequest,
            ),
            (
                "FAILED_PRECONDITION",
                "User location is not supported for the API use.",
                Kind::Permission,
            ),
            (
                "FAILED_PRECONDITION",
                "Please enable billing on the project.",
                Kind::QuotaExhausted,
            ),
        ] {
            assert_eq!(kind(word, message), expected, "{message}");
        }
    }

    #[test]
    fn the_delay_is_in_the_header_the_details_or_the_message() {
        let body = |message: &str, details: Value| {
            let error = serde_json::json!({ "status": "RESOURCE_EXHAUSTED", "message": message, "details": details });
            serde_json::json!({ "error": error }).to_string()
        };
        let retry = serde_json::json!([7, { "@type": "RetryInfo", "retryDelay": "1.5s" }]);
        let after = [("retry-after".to_owned(), "3".to_owned())];
        for (headers, body, expected) in [
            (&after[..], body("", retry.clone()), Some(3000)),
            (&[], body("Please retry in 9s.", retry), Some(1500)),
            (&[], body("Please retry in 48.9399s.", Value::Null), Some(48_940)),
            (&[], body("Please retry in time.", Value::Null), None),
        ] {
            assert_eq!(
                explain(429, headers, body.as_bytes()).retry_after_ms,
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn an_error_in_a_list_and_a_page_of_html_are_read_too() {
        let listed = explain(503, &[], br#"[{"error":{"status":"UNAVAILABLE","message":"busy"}}]"#);
        assert_eq!((listed.kind, listed.message.as_str()), (Kind::Overloaded, "busy"));
        let page = explain(502, &[], b"<html><body>Bad Gateway</body></html>");
        assert_eq!(
            (page.kind, page.message.as_str()),
            (Kind::Upstream, "the provider answered with status 502")
        );
    }
}
