//! The canonical answer, whole.
//!
//! What a provider tells beside the canonical members travels where clients already look for it: signed thinking in
//! `thinking_blocks`, Google's signatures in `extra_content`, images in `images`, Cohere's sources in `citations`, pages of the web in `annotations`. A client that
//! sends the message back as it came lets the model go on where it was.

use std::borrow::Cow;

use serde::Serialize;

use super::{Counts, Raw, Text, is_web, unreadable, upstream};
use crate::{Answer, Failure, Target, Usage};

/// A `chat.completion`.
#[derive(Serialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Completion<'a> {
    pub id: &'a str,
    object: &'static str,
    pub created: u64,
    pub model: &'a str,
    pub choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Counts>,
}

/// One of its answers; there is rarely more than one.
#[derive(Serialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Choice<'a> {
    pub index: u32,
    pub message: Message<'a>,
    pub logprobs: Option<Logprobs<'a>>,
    pub finish_reason: Finish,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Cow<'a, str>>,
}

/// What the model says.
#[derive(Serialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Message<'a> {
    pub role: &'static str,
    pub content: Option<Cow<'a, str>>,
    pub refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

impl Default for Message<'_> {
    fn default() -> Self {
        Message {
            role: "assistant",
            content: None,
            refusal: None,
            reasoning_content: None,
            thinking_blocks: Vec::new(),
            images: Vec::new(),
            citations: None,
            annotations: Vec::new(),
            tool_calls: Vec::new(),
            extra_content: None,
        }
    }
}

/// Thinking as its provider signed it.
#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as the provider has it")]
pub enum ThinkingBlock<'a> {
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
}

/// In a stream each block comes whole, once, when it is complete.
#[derive(Serialize, Debug)]
pub struct IndexedThinking<'a> {
    /// From 0.
    pub index: u32,
    /// The block.
    #[serde(flatten)]
    pub block: ThinkingBlock<'a>,
}

/// A call of a function.
#[derive(Serialize, Debug)]
pub struct ToolCall<'a> {
    /// Unique within the answer.
    pub id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is called.
    pub function: FunctionCall<'a>,
    /// Google's signature of the thought that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<ExtraContent<'a>>,
}

/// A function and the text of an object.
#[derive(Serialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct FunctionCall<'a> {
    pub name: Cow<'a, str>,
    pub arguments: Cow<'a, str>,
}

impl<'a> ToolCall<'a> {
    /// One call.
    pub fn new(id: Cow<'a, str>, name: Cow<'a, str>, arguments: Cow<'a, str>) -> Self {
        ToolCall {
            id,
            kind: "function",
            function: FunctionCall { name, arguments },
            extra_content: None,
        }
    }

    /// With the signature of the thought that led to it, where there is one.
    #[must_use]
    pub fn signed(mut self, signature: Option<Cow<'a, str>>) -> Self {
        self.extra_content = signature.map(ExtraContent::signed);
        self
    }
}

/// An image that the model made, as a data URL, where OpenRouter has it.
#[derive(Serialize, Debug)]
pub struct Image {
    #[serde(rename = "type")]
    kind: &'static str,
    image_url: Url,
}

#[derive(Serialize, Debug)]
struct Url {
    url: String,
}

impl Image {
    /// From base64.
    pub fn of(mime_type: &str, data: &str) -> Self {
        Image {
            kind: "image_url",
            image_url: Url {
                url: format!("data:{mime_type};base64,{data}"),
            },
        }
    }
}

/// A page of the web that a stretch of the answer rests on. Both its ends are counted in characters of the whole text.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Annotation<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url_citation: UrlCitation<'a>,
}

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
struct UrlCitation<'a> {
    url: Cow<'a, str>,
    title: Cow<'a, str>,
    start_index: usize,
    end_index: usize,
}

impl<'a> Annotation<'a> {
    /// Of the text from the first of these characters to before the second; `None` for what is not at an address of the web.
    pub fn of(
        url: Cow<'a, str>,
        title: Option<Cow<'a, str>>,
        (start_index, end_index): (usize, usize),
    ) -> Option<Self> {
        is_web(&url).then(|| Annotation {
            kind: "url_citation",
            url_citation: UrlCitation {
                title: title.unwrap_or_default(),
                url,
                start_index,
                end_index,
            },
        })
    }
}

/// `{"google": {"thought_signature"}}`.
#[derive(Serialize, Debug)]
pub struct ExtraContent<'a> {
    google: Signature<'a>,
}

#[derive(Serialize, Debug)]
struct Signature<'a> {
    thought_signature: Cow<'a, str>,
}

impl<'a> ExtraContent<'a> {
    /// A signature in its place.
    pub fn signed(thought_signature: Cow<'a, str>) -> Self {
        ExtraContent {
            google: Signature { thought_signature },
        }
    }
}

/// How likely the answer was.
#[derive(Serialize, Debug)]
pub struct Logprobs<'a> {
    content: Vec<Entry<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize, Debug)]
struct Entry<'a> {
    #[serde(flatten)]
    likely: Likelihood<'a>,
    top_logprobs: Vec<Likelihood<'a>>,
}

/// How likely one token was.
#[derive(Serialize, Debug)]
pub struct Likelihood<'a> {
    token: Cow<'a, str>,
    logprob: f64,
    bytes: Vec<u8>,
}

impl<'a> Likelihood<'a> {
    /// Of a token, or of a piece of text.
    pub fn new(token: Cow<'a, str>, logprob: f64) -> Self {
        Likelihood {
            bytes: token.as_bytes().to_vec(),
            token,
            logprob,
        }
    }
}

impl<'a> Logprobs<'a> {
    /// Tokens in their order, each with its alternatives.
    pub fn new(tokens: impl IntoIterator<Item = (Likelihood<'a>, Vec<Likelihood<'a>>)>) -> Self {
        let entry = |(likely, top_logprobs)| Entry { likely, top_logprobs };
        Logprobs {
            content: tokens.into_iter().map(entry).collect(),
            refusal: None,
        }
    }
}

/// Why an answer ended.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the canonical words")]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// Why an answer ended, with what canonical words do not say: what its provider calls it, where OpenRouter has that, and which
/// sequence stopped it, where vLLM has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending<'a> {
    /// The canonical word.
    pub finish: Finish,
    /// One of Anthropic's words, where it says more.
    pub native: Option<&'static str>,
    /// The sequence, where the provider tells it.
    pub sequence: Option<Cow<'a, str>>,
}

impl From<Finish> for Ending<'_> {
    fn from(finish: Finish) -> Self {
        Ending {
            finish,
            native: None,
            sequence: None,
        }
    }
}

impl<'a> Ending<'a> {
    /// The answer came to a sequence that the client asked to stop at; which, its provider need not tell.
    pub fn stopped(sequence: Option<Cow<'a, str>>) -> Self {
        Ending {
            native: Some("stop_sequence"),
            sequence,
            ..Finish::Stop.into()
        }
    }

    /// With the provider's word for it.
    pub fn called(finish: Finish, native: &'static str) -> Self {
        Ending {
            native: Some(native),
            ..finish.into()
        }
    }
}

impl Finish {
    /// An end that is none of the others.
    pub fn natural(has_calls: bool) -> Self {
        if has_calls { Finish::ToolCalls } else { Finish::Stop }
    }
}

impl<'a> Completion<'a> {
    /// What the provider's answer says of itself, and what the target says where it says nothing.
    pub fn new(target: &'a Target, id: Option<&'a Text<'a>>, model: Option<&'a Text<'a>>) -> Self {
        Completion {
            id: id.map_or(&target.request_id, |id| &id.0),
            object: "chat.completion",
            created: target.now_ms / 1000,
            model: model.map_or(&target.model, |model| &model.0),
            choices: Vec::with_capacity(1),
            usage: None,
        }
    }

    /// With its one answer. One that says nothing and calls nothing has an empty text, since clients do not expect neither.
    #[must_use]
    pub fn answering(mut self, mut message: Message<'a>, ending: impl Into<Ending<'a>>) -> Self {
        let ending = ending.into();
        if message.content.is_none() && message.tool_calls.is_empty() {
            message.content = Some(Cow::Borrowed(""));
        }
        self.choices.push(Choice {
            index: 0,
            message,
            logprobs: None,
            finish_reason: ending.finish,
            native_finish_reason: ending.native,
            stop_reason: ending.sequence,
        });
        self
    }

    /// As it goes out, with what it used.
    pub fn write(self, usage: Option<Usage>) -> Result<Answer, Failure> {
        let body =
            serde_json::to_vec(&self).map_err(|error| upstream(format!("the answer cannot be written: {error}")))?;
        Ok(Answer { body, usage })
    }
}

/// Adds a text to what was said before.
pub fn append<'a>(to: &mut Option<Cow<'a, str>>, text: Cow<'a, str>) {
    match to {
        _ if text.is_empty() => {}
        Some(before) => before.to_mut().push_str(&text),
        None => *to = Some(text),
    }
}

/// Always an object's text, as it came: numbers and the order of keys survive. A tool without parameters is called with
/// nothing, or with `null`, by some models.
pub fn arguments(given: Option<&str>) -> &str {
    given.filter(|text| text.trim_start().starts_with('{')).unwrap_or("{}")
}

/// For a call that came without an id.
pub fn made_up_id(request_id: &str, index: u32) -> String {
    format!("call_{request_id}_{index}")
}

/// A string inside a provider's answer; empty where it is not there.
impl<'a> Text<'a> {
    /// Reads a member that may be left unread where nobody knows what it is.
    pub fn of(raw: Option<Raw<'a>>) -> Result<Cow<'a, str>, Failure> {
        match raw {
            Some(raw) => serde_json::from_str::<Text>(raw.get())
                .map(|text| text.0)
                .map_err(|error| unreadable(&error)),
            None => Ok(Cow::Borrowed("")),
        }
    }
}
