//! `POST /v1/chat/completions`: what is checked of a request and read from it in one walk over its messages.
//! Fields that the gateway does not know are the provider's business and pass.

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

use super::{inputs, media};
use crate::error::ApiError;
use crate::json::{Document, Edit, Kind, Limits, Value};
use crate::operation::Operation;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What of a model.
    pub operation: Operation,
    /// As the client named it.
    pub model: String,
    /// Whether the answer is streamed.
    pub is_stream: bool,
    /// Whether the client wants to see the usage of a streamed answer.
    pub wants_usage: bool,
    /// Whether the client wants to read in the body what a whole answer cost.
    pub wants_cost: bool,
    /// How many messages.
    pub messages: u32,
    /// Bytes of all text, as written.
    pub text_bytes: u64,
    /// Bytes of the whole request.
    pub body_bytes: u64,
    /// How many images.
    pub images: u32,
    /// Bytes of the images' URLs, which hold whole images or say where they are.
    pub image_url_bytes: u64,
    /// Parts that are neither text nor images: files, audio, and what the gateway does not know.
    pub other_parts: u32,
    /// Bytes of the tools' declarations.
    pub tools_bytes: u64,
    /// Whether JSON is asked for.
    pub wants_structured_output: bool,
    /// Whether the answer may be sound.
    pub wants_audio: bool,
    /// Whether it is to be served before others, at the price for that.
    pub wants_priority: bool,
    /// The most tokens of output, as the client asked.
    pub max_output_tokens: Option<u32>,
    /// How many answers.
    pub choices: u32,
    /// The most tokens of an image, where images are to be made.
    pub image_tokens: Option<u32>,
    /// Characters that are to be spoken.
    pub characters: u64,
    /// Searches that a reranking may be counted as.
    pub searches: u64,
}

/// What an image is counted as where nothing better is known.
const IMAGE_TOKENS: u64 = 1_000;
/// The most that a provider bills for one image: gpt-4o-mini's 2,833 tokens and 5,667 for each of eight tiles, rounded up.
/// <https://platform.openai.com/docs/guides/images-vision>
const MOST_IMAGE_TOKENS: u64 = 50_000;
/// The most that a file or a recording can be where the model's context is unknown: the windows of today's models.
const MOST_OTHER_TOKENS: u64 = 1_000_000;
/// What a provider adds of its own where there are tools or a format: its words for how they are used.
const MOST_ADDED_TOKENS: u64 = 1_000;

impl Ask {
    /// Reads a request; the error names the field that is wrong.
    pub fn read(document: &Document, operation: Operation) -> Result<Self, ApiError> {
        check_object(document)?;
        match operation {
            Operation::Chat => Self::chat(document),
            // Nothing is written, and nothing is billed.
            Operation::CountTokens => Ok(Self {
                operation,
                max_output_tokens: Some(0),
                ..Self::chat(document)?
            }),
            _ if operation.is_media() => media::read(document, operation),
            _ => inputs::read(document, operation),
        }
    }

    /// For a model, and nothing.
    pub(super) fn empty(model: String) -> Self {
        Self {
            operation: Operation::Chat,
            model,
            is_stream: false,
            wants_usage: false,
            wants_cost: false,
            messages: 0,
            text_bytes: 0,
            body_bytes: 0,
            images: 0,
            image_url_bytes: 0,
            other_parts: 0,
            tools_bytes: 0,
            wants_structured_output: false,
            wants_audio: false,
            wants_priority: false,
            max_output_tokens: None,
            choices: 1,
            image_tokens: None,
            characters: 0,
            searches: 0,
        }
    }

    fn chat(document: &Document) -> Result<Self, ApiError> {
        let body = document.root();
        let mut ask = Self {
            is_stream: flag(body, "stream")?.unwrap_or(false),
            wants_usage: wants_usage(body)? || wants_cost(body)?,
            wants_cost: wants_cost(body)?,
            body_bytes: document.text().len() as u64,
            tools_bytes: tools(body)?,
            wants_structured_output: wants_structured_output(body)?,
            wants_audio: body.field("audio").is_some() || body.field("modalities").is_some(),
            wants_priority: body.field("service_tier").is_some_and(|tier| tier.is("priority")),
            // Providers read the one or the other: a bound is the larger.
            max_output_tokens: count(body, "max_completion_tokens")?.max(count(body, "max_tokens")?),
            choices: count(body, "n")?.unwrap_or(1),
            ..Self::empty(model(body)?)
        };
        let messages = body.field("messages").ok_or_else(|| missing("messages"))?;
        if messages.kind() != Kind::Array {
            return Err(wrong_type("messages", "an array of messages"));
        }
        for (index, message) in messages.elements().enumerate() {
            ask.message(index, message)?;
        }
        ask.other_parts += super::tools::open(body);
        ask.searches = super::tools::searches(body);
        if ask.messages == 0 {
            return Err(
                ApiError::invalid("invalid_value", "`messages` must hold at least one message").with_param("messages"),
            );
        }
        Ok(ask)
    }

    /// Tokens of input, estimated: four bytes a token, four tokens around each message.
    pub fn estimated_input_tokens(&self) -> u32 {
        let text = (self.text_bytes + self.tools_bytes).div_ceil(4);
        let tokens = text + 4 * u64::from(self.messages) + IMAGE_TOKENS * u64::from(self.images);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// [`Self::estimated_input_tokens`], as far as they are paid for: counting them is not.
    pub fn billed_input_tokens(&self) -> u64 {
        match self.operation {
            Operation::CountTokens => 0,
            _ => self.estimated_input_tokens().into(),
        }
    }

    /// What is booked for input of which the provider says nothing, as for a stream that its client left. Of texts that is
    /// [`Self::billed_input_tokens`]. The bytes of images, files and sound, and of what is kept elsewhere, say nothing: where
    /// there are any, it is the most that the input can be, or a client that leaves early could read for nothing.
    pub fn untold_input_tokens(&self, context: Option<u32>) -> u64 {
        match self.images > 0 || self.other_parts > 0 {
            true => self.most_input_tokens(context),
            false => self.billed_input_tokens(),
        }
    }

    /// The most tokens that the input can be for a model with so much context. All that the model reads as text stands in
    /// the body, and a token is at least one byte of it: escapes are longer than what they stand for, and a message's or a
    /// tool's syntax in JSON is longer than the few tokens that a provider puts around it. Images, files and audio have a
    /// bound of their own, since their bytes say nothing, or are elsewhere. Nothing longer than the context is answered.
    pub fn most_input_tokens(&self, context: Option<u32>) -> u64 {
        if self.operation == Operation::CountTokens {
            return 0;
        }
        let has_more = self.tools_bytes > 0 || self.wants_structured_output;
        let added = if has_more { MOST_ADDED_TOKENS } else { 0 };
        let text = self.body_bytes.saturating_sub(self.image_url_bytes) + added;
        let images = MOST_IMAGE_TOKENS.saturating_mul(self.images.into());
        let others = MOST_OTHER_TOKENS.saturating_mul(self.other_parts.into());
        let most = text.saturating_add(images).saturating_add(others);
        context.map_or(most, |context| most.min(context.into()))
    }

    fn message(&mut self, index: usize, message: Value<'_>) -> Result<(), ApiError> {
        if message.kind() != Kind::Object {
            return Err(wrong_type(&format!("messages[{index}]"), "an object"));
        }
        if message.get("role").is_none_or(|role| role.kind() != Kind::String) {
            return Err(wrong_type(&format!("messages[{index}].role"), "a string"));
        }
        self.messages += 1;
        let Some(content) = message.field("content") else {
            return Ok(());
        };
        match content.kind() {
            Kind::String => self.text_bytes += content.str_len() as u64,
            Kind::Array => content.elements().for_each(|part| self.part(part)),
            _ => {
                return Err(wrong_type(
                    &format!("messages[{index}].content"),
                    "a string or an array of parts",
                ));
            }
        }
        Ok(())
    }

    fn part(&mut self, part: Value<'_>) {
        match part.get("type").and_then(|kind| kind.as_str()).as_deref() {
            Some("text" | "refusal") => {}
            Some(kind) if kind.contains("image") => {
                self.images += 1;
                let url = part.field("image_url").and_then(|image| image.field("url"));
                self.image_url_bytes += url.map_or(0, |url| url.str_len() as u64);
            }
            _ => self.other_parts += 1,
        }
        self.text_bytes += part.field("text").map_or(0, |text| text.str_len() as u64);
    }
}

/// The request without the wish for its cost, which is the gateway's to fulfil: of a stream that tells its usage on request
/// only, it is put in OpenAI's words.
pub fn without_wish(document: Document, asks_for_usage: bool, limits: Limits) -> Document {
    let root = document.root();
    if root.get("usage").and_then(|usage| usage.get("include")).is_none() {
        return document;
    }
    let mut edits = vec![Edit {
        pointer: "/usage",
        value: None,
    }];
    if asks_for_usage {
        edits.push(match root.field("stream_options") {
            Some(_) => Edit {
                pointer: "/stream_options/include_usage",
                value: Some("true"),
            },
            None => Edit {
                pointer: "/stream_options",
                value: Some(r#"{"include_usage":true}"#),
            },
        });
    }
    let text = document.with(&edits).ok();
    // What was read can be read without a member, and with one more.
    let edited = text.and_then(|text| Document::parse(text.into(), limits).ok());
    edited.unwrap_or(document)
}

/// Refuses what is no object.
pub(super) fn check_object(document: &Document) -> Result<(), ApiError> {
    match document.root().kind() {
        Kind::Object => Ok(()),
        _ => Err(ApiError::invalid(
            "invalid_type",
            "the request body must be a JSON object",
        )),
    }
}

/// Refuses a body that says that it is something else.
pub fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = essence(headers);
    let is_json = essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json");
    match is_json || headers.get(CONTENT_TYPE).is_none() {
        true => Ok(()),
        false => Err(wrong_content_type(headers, "application/json")),
    }
}

/// What a body says that it is.
fn essence(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// A body is something else than this.
pub(super) fn wrong_content_type(headers: &HeaderMap, wanted: &str) -> ApiError {
    let essence = crate::error::printable(essence(headers), 60);
    let message = format!("the content type `{essence}` is not accepted; send {wanted}");
    ApiError::refused(
        hyper::StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message,
    )
}

pub(super) fn model(body: Value<'_>) -> Result<String, ApiError> {
    let value = body.field("model").ok_or_else(|| missing("model"))?;
    let model = value.as_str().ok_or_else(|| wrong_type("model", "a string"))?;
    if model.is_empty() {
        return Err(ApiError::invalid(
            "invalid_value",
            "`model` is empty; GET /v1/models lists the names there are",
        )
        .with_param("model"));
    }
    Ok(model.into_owned())
}

fn wants_usage(body: Value<'_>) -> Result<bool, ApiError> {
    let Some(options) = body.field("stream_options") else {
        return Ok(false);
    };
    if options.kind() != Kind::Object {
        return Err(wrong_type("stream_options", "an object"));
    }
    Ok(flag(options, "include_usage")?.unwrap_or(false))
}

/// OpenRouter's `usage: {"include": true}`.
pub(super) fn wants_cost(body: Value<'_>) -> Result<bool, ApiError> {
    match body.field("usage") {
        Some(usage) => Ok(flag(usage, "include")?.unwrap_or(false)),
        None => Ok(false),
    }
}

fn wants_structured_output(body: Value<'_>) -> Result<bool, ApiError> {
    let Some(format) = body.field("response_format") else {
        return Ok(false);
    };
    if format.kind() != Kind::Object {
        return Err(wrong_type("response_format", "an object"));
    }
    Ok(format
        .get("type")
        .is_some_and(|kind| kind.is("json_schema") || kind.is("json_object")))
}

/// The bytes of all declarations; none for an empty list, which asks for nothing.
fn tools(body: Value<'_>) -> Result<u64, ApiError> {
    let Some(tools) = body.field("tools") else { return Ok(0) };
    if tools.kind() != Kind::Array {
        return Err(wrong_type("tools", "an array"));
    }
    Ok(tools.elements().map(|tool| tool.raw().len() as u64).sum())
}

fn flag(object: Value<'_>, key: &str) -> Result<Option<bool>, ApiError> {
    object
        .field(key)
        .map(|value| value.as_bool().ok_or_else(|| wrong_type(key, "true or false")))
        .transpose()
}

fn count(object: Value<'_>, key: &str) -> Result<Option<u32>, ApiError> {
    let read = |value: Value<'_>| {
        let count = value.as_u64().filter(|count| *count > 0);
        count
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .ok_or_else(|| wrong_type(key, "a positive whole number"))
    };
    object.field(key).map(read).transpose()
}

pub(super) fn missing(field: &str) -> ApiError {
    ApiError::invalid("missing_required_parameter", format!("`{field}` is missing")).with_param(field)
}

pub(super) fn wrong_type(field: &str, expected: &str) -> ApiError {
    ApiError::invalid("invalid_type", format!("`{field}` must be {expected}")).with_param(field)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(body: &str) -> Result<Ask, String> {
        let document = Document::parse(Bytes::copy_from_slice(body.as_bytes()), Limits::default()).unwrap();
        Ask::read(&document, Operation::Chat)
            .map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
    }

    #[test]
    fn a_request_is_read_in_one_walk() {
        let ask = read(
            r#"{"model":"auto","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"tools":[{"type":"function"}],
            "response_format":{"type":"json_object"},"messages":[{"role":"system","content":"four"},
            {"role":"user","content":[{"type":"text","text":"12345678"},{"type":"image_url","image_url":{"url":"https://x/y"}}]},
            {"role":"assistant","content":null,"tool_calls":[]}],"unknown":{"kept":1}}"#,
        )
        .unwrap();
        assert!(ask.is_stream && ask.wants_usage && ask.wants_structured_output);
        assert_eq!(
            (ask.messages, ask.text_bytes, ask.images, ask.max_output_tokens),
            (3, 12, 1, Some(5))
        );
    }

    #[test]
    fn the_most_input_that_there_can_be_has_all_of_the_body_in_it_and_a_bound_for_what_is_not() {
        let most = |body: &str, context| read(body).unwrap().most_input_tokens(context);
        let plain = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let bytes = plain.len() as u64;
        assert_eq!(most(plain, None), bytes);
        let tools = plain.replace(r#""messages""#, r#""tools":[{"type":"function"}],"messages""#);
        assert_eq!(most(&tools, None), tools.len() as u64 + MOST_ADDED_TOKENS);
        // Arguments of calls, schemas and names count as every other byte does.
        let called = plain.replace(
            r#""content":"hi""#,
            r#""name":"n","tool_calls":[{"function":{"arguments":"{\"a\":1}"}}]"#,
        );
        assert_eq!(most(&called, None), bytes + (called.len() - plain.len()) as u64);
        let with = |part: &str| plain.replace(r#""hi""#, &format!("[{part}]"));
        let inline = with(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAAAAAA"}}"#);
        let elsewhere = with(r#"{"type":"image_url","image_url":{"url":""}}"#);
        assert_eq!(most(&inline, None), most(&elsewhere, None));
        assert!(most(&elsewhere, None) > MOST_IMAGE_TOKENS);
        for other in [
            r#"{"type":"file","file":{"file_id":"f"}}"#,
            r#"{"type":"input_audio","input_audio":{}}"#,
            "{}",
        ] {
            assert!(most(&with(other), None) > MOST_OTHER_TOKENS, "{other}");
            assert_eq!(most(&with(other), Some(128_000)), 128_000, "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, expected) in [
            ("[]", "the request body must be a JSON object []"),
            ("{}", "`model` is missing [model]"),
            (r#"{"model":null}"#, "`model` is missing [model]"),
            (r#"{"model":7}"#, "`model` must be a string [model]"),
            (
                r#"{"model":""}"#,
                "`model` is empty; GET /v1/models lists the names there are [model]",
            ),
            (r#"{"model":"m"}"#, "`messages` is missing [messages]"),
            (
                r#"{"model":"m","messages":"hi"}"#,
                "`messages` must be an array of messages [messages]",
            ),
            (
                r#"{"model":"m","messages":[]}"#,
                "`messages` must hold at least one message [messages]",
            ),
            (
                r#"{"model":"m","messages":["hi"]}"#,
                "`messages[0]` must be an object [messages[0]]",
            ),
            (
                r#"{"model":"m","messages":[{"content":"x"}]}"#,
                "`messages[0].role` must be a string [messages[0].role]",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":5}]}"#,
                "`messages[0].content` must be a string or an array of parts [messages[0].content]",
            ),
            (
                r#"{"model":"m","stream":"yes","messages":[{"role":"user"}]}"#,
                "`stream` must be true or false [stream]",
            ),
            (
                r#"{"model":"m","max_tokens":-1,"messages":[{"role":"user"}]}"#,
                "`max_tokens` must be a positive whole number [max_tokens]",
            ),
            (
                r#"{"model":"m","tools":{},"messages":[{"role":"user"}]}"#,
                "`tools` must be an array [tools]",
            ),
        ] {
            assert_eq!(read(body), Err(expected.to_owned()), "{body}");
        }
    }
}
