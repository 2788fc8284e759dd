//! A whole answer: the provider's message becomes the canonical one.

use crate::errors;
use crate::logprobs;
use crate::usage::Reported;
use pointsman_plugin::translate::{
    Completion, Ending, Finish, Message, Raw, Text, ToolCall, append, arguments, made_up_id, unreadable, upstream,
};
use pointsman_plugin::{Answer, Failure, Kind, Target};
use serde::Deserialize;

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Said<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<Raw<'a>>,
    #[serde(borrow)]
    logprobs: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    citations: Option<Raw<'a>>,
}

/// One block of content. A block of a kind that is not known has neither text nor thinking, and is left out.
#[derive(Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Call<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<Called<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Called<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response: Response = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let said = response
        .message
        .ok_or_else(|| upstream("the provider's answer has no message"))?;
    let message = collect(said, target);
    let reason = response.finish_reason.as_ref().map(|text| &*text.0);
    let finish =
        finish_of(reason, !message.tool_calls.is_empty()).map_err(|kind| errors::broken_off(kind, reason, ""))?;
    let reported = response.usage.map(Reported::read).unwrap_or_default();
    let mut completion = Completion::new(target, response.id.as_ref(), None).answering(message, finish);
    completion.choices[0].logprobs = response.logprobs.and_then(logprobs::read);
    completion.usage = reported.counts();
    completion.write(reported.billed())
}

/// A reason that is not known yet is a stop, or a call where tools were called. The kind of failure for a reason that ends no
/// answer: what came so far is a fragment.
pub(crate) fn finish_of(reason: Option<&str>, has_calls: bool) -> Result<Ending<'static>, Kind> {
    match reason {
        Some("MAX_TOKENS" | "ERROR_LIMIT") => Ok(Finish::Length.into()),
        Some("ERROR_TOXIC") => Ok(Finish::ContentFilter.into()),
        // Which, it does not say.
        Some("STOP_SEQUENCE") => Ok(Ending::stopped(None)),
        Some("TIMEOUT") => Err(Kind::TimedOut),
        Some("USER_CANCEL") => Err(Kind::Upstream),
        Some(reason) if reason.starts_with("ERROR") => Err(Kind::Upstream),
        _ => Ok(Finish::natural(has_calls).into()),
    }
}

/// The plan is prose that the model wrote before it called tools, so it is what the message says.
fn collect<'a>(said: Said<'a>, target: &Target) -> Message<'a> {
    let mut message = Message {
        citations: said.citations.filter(|citations| citations.get() != "[]"),
        ..Message::default()
    };
    append(&mut message.content, said.tool_plan.unwrap_or_default().0);
    for block in said.content.into_iter().flatten() {
        append(&mut message.content, block.text.unwrap_or_default().0);
        append(&mut message.reasoning_content, block.thinking.unwrap_or_default().0);
    }
    for (index, call) in (0..).zip(said.tool_calls.into_iter().flatten()) {
        let function = call.function;
        let (name, given) = function.map_or((None, None), |called| (called.name, called.arguments));
        let id = call
            .id
            .map_or_else(|| made_up_id(&target.request_id, index).into(), |id| id.0);
        let arguments = match given {
            Some(Text(text)) if text.trim_start().starts_with('{') => text,
            _ => arguments(None).into(),
        };
        message
            .tool_calls
            .push(ToolCall::new(id, name.unwrap_or_default().0, arguments));
    }
    message
}
