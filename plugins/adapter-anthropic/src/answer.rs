//! The canonical answer, whole (`Completion`) and in `Pieces`.
//!
//! Signed thinking travels beside its text: `message.thinking_blocks` is a list of `{"type": "thinking", "thinking",
//! "signature"}` and `{"type": "redacted_thinking", "data"}`, each as the provider gave it; in a stream each block comes
//! whole, once, with its `index`, when it is complete. A client that sends the message back with that list (as it does
//! when it keeps the message as it came) lets the model go on where it was; `conversation.rs` reads it.

use crate::usage::Counts;
use pointsman_plugin::{Failure, Kind};
use serde::Serialize;
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
    pub(crate) logprobs: Option<()>,
    pub(crate) finish_reason: Finish,
}

#[derive(Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Option<Cow<'a, str>>,
    pub(crate) refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ThinkingBlock<'a> {
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
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
    pub(crate) arguments: &'a str,
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
    pub(crate) logprobs: Option<()>,
    pub(crate) finish_reason: Option<Finish>,
}

#[derive(Serialize, Default)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking_blocks: Option<[IndexedThinking<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<[ToolDelta<'a>; 1]>,
}

#[derive(Serialize)]
pub(crate) struct IndexedThinking<'a> {
    pub(crate) index: u32,
    #[serde(flatten)]
    pub(crate) block: ThinkingBlock<'a>,
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
    /// A reason that is not known yet is a stop, or a call where tools were called.
    pub(crate) fn of(stop_reason: Option<&str>, has_calls: bool) -> Self {
        match stop_reason {
            Some("end_turn" | "stop_sequence" | "pause_turn") => Finish::Stop,
            Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
            Some("refusal") => Finish::ContentFilter,
            _ if has_calls => Finish::ToolCalls,
            _ => Finish::Stop,
        }
    }
}

pub(crate) fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::new(Kind::Upstream, format!("the answer cannot be written: {error}"))
}
