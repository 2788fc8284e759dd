//! The canonical answer in pieces. What all pieces of one answer have in common is written once and copied, since there may be
//! thousands of them.

use serde::Serialize;

use super::{Annotation, Counts, ExtraContent, Finish, Image, IndexedThinking, Logprobs, Raw, ToolCall, upstream};
use crate::{Chunk, Failure, Usage};

/// Writes the pieces of one answer.
#[derive(Debug)]
pub struct Pieces {
    head: Vec<u8>,
}

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
    choices: &'a [Piece<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counts>,
}

/// A choice's part of a piece.
#[derive(Serialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Piece<'a> {
    pub index: u32,
    pub delta: Delta<'a>,
    pub logprobs: Option<Logprobs<'a>>,
    pub finish_reason: Option<Finish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<&'a str>,
}

/// What is new.
#[derive(Serialize, Default, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_blocks: Option<[IndexedThinking<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<[Image; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<[Raw<'a>; 1]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub annotations: &'a [Annotation<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[ToolDelta<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// The first piece of a call has id, type and name; the later ones only arguments.
#[derive(Serialize, Debug)]
pub struct ToolDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
    /// Google's signature of the thought that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

/// A function's part of a piece.
#[derive(Serialize, Debug)]
pub struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> ToolDelta<'a> {
    /// The beginning of a call, or all of it.
    pub fn begin(index: u32, id: &'a str, name: &'a str, arguments: &'a str) -> Self {
        ToolDelta {
            index,
            id: Some(id),
            kind: Some("function"),
            function: FunctionDelta {
                name: Some(name),
                arguments,
            },
            extra_content: None,
        }
    }

    /// A call that came whole.
    pub fn whole(index: u32, call: &'a mut ToolCall) -> Self {
        let function = &call.function;
        ToolDelta {
            extra_content: call.extra_content.take(),
            ..ToolDelta::begin(index, &call.id, &function.name, &function.arguments)
        }
    }

    /// More of its arguments.
    pub fn more(index: u32, arguments: &'a str) -> Self {
        ToolDelta {
            index,
            id: None,
            kind: None,
            function: FunctionDelta { name: None, arguments },
            extra_content: None,
        }
    }
}

impl Pieces {
    /// What all pieces of one answer have in common.
    pub fn of(id: &str, model: &str, created: u64) -> Result<Self, Failure> {
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

    /// One piece.
    pub fn piece(&self, piece: Piece) -> Result<Chunk, Failure> {
        self.write(&[piece], None).map(Chunk::new)
    }

    /// The last piece, which tells what was used.
    pub fn usage(&self, used: Usage, counts: Counts) -> Result<Chunk, Failure> {
        Ok(Chunk {
            data: self.write(&[], Some(counts))?,
            usage: Some(used),
        })
    }

    fn write(&self, choices: &[Piece], usage: Option<Counts>) -> Result<Vec<u8>, Failure> {
        let mut data = Vec::with_capacity(self.head.len() + 160);
        data.extend_from_slice(&self.head);
        serde_json::to_writer(&mut data, &Tail { choices, usage }).map_err(|error| unwritable(&error))?;
        data[self.head.len()] = b',';
        Ok(data)
    }
}

fn unwritable(error: &serde_json::Error) -> Failure {
    upstream(format!("the answer cannot be written: {error}"))
}
