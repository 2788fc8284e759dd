//! The canonical answer, whole (`Completion`) and in `Pieces`.
//!
//! The signature of a thought travels where Google's own OpenAI endpoint has it: `extra_content.google.thought_signature`,
//! on a tool call for the thought that led to it, and on the message or delta for the thought that led to the text. A
//! client that sends the message back as it came lets the model go on where it was; `conversation.rs` reads it.

use crate::logprobs::Logprobs;
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
    pub(crate) choices: Vec<Choice<'a>>,
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
    pub(crate) refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_content: Option<ExtraContent<'a>>,
}

/// An image that the model made, as a data URL, where OpenRouter has it.
#[derive(Serialize)]
pub(crate) struct Image {
    #[serde(rename = "type")]
    kind: &'static str,
    image_url: Url,
}

#[derive(Serialize)]
struct Url {
    url: String,
}

#[derive(Serialize)]
pub(crate) struct ExtraContent<'a> {
    google: Signed<'a>,
}

#[derive(Serialize)]
struct Signed<'a> {
    thought_signature: Cow<'a, str>,
}

/// One whole call; in a stream it has an `index`, and comes at once.
#[derive(Serialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u32>,
    pub(crate) id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: FunctionCall<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
pub(crate) struct FunctionCall<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) arguments: Cow<'a, str>,
}

impl Image {
    pub(crate) fn of(mime_type: &str, data: &str) -> Self {
        Image {
            kind: "image_url",
            image_url: Url {
                url: format!("data:{mime_type};base64,{data}"),
            },
        }
    }
}

impl<'a> ExtraContent<'a> {
    pub(crate) fn signed(thought_signature: Cow<'a, str>) -> Self {
        ExtraContent {
            google: Signed { thought_signature },
        }
    }
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
    pub(crate) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<[Image; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<[ToolCall<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_content: Option<ExtraContent<'a>>,
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
    /// What ended neither by itself nor by its length was stopped by a filter, of which there are ever more. An answer
    /// that the provider could not make sense of is none: a failure.
    pub(crate) fn of(reason: &str, explanation: Option<&str>, has_calls: bool) -> Result<Self, Failure> {
        match reason {
            "" | "STOP" | "FINISH_REASON_UNSPECIFIED" if has_calls => Ok(Finish::ToolCalls),
            "" | "STOP" | "FINISH_REASON_UNSPECIFIED" => Ok(Finish::Stop),
            "MAX_TOKENS" => Ok(Finish::Length),
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE" => {
                let message = explanation.unwrap_or("the model's answer could not be used");
                Err(Failure::new(Kind::Upstream, message).code(reason))
            }
            _ => Ok(Finish::ContentFilter),
        }
    }
}

pub(crate) fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::new(Kind::Upstream, format!("the answer cannot be written: {error}"))
}
