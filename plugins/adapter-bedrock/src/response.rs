//! A whole answer: the provider's blocks become one canonical message. What the provider's own tools were called with is not the
//! client's to answer, and is left out.

use crate::usage::{Reported, Tier};
use pointsman_plugin::translate::{
    Completion, Ending, Finish, Message, Raw, Text, ThinkingBlock, ToolCall, append, arguments, made_up_id, unreadable,
    upstream,
};
use pointsman_plugin::{Answer, Failure, Target};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<Raw<'a>>,
    #[serde(borrow)]
    service_tier: Option<Tier<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<Said<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
}

/// One block of content, of one kind; one of a kind that is not known has none of these, and is left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<Call<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow)]
    citations_content: Option<Cited<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call<'a> {
    #[serde(borrow)]
    pub(crate) tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) input: Option<Raw<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

impl Call<'_> {
    /// Whether the provider answers it itself.
    pub(crate) fn is_the_providers(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.0 == "server_tool_use")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow)]
    reasoning_text: Option<Thought<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thought<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Cited<'a> {
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow)]
    citations: Option<Vec<Raw<'a>>>,
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response: Response = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let said = response.output.and_then(|output| output.message);
    let blocks = said.ok_or_else(|| upstream("the provider's answer has no message"))?;
    let mut citations = Vec::new();
    let mut message = Message::default();
    for block in blocks.content.into_iter().flatten() {
        add(block, &mut message, &mut citations, target);
    }
    let citations = listed(&citations)?;
    let message = Message {
        citations: citations.as_deref(),
        ..message
    };
    let reason = response.stop_reason.as_ref().map(|reason| &*reason.0);
    let finish = finish_of(reason, !message.tool_calls.is_empty())?;
    let reported = response.usage.map(Reported::read).unwrap_or_default();
    let reported = reported.served(response.service_tier);
    let mut completion = Completion::new(target, None, None).answering(message, finish);
    completion.usage = reported.told_and_billed().map(|(_, counts)| counts);
    completion.write(reported.billed())
}

/// A reason that is not known yet is a stop, or a call where tools were called. What the model wrote so that nobody can read it
/// ends no answer.
pub(crate) fn finish_of(reason: Option<&str>, has_calls: bool) -> Result<Ending<'static>, Failure> {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Ok(Finish::Length.into()),
        Some("guardrail_intervened" | "content_filtered") => Ok(Finish::ContentFilter.into()),
        // Which, it does not say.
        Some("stop_sequence") => Ok(Ending::stopped(None)),
        Some(reason @ ("malformed_model_output" | "malformed_tool_use")) => {
            Err(upstream(format!("the provider broke off the answer: {reason}")).code(reason))
        }
        _ => Ok(Finish::natural(has_calls).into()),
    }
}

fn add<'a>(block: Block<'a>, message: &mut Message<'a>, citations: &mut Vec<Raw<'a>>, target: &Target) {
    if let Some(Text(text)) = block.text {
        append(&mut message.content, text);
    }
    if let Some(reasoning) = block.reasoning_content {
        think(reasoning, message);
    }
    if let Some(cited) = block.citations_content {
        for inner in cited.content.into_iter().flatten() {
            append(&mut message.content, inner.text.unwrap_or_default().0);
        }
        citations.extend(cited.citations.into_iter().flatten());
    }
    if let Some(call) = block.tool_use.filter(|call| !call.is_the_providers()) {
        let index = message.tool_calls.len() as u32;
        let id = call.tool_use_id.map(|id| id.0).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| made_up_id(&target.request_id, index).into());
        let arguments = arguments(call.input.map(|raw| raw.get())).into();
        message
            .tool_calls
            .push(ToolCall::new(id, call.name.unwrap_or_default().0, arguments));
    }
}

fn think<'a>(reasoning: Reasoning<'a>, message: &mut Message<'a>) {
    if let Some(Text(data)) = reasoning.redacted_content {
        message.thinking_blocks.push(ThinkingBlock::RedactedThinking { data });
    }
    let Some(thought) = reasoning.reasoning_text else {
        return;
    };
    let thinking = thought.text.map_or(Cow::Borrowed(""), |text| text.0);
    append(&mut message.reasoning_content, thinking.clone());
    if let Some(Text(signature)) = thought.signature.filter(|signature| !signature.0.is_empty()) {
        let block = ThinkingBlock::Thinking { thinking, signature };
        message.thinking_blocks.push(block);
    }
}

fn listed(citations: &[Raw]) -> Result<Option<Box<RawValue>>, Failure> {
    if citations.is_empty() {
        return Ok(None);
    }
    let texts: Vec<&str> = citations.iter().map(|raw| raw.get()).collect();
    let list = RawValue::from_string(format!("[{}]", texts.join(",")));
    list.map(Some).map_err(|error| unreadable(&error))
}
