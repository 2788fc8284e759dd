//! A whole answer: the provider's content blocks become one message.

use crate::citations;
use crate::usage::Reported;
use pointsman_plugin::translate::{
    Completion, Ending, Finish, Message, Raw, Text, ThinkingBlock, ToolCall, append, arguments, unreadable, upstream,
};
use pointsman_plugin::{Answer, Failure, Target};
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
    pub(crate) stop_sequence: Option<Text<'a>>,
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
    #[serde(borrow)]
    pub(crate) citations: Option<Raw<'a>>,
}

/// Why the provider refused.
#[derive(Deserialize)]
pub(crate) struct StopDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) explanation: Option<Text<'a>>,
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response: Response = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let content = response
        .content
        .ok_or_else(|| upstream("the provider's answer has no content"))?;
    let message = collect(content, response.stop_details)?;
    let reason = response.stop_reason.as_ref().map(|text| &*text.0);
    let sequence = response.stop_sequence.map(|text| text.0);
    let ending = ending_of(reason, sequence, !message.tool_calls.is_empty());
    let reported = response.usage.map(Reported::read).unwrap_or_default();
    let mut completion =
        Completion::new(target, response.id.as_ref(), response.model.as_ref()).answering(message, ending);
    completion.usage = reported.counts();
    completion.write(reported.billed())
}

/// A reason that is not known yet is a stop, or a call where tools were called. A turn that is paused has ended for now: there is
/// no canonical word for it, so its own goes beside.
pub(crate) fn ending_of<'a>(stop_reason: Option<&str>, sequence: Option<Cow<'a, str>>, has_calls: bool) -> Ending<'a> {
    match stop_reason {
        Some("end_turn") => Finish::Stop.into(),
        Some("stop_sequence") => Ending::stopped(sequence),
        Some("pause_turn") => Ending::called(Finish::Stop, "pause_turn"),
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length.into(),
        Some("refusal") => Finish::ContentFilter.into(),
        _ => Finish::natural(has_calls).into(),
    }
}

fn collect<'a>(content: Vec<Block<'a>>, details: Option<StopDetails<'a>>) -> Result<Message<'a>, Failure> {
    let mut message = Message {
        refusal: details.and_then(|details| details.explanation).map(|text| text.0),
        ..Message::default()
    };
    for block in content {
        match block.kind.as_ref() {
            "text" => {
                let before = length(&message.content);
                append(&mut message.content, Text::of(block.text)?);
                let span = (before, length(&message.content));
                let cited = block.citations.into_iter().flat_map(|raw| citations::listed(raw.get()));
                message
                    .annotations
                    .extend(cited.filter_map(|cited| cited.annotation(span)));
            }
            "thinking" => {
                let (thinking, signature) = (Text::of(block.thinking)?, Text::of(block.signature)?);
                append(&mut message.reasoning_content, thinking.clone());
                if !signature.is_empty() {
                    message
                        .thinking_blocks
                        .push(ThinkingBlock::Thinking { thinking, signature });
                }
            }
            "redacted_thinking" => {
                message.thinking_blocks.push(ThinkingBlock::RedactedThinking {
                    data: Text::of(block.data)?,
                });
            }
            "tool_use" => message.tool_calls.push(ToolCall::new(
                Text::of(block.id)?,
                Text::of(block.name)?,
                arguments(block.input.map(|raw| raw.get())).into(),
            )),
            _ => {}
        }
    }
    Ok(message)
}

/// In characters.
fn length(said: &Option<Cow<'_, str>>) -> usize {
    said.as_ref().map_or(0, |said| said.chars().count())
}
