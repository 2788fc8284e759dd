//! A streamed canonical answer as Gemini's events. Text goes out as it comes; calls, which Gemini tells whole, go out with the end of
//! their candidate, and so do why it ended and what was used.

use bytes::BytesMut;

use super::super::Surface;
use super::super::telling::Tells;
use super::answer::{Called, Ended, Head, Parts, candidate, finish_reason, has_text, response, signed_by};
use crate::error::ApiError;
use crate::json::Value;
use crate::money::Usage;

/// How far a stream is.
#[derive(Debug)]
pub(in super::super) struct Events {
    shows_thoughts: bool,
    head: Head,
    choices: Vec<Choice>,
}

/// One candidate under way; there is rarely more than one.
#[derive(Debug)]
struct Choice {
    index: u64,
    parts: Parts,
    /// By the provider's number.
    calls: Vec<(u64, Called)>,
    finish: Option<String>,
    /// The text so far.
    refusal: String,
}

impl Events {
    pub(in super::super) fn new(shows_thoughts: bool) -> Self {
        Self {
            shows_thoughts,
            head: Head::default(),
            choices: Vec::new(),
        }
    }

    /// The candidate of a choice, which may be new.
    fn choice(&mut self, index: u64) -> &mut Choice {
        let known = self.choices.iter().position(|choice| choice.index == index);
        let at = known.unwrap_or_else(|| {
            self.choices.push(Choice {
                index,
                parts: Parts::new(self.shows_thoughts),
                calls: Vec::new(),
                finish: None,
                refusal: String::new(),
            });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }
}

impl Choice {
    fn read(&mut self, choice: Value<'_>) {
        if let Some(delta) = choice.field("delta") {
            self.parts.said(delta);
            for call in delta.field("tool_calls").into_iter().flat_map(|calls| calls.elements()) {
                self.call(call);
            }
            let refusal = delta.field("refusal").and_then(|text| text.as_str());
            self.refusal.push_str(&refusal.unwrap_or_default());
        }
        let reason = choice.field("finish_reason").and_then(|reason| reason.as_str());
        self.finish = reason.map(String::from).or(self.finish.take());
    }

    fn call(&mut self, call: Value<'_>) {
        let number = call.get("index").and_then(|index| index.as_u64()).unwrap_or(0);
        let function = call.field("function");
        let known = self.calls.iter().position(|(known, _)| *known == number);
        let at = known.unwrap_or_else(|| {
            self.calls.push((number, Called::default()));
            self.calls.len() - 1
        });
        let (_, called) = &mut self.calls[at];
        let name = function.and_then(|function| function.field("name")).filter(has_text);
        if let Some(name) = name {
            called.name = name.raw().to_owned();
        }
        if let Some(id) = call.field("id").filter(has_text) {
            called.id = Some(id.raw().to_owned());
        }
        called.signature = signed_by(call).or(called.signature.take());
        let arguments = function.and_then(|function| function.field("arguments")?.as_str());
        called.arguments.push_str(&arguments.unwrap_or_default());
    }
}

impl Tells for Events {
    fn tell(&mut self, chunk: Value<'_>, out: &mut BytesMut) {
        if self.choices.is_empty() {
            self.head = Head::of(chunk);
        }
        let mut candidates = Vec::new();
        for read in chunk
            .field("choices")
            .into_iter()
            .flat_map(|choices| choices.elements())
        {
            let index = read.get("index").and_then(|index| index.as_u64()).unwrap_or(0);
            let choice = self.choice(index);
            choice.read(read);
            let parts = choice.parts.take();
            if !parts.is_empty() {
                candidates.push(candidate(index, &parts, None, read.field("logprobs")));
            }
        }
        if !candidates.is_empty() {
            event(out, &response(&self.head, &candidates, None));
        }
    }

    fn restart(&mut self, _: &mut BytesMut) {
        for choice in &mut self.choices {
            // What was not told yet belongs to the one before.
            choice.parts = Parts::new(self.shows_thoughts);
        }
    }

    fn end(&mut self, usage: Option<&Usage>, out: &mut BytesMut) {
        if self.choices.is_empty() {
            self.choice(0);
        }
        let end = |choice: &mut Choice| {
            // The rest of a call that was never begun is none.
            for (_, call) in choice.calls.drain(..).filter(|(_, call)| !call.name.is_empty()) {
                choice.parts.called(&call);
            }
            let refusal = serde_json::Value::from(std::mem::take(&mut choice.refusal));
            let refusal = (refusal != "").then(|| refusal.to_string());
            let ended = Ended {
                reason: finish_reason(choice.finish.as_deref()),
                refusal: refusal.as_deref(),
            };
            candidate(choice.index, &choice.parts.end(), Some(ended), None)
        };
        let candidates: Vec<String> = self.choices.iter_mut().map(end).collect();
        event(out, &response(&self.head, &candidates, usage));
    }

    fn fail(&mut self, error: &ApiError, id: &str, out: &mut BytesMut) {
        out.extend_from_slice(&Surface::StreamGenerateContent.error_event(error, id));
    }
}

fn event(out: &mut BytesMut, data: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}
