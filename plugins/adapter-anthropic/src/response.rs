//! A whole answer: the provider's content blocks become one message.

use crate::answer::{self, Choice, Completion, Finish, FunctionCall, Message, ThinkingBlock, ToolCall};
use crate::chat::{Raw, Text};
use crate::usage::Reported;
use pointsman_plugin::{Answer, Failure, Kind, Target};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    pub(crate) stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) stop_details: Option<StopDetails<'a>>,
    #[serde(borrow, default)]
    pub(crate) usage: Option<Raw<'a>>,
}

/// One block of content; which members are there depends on `kind`. Members are read only where the kind is known, so that
/// a block of tomorrow cannot spoil the answer. What the provider's own tools did is not the client's.
#[derive(Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) text: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) signature: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) data: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) id: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) input: Option<Raw<'a>>,
}

/// Why the provider refused.
#[derive(Deserialize)]
pub(crate) struct StopDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) explanation: Option<Text<'a>>,
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response: Response = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let Some(content) = response.content else {
        return Err(Failure::new(Kind::Upstream, "the provider's answer has no content"));
    };
    let message = collect(content, response.stop_details)?;
    let finish_reason = Finish::of(
        response.stop_reason.as_ref().map(|text| &*text.0),
        !message.tool_calls.is_empty(),
    );
    let reported = response.usage.map(Reported::read).unwrap_or_default();
    let completion = Completion {
        id: response.id.as_ref().map_or(&target.request_id, |id| &id.0),
        object: "chat.completion",
        created: target.now_ms / 1000,
        model: response.model.as_ref().map_or(&target.model, |model| &model.0),
        choices: [Choice {
            index: 0,
            message,
            logprobs: None,
            finish_reason,
        }],
        usage: reported.counts(),
    };
    let body = serde_json::to_vec(&completion).map_err(|error| answer::unwritable(&error))?;
    Ok(Answer {
        body,
        usage: reported.billed(),
    })
}

fn collect<'a>(content: Vec<Block<'a>>, details: Option<StopDetails<'a>>) -> Result<Message<'a>, Failure> {
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: details.and_then(|details| details.explanation).map(|text| text.0),
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        tool_calls: Vec::new(),
    };
    for block in content {
        match block.kind.as_ref() {
            "text" => append(&mut message.content, string(block.text)?),
            "thinking" => {
                let (thinking, signature) = (string(block.thinking)?, string(block.signature)?);
                if !thinking.is_empty() {
                    append(&mut message.reasoning_content, thinking.clone());
                }
                if !signature.is_empty() {
                    message
                        .thinking_blocks
                        .push(ThinkingBlock::Thinking { thinking, signature });
                }
            }
            "redacted_thinking" => {
                message.thinking_blocks.push(ThinkingBlock::RedactedThinking {
                    data: string(block.data)?,
                });
            }
            "tool_use" => message.tool_calls.push(ToolCall {
                id: string(block.id)?,
                kind: "function",
                function: FunctionCall {
                    name: string(block.name)?,
                    arguments: arguments(block.input),
                },
            }),
            _ => {}
        }
    }
    if message.content.is_none() && message.tool_calls.is_empty() {
        message.content = Some(Cow::Borrowed(""));
    }
    Ok(message)
}

fn append<'a>(to: &mut Option<Cow<'a, str>>, text: Cow<'a, str>) {
    match to {
        Some(before) => before.to_mut().push_str(&text),
        None => *to = Some(text),
    }
}

/// A string member of a block; empty where it is not there.
pub(crate) fn string<'a>(raw: Option<Raw<'a>>) -> Result<Cow<'a, str>, Failure> {
    match raw {
        Some(raw) => Ok(serde_json::from_str::<Text>(raw.get())
            .map_err(|error| unreadable(&error))?
            .0),
        None => Ok(Cow::Borrowed("")),
    }
}

/// Always an object's text, as it came: numbers and the order of keys survive.
pub(crate) fn arguments<'a>(input: Option<Raw<'a>>) -> &'a str {
    input
        .map(|raw| raw.get())
        .filter(|text| text.starts_with('{'))
        .unwrap_or("{}")
}

pub(crate) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(Kind::Upstream, format!("the provider's answer cannot be read: {error}"))
}
