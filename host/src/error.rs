//! Everything that can end one request: status, type, code, the text for the caller and the text for the log.
//! Statuses and codes are chosen here and nowhere else; how they are written is the surface's matter.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

/// Why a request was not answered as asked. Two texts: `message` goes out, `detail` goes to the log and never out.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`: the class of the error.
    pub kind: &'static str,
    /// A stable word that a program may match on.
    pub code: Cow<'static, str>,
    /// The request's field that is at fault.
    pub param: Option<String>,
    /// For the caller: what is wrong and what to do. Names no host, key or file.
    pub message: String,
    /// For the operator.
    pub detail: Option<String>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// Whether the caller's SDK should try again; `false` where the gateway has tried or refuses by rule.
    pub should_retry: Option<bool>,
    /// Whether it is what was answered before, under the request's idempotency key.
    pub is_replay: bool,
    /// The method that the path is for.
    pub allow: Option<&'static str>,
    /// Whether another model that the caller names could do better.
    pub may_go_on: bool,
    /// Whether it only says that there is too much to do, which is logged once for many.
    pub is_shed: bool,
    /// Where the request was going, as metrics call it; empty where it did not get so far.
    pub route: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.status.as_u16(), self.code, self.message)?;
        self.detail
            .as_ref()
            .map_or(Ok(()), |detail| write!(formatter, " ({detail})"))
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            code: code.into(),
            param: None,
            message: message.into(),
            detail: None,
            retry_after: None,
            should_retry: None,
            route: String::new(),
            is_replay: false,
            is_shed: false,
            may_go_on: false,
            allow: None,
        }
    }

    /// The request itself is wrong: 400.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// The request is wrong in one of its ways with a status of its own: 405, 413, 415, 431 and the like.
    pub fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    /// No such path.
    pub fn unknown_path(method: &hyper::Method, path: &str) -> Self {
        let message = format!("no such endpoint: {method} {}", printable(path, 200));
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
    }

    /// No such model or route.
    pub fn unknown_model(model: &str) -> Self {
        let message = format!(
            "the model `{}` does not exist here; GET /v1/models lists those that do",
            printable(model, 200)
        );
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "model_not_found",
            message,
        )
        .with_param("model")
    }

    /// None of the models may or can serve the request: 400.
    pub fn no_candidate(message: impl Into<String>) -> Self {
        Self {
            may_go_on: true,
            ..Self::invalid("no_candidate", message)
        }
        .with_param("model")
        .final_answer()
    }

    /// The request has no key that is accepted here: 401.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            "invalid_api_key",
            message,
        )
    }

    /// The key is good, and this is not for it: 403.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self {
            should_retry: Some(false),
            ..Self::new(StatusCode::FORBIDDEN, "permission_error", "permission_denied", message)
        }
    }

    /// A policy's own refusal. The status is one of 400 to 599, as the plugin boundary has checked.
    pub fn rejected(status: u16, code: String, message: String, retry_after: Option<Duration>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        Self {
            retry_after,
            should_retry: Some(false),
            ..Self::new(status, kind, code, message)
        }
    }

    /// A policy that must not be skipped could not decide: 503.
    pub fn policy_unavailable(policy: &str, detail: impl fmt::Display) -> Self {
        let message =
            "the gateway could not decide where to send this request; its operator has been told why in the log";
        let detail = format!("policy `{policy}`: {detail}");
        Self {
            should_retry: Some(false),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "server_error",
                "policy_unavailable",
                message,
            )
        }
        .with_detail(detail)
    }

    /// An adapter returned something that must not be used: 502.
    pub fn adapter_invalid_output() -> Self {
        let message = "the gateway could not translate between this request and the provider; the log says why";
        Self::new(
            StatusCode::BAD_GATEWAY,
            "server_error",
            "adapter_invalid_output",
            message,
        )
    }

    /// The provider failed in a way that is not the caller's doing: 502.
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "server_error", "upstream_error", message)
    }

    /// The provider did not answer in time: 504.
    pub fn upstream_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "upstream_timeout", message)
    }

    /// The client read its stream so slowly that the time for it was over.
    pub fn client_slow(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            "client_slow",
            message,
        )
    }

    /// The provider says that there is too much to do: 429 or 503.
    pub fn busy(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = if status == StatusCode::TOO_MANY_REQUESTS {
            "rate_limit_error"
        } else {
            "server_error"
        };
        Self::new(status, kind, code, message)
    }

    /// What the caller hears where the gateway's own limits are reached.
    pub const OVERLOADED: &str = "the gateway is at the limit of what it does at one time; try again in a moment";

    /// The gateway itself has too much to do: 503.
    pub fn overloaded() -> Self {
        Self::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", Self::OVERLOADED)
    }

    /// The same, said by whoever counts what the gateway has to do.
    pub fn shed(reason: &'static str, retry_after: Duration) -> Self {
        Self {
            is_shed: true,
            ..Self::overloaded()
        }
        .with_retry_after(Some(retry_after))
        .with_detail(format!("at the limit: {reason}"))
    }

    /// The gateway ends before its answer does: the last event of a stream.
    pub fn stopping() -> Self {
        let message = "the gateway is stopping, and this answer took longer than it waits; ask again";
        Self::busy(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).with_retry_after(Some(Duration::from_secs(1)))
    }

    /// The request was here before: 508.
    pub fn loop_detected() -> Self {
        let message = "this request has come back to the gateway that sent it: a provider's `base_url` leads here";
        Self::new(StatusCode::LOOP_DETECTED, "server_error", "loop_detected", message).final_answer()
    }

    /// Nothing is in service yet: 503.
    pub fn not_ready() -> Self {
        Self::busy(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the gateway is still starting; try again in a moment",
        )
    }

    /// Another request with this idempotency key is being served: 409.
    pub fn idempotency_under_way() -> Self {
        let message =
            "a request with this idempotency key is being served; its answer can be had with the key when it is done";
        Self {
            should_retry: None,
            ..Self::idempotency_conflict(message)
        }
        .with_retry_after(Some(Duration::from_secs(1)))
    }

    /// What was asked with this idempotency key cannot be answered again: 409.
    pub fn idempotency_conflict(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::CONFLICT, "idempotency_conflict", message).final_answer()
    }

    /// The idempotency key stands for another request: 422.
    pub fn idempotency_mismatch() -> Self {
        let message = "this idempotency key came with another request before; each request needs a key of its own";
        Self::refused(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", message).final_answer()
    }

    /// Nobody can say what an idempotency key stands for: 503.
    pub fn idempotency_unavailable(detail: impl Into<String>) -> Self {
        let message = "the gateway's store cannot be asked for this idempotency key; nothing was sent";
        Self::busy(StatusCode::SERVICE_UNAVAILABLE, "idempotency_unavailable", message).with_detail(detail)
    }

    /// An error of this kind that was answered before.
    pub fn replay(kind: &str) -> Self {
        const KINDS: [&str; 5] = [
            "invalid_request_error",
            "authentication_error",
            "permission_error",
            "rate_limit_error",
            "server_error",
        ];
        let kind = KINDS.into_iter().find(|known| *known == kind).unwrap_or("server_error");
        Self {
            is_replay: true,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, kind, "internal_error", "").final_answer()
        }
    }

    /// A fault of the gateway's own: 500.
    pub fn internal(detail: impl Into<String>) -> Self {
        let message = "the gateway failed on this request; the log has the reason";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "internal_error",
            message,
        )
        .with_detail(detail)
    }

    /// Names the request's field at fault.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds what only the operator may read.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the method that the path is for.
    pub fn with_allow(mut self, method: &'static str) -> Self {
        self.allow = Some(method);
        self
    }

    /// Says when trying again makes sense.
    pub fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay;
        self
    }

    /// Tells the caller's SDK not to try again.
    pub fn final_answer(mut self) -> Self {
        self.should_retry = Some(false);
        self
    }

    /// OpenAI's error object, as a body or as the data of a stream's last event.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(192 + self.message.len());
        let told = Told {
            error: Error {
                code: &self.code,
                message: &self.message,
                param: self.param.as_deref(),
                request_id,
                kind: self.kind,
            },
        };
        // Nothing in it can fail to be written.
        let _ = serde_json::to_writer(&mut body, &told);
        body
    }
}

/// OpenAI's error object, which is written as it is: making a value of it first took a seventh of what it costs to refuse a request.
#[derive(Serialize)]
struct Told<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    request_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Text from outside, fit for a message: no control characters and not longer than this many characters.
pub fn printable(text: &str, at_most: usize) -> String {
    let mut shown: String = text.chars().take(at_most).filter(|c| !c.is_control()).collect();
    if text.chars().nth(at_most).is_some() {
        shown.push('…');
    }
    shown
}
