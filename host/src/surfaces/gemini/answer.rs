//! A whole canonical answer as one of Gemini's, each choice a candidate, and what streamed ones have in common with it.

use bytes::Bytes;

use super::{LIMITS, signature};
use crate::json::{Document, Kind, Value, Writer};
use crate::money::Usage;

/// The answer. What is not one, which none is, passes as it came.
pub(in super::super) fn whole(answer: Bytes, usage: Option<&Usage>, shows_thoughts: bool) -> Bytes {
    let Ok(document) = Document::parse(answer.clone(), LIMITS) else {
        return answer;
    };
    let root = document.root();
    let choices = root.field("choices").into_iter().flat_map(|choices| choices.elements());
    let candidates: Vec<String> = (0..)
        .zip(choices)
        .map(|(place, choice)| candidate_of(place, choice, shows_thoughts))
        .collect();
    let head = Head::of(root);
    response(&head, &candidates, usage).into()
}

/// How many tokens a conversation is.
pub(in super::super) fn count(answer: Bytes) -> Bytes {
    let Ok(document) = Document::parse(answer.clone(), LIMITS) else {
        return answer;
    };
    let tokens = document.root().field("input_tokens").and_then(|tokens| tokens.as_u64());
    format!("{{\"totalTokens\":{}}}", tokens.unwrap_or(0)).into()
}

/// What every event of an answer says.
#[derive(Debug, Default, Clone)]
pub(super) struct Head {
    /// JSON.
    id: Option<String>,
    /// JSON.
    model: Option<String>,
}

impl Head {
    pub(super) fn of(answer: Value<'_>) -> Self {
        let raw = |name: &str| answer.field(name).filter(has_text).map(|text| text.raw().to_owned());
        Self {
            id: raw("id"),
            model: raw("model"),
        }
    }
}

/// One response, whole or an event of a stream.
pub(super) fn response(head: &Head, candidates: &[String], usage: Option<&Usage>) -> Vec<u8> {
    let mut to = Writer::default();
    to.open('{');
    to.key("candidates");
    to.open('[');
    candidates.iter().for_each(|candidate| to.raw(candidate));
    to.close(']');
    if let Some(usage) = usage {
        to.key("usageMetadata");
        write_usage(&mut to, usage);
    }
    if let Some(model) = &head.model {
        to.member("modelVersion", model);
    }
    if let Some(id) = &head.id {
        to.member("responseId", id);
    }
    to.close('}');
    to.finish()
}

/// Google counts what was read from the cache within the prompt, and thoughts beside the candidates.
fn write_usage(to: &mut Writer, usage: &Usage) {
    let input = usage.all_input();
    to.open('{');
    to.number("promptTokenCount", input);
    if usage.cache_read > 0 {
        to.number("cachedContentTokenCount", usage.cache_read);
    }
    to.number("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
    if usage.reasoning > 0 {
        to.number("thoughtsTokenCount", usage.reasoning);
    }
    to.number("totalTokenCount", input.saturating_add(usage.output));
    to.close('}');
}

fn candidate_of(place: u64, choice: Value<'_>, shows_thoughts: bool) -> String {
    let index = choice.get("index").and_then(|index| index.as_u64()).unwrap_or(place);
    let mut parts = Parts::new(shows_thoughts);
    let said = choice.field("message");
    let mut refusal = None;
    if let Some(said) = said {
        parts.said(said);
        for call in said.field("tool_calls").into_iter().flat_map(|calls| calls.elements()) {
            let Some(function) = call.field("function") else {
                continue;
            };
            let raw = |object: Value<'_>, name: &str| object.field(name).map(|value| value.raw().to_owned());
            let arguments = function.field("arguments").and_then(|arguments| arguments.as_str());
            parts.called(&Called {
                id: raw(call, "id"),
                name: raw(function, "name").unwrap_or_else(|| "\"\"".to_owned()),
                arguments: arguments.unwrap_or_default().into_owned(),
                signature: signed_by(call),
            });
        }
        refusal = said.field("refusal").filter(has_text).map(|text| text.raw().to_owned());
    }
    let reason = choice.field("finish_reason").and_then(|reason| reason.as_str());
    let reason = finish_reason(reason.as_deref());
    let ended = Ended {
        reason,
        refusal: refusal.as_deref(),
    };
    candidate(index, &parts.end(), Some(ended), choice.field("logprobs"))
}

/// How a candidate ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'e> {
    pub(super) reason: &'static str,
    /// JSON.
    pub(super) refusal: Option<&'e str>,
}

/// A candidate with these parts, all JSON.
pub(super) fn candidate(index: u64, parts: &[String], ended: Option<Ended<'_>>, logprobs: Option<Value<'_>>) -> String {
    let mut to = Writer::default();
    to.open('{');
    to.key("content");
    to.open('{');
    to.key("parts");
    to.open('[');
    parts.iter().for_each(|part| to.raw(part));
    to.close(']');
    to.text("role", "model");
    to.close('}');
    if let Some(ended) = ended {
        to.text("finishReason", ended.reason);
        if let Some(refusal) = ended.refusal.filter(|_| ended.reason == "SAFETY") {
            to.member("finishMessage", refusal);
        }
    }
    to.number("index", index);
    if let Some(tokens) = logprobs.and_then(|logprobs| logprobs.field("content")) {
        to.key("logprobsResult");
        write_logprobs(&mut to, tokens);
    }
    to.close('}');
    String::from_utf8(to.finish()).unwrap_or_default()
}

fn write_logprobs(to: &mut Writer, tokens: Value<'_>) {
    let one = |to: &mut Writer, token: Value<'_>| {
        to.open('{');
        to.take("token", token, "token");
        to.take("logProbability", token, "logprob");
        to.close('}');
    };
    to.open('{');
    to.key("topCandidates");
    to.open('[');
    for token in tokens.elements() {
        to.open('{');
        to.key("candidates");
        to.open('[');
        let others = token.field("top_logprobs").into_iter().flat_map(|all| all.elements());
        others.for_each(|other| one(to, other));
        to.close(']');
        to.close('}');
    }
    to.close(']');
    to.key("chosenCandidates");
    to.open('[');
    tokens.elements().for_each(|token| one(to, token));
    to.close(']');
    to.close('}');
}

/// Why the model stopped, in Gemini's words; a call of a function is a natural end there.
pub(super) fn finish_reason(finish: Option<&str>) -> &'static str {
    match finish {
        Some("length") => "MAX_TOKENS",
        Some("content_filter") => "SAFETY",
        _ => "STOP",
    }
}

/// A call that is whole.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// JSON.
    pub(super) id: Option<String>,
    /// JSON.
    pub(super) name: String,
    pub(super) arguments: String,
    /// Gemini's own, JSON.
    pub(super) signature: Option<String>,
}

/// Parts under way, each JSON. What a provider signed stands at the part that follows it, as Gemini's own signatures do.
#[derive(Debug, Default)]
pub(super) struct Parts {
    shows_thoughts: bool,
    parts: Vec<String>,
    /// Blocks that have not been told yet.
    signed: Vec<String>,
}

impl Parts {
    pub(super) fn new(shows_thoughts: bool) -> Self {
        Self {
            shows_thoughts,
            ..Self::default()
        }
    }

    /// Thoughts, images and text of a message or a piece of one.
    pub(super) fn said(&mut self, said: Value<'_>) {
        let thoughts = said.field("reasoning_content").or_else(|| said.field("reasoning"));
        if let Some(text) = thoughts.filter(|text| self.shows_thoughts && has_text(text)) {
            self.push(|to| {
                to.member("text", text.raw());
                to.member("thought", "true");
            });
        }
        let blocks = said
            .field("thinking_blocks")
            .into_iter()
            .flat_map(|blocks| blocks.elements());
        self.signed.extend(blocks.map(|block| block.raw().to_owned()));
        for image in said.field("images").into_iter().flat_map(|images| images.elements()) {
            self.image(image);
        }
        let own = signed_by(said);
        let text = said.field("content").filter(has_text);
        if text.is_some() || own.is_some() {
            let signature = own.or_else(|| self.signature());
            self.push(|to| {
                to.member("text", text.map_or("\"\"", |text| text.raw()));
                if let Some(signature) = &signature {
                    to.member("thoughtSignature", signature);
                }
            });
        }
    }

    pub(super) fn called(&mut self, call: &Called) {
        let signature = call.signature.clone().or_else(|| self.signature());
        self.push(|to| {
            to.key("functionCall");
            to.open('{');
            if let Some(id) = &call.id {
                to.member("id", id);
            }
            to.member("name", &call.name);
            to.key("args");
            arguments(to, &call.arguments);
            to.close('}');
            if let Some(signature) = &signature {
                to.member("thoughtSignature", signature);
            }
        });
    }

    /// The parts so far.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.parts)
    }

    /// The last parts, of which there is one at least: SDKs throw away an answer that ends without.
    pub(super) fn end(&mut self) -> Vec<String> {
        let signature = self.signature();
        if self.parts.is_empty() || signature.is_some() {
            self.push(|to| {
                to.text("text", "");
                if let Some(signature) = &signature {
                    to.member("thoughtSignature", signature);
                }
            });
        }
        self.take()
    }

    /// What has been signed since the last part, as JSON.
    fn signature(&mut self) -> Option<String> {
        let signed = std::mem::take(&mut self.signed);
        (!signed.is_empty()).then(|| serde_json::Value::from(signature(&signed)).to_string())
    }

    fn image(&mut self, image: Value<'_>) {
        let url = image.field("image_url").and_then(|image| image.field("url")?.as_str());
        let data = url
            .as_deref()
            .and_then(|url| url.strip_prefix("data:")?.split_once(";base64,"));
        if let Some((kind, data)) = data {
            self.push(|to| {
                to.key("inlineData");
                to.open('{');
                to.text("mimeType", kind);
                to.text("data", data);
                to.close('}');
            });
        }
    }

    fn push(&mut self, write: impl FnOnce(&mut Writer)) {
        let mut to = Writer::default();
        to.open('{');
        write(&mut to);
        to.close('}');
        self.parts.extend(String::from_utf8(to.finish()));
    }
}

/// Gemini's own signature of a message or a call, as JSON.
pub(super) fn signed_by(signed: Value<'_>) -> Option<String> {
    let extra = signed.field("extra_content")?.field("google")?;
    Some(extra.field("thought_signature").filter(has_text)?.raw().to_owned())
}

/// Always an object: what is not one is shown inside of one.
fn arguments(to: &mut Writer, arguments: &str) {
    let read = Document::parse(Bytes::copy_from_slice(arguments.as_bytes()), LIMITS);
    match read {
        Ok(document) if document.root().kind() == Kind::Object => to.raw(document.root().raw()),
        _ if arguments.trim().is_empty() => to.raw("{}"),
        _ => {
            to.open('{');
            to.text("arguments", arguments);
            to.close('}');
        }
    }
}

pub(super) fn has_text(value: &Value<'_>) -> bool {
    value.kind() == Kind::String && value.str_len() > 0
}
