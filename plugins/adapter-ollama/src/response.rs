//! A whole answer, which is also what each line of a stream looks like: the provider's message becomes the canonical one.

use crate::errors;
use pointsman_plugin::translate::{
    Completion, Counts, Finish, Image, Likelihood, Logprobs, Message, Raw, Text, ToolCall, arguments, made_up_id,
    unreadable, upstream,
};
use pointsman_plugin::{Answer, Failure, Target, Usage};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) message: Option<Said<'a>>,
    pub(crate) done: Option<bool>,
    #[serde(borrow)]
    pub(crate) done_reason: Option<Text<'a>>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    #[serde(borrow)]
    pub(crate) logprobs: Option<Raw<'a>>,
    /// In place of everything else.
    #[serde(borrow)]
    pub(crate) error: Option<Raw<'a>>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Said<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<Call<'a>>>,
    /// In base64.
    #[serde(borrow)]
    pub(crate) images: Option<Vec<Text<'a>>>,
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
    /// An object.
    #[serde(borrow)]
    pub(crate) arguments: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Likely<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    logprob: f64,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Likely<'a>>>,
}

pub(crate) fn decode(target: &Target, body: &[u8]) -> Result<Answer, Failure> {
    let response: Response = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if let Some(error) = response.error {
        return Err(errors::broken_off(error));
    }
    let usage = response.usage();
    let finish_reason = response.done_reason.as_ref().map(|reason| reason.0.to_string());
    let said = response
        .message
        .ok_or_else(|| upstream("the provider's answer has no message"))?;
    let message = collect(said, target);
    let finish = finish_of(finish_reason.as_deref(), !message.tool_calls.is_empty());
    let mut completion = Completion::new(target, None, response.model.as_ref()).answering(message, finish);
    completion.choices[0].logprobs = response.logprobs.and_then(logprobs);
    completion.usage = usage.as_ref().map(Counts::of);
    completion.write(usage)
}

/// The provider says `stop` where tools were called; `load` and `unload` are answers to no question.
pub(crate) fn finish_of(reason: Option<&str>, has_calls: bool) -> Finish {
    match reason {
        Some("length") => Finish::Length,
        _ => Finish::natural(has_calls),
    }
}

/// Likelihoods that make no sense are unknown: the answer is still served.
pub(crate) fn logprobs<'a>(raw: Raw<'a>) -> Option<Logprobs<'a>> {
    let likely: Vec<Likely> = serde_json::from_str(raw.get()).ok()?;
    let one = |likely: Likely<'a>| Likelihood::new(likely.token.0, likely.logprob);
    let token = |mut likely: Likely<'a>| {
        let others = likely.top_logprobs.take().into_iter().flatten();
        let others = others.map(one).collect();
        (one(likely), others)
    };
    (!likely.is_empty()).then(|| Logprobs::new(likely.into_iter().map(token)))
}

/// The provider does not say what an image is; its first bytes do.
pub(crate) fn image(data: &str) -> Image {
    let kind = match data.as_bytes() {
        [b'/', b'9', b'j', b'/', ..] => "image/jpeg",
        [b'U', b'k', b'l', b'G', ..] => "image/webp",
        [b'R', b'0', b'l', b'G', ..] => "image/gif",
        _ => "image/png",
    };
    Image::of(kind, data)
}

impl Response<'_> {
    /// Old versions leave out the count of a prompt that they had in their cache: what was used is then unknown, not less.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let known = |count: Option<u64>| count.filter(|count| *count <= u64::from(u32::MAX));
        Some(Usage {
            input: known(self.prompt_eval_count)?,
            output: known(self.eval_count).unwrap_or(0),
            ..Usage::none()
        })
    }
}

fn collect<'a>(said: Said<'a>, target: &Target) -> Message<'a> {
    let told = |text: Option<Text<'a>>| text.map(|text| text.0).filter(|text| !text.is_empty());
    let mut message = Message {
        content: told(said.content),
        reasoning_content: told(said.thinking),
        ..Message::default()
    };
    let images = said.images.into_iter().flatten();
    message.images = images.map(|data| image(&data.0)).collect();
    for (index, call) in (0..).zip(said.tool_calls.into_iter().flatten()) {
        let (name, given) = call
            .function
            .map_or((None, None), |called| (called.name, called.arguments));
        let id = call.id.map(|id| id.0).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| made_up_id(&target.request_id, index).into());
        let arguments = arguments(given.map(|raw| raw.get())).into();
        message
            .tool_calls
            .push(ToolCall::new(id, name.unwrap_or_default().0, arguments));
    }
    message
}
