//! Why a step failed, and what that means: for the next step, for the caller, for the log.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;

use super::super::decide::Step;
use super::refusal;
use crate::error::ApiError;
use crate::generation::Provider;
use crate::ledger::Refused;
use crate::plugins::words::{self, Kind};
use crate::plugins::{AdapterError, Fault};
use crate::upstream::UpstreamError;
use crate::upstream::google::NoToken;

/// Why a step failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The class, which decides what follows.
    pub kind: Kind,
    /// The provider's status; 0 where none came.
    pub status: u16,
    message: String,
    detail: String,
    retry_after: Option<Duration>,
    blame: Blame,
    /// What the caller is told where the gateway refused to spend anything.
    refusal: Option<Box<ApiError>>,
    is_unsent: bool,
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Provider,
    Adapter,
    Client,
    Gateway,
}

/// What may follow a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing: nobody else would do better.
    Nothing,
    /// Another candidate, where the route says so: this one refuses what the request is about.
    OtherContent,
    /// A candidate that takes longer requests.
    Larger,
    /// Another candidate.
    Next {
        /// And then the same one once more.
        again: bool,
    },
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: 0,
            message: message.into(),
            detail: detail.into(),
            retry_after: None,
            blame: Blame::Provider,
            refusal: None,
            is_unsent: false,
        }
    }

    /// There is no money for the attempt, or nobody can say whether there is.
    pub fn unpaid(refused: Refused) -> Self {
        let error = refusal::told(refused);
        let detail = error.detail.clone().unwrap_or_else(|| error.message.clone());
        Self {
            blame: Blame::Gateway,
            is_unsent: true,
            ..Self::new(Kind::Other(error.code.to_string()), error.message.clone(), detail)
        }
        .with_refusal(error)
    }

    /// What the provider said.
    pub fn said(kind: Kind, message: &str) -> Self {
        Self::new(kind, message, message)
    }

    fn with_refusal(self, error: ApiError) -> Self {
        Self {
            refusal: Some(Box::new(error)),
            ..self
        }
    }

    /// The provider did something that no provider should.
    pub fn upstream(detail: impl Into<String>) -> Self {
        Self::new(Kind::Upstream, "the provider's answer could not be used", detail)
    }

    /// The provider's answer broke off.
    pub fn cut(detail: impl Into<String>) -> Self {
        Self::new(Kind::Upstream, "the provider's answer broke off before its end", detail)
    }

    /// The provider's answer broke off, and it said why.
    pub fn broken(failure: words::Failure) -> Self {
        match failure.kind {
            Kind::Upstream | Kind::Other(_) => Self::cut(failure.message),
            _ => Self::explained(failure, 0),
        }
    }

    /// Nothing came in time.
    pub fn timed_out(within: Duration) -> Self {
        let detail = format!("no answer within {} ms", within.as_millis());
        Self::new(Kind::TimedOut, "the provider did not answer in time", detail)
    }

    /// Nothing came in the time that a step had for it. Where that was less than the settings give it, the caller or a policy
    /// was in a hurry, which does not speak against the provider.
    pub fn late(step: &Step, within: Duration, is_stream: bool) -> Self {
        let failure = Self::timed_out(within);
        if step.is_fair(within, is_stream) {
            failure
        } else {
            failure.unblamed()
        }
    }

    /// The connection failed, or did not stand in the time that a step had for it: see [`Self::late`]. A provider that is not there
    /// must not be asked first for ever because every plan is in a hurry.
    pub fn unreached(error: UpstreamError, step: &Step) -> Self {
        let is_hurried = matches!(error, UpstreamError::ConnectTimeout { .. }) && !step.has_time_to_connect();
        let failure = Self::transport(error);
        if is_hurried && !step.model.seen.health.unreached_in_a_hurry() {
            failure.unblamed()
        } else {
            failure
        }
    }

    /// It is who asked that was in a hurry.
    pub fn unblamed(self) -> Self {
        Self {
            blame: Blame::Client,
            ..self
        }
    }

    /// The connection failed.
    pub fn transport(error: UpstreamError) -> Self {
        let (kind, message) = match &error {
            UpstreamError::ConnectTimeout { .. } => (Kind::TimedOut, "the provider could not be reached in time"),
            UpstreamError::NoFiles { .. } => {
                return Self {
                    is_unsent: true,
                    ..Self::busy(error.to_string())
                };
            }
            UpstreamError::Connect { .. } => (Kind::Upstream, "the provider could not be reached"),
            UpstreamError::Broken { .. } => (Kind::Upstream, "the connection to the provider broke"),
            UpstreamError::TooLarge { .. } => (Kind::Upstream, "the provider's answer is too large"),
        };
        let is_unsent = matches!(
            error,
            UpstreamError::Connect { .. } | UpstreamError::ConnectTimeout { .. }
        );
        Self {
            is_unsent,
            ..Self::new(kind, message, error.to_string())
        }
    }

    /// The provider's credential could not be had: nothing was sent.
    pub fn no_token(error: NoToken) -> Self {
        let (kind, message) = match &error {
            NoToken::Refused { .. } => (Kind::Authentication, "the provider refuses the gateway's credential"),
            NoToken::Unreachable { .. } => (Kind::Upstream, "the provider's credential could not be renewed"),
        };
        Self {
            is_unsent: true,
            ..Self::new(kind, message, error.to_string())
        }
    }

    /// The adapter's call brought nothing.
    pub fn faulted(fault: &Fault) -> Self {
        match fault {
            Fault::Busy => Self::busy(fault.to_string()),
            fault => Self::fault(&fault.to_string()),
        }
    }

    /// The gateway itself has too much to do.
    fn busy(detail: String) -> Self {
        let kind = Kind::Other("gateway_busy".to_owned());
        Self {
            blame: Blame::Gateway,
            ..Self::new(kind, ApiError::OVERLOADED, detail)
        }
    }

    /// The adapter failed, not the provider.
    pub fn fault(detail: &str) -> Self {
        let kind = Kind::Other("adapter_fault".to_owned());
        Self {
            blame: Blame::Adapter,
            ..Self::new(kind, "the provider's answer could not be translated", detail)
        }
    }

    /// An error of the provider that its adapter could not read: what its status says has to do.
    pub fn unexplained(status: u16, fault: &str) -> Self {
        let kind = match status {
            401 => Kind::Authentication,
            403 => Kind::Permission,
            404 => Kind::NotFound,
            408 | 504 => Kind::TimedOut,
            429 => Kind::RateLimited,
            503 | 529 => Kind::Overloaded,
            // That it is the request's fault would end the walk, and nobody has said so.
            _ => Kind::Upstream,
        };
        let message = format!("the provider answered with status {status}");
        Self {
            status,
            ..Self::new(
                kind,
                message,
                format!("status {status}, which was not explained: {fault}"),
            )
        }
    }

    /// The client took so long to read that the time for the answer was over.
    pub fn client_slow(within: Duration) -> Self {
        let kind = Kind::Other("client_slow".to_owned());
        let message = format!("the answer was not read within {} ms", within.as_millis());
        Self {
            blame: Blame::Client,
            ..Self::new(kind, message.clone(), message)
        }
    }

    /// The adapter's own words, or its fault.
    pub fn adapter(error: AdapterError) -> Self {
        match error {
            AdapterError::Failure(failure) => Self::explained(failure, 0),
            AdapterError::Fault(fault) => Self::faulted(&fault),
        }
    }

    /// The adapter's explanation of an error.
    pub fn explained(failure: words::Failure, status: u16) -> Self {
        let message = failure.message;
        let detail = failure
            .code
            .map_or_else(|| message.clone(), |code| format!("{code}: {message}"));
        let retry_after = failure.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
        Self {
            status,
            retry_after,
            ..Self::new(failure.kind, message, detail)
        }
    }

    /// Without the provider's secrets, which its texts may quote.
    pub fn redacted(self, provider: &Provider) -> Self {
        Self {
            message: provider.redact(self.message),
            detail: provider.redact(self.detail),
            ..self
        }
    }

    /// Adds the provider's status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// For people outside.
    pub fn told(&self) -> String {
        self.clone().into_error(1).message
    }

    /// For the log.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What may follow it.
    pub fn after(&self) -> After {
        // Where nothing can be written down, no other step can be paid for either.
        let is_out = self
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.status.is_server_error());
        if is_out {
            return After::Nothing;
        }
        match self.kind {
            Kind::InvalidRequest => After::Nothing,
            Kind::ContentPolicy => After::OtherContent,
            Kind::ContextLength => After::Larger,
            Kind::RateLimited | Kind::Overloaded | Kind::Upstream | Kind::TimedOut if self.blame == Blame::Provider => {
                After::Next {
                    again: self.has_done_nothing(),
                }
            }
            _ => After::Next { again: false },
        }
    }

    /// Whether the provider is known to have done nothing: what broke off after it was sent may have been done, and paid for.
    pub fn has_done_nothing(&self) -> bool {
        self.is_unsent || self.status >= 400
    }

    /// When its provider wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Says when it makes sense to come back, where that is known better than the provider of this attempt said.
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after: retry_after.or(self.retry_after),
            ..self
        }
    }

    /// Nobody was asked: all that could serve are limited by their providers.
    pub fn limited(retry_after: Option<Duration>) -> Self {
        let again = retry_after.map_or_else(String::new, |after| {
            format!("; try again in {} s", after.as_millis().div_ceil(1000))
        });
        let message = format!("all models that may serve this request are at their providers' limits{again}");
        Self {
            is_unsent: true,
            ..Self::new(Kind::RateLimited, message.clone(), message)
        }
    }

    /// Whether the provider got nothing.
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Whether it speaks against the provider.
    pub fn is_the_providers(&self) -> bool {
        self.blame == Blame::Provider
            && !matches!(
                self.kind,
                Kind::InvalidRequest | Kind::ContentPolicy | Kind::ContextLength
            )
    }

    /// The kind as one word, for metrics and policies.
    pub fn word(&self) -> Cow<'_, str> {
        Cow::Borrowed(match &self.kind {
            Kind::InvalidRequest => "invalid_request",
            Kind::Authentication => "authentication",
            Kind::Permission => "permission",
            Kind::NotFound => "not_found",
            Kind::RateLimited => "rate_limited",
            Kind::QuotaExhausted => "quota_exhausted",
            Kind::ContextLength => "context_length",
            Kind::ContentPolicy => "content_policy",
            Kind::Overloaded => "overloaded",
            Kind::TimedOut => "timed_out",
            Kind::Upstream => "upstream",
            Kind::Other(word) => word,
        })
    }

    /// The caller's error after so many attempts.
    pub fn into_error(self, attempts: usize) -> ApiError {
        if let Some(refusal) = self.refusal {
            return *refusal;
        }
        let may_go_on = !matches!(self.after(), After::Nothing);
        let message = self.message;
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        let error = match self.kind {
            Kind::InvalidRequest => ApiError::invalid("invalid_request", message),
            Kind::ContextLength => ApiError::invalid("context_length_exceeded", message),
            Kind::ContentPolicy => ApiError::invalid("content_policy_violation", message),
            Kind::NotFound => ApiError::refused(StatusCode::NOT_FOUND, "model_not_found", message).with_param("model"),
            Kind::Authentication | Kind::Permission => {
                ApiError::upstream("the provider refused the gateway's credentials; the log says what it answered")
            }
            Kind::RateLimited => ApiError::busy(too_many, "rate_limit_exceeded", message),
            Kind::QuotaExhausted => ApiError::busy(too_many, "insufficient_quota", message).final_answer(),
            Kind::Overloaded => ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message),
            Kind::TimedOut => ApiError::upstream_timeout(message),
            Kind::Other(_) if self.blame == Blame::Adapter => ApiError::adapter_invalid_output(),
            Kind::Other(_) if self.blame == Blame::Client => ApiError::client_slow(message),
            Kind::Other(_) if self.blame == Blame::Gateway => ApiError::overloaded(),
            Kind::Upstream | Kind::Other(_) => ApiError::upstream(message),
        };
        let error = error.with_detail(self.detail).with_retry_after(self.retry_after);
        let error = ApiError { may_go_on, ..error };
        // The gateway has tried more than once already: the caller's SDK must not multiply that.
        if attempts > 1 { error.final_answer() } else { error }
    }
}
