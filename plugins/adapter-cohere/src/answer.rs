//! The canonical answer, whole (`Completion`) and in `Pieces`.
//!
//! What the answer cites travels beside it: `message.citations` is the provider's list as it came, and in a stream each
//! citation is a `delta.citations` of one. `start` and `end` count characters of the provider's text.

use crate::logprobs::Logprobs;
use crate::usage::Counts;
use pointsman_plugin::{Failure, Kind};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize)]
pub(crate) struct Completion<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Counts>,
}

#[derive(Serialize)]
pub(crate) struct Choice<'a> {
    pub(crate) index: u32,
    pub(crate) message: Message<'a>,
    pub(crate) logprobs: Option<Logprobs<'a>>,
    pub(crate) finish_reason: Finish,
}

#[derive(Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Option<Cow<'a, str>>,
    pub(crate) refusal: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) citations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: FunctionCall<'a>,
}

#[derive(Serialize)]
pub(crate) struct FunctionCall<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) arguments: Cow<'a, str>,
}

/// What all pieces of one answer have in common.
#[derive(Serialize)]
struct Head<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
}

/// What differs from piece to piece.
#[derive(Serialize)]
struct Tail<'a> {
    choices: &'a [PieceChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counts>,
}

/// The pieces of one answer. The head is written once and copied, since there may be thousands of pieces.
pub(crate) struct Pieces {
    head: Vec<u8>,
}

impl Pieces {
    pub(crate) fn of(id: &str, model: &str, created: u64) -> Result<Self, Failure> {
        let head = Head {
            id,
            object: "chat.completion.chunk",
            created,
            model,
        };
        let mut head = serde_json::to_vec(&head).map_err(|error| unwritable(&error))?;
        // One object out of two: the brace that closes the head and the one that opens the tail become a comma.
        head.pop();
        Ok(Pieces { head })
    }

    pub(crate) fn write(&self, choices: &[PieceChoice], usage: Option<Counts>) -> Result<Vec<u8>, Failure> {
        let mut data = Vec::with_capacity(self.head.len() + 160);
        data.extend_from_slice(&self.head);
        serde_json::to_writer(&mut data, &Tail { choices, usage }).map_err(|error| unwritable(&error))?;
        data[self.head.len()] = b',';
        Ok(data)
    }
}

#[derive(Serialize)]
pub(crate) struct PieceChoice<'a> {
    pub(crate) index: u32,
    pub(crate) delta: Delta<'a>,
    pub(crate) logprobs: Option<Logprobs<'a>>,
    pub(crate) finish_reason: Option<Finish>,
}

#[derive(Serialize, Default)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) citations: Option<[&'a RawValue; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<[ToolDelta<'a>; 1]>,
}

/// The first piece of a call has id, type and name; the later ones only arguments.
#[derive(Serialize)]
pub(crate) struct ToolDelta<'a> {
    pub(crate) index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    pub(crate) function: FunctionDelta<'a>,
}

#[derive(Serialize)]
pub(crate) struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) arguments: &'a str,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

impl Finish {
    /// A reason that is not known yet is a stop, or a call where tools were called. The kind of failure for a reason that
    /// ends no answer: what came so far is a fragment.
    pub(crate) fn of(reason: Option<&str>, has_calls: bool) -> Result<Self, Kind> {
        match reason {
            Some("MAX_TOKENS" | "ERROR_LIMIT") => Ok(Finish::Length),
            Some("ERROR_TOXIC") => Ok(Finish::ContentFilter),
            Some("TIMEOUT") => Err(Kind::TimedOut),
            Some("USER_CANCEL") => Err(Kind::Upstream),
            Some(reason) if reason.starts_with("ERROR") => Err(Kind::Upstream),
            _ if has_calls => Ok(Finish::ToolCalls),
            _ => Ok(Finish::Stop),
        }
    }
}

pub(crate) fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::new(Kind::Upstream, format!("the answer cannot be written: {error}"))
}
