//! What the provider answers: the same shape for a whole answer and for each event of a stream. What the provider's own
//! tools did is not the client's; where it looked things up is told in `grounding.rs`.

use crate::calls::{Calls, Given};
use crate::grounding;
use crate::logprobs;
use crate::usage::Reported;
use pointsman_plugin::translate::{
    Choice, Completion, ExtraContent, Finish, Image, Message, Raw, Text, append, unreadable, upstream,
};
use pointsman_plugin::{Answer, Failure, Target};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a, U = Reported> {
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(crate) prompt_feedback: Option<Feedback<'a>>,
    pub(crate) usage_metadata: Option<U>,
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
    /// Read in one go; where the counts make no sense, all but them.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(body).or_else(|_| {
            let response: Response<'a, Raw<'a>> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
            Ok(Response {
                response_id: response.response_id,
                model_version: response.model_version,
                candidates: response.candidates,
                prompt_feedback: response.prompt_feedback,
                usage_metadata: response.usage_metadata.map(Reported::read),
                error: response.error,
            })
        })
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
            .map(|reason| finish_of(&reason.0, explanation, has_calls))
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
    let mut reported = response.usage_metadata.unwrap_or_default();
    let mut calls = Calls::of(target);
    let mut completion = Completion::new(target, response.response_id.as_ref(), response.model_version.as_ref());
    for (position, candidate) in (0..).zip(candidates) {
        reported.count_searches(candidate.grounding_metadata);
        completion.choices.push(choose(candidate, position, &mut calls)?);
    }
    if completion.choices.is_empty() {
        completion.choices.push(blocked(response.prompt_feedback)?);
    }
    completion.usage = reported.counts();
    completion.write(reported.billed())
}

/// What ended neither by itself nor by its length was stopped by a filter, of which there are ever more. An answer that the
/// provider could not make sense of is none: a failure.
fn finish_of(reason: &str, explanation: Option<&str>, has_calls: bool) -> Result<Finish, Failure> {
    match reason {
        "" | "STOP" | "FINISH_REASON_UNSPECIFIED" => Ok(Finish::natural(has_calls)),
        "MAX_TOKENS" => Ok(Finish::Length),
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => {
            let message = explanation.unwrap_or("the model's answer could not be used");
            Err(upstream(message).code(reason))
        }
        _ => Ok(Finish::ContentFilter),
    }
}

fn choose<'a>(mut candidate: Candidate<'a>, position: u32, calls: &mut Calls) -> Result<Choice<'a>, Failure> {
    let mut message = Message::default();
    let mut starts = Vec::new();
    for part in candidate.parts() {
        starts.push(message.content.as_ref().map_or(0, |said| said.len()));
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
    if let Some(grounding) = candidate.grounding_metadata {
        let said = message.content.as_deref().unwrap_or_default();
        message.annotations = grounding::annotations(grounding.get(), said, &starts);
    }
    let has_calls = !message.tool_calls.is_empty();
    let finish_reason = candidate.finish(has_calls)?.unwrap_or(Finish::natural(has_calls));
    if message.content.is_none() && !has_calls {
        message.content = Some(Cow::Borrowed(""));
    }
    if finish_reason == Finish::ContentFilter {
        message.refusal = candidate.finish_message.map(|text| text.0);
    }
    Ok(Choice {
        index: candidate.index.unwrap_or(position),
        message,
        logprobs: candidate.logprobs_result.and_then(logprobs::read),
        finish_reason,
        native_finish_reason: None,
        stop_reason: None,
    })
}

/// No candidate at all: the prompt was refused, or something is wrong.
fn blocked(feedback: Option<Feedback<'_>>) -> Result<Choice<'_>, Failure> {
    let Some(feedback) = feedback.filter(Feedback::is_blocked) else {
        return Err(upstream("the provider's answer has no candidates"));
    };
    let message = Message {
        content: Some(Cow::Borrowed("")),
        refusal: feedback.block_reason_message.map(|text| text.0),
        ..Message::default()
    };
    Ok(Choice {
        index: 0,
        message,
        logprobs: None,
        finish_reason: Finish::ContentFilter,
        native_finish_reason: None,
        stop_reason: None,
    })
}
