//! A streamed canonical answer as Anthropic's events. Content blocks are opened where a kind of content begins and closed where
//! another does; calls that a provider tells side by side stay open side by side. What was used is told at the end, where it is known;
//! at the beginning the input is an estimate.

use bytes::{Bytes, BytesMut};

use super::super::Surface;
use super::super::telling::Tells;
use super::answer::{head, write_usage};
use super::stop::{Stop, has_text};
use crate::error::ApiError;
use crate::json::{Document, Kind, Limits, Value, Writer};
use crate::money::Usage;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// How far a stream is.
#[derive(Debug, Default)]
pub(in super::super) struct Events {
    is_started: bool,
    /// Tokens of input, estimated.
    expected: u32,
    /// The number of the next block.
    next: u64,
    open: Vec<Open>,
    stop: Stop,
}

/// A block that has been begun.
#[derive(Debug)]
struct Open {
    block: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text,
    Thinking,
    /// A call with the provider's number and its arguments so far.
    Call(u64, String),
}

impl Events {
    /// Of an answer to a request of about so many tokens that stops at these.
    pub(in super::super) fn of(input_tokens: u32, sequences: Vec<String>) -> Self {
        Self {
            expected: input_tokens,
            stop: Stop::of(sequences),
            ..Self::default()
        }
    }

    fn start(&self, chunk: Value<'_>, out: &mut BytesMut) {
        event(out, "message_start", |to| {
            to.key("message");
            to.open('{');
            head(to, chunk);
            to.member("content", "[]");
            to.member("stop_reason", "null");
            to.member("stop_sequence", "null");
            to.key("usage");
            let expected = Usage {
                input: self.expected.into(),
                ..Usage::default()
            };
            write_usage(to, Some(&expected));
            to.close('}');
        });
    }

    /// Thinking as it comes, and its signature when it is whole.
    fn thought(&mut self, delta: Value<'_>, out: &mut BytesMut) {
        let told = delta.field("reasoning_content").or_else(|| delta.field("reasoning"));
        if let Some(text) = told.filter(has_text) {
            let block = self.thinking(out);
            add(out, block, "thinking_delta", "thinking", text.raw());
        }
        for block in delta
            .field("thinking_blocks")
            .into_iter()
            .flat_map(|blocks| blocks.elements())
        {
            if let Some(data) = block.field("data") {
                self.block(
                    |_| false,
                    out,
                    |to| {
                        to.text("type", "redacted_thinking");
                        to.member("data", data.raw());
                        Content::Thinking
                    },
                );
            } else if let Some(signature) = block.field("signature") {
                let is_told = self.open.iter().any(|open| matches!(open.content, Content::Thinking));
                let number = self.thinking(out);
                if let Some(text) = block.field("thinking").filter(|text| !is_told && has_text(text)) {
                    add(out, number, "thinking_delta", "thinking", text.raw());
                }
                add(out, number, "signature_delta", "signature", signature.raw());
            }
            self.close(out, |_| true);
        }
    }

    fn thinking(&mut self, out: &mut BytesMut) -> u64 {
        self.block(
            |content| matches!(content, Content::Thinking),
            out,
            |to| {
                to.text("type", "thinking");
                to.text("thinking", "");
                to.text("signature", "");
                Content::Thinking
            },
        )
    }

    fn call(&mut self, call: Value<'_>, out: &mut BytesMut) {
        let index = call.get("index").and_then(|index| index.as_u64()).unwrap_or(0);
        let function = call.field("function");
        let is_this = |content: &Content| matches!(content, Content::Call(number, _) if *number == index);
        let name = function.and_then(|function| function.field("name"));
        let is_open = self.open.iter().any(|open| is_this(&open.content));
        if !is_open && name.is_none() {
            // The rest of a call that was whole, or a piece of none.
            return;
        }
        let block = self.block(is_this, out, |to| {
            to.text("type", "tool_use");
            to.key("id");
            match call.field("id") {
                Some(id) => to.raw(id.raw()),
                None => to.string(&format!("call_{index}")),
            }
            to.key("name");
            to.raw(name.map_or("\"\"", |name| name.raw()));
            to.member("input", "{}");
            Content::Call(index, String::new())
        });
        self.stop.has_calls = true;
        let piece = function
            .and_then(|function| function.field("arguments"))
            .filter(has_text);
        let Some(piece) = piece else { return };
        add(out, block, "input_json_delta", "partial_json", piece.raw());
        let open = self.open.iter_mut().find(|open| open.block == block);
        if let Some(Open {
            content: Content::Call(_, arguments),
            ..
        }) = open
        {
            arguments.push_str(&piece.as_str().unwrap_or_default());
        }
    }

    /// The open block of this kind, or a new one. What is whole is closed before another begins.
    fn block(
        &mut self,
        is_wanted: impl Fn(&Content) -> bool,
        out: &mut BytesMut,
        begin: impl FnOnce(&mut Writer) -> Content,
    ) -> u64 {
        if let Some(open) = self.open.iter().find(|open| is_wanted(&open.content)) {
            return open.block;
        }
        let mut to = Writer::default();
        to.open('{');
        let content = begin(&mut to);
        to.close('}');
        let is_call = matches!(content, Content::Call(..));
        self.close(out, |open| !is_call || open.is_whole());
        let block = self.next;
        self.next += 1;
        let written = to.finish();
        let described = std::str::from_utf8(&written).unwrap_or("{}");
        event(out, "content_block_start", |to| {
            to.number("index", block);
            to.member("content_block", described);
        });
        self.open.push(Open { block, content });
        block
    }

    fn close(&mut self, out: &mut BytesMut, is_over: impl Fn(&Content) -> bool) {
        self.open.retain(|open| {
            let is_over = is_over(&open.content);
            if is_over {
                event(out, "content_block_stop", |to| to.number("index", open.block));
            }
            !is_over
        });
    }
}

impl Tells for Events {
    fn tell(&mut self, chunk: Value<'_>, out: &mut BytesMut) {
        let is_first = |choice: &Value<'_>| choice.get("index").is_none_or(|index| index.as_u64() == Some(0));
        let choices = chunk.field("choices");
        // What comes before the first choice, Azure's judgement of the prompt say, knows neither id nor model.
        let Some(choice) = choices.and_then(|choices| choices.elements().find(is_first)) else {
            return;
        };
        if !std::mem::replace(&mut self.is_started, true) {
            self.start(chunk, out);
        }
        if let Some(delta) = choice.field("delta") {
            self.thought(delta, out);
            let said = delta.field("content").filter(has_text);
            self.stop.has_text |= said.is_some();
            if let Some(text) = said.or_else(|| delta.field("refusal").filter(has_text)) {
                let block = self.block(
                    |content| matches!(content, Content::Text),
                    out,
                    |to| {
                        to.text("type", "text");
                        to.text("text", "");
                        Content::Text
                    },
                );
                add(out, block, "text_delta", "text", text.raw());
            }
            for call in delta.field("tool_calls").into_iter().flat_map(|calls| calls.elements()) {
                self.call(call, out);
            }
        }
        self.stop.hear(choice);
    }

    fn restart(&mut self, out: &mut BytesMut) {
        self.close(out, |_| true);
    }

    fn end(&mut self, usage: Option<&Usage>, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.is_started, true) {
            let nothing = Document::parse(Bytes::from_static(b"{}"), LIMITS);
            let _ = nothing.map(|nothing| self.start(nothing.root(), out));
        }
        self.close(out, |_| true);
        event(out, "message_delta", |to| {
            to.key("delta");
            to.open('{');
            self.stop.write(to);
            to.close('}');
            to.key("usage");
            write_usage(to, usage);
        });
        event(out, "message_stop", |_| {});
    }

    fn fail(&mut self, error: &ApiError, id: &str, out: &mut BytesMut) {
        out.extend_from_slice(&Surface::Messages.error_event(error, id));
    }
}

impl Content {
    /// Whether nothing can follow: of calls, which may come side by side, those whose arguments are an object.
    fn is_whole(&self) -> bool {
        let Self::Call(_, arguments) = self else { return true };
        let read = Document::parse(Bytes::copy_from_slice(arguments.as_bytes()), LIMITS);
        read.is_ok_and(|document| document.root().kind() == Kind::Object)
    }
}

fn add(out: &mut BytesMut, block: u64, kind: &str, member: &str, json: &str) {
    event(out, "content_block_delta", |to| {
        to.number("index", block);
        to.key("delta");
        to.open('{');
        to.text("type", kind);
        to.member(member, json);
        to.close('}');
    });
}

fn event(out: &mut BytesMut, name: &str, write: impl FnOnce(&mut Writer)) {
    let mut to = Writer::default();
    to.open('{');
    to.text("type", name);
    write(&mut to);
    to.close('}');
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(&to.finish());
    out.extend_from_slice(b"\n\n");
}
