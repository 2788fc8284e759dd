//! An error after a status that promised success: in the place of an answer, or in the midst of one. What it means its provider's
//! adapter knows, as of any other error.

use std::sync::Arc;

use bytes::Bytes;

use super::{Attempt, Failure};
use crate::error::printable;
use crate::generation::{Provider, Remote};
use crate::plugins::Adapter;
use crate::plugins::words::Target;

/// Of what a provider says, so much may be an error's text.
const ERROR_BYTES: usize = 64 << 10;

/// Whom to ask what an error means.
#[derive(Debug)]
pub(super) struct Explainer {
    adapter: Adapter,
    provider: Arc<Provider>,
    target: Target,
}

impl Explainer {
    pub(super) fn of(attempt: &Attempt<'_>, remote: &Remote) -> Self {
        Self {
            adapter: remote.adapter.clone(),
            provider: attempt.step.model.provider.clone(),
            target: attempt.target(),
        }
    }

    /// An error that came before anything of the answer: as good as one in place of it.
    pub(super) async fn instead(&self, error: &str) -> Failure {
        match Box::pin(self.ask(error)).await {
            Ok(failure) => Failure::explained(failure, 0),
            Err(unexplained) => unexplained,
        }
    }

    /// An error that cut an answer short.
    pub(super) async fn amidst(&self, error: &str) -> Failure {
        match Box::pin(self.ask(error)).await {
            Ok(failure) => Failure::broken(failure),
            Err(unexplained) => unexplained,
        }
    }

    /// In a box where it is asked: a stream that goes well does not carry the room for it about. `error` is JSON: what stands under that name, or the whole of an event that is one.
    async fn ask(&self, error: &str) -> Result<crate::plugins::words::Failure, Failure> {
        let said = || printable(error, 500);
        if error.len() > ERROR_BYTES {
            return Err(Failure::cut(said()));
        }
        // What the provider quotes of its key does not get into the adapter.
        let body = self
            .provider
            .redact_bytes(Bytes::from(format!("{{\"error\":{error}}}")));
        let explained = self.adapter.explain(status(error), &[], &body, &self.target).await;
        explained.map_err(|fault| Failure::cut(format!("{}, which was not explained: {fault}", said())))
    }
}

/// The status that it would have had: several providers say it as the code.
fn status(error: &str) -> u16 {
    let error: serde_json::Value = serde_json::from_str(error).unwrap_or_default();
    let code = match &error["code"] {
        serde_json::Value::String(code) => code.parse().ok(),
        code => code.as_u64(),
    };
    let code = code.and_then(|code| u16::try_from(code).ok());
    code.filter(|code| (400..600).contains(code)).unwrap_or(500)
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn a_code_is_a_status_if_it_can_be_one() {
        assert_eq!(status(r#"{"code":429,"message":"slow down"}"#), 429);
        assert_eq!(status(r#"{"code":"503"}"#), 503);
        assert_eq!(status(r#"{"code":"rate_limit_exceeded"}"#), 500);
        assert_eq!(status(r#"{"code":7}"#), 500);
        assert_eq!(status(r#""overloaded""#), 500);
    }
}
