//! What the provider answers: the same shape for a whole answer and for each event of a stream. What the provider's own
//! tools did, and where it looked things up, is not the client's.

use crate::answer::{self, Choice, Completion, ExtraContent, Finish, Image, Message};
use crate::calls::{Calls, Given};
use crate::chat::{Raw, Text};
use crate::logprobs::Logprobs;
use crate::usage::Reported;
use pointsman_plugin::{Answer, Failure, Kind, Target};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(crate) prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow)]
    pub(crate) usage_metadata: Option<Raw<'a>>,
    /// Only in a stream, after a status that promised success.
    pub(crate) error: Option<IgnoredAny>,
}

/// Why a prompt was not answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feedback<'a> {
    #[serde(borrow)]
    pub(crate) block_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) block_reason_message: Option<Text<'a>>,
}

/// One of the answers; the first has no index more often than not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) finish_message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) logprobs_result: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) grounding_metadata: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Content<'a> {
    #[serde(borrow)]
    pub(crate) parts: Option<Vec<Part<'a>>>,
}

/// One part; which members are there depends on what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part<'a> {
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    pub(crate) thought: Option<bool>,
    #[serde(borrow)]
    pub(crate) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function_call: Option<Given<'a>>,
    #[serde(borrow)]
    pub(crate) inline_data: Option<Blob<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blob<'a> {
    #[serde(borrow)]
    pub(crate) mime_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) data: Text<'a>,
}

impl<'a> Response<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(body)
            .map_err(|error| Failure::new(Kind::Upstream, format!("the provider's answer cannot be read: {error}")))
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn parts(&mut self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let parts = self.content.take().and_then(|content| content.parts);
        parts.into_iter().flatten()
    }

    pub(crate) fn finish(&self, has_calls: bool) -> Result<Option<Finish>, Failure> {
        let explanation = self.finish_message.as_ref().map(|text| &*text.0);
        let reason = self.finish_reason.as_ref();
        reason
            .map(|reason| Finish::of(&reason.0, explanation, has_calls))
            .transpose()
    }
}

impl Feedback<'_> {
    pub(crate) fn is_blocked(&self) -> bool {
        self.block_reason.is_some()
    }
}

impl Blob<'_> {
    /// Nothing for sound, which the canonical form has no place for.
    pub(crate) fn image(&self) -> Option<Image> {
        let is_image = self.mime_type.0.starts_with("image/");
        is_image.then(|| Image::of(&self.mime_type.0, &self.data.0))
    }
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response = Response::read(body)?;
    let candidates = response.candidates.unwrap_or_default();
    let mut reported = response.usage_metadata.map(Reported::read).unwrap_or_default();
    let mut calls = Calls::of(target);
    let mut choices = Vec::with_capacity(candidates.len().max(1));
    for (position, candidate) in (0..).zip(candidates) {
        reported.count_searches(candidate.grounding_metadata);
        choices.push(choose(candidate, position, &mut calls)?);
    }
    if choices.is_empty() {
        choices.push(blocked(response.prompt_feedback)?);
    }
    let completion = Completion {
        id: response.response_id.as_ref().map_or(&target.request_id, |id| &id.0),
        object: "chat.completion",
        created: target.now_ms / 1000,
        model: response.model_version.as_ref().map_or(&target.model, |model| &model.0),
        choices,
        usage: reported.counts(),
    };
    let body = serde_json::to_vec(&completion).map_err(|error| answer::unwritable(&error))?;
    Ok(Answer {
        body,
        usage: reported.billed(),
    })
}

fn choose<'a>(mut candidate: Candidate<'a>, position: u32, calls: &mut Calls) -> Result<Choice<'a>, Failure> {
    let mut message = empty();
    for part in candidate.parts() {
        let signature = part.thought_signature.map(|text| text.0);
        if let Some(call) = part.function_call {
            message.tool_calls.extend(calls.take(call, signature)?);
            continue;
        }
        if let Some(signature) = signature {
            message.extra_content = Some(ExtraContent::signed(signature));
        }
        message.images.extend(part.inline_data.and_then(|data| data.image()));
        match (part.text, part.thought) {
            (Some(text), Some(true)) => append(&mut message.reasoning_content, text.0),
            (Some(text), _) => append(&mut message.content, text.0),
            (None, _) => {}
        }
    }
    message.tool_calls.extend(calls.close()?);
    let has_calls = !message.tool_calls.is_empty();
    let default = if has_calls { Finish::ToolCalls } else { Finish::Stop };
    let finish_reason = candidate.finish(has_calls)?.unwrap_or(default);
    if message.content.is_none() && !has_calls {
        message.content = Some(Cow::Borrowed(""));
    }
    if finish_reason == Finish::ContentFilter {
        message.refusal = candidate.finish_message.map(|text| text.0);
    }
    Ok(Choice {
        index: candidate.index.unwrap_or(position),
        message,
        logprobs: candidate.logprobs_result.and_then(Logprobs::read),
        finish_reason,
    })
}

/// No candidate at all: the prompt was refused, or something is wrong.
fn blocked(feedback: Option<Feedback<'_>>) -> Result<Choice<'_>, Failure> {
    let Some(feedback) = feedback.filter(Feedback::is_blocked) else {
        return Err(Failure::new(Kind::Upstream, "the provider's answer has no candidates"));
    };
    let message = Message {
        content: Some(Cow::Borrowed("")),
        refusal: feedback.block_reason_message.map(|text| text.0),
        ..empty()
    };
    Ok(Choice {
        index: 0,
        message,
        logprobs: None,
        finish_reason: Finish::ContentFilter,
    })
}

fn empty<'a>() -> Message<'a> {
    Message {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        images: Vec::new(),
        tool_calls: Vec::new(),
        extra_content: None,
    }
}

fn append<'a>(to: &mut Option<Cow<'a, str>>, text: Cow<'a, str>) {
    match to {
        Some(before) => before.to_mut().push_str(&text),
        None if text.is_empty() => {}
        None => *to = Some(text),
    }
}
