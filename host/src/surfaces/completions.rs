//! `POST /v1/completions`: OpenAI's first dialect, a text that is continued. A provider that has it gets the request as it came; for
//! others the text is what a user says, and what a model answers is its continuation.

use bytes::{Bytes, BytesMut};

use super::chat::{missing, wrong_type};
use super::telling::Tells;
use super::{Canonical, Surface};
use crate::error::ApiError;
use crate::json::{Document, Kind, Limits, Value, Writer};
use crate::money::Usage;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };
/// What the dialect takes where a request names no limit.
const USUAL_TOKENS: &str = "16";
/// Members that mean the same under the same name.
const SAME: [&str; 12] = [
    "model",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "user",
    "metadata",
];

/// The canonical request: a conversation of one message.
pub(super) fn canonical(body: Value<'_>) -> Result<Canonical, ApiError> {
    let mut to = Writer::with_capacity(body.raw().len() + 64);
    let (mut lost, mut needs) = (Vec::new(), None);
    to.open('{');
    for (name, value) in body.members() {
        let name = name.as_str().unwrap_or_default();
        let is_asked = !value.is_null() && !matches!(value.raw(), "false" | "\"\"");
        match &*name {
            "prompt" | "max_tokens" | "n" => {}
            "suffix" if is_asked => needs = Some("suffix"),
            "echo" if is_asked => needs = Some("echo"),
            "logprobs" if is_asked => needs = Some("logprobs"),
            "best_of" if is_asked && value.raw() != "1" => needs = Some("best_of"),
            "suffix" | "echo" | "logprobs" | "best_of" => {}
            _ if SAME.contains(&&*name) => to.take(&name, body, &name),
            _ if !value.is_null() => lost.push(crate::error::printable(&name, 60)),
            _ => {}
        }
    }
    let limit = body.field("max_tokens").map_or(USUAL_TOKENS, |limit| limit.raw());
    to.member("max_completion_tokens", limit);
    let prompt = body.field("prompt").ok_or_else(|| missing("prompt"))?;
    choices(&mut to, body, prompt);
    let mut several = prompt.elements();
    let text = match (prompt.kind(), several.next(), several.next()) {
        (Kind::String, ..) => prompt,
        (Kind::Array, Some(only), None) if only.kind() == Kind::String => only,
        (Kind::Array, Some(_), _) => {
            needs = Some("prompt of several texts, or of tokens");
            prompt
        }
        _ => return Err(wrong_type("prompt", "a text, or an array of texts or tokens")),
    };
    to.key("messages");
    to.open('[');
    to.open('{');
    to.text("role", "user");
    match text.kind() {
        Kind::String => to.member("content", text.raw()),
        // Only who has the dialect gets it, and policies see how it was written.
        _ => to.text("content", text.raw()),
    }
    to.close('}');
    to.close(']');
    to.close('}');
    let text = to.finish();
    Ok(Canonical { text, lost, needs })
}

/// What a request has made, and is billed, is so many continuations: those of each prompt, the best of which may be all that is shown.
/// Only who has the dialect gets a request of several prompts, or for the best of several, and as the client wrote it.
fn choices(to: &mut Writer, body: Value<'_>, prompt: Value<'_>) {
    let number = |name: &str| body.field(name).and_then(|value| value.as_u64());
    let is_list = prompt.kind() == Kind::Array
        && prompt
            .elements()
            .next()
            .is_some_and(|first| first.kind() != Kind::Number);
    let prompts = if is_list { prompt.elements().count() as u64 } else { 1 };
    let each = number("n").unwrap_or(1).max(number("best_of").unwrap_or(1));
    match prompts.saturating_mul(each) {
        // What is wrong with a number is said where it is read.
        1 => to.take("n", body, "n"),
        all => to.member("n", &all.min(u32::MAX.into()).to_string()),
    }
}

/// A whole canonical answer as a completion. One that cannot be read, of which there is none, passes as it came.
pub(super) fn whole(answer: Bytes) -> Bytes {
    match Document::parse(answer.clone(), LIMITS) {
        Ok(document) => {
            let usage = document.root().field("usage").map(|usage| usage.raw());
            completion(document.root(), "message", usage).into()
        }
        Err(_) => answer,
    }
}

fn completion(answer: Value<'_>, member: &str, usage: Option<&str>) -> Vec<u8> {
    let mut to = Writer::with_capacity(answer.raw().len());
    to.open('{');
    to.take("id", answer, "id");
    to.text("object", "text_completion");
    to.take("created", answer, "created");
    to.take("model", answer, "model");
    to.key("choices");
    to.open('[');
    for choice in answer
        .field("choices")
        .into_iter()
        .flat_map(|choices| choices.elements())
    {
        let text = choice.field(member).and_then(|said| said.field("content"));
        to.open('{');
        to.member("text", text.map_or("\"\"", |text| text.raw()));
        to.member("index", choice.field("index").map_or("0", |index| index.raw()));
        to.member("logprobs", "null");
        to.member(
            "finish_reason",
            choice.field("finish_reason").map_or("null", |reason| reason.raw()),
        );
        to.close('}');
    }
    to.close(']');
    if let Some(usage) = usage {
        to.member("usage", usage);
    }
    to.close('}');
    to.finish()
}

/// A stream of completions.
#[derive(Debug, Default)]
pub(super) struct Events;

impl Tells for Events {
    fn restart(&mut self, _: &mut BytesMut) {}

    fn tell(&mut self, chunk: Value<'_>, out: &mut BytesMut) {
        let usage = chunk.field("usage").map(|usage| usage.raw());
        let says_nothing = chunk
            .field("choices")
            .is_none_or(|choices| choices.elements().next().is_none());
        // Azure's judgement of a prompt say, which this dialect has no place for.
        if says_nothing && usage.is_none() {
            return;
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&completion(chunk, "delta", usage));
        out.extend_from_slice(b"\n\n");
    }

    fn end(&mut self, _: Option<&Usage>, out: &mut BytesMut) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, error: &ApiError, id: &str, out: &mut BytesMut) {
        out.extend_from_slice(&Surface::Completions.error_event(error, id));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::Wording;
    use super::*;

    fn read(body: &Json) -> Result<(Json, Option<&'static str>), String> {
        let document = Document::parse(Bytes::from(body.to_string()), Limits::default()).unwrap();
        let read = Surface::Completions.read(document, None, Limits::default());
        let request = read.map_err(|error| error.param.unwrap_or_default())?;
        Ok((
            serde_json::from_slice(request.document.text()).unwrap(),
            request.wording.needs,
        ))
    }

    #[test]
    fn a_prompt_is_what_a_user_says() {
        let body = json!({ "model": "m", "prompt": "Once \"upon\"", "stop": "\n", "echo": false, "suffix": null, "logprobs": null });
        let expected = json!({ "model": "m", "stop": "\n", "max_completion_tokens": 16,
            "messages": [{ "role": "user", "content": "Once \"upon\"" }] });
        assert_eq!(read(&body), Ok((expected, None)));
        for (more, needs) in [
            (json!({ "prompt": ["a"] }), None),
            (
                json!({ "prompt": ["a", "b"] }),
                Some("prompt of several texts, or of tokens"),
            ),
            (
                json!({ "prompt": [1, 2] }),
                Some("prompt of several texts, or of tokens"),
            ),
            (json!({ "suffix": "end" }), Some("suffix")),
            (json!({ "echo": true }), Some("echo")),
            (json!({ "logprobs": 0 }), Some("logprobs")),
        ] {
            let mut body = json!({ "model": "m", "prompt": "a" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(read(&body).unwrap().1, needs, "{body}");
        }
        assert_eq!(read(&json!({ "model": "m" })).unwrap_err(), "prompt");
        assert_eq!(read(&json!({ "model": "m", "prompt": 7 })).unwrap_err(), "prompt");
    }

    #[test]
    fn answers_and_streams_are_completions() {
        let wording = Wording::canonical(Surface::Completions);
        let answer = json!({ "id": "c", "created": 1, "model": "m", "usage": { "prompt_tokens": 1 }, "choices": [
            { "index": 0, "finish_reason": "stop", "message": { "content": "one" } },
            { "index": 1, "finish_reason": "length", "message": { "content": "two" } } ] });
        let told: Json = serde_json::from_slice(&wording.whole(answer.to_string().into(), None)).unwrap();
        let choice = |index: u32, text: &str, reason: &str| json!({ "text": text, "index": index, "logprobs": null, "finish_reason": reason });
        let expected = json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": { "prompt_tokens": 1 },
            "choices": [choice(0, "one", "stop"), choice(1, "two", "length")] });
        assert_eq!(told, expected);
        let mut telling = wording.telling(false, 0);
        let chunk =
            json!({ "id": "c", "choices": [{ "index": 0, "delta": { "content": "o" }, "finish_reason": null }] });
        let mut events = BytesMut::from(format!("data: {chunk}\n\n").as_str());
        telling.tell(&mut events);
        telling.end(None, &mut events);
        let text = String::from_utf8(events.to_vec()).unwrap();
        assert!(
            text.starts_with("data: {\"id\":\"c\",\"object\":\"text_completion\"") && text.contains("\"text\":\"o\""),
            "{text}"
        );
        assert!(text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
    }
}
