//! A whole canonical answer as one of Anthropic's messages: of several choices, the first.

use bytes::Bytes;

use super::stop::{Stop, has_text};
use crate::json::{Document, Kind, Limits, Value, Writer};
use crate::money::Usage;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// The message. An answer that is not one, which none is, passes as it came.
pub(in super::super) fn whole(answer: Bytes, usage: Option<&Usage>, sequences: Vec<String>) -> Bytes {
    match Document::parse(answer.clone(), LIMITS) {
        Ok(document) => message(document.root(), usage, Stop::of(sequences)).into(),
        Err(_) => answer,
    }
}

fn message(answer: Value<'_>, usage: Option<&Usage>, mut stop: Stop) -> Vec<u8> {
    let is_first = |choice: &Value<'_>| choice.get("index").is_none_or(|index| index.as_u64() == Some(0));
    let choices = answer.field("choices");
    let choice = choices.and_then(|choices| choices.elements().find(is_first));
    let said = choice.and_then(|choice| choice.field("message"));
    let mut to = Writer::with_capacity(answer.raw().len() + 128);
    to.open('{');
    head(&mut to, answer);
    to.key("content");
    to.open('[');
    stop.has_calls = said.is_some_and(|said| blocks(&mut to, said));
    stop.has_text = said.is_some_and(|said| said.field("content").is_some_and(|text| has_text(&text)));
    to.close(']');
    if let Some(choice) = choice {
        stop.hear(choice);
    }
    stop.write(&mut to);
    to.key("usage");
    write_usage(&mut to, usage);
    to.close('}');
    to.finish()
}

/// What a message begins with, whole or streamed.
pub(super) fn head(to: &mut Writer, answer: Value<'_>) {
    to.key("id");
    to.raw(answer.field("id").map_or("\"msg\"", |id| id.raw()));
    to.text("type", "message");
    to.text("role", "assistant");
    to.key("model");
    to.raw(answer.field("model").map_or("\"\"", |model| model.raw()));
}

/// Thinking, text and calls, in this order. Whether there are calls.
fn blocks(to: &mut Writer, said: Value<'_>) -> bool {
    thoughts(to, said);
    let refused = || said.field("refusal").filter(has_text);
    if let Some(text) = said.field("content").filter(has_text).or_else(refused) {
        to.open('{');
        to.text("type", "text");
        to.member("text", text.raw());
        to.close('}');
    }
    let mut has_calls = false;
    for call in said.field("tool_calls").into_iter().flat_map(|calls| calls.elements()) {
        let Some(function) = call.field("function") else {
            continue;
        };
        has_calls = true;
        let arguments = function.field("arguments").and_then(|arguments| arguments.as_str());
        to.open('{');
        to.text("type", "tool_use");
        to.take("id", call, "id");
        to.take("name", function, "name");
        to.key("input");
        input(to, arguments.as_deref().unwrap_or_default());
        to.close('}');
    }
    has_calls
}

/// As its provider signed it; else what was said of it, which nobody has signed.
fn thoughts(to: &mut Writer, said: Value<'_>) {
    let signed = said
        .field("thinking_blocks")
        .into_iter()
        .flat_map(|blocks| blocks.elements());
    let mut is_signed = false;
    for block in signed {
        is_signed = true;
        to.raw(block.raw());
    }
    let told = said.field("reasoning_content").or_else(|| said.field("reasoning"));
    if let Some(text) = told.filter(|text| !is_signed && has_text(text)) {
        to.open('{');
        to.text("type", "thinking");
        to.member("thinking", text.raw());
        to.text("signature", "");
        to.close('}');
    }
}

/// Always an object: what is not one is shown inside of one.
fn input(to: &mut Writer, arguments: &str) {
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

/// What was used: Anthropic counts what the cache read and wrote beside the input, not inside of it.
pub(super) fn write_usage(to: &mut Writer, usage: Option<&Usage>) {
    let usage = usage.copied().unwrap_or_default();
    to.open('{');
    to.number("input_tokens", usage.input);
    to.number("cache_creation_input_tokens", usage.cache_write);
    to.number("cache_read_input_tokens", usage.cache_read);
    to.number("output_tokens", usage.output);
    to.close('}');
}
