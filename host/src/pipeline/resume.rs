//! What follows a stream that breaks before anything of its answer was shown, on routes with `resume = "restart"`: the
//! candidates that have not been tried. Reasoning and white space show nothing; everything that nobody knows shows something.
//! Texts of two models are never put together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Call;
use super::account::Account;
use super::attempt::{After, Failure, Reply};
use super::decide::Decision;
use super::relay::Watched;
use super::walk::{self, Served};
use crate::error::ApiError;
use crate::json::{Document, Kind, Limits, Value};
use crate::operation::Operation;
use crate::plugins::words::Kind as Failed;
use crate::upstream::sse::Splitter;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };
/// What a piece of an answer may say without showing anything of it.
const SILENT: [&str; 4] = ["role", "reasoning", "reasoning_content", "reasoning_details"];

/// The way on, as long as nothing was shown.
#[derive(Debug)]
pub(super) struct Resume {
    call: Arc<Call>,
    rest: Decision,
}

/// A stream on its way, and what may follow it.
pub(super) struct Course {
    pub(super) watched: Watched,
    pub(super) events: BytesMut,
    pub(super) has_more: bool,
    pub(super) next: Option<Resume>,
}

impl Resume {
    /// After a step that serves; none where nothing could follow, or the route does not want it.
    pub(super) fn after(served: &Served<'_>, decision: &Decision, call: &Arc<Call>) -> Option<Self> {
        // What passes in a provider's own words is not looked into, and says as it goes whose answer it is.
        let is_told = call.ask.operation == Operation::Chat
            && matches!(&served.reply, Reply::Stream(beginning) if !beginning.is_own);
        let has_some = served.attempts_left > 0 && !served.untried.is_empty();
        (decision.restarts && is_told && has_some).then(|| Self {
            call: call.clone(),
            rest: Decision {
                steps: served.untried.iter().copied().cloned().collect(),
                retries: u32::try_from(served.attempts_left - 1).unwrap_or(u32::MAX),
                edited: decision.edited.clone(),
                labels: Vec::new(),
                policies: String::new(),
                reason: String::new(),
                conversation: decision.conversation,
                review: None,
                is_resumed: true,
                ..*decision
            },
        })
    }

    /// Goes on, unless these events show something of the answer.
    pub(super) fn unless_shown(self, events: &BytesMut) -> Option<Self> {
        (!shows(events)).then_some(self)
    }

    /// Whether another candidate could mend a failure. One that took too long for who was in a hurry is as good a reason as one
    /// that failed.
    pub(super) fn mends(&self, failure: &Failure) -> bool {
        let is_theirs = failure.is_the_providers() || failure.kind == Failed::TimedOut;
        is_theirs && !matches!(failure.after(), After::Nothing)
    }

    /// The stream of the next candidate that has one.
    pub(super) async fn next(self, failure: &Failure, account: &mut Account) -> Result<Course, ApiError> {
        account.restarts(failure);
        let served = walk::walk(&self.call, &self.rest, account, None).await?;
        let next = Self::after(&served, &self.rest, &self.call);
        let model = &served.step.model.id;
        tracing::info!(request_id = %self.call.id, model, "a stream that had shown nothing begins anew");
        match served.reply {
            Reply::Stream(beginning) => {
                // Headers have named the one before; a comment is all that can still be said.
                let mut events = BytesMut::from(format!(": restarted with {model}\n\n").as_bytes());
                events.extend_from_slice(&beginning.events);
                Ok(Course {
                    watched: Watched::new(beginning.source, served.step),
                    events,
                    has_more: beginning.has_more,
                    next,
                })
            }
            Reply::Whole(_) => Err(ApiError::internal("a stream was asked for, and a whole answer came")),
        }
    }
}

/// Whether events tell a client anything of an answer.
fn shows(events: &BytesMut) -> bool {
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(events);
    while let Ok(Some(event)) = splitter.next_event() {
        let Some(data) = event.data() else { continue };
        let chunk = Document::parse(Bytes::copy_from_slice(&data), LIMITS);
        if chunk.map_or(true, |chunk| chunk_shows(chunk.root())) {
            return true;
        }
    }
    false
}

fn chunk_shows(chunk: Value<'_>) -> bool {
    let Some(choices) = chunk.field("choices") else {
        return false;
    };
    choices.elements().any(|choice| {
        choice.field("finish_reason").is_some()
            || choice.field("delta").is_some_and(|delta| {
                delta
                    .members()
                    .any(|(name, value)| !SILENT.contains(&&*name.as_str().unwrap_or_default()) && !is_blank(value))
            })
    })
}

/// Nothing, or white space.
fn is_blank(value: Value<'_>) -> bool {
    match value.kind() {
        Kind::Null => true,
        Kind::String => value.as_str().is_some_and(|text| text.trim().is_empty()),
        Kind::Array => value.elements().next().is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(delta: &str) -> BytesMut {
        BytesMut::from(format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n").as_bytes())
    }

    #[test]
    fn reasoning_and_white_space_show_nothing() {
        for silent in [
            "{}",
            r#"{"role":"assistant","content":""}"#,
            r#"{"content":" \n"}"#,
            r#"{"reasoning_content":"let me see","content":null}"#,
            r#"{"reasoning":"so","tool_calls":[]}"#,
        ] {
            assert!(!shows(&delta(silent)), "{silent}");
        }
        assert!(!shows(&BytesMut::from(&b": ping\n\n"[..])));
    }

    #[test]
    fn everything_else_does() {
        for shown in [
            r#"{"content":"a"}"#,
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"audio":{"data":"AA"}}"#,
            r#"{"later":1}"#,
        ] {
            assert!(shows(&delta(shown)), "{shown}");
        }
        let ended = br#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        assert!(shows(&BytesMut::from(&[&ended[..], b"\n\n"].concat()[..])));
    }
}
