//! What an error of the provider means. Its class stands in a header, or in the name of an event of a stream; the same few classes
//! are of all models, and where they say little the message's own words tell one from the other.

use pointsman_plugin::translate::{redact, retry};
use pointsman_plugin::{Failure, Kind};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow, alias = "Message")]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "__type")]
    class: Option<Cow<'a, str>>,
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.iter().find(|(name, _)| name == "x-amzn-errortype");
    let class = header.map(|(_, value)| value.as_str()).or(body.class.as_deref());
    // `ValidationException:http://...`, `com.amazon.coral.service#ValidationException`.
    let class = class.map(|class| class.split(':').next().unwrap_or(class));
    let class = class.map(|class| class.rsplit('#').next().unwrap_or(class).trim());
    let message = body.message.unwrap_or_default();
    let kind = class
        .and_then(|class| kind_of_class(class, &message))
        .unwrap_or_else(|| kind_of_status(status, &message));
    let mut failure = shown(
        kind,
        class,
        &message,
        &format!("the provider answered with status {status}"),
    );
    failure.retry_after_ms = retry::named_ms(headers);
    failure
}

/// An error in a stream, after a status that promised success.
pub(crate) fn broken_off(class: &str, data: &[u8]) -> Failure {
    let body: Body = serde_json::from_slice(data).unwrap_or_default();
    let message = body.message.unwrap_or_default();
    let kind = kind_of_class(class, &message).unwrap_or(Kind::Upstream);
    shown(kind, Some(class), &message, "the provider broke off the answer")
}

fn shown(kind: Kind, class: Option<&str>, message: &str, otherwise: &str) -> Failure {
    let is_about_keys = matches!(kind, Kind::Authentication | Kind::Permission);
    let message = match message.trim() {
        "" => otherwise.to_owned(),
        text => redact(text, is_about_keys),
    };
    let code = class.filter(|class| !class.is_empty());
    Failure {
        code: code.map(|class| redact(class, is_about_keys)),
        ..Failure::new(kind, message)
    }
}

/// Classes begin with a capital letter in a header and with a small one in a stream.
fn kind_of_class(class: &str, message: &str) -> Option<Kind> {
    let class = class.to_ascii_lowercase();
    Some(match class.as_str() {
        "validationexception" => kind_of_message(message).unwrap_or(Kind::InvalidRequest),
        "accessdeniedexception" => Kind::Permission,
        "unrecognizedclientexception"
        | "expiredtokenexception"
        | "invalidsignatureexception"
        | "incompletesignatureexception"
        | "missingauthenticationtokenexception"
        | "signaturedoesnotmatch"
        | "invalidclienttokenid" => Kind::Authentication,
        "resourcenotfoundexception" => Kind::NotFound,
        "throttlingexception" | "toomanyrequestsexception" if is_used_up(message) => Kind::QuotaExhausted,
        "throttlingexception" | "toomanyrequestsexception" => Kind::RateLimited,
        "servicequotaexceededexception" => Kind::QuotaExhausted,
        "modeltimeoutexception" => Kind::TimedOut,
        "modelnotreadyexception" | "serviceunavailableexception" => Kind::Overloaded,
        "modelerrorexception" | "modelstreamerrorexception" | "internalserverexception" | "internalfailure" => {
            Kind::Upstream
        }
        _ => return None,
    })
}

fn kind_of_status(status: u16, message: &str) -> Kind {
    match status {
        400 | 413 | 422 => kind_of_message(message).unwrap_or(Kind::InvalidRequest),
        401 => Kind::Authentication,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        424 => Kind::Upstream,
        429 => Kind::RateLimited,
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Upstream,
    }
}

fn kind_of_message(message: &str) -> Option<Kind> {
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&[
        "input is too long",
        "prompt is too long",
        "too many input tokens",
        "context length",
        "context window",
        "context limit",
        "exceeds the maximum number of tokens",
    ]) {
        Some(Kind::ContextLength)
    } else if says(&["model identifier is invalid"]) {
        Some(Kind::NotFound)
    } else if says(&["content filter", "blocked by", "content policy", "safety"]) {
        Some(Kind::ContentPolicy)
    } else {
        None
    }
}

/// Limits by the minute and limits by the day are of one class.
fn is_used_up(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["per day", "per month", "daily"]
        .iter()
        .any(|phrase| message.contains(phrase))
}
