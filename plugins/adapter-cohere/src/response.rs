//! A whole answer: the provider's message becomes the canonical one.

use crate::answer::{self, Choice, Completion, Finish, FunctionCall, Message, ToolCall};
use crate::chat::{Raw, Text};
use crate::errors;
use crate::logprobs::Logprobs;
use crate::usage::Reported;
use pointsman_plugin::{Answer, Failure, Kind, Target};
use serde::Deserialize;
use std::borrow::Cow;

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
    let Some(said) = response.message else {
        return Err(Failure::new(Kind::Upstream, "the provider's answer has no message"));
    };
    let message = collect(said, target);
    let reason = response.finish_reason.as_ref().map(|text| &*text.0);
    let finish_reason =
        Finish::of(reason, !message.tool_calls.is_empty()).map_err(|kind| errors::broken_off(kind, reason, ""))?;
    let reported = response.usage.map(Reported::read).unwrap_or_default();
    let completion = Completion {
        id: response.id.as_ref().map_or(&target.request_id, |id| &id.0),
        object: "chat.completion",
        created: target.now_ms / 1000,
        model: &target.model,
        choices: [Choice {
            index: 0,
            message,
            logprobs: response.logprobs.and_then(Logprobs::read),
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

/// The plan is prose that the model wrote before it called tools, so it is what the message says.
fn collect<'a>(said: Said<'a>, target: &Target) -> Message<'a> {
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        citations: said.citations.filter(|citations| citations.get() != "[]"),
        tool_calls: Vec::new(),
    };
    append(&mut message.content, said.tool_plan);
    for block in said.content.into_iter().flatten() {
        append(&mut message.content, block.text);
        append(&mut message.reasoning_content, block.thinking);
    }
    for (index, call) in (0..).zip(said.tool_calls.into_iter().flatten()) {
        let (name, arguments) = call
            .function
            .map_or((None, None), |called| (called.name, called.arguments));
        message.tool_calls.push(ToolCall {
            id: call
                .id
                .map_or_else(|| Cow::Owned(made_up_id(&target.request_id, index)), |id| id.0),
            kind: "function",
            function: FunctionCall {
                name: name.map(|name| name.0).unwrap_or_default(),
                arguments: object(arguments),
            },
        });
    }
    if message.content.is_none() && message.tool_calls.is_empty() {
        message.content = Some(Cow::Borrowed(""));
    }
    message
}

fn append<'a>(to: &mut Option<Cow<'a, str>>, text: Option<Text<'a>>) {
    match (to, text.filter(|text| !text.0.is_empty())) {
        (Some(before), Some(Text(text))) => before.to_mut().push_str(&text),
        (to @ None, Some(Text(text))) => *to = Some(text),
        _ => {}
    }
}

/// Always an object's text, as it came: numbers and the order of keys survive. A tool without parameters is called with
/// `null` by some models.
fn object(arguments: Option<Text<'_>>) -> Cow<'_, str> {
    arguments
        .map(|text| text.0)
        .filter(|text| text.trim_start().starts_with('{'))
        .unwrap_or(Cow::Borrowed("{}"))
}

/// For a call that came without an id.
pub(crate) fn made_up_id(request_id: &str, index: u32) -> String {
    format!("call_{request_id}_{index}")
}

pub(crate) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(Kind::Upstream, format!("the provider's answer cannot be read: {error}"))
}
