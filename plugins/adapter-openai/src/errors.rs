//! What an error means. OpenAI's own shape is `{"error": {"message", "type", "code", "param"}}`; the providers that speak
//! its dialect leave members out, put them at the top, use numbers, or say `detail`. The code counts first, then the type,
//! then the message, and last the status: several providers use one status for many things.

use pointsman_plugin::translate::{redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde_json::Value;

/// A plain text of this length may be an error's message; a longer one is some page.
const LONGEST_TEXT: usize = 300;

struct Reason {
    message: Option<String>,
    /// Code, type, and Azure's inner code, in lower case.
    words: Vec<String>,
    code: Option<String>,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let mut failure = describe(&Reason::read(body), status);
    let may_wait = matches!(
        failure.kind,
        Kind::RateLimited | Kind::Overloaded | Kind::TimedOut | Kind::Upstream
    );
    let is_limited = failure.kind == Kind::RateLimited;
    failure.retry_after_ms = retry::named_ms(headers)
        .or_else(|| {
            let (left, reset) = ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}");
            retry::until_reset_ms(headers, left, reset, &["requests", "tokens"]).filter(|_| is_limited)
        })
        .or_else(|| retry::said_ms(&failure.message).filter(|_| may_wait));
    failure
}

/// An error after a status that promised success. OpenRouter's code is then the status it would have had.
pub(crate) fn explain_inside(body: &[u8]) -> Failure {
    let reason = Reason::read(body);
    let status = reason.code.as_ref().and_then(|code| code.parse().ok());
    describe(
        &reason,
        status.filter(|status| (400..600).contains(status)).unwrap_or(500),
    )
}

fn describe(reason: &Reason, status: u16) -> Failure {
    let message = reason.message.as_deref().unwrap_or_default().trim();
    let kind = kind_of(&reason.words, &message.to_lowercase(), status);
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let message = match message {
        "" => format!("the provider answered with status {status}"),
        message => redact(message, is_about_keys),
    };
    let code = reason.code.as_ref().map(|code| redact(code, is_about_keys));
    Failure {
        kind,
        message,
        code,
        retry_after_ms: None,
    }
}

impl Reason {
    fn read(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Self::of_text(body);
        };
        let error = match &body["error"] {
            Value::Null => &body,
            error => error,
        };
        let message = [error, &error["message"], &error["detail"], &body["message"]]
            .into_iter()
            .find_map(text);
        let spelt = [&error["message"], &error["detail"], &body["detail"]];
        let message = message.or_else(|| spelt.into_iter().find(|value| !value.is_null()).map(Value::to_string));
        let words = [&error["code"], &error["type"], &error["innererror"]["code"]];
        let words: Vec<String> = words.into_iter().filter_map(word).collect();
        Reason {
            message,
            code: words.first().cloned(),
            words: words.iter().map(|word| word.to_lowercase()).collect(),
        }
    }

    /// Proxies answer with a short text or with a page of HTML, which is not repeated.
    fn of_text(body: &[u8]) -> Self {
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        let is_message = !text.is_empty() && text.len() <= LONGEST_TEXT && !text.starts_with(['<', '{', '[']);
        Reason {
            message: is_message.then(|| text.to_owned()),
            words: Vec::new(),
            code: None,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).filter(|text| !text.is_empty())
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        value => text(value),
    }
}

fn kind_of(words: &[String], message: &str, status: u16) -> Kind {
    let by_word = words
        .iter()
        .find_map(|word| kind_of_word(word).or_else(|| kind_of_number(word, status)));
    by_word
        .or_else(|| kind_of_message(message, status))
        .unwrap_or_else(|| kind_of_status(status))
}

/// Codes and types that mean one thing wherever they are used.
fn kind_of_word(word: &str) -> Option<Kind> {
    Some(match word {
        "context_length_exceeded" | "too_many_prompt_tokens" | "exceed_context_size_error" => Kind::ContextLength,
        "content_filter"
        | "content_policy_violation"
        | "responsibleaipolicyviolation"
        | "data_inspection_failed"
        | "moderation_blocked" => Kind::ContentPolicy,
        "insufficient_quota"
        | "exceeded_current_quota_error"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "insufficient_balance"
        | "quota_exceeded"
        | "arrearage" => Kind::QuotaExhausted,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "rate_limit_reached_error"
        | "rate_limited"
        | "limit_requests"
        | "limit_burst_rate"
        | "throttling" => Kind::RateLimited,
        "engine_overloaded_error" | "overloaded_error" | "service_unavailable_error" | "server_overloaded" => {
            Kind::Overloaded
        }
        "invalid_api_key" | "authentication_error" | "invalid_authentication_error" | "incorrect_api_key_error" => {
            Kind::Authentication
        }
        "permission_error" | "permission_denied_error" | "unsupported_country_region_territory" => Kind::Permission,
        "model_not_found"
        | "not_found_error"
        | "resource_not_found_error"
        | "deploymentnotfound"
        | "invalid_model"
        | "notfounderror" => Kind::NotFound,
        "timeout" | "timeout_error" | "request_timeout" => Kind::TimedOut,
        _ => return None,
    })
}

/// GLM's codes are numbers; other providers use the same numbers under other statuses.
fn kind_of_number(word: &str, status: u16) -> Option<Kind> {
    match (word, status) {
        ("1113", 429) => Some(Kind::QuotaExhausted),
        ("1211", 400) => Some(Kind::NotFound),
        ("1261", 400) => Some(Kind::ContextLength),
        ("1301", 400) => Some(Kind::ContentPolicy),
        _ => None,
    }
}

/// What only the message tells, in lower case; only where the status leaves it open.
fn kind_of_message(message: &str, status: u16) -> Option<Kind> {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    let is_too_long = says(&[
        "maximum context length",
        "max context length",
        "context window",
        "context size",
        "prompt is too long",
        "prompt too long",
        "messages is too long",
        "reduce the length",
    ]);
    match status {
        400 | 413 | 422 | 500 if is_too_long => Some(Kind::ContextLength),
        400 if says(&["content management policy", "inappropriate content"]) => Some(Kind::ContentPolicy),
        400 | 402 | 403 | 429 if says(&["insufficient balance", "current quota", "credit balance", "billing"]) => {
            Some(Kind::QuotaExhausted)
        }
        429 | 500.. if says(&["overloaded", "too busy"]) => Some(Kind::Overloaded),
        _ => None,
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

    #[test]
    fn a_page_of_html_is_not_repeated_and_a_line_of_text_is() {
        let page = explain(502, &[], b"<html><body>Bad Gateway</body></html>");
        assert_eq!(
            (page.message.as_str(), page.kind),
            ("the provider answered with status 502", Kind::Upstream)
        );
        let line = explain(503, &[], b"upstream connect error or disconnect\n");
        assert_eq!(line.message, "upstream connect error or disconnect");
        assert_eq!(
            explain(500, &[], "x".repeat(400).as_bytes()).message,
            "the provider answered with status 500"
        );
    }

    #[test]
    fn a_key_is_never_repeated() {
        let body =
            br#"{"error": {"message": "Incorrect key: 5f3ab0c1d2e3f4a5b6c7d8e9f0a1b2c3", "code": "invalid_api_key"}}"#;
        let failure = explain(401, &[], body);
        assert_eq!(failure.message, "Incorrect key: [redacted]");
        assert_eq!(failure.kind, Kind::Authentication);
    }

    #[test]
    fn the_code_inside_a_stream_is_a_status_if_it_can_be_one() {
        let failure = explain_inside(br#"{"error": {"code": 429, "message": "slow down"}}"#);
        assert_eq!(failure.kind, Kind::RateLimited);
        assert_eq!(explain_inside(br#"{"error": {"code": 7}}"#).kind, Kind::Upstream);
    }
}
