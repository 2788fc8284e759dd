//! A streamed canonical answer as the events of a response, numbered from 0. Items are begun where a kind of content begins and
//! done where another does; calls that a provider tells side by side stay open side by side.

use bytes::{Bytes, BytesMut};

use super::super::telling::Tells;
use super::answer::{
    Echo, Head, Said, Status, call, custom_call, custom_input, has_text, message, reasoning, response,
};
use super::error_event;
use super::made::{annotations, images, item_of};
use crate::error::ApiError;
use crate::json::{Document, Kind, Limits, Value, Writer};
use crate::money::Usage;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// How far a stream is.
#[derive(Debug)]
pub(in super::super) struct Events {
    echo: Echo,
    head: Option<Head>,
    /// Of the next event.
    number: u64,
    /// JSON of those that are done, each in its place.
    items: Vec<String>,
    open: Vec<Open>,
    /// Characters of text so far, in all items.
    said: u64,
    finish: Option<String>,
}

/// An item that has been begun.
#[derive(Debug)]
struct Open {
    index: usize,
    id: String,
    content: Content,
    /// What has been said of it so far.
    text: String,
    /// JSON of how likely the tokens were.
    logprobs: Vec<String>,
    /// Characters that other items have said before.
    before: u64,
    /// JSON of what it rests on.
    annotations: Vec<String>,
}

#[derive(Debug)]
enum Content {
    /// With the blocks that their provider signed.
    Reasoning(Vec<String>),
    Text,
    Refusal,
    /// The provider's number, and JSON of the call's id and name.
    Call(u64, String, String),
    /// The same, of a tool that takes a text, which is told when all of it is there.
    Custom(u64, String, String),
}

impl Events {
    pub(in super::super) fn new(echo: Echo) -> Self {
        Self {
            echo,
            head: None,
            number: 0,
            items: Vec::new(),
            open: Vec::new(),
            said: 0,
            finish: None,
        }
    }

    fn send(&mut self, out: &mut BytesMut, name: &str, write: impl FnOnce(&mut Writer)) {
        let mut to = Writer::default();
        to.open('{');
        to.text("type", name);
        to.number("sequence_number", self.number);
        write(&mut to);
        to.close('}');
        self.number += 1;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(&to.finish());
        out.extend_from_slice(b"\n\n");
    }

    fn send_response(&mut self, out: &mut BytesMut, name: &str, status: Status<'_>) {
        let (Some(head), items, echo) = (self.head.clone(), self.items.clone(), self.echo.clone()) else {
            return;
        };
        self.send(out, name, |to| {
            to.key("response");
            response(to, &head, status, &items, &echo);
        });
    }

    fn start(&mut self, chunk: Value<'_>, out: &mut BytesMut) {
        self.head = Some(Head::of(chunk, &self.echo));
        self.send_response(out, "response.created", Status::InProgress);
        self.send_response(out, "response.in_progress", Status::InProgress);
    }

    fn delta(&mut self, delta: Value<'_>, logprobs: Option<Value<'_>>, out: &mut BytesMut) {
        let told = delta.field("reasoning_content").or_else(|| delta.field("reasoning"));
        if let Some(text) = told.filter(has_text) {
            let at = self.opened(
                |content| matches!(content, Content::Reasoning(_)),
                out,
                || Content::Reasoning(Vec::new()),
            );
            self.add(at, text, 0, out);
        }
        for block in delta
            .field("thinking_blocks")
            .into_iter()
            .flat_map(|blocks| blocks.elements())
        {
            let at = self.opened(
                |content| matches!(content, Content::Reasoning(_)),
                out,
                || Content::Reasoning(Vec::new()),
            );
            if let Content::Reasoning(signed) = &mut self.open[at].content {
                signed.push(block.raw().to_owned());
            }
        }
        if let Some(text) = delta.field("content").filter(has_text) {
            let at = self.opened(|content| matches!(content, Content::Text), out, || Content::Text);
            let tokens = logprobs.into_iter().flat_map(|list| list.elements());
            let before = self.open[at].logprobs.len();
            self.open[at]
                .logprobs
                .extend(tokens.map(|token| token.raw().to_owned()));
            self.said += text.as_str().map_or(0, |text| text.chars().count() as u64);
            self.add(at, text, before, out);
        }
        self.annotate(delta, out);
        if let Some(text) = delta.field("refusal").filter(has_text) {
            let at = self.opened(|content| matches!(content, Content::Refusal), out, || Content::Refusal);
            self.add(at, text, 0, out);
        }
        for image in images(delta) {
            self.image(&image, out);
        }
        for called in delta.field("tool_calls").into_iter().flat_map(|calls| calls.elements()) {
            self.call(called, out);
        }
    }

    /// What the text rests on that is being said; nobody looks for it when its item is done.
    fn annotate(&mut self, delta: Value<'_>, out: &mut BytesMut) {
        let Some(at) = self.open.iter().position(|open| matches!(open.content, Content::Text)) else {
            return;
        };
        for annotation in annotations(delta, self.open[at].before) {
            let open = &mut self.open[at];
            let index = open.annotations.len() as u64;
            open.annotations.push(annotation.clone());
            let mut place = Writer::default();
            open.place(&mut place);
            let place = String::from_utf8(place.finish()).unwrap_or_default();
            self.send(out, "response.output_text.annotation.added", |to| {
                to.raw(&place);
                to.number("annotation_index", index);
                to.member("annotation", &annotation);
            });
        }
    }

    /// An image comes whole.
    fn image(&mut self, image: &str, out: &mut BytesMut) {
        self.close(out, |_| true);
        let index = self.items.len();
        let response = self.head.as_ref().map_or("", |head| &*head.id);
        let id = format!("ig_{response}_{index}");
        let (begun, item) = (item_of(&id, None), item_of(&id, Some(image)));
        self.items.push(item.clone());
        let place = |to: &mut Writer| to.number("output_index", index as u64);
        self.send(out, "response.output_item.added", |to| {
            place(to);
            to.member("item", &begun);
        });
        for word in ["in_progress", "generating", "completed"] {
            self.send(out, &format!("response.image_generation_call.{word}"), |to| {
                place(to);
                to.text("item_id", &id);
            });
        }
        self.send(out, "response.output_item.done", |to| {
            place(to);
            to.member("item", &item);
        });
    }

    fn call(&mut self, called: Value<'_>, out: &mut BytesMut) {
        let number = called.get("index").and_then(|index| index.as_u64()).unwrap_or(0);
        let function = called.field("function");
        let name = function.and_then(|function| function.field("name"));
        let is_this = |content: &Content| matches!(content, Content::Call(known, ..) | Content::Custom(known, ..) if *known == number);
        let is_open = self.open.iter().any(|open| is_this(&open.content));
        if !is_open && name.is_none() {
            // The rest of a call that was whole, or a piece of none.
            return;
        }
        let is_custom = name.is_some_and(|name| self.echo.is_custom(name.raw()));
        let at = self.opened(is_this, out, || {
            let id = called
                .field("id")
                .map_or_else(|| format!("\"call_{number}\""), |id| id.raw().to_owned());
            let name = name.map_or("\"\"", |name| name.raw()).to_owned();
            match is_custom {
                true => Content::Custom(number, id, name),
                false => Content::Call(number, id, name),
            }
        });
        let piece = function.and_then(|function| function.field("arguments"));
        if let Some(piece) = piece.filter(has_text) {
            self.add(at, piece, 0, out);
        }
    }

    /// The place of the open item of this kind, or of a new one. What is whole is done before another begins.
    fn opened(
        &mut self,
        is_wanted: impl Fn(&Content) -> bool,
        out: &mut BytesMut,
        begin: impl FnOnce() -> Content,
    ) -> usize {
        if let Some(at) = self.open.iter().position(|open| is_wanted(&open.content)) {
            return at;
        }
        let content = begin();
        let is_call = content.is_call();
        self.close(out, |open| !is_call || open.is_whole());
        let index = self.items.len();
        let response = self.head.as_ref().map_or("", |head| &*head.id);
        let open = Open {
            index,
            id: format!("{}_{response}_{index}", content.prefix()),
            content,
            text: String::new(),
            logprobs: Vec::new(),
            before: self.said,
            annotations: Vec::new(),
        };
        let begun = open.item(false);
        self.items.push(begun.clone());
        self.send(out, "response.output_item.added", |to| {
            to.number("output_index", index as u64);
            to.member("item", &begun);
        });
        if let Some(name) = open.content.part_event() {
            let part = open.part("");
            self.send(out, &format!("response.{name}.added"), |to| {
                open.place(to);
                to.member("part", &part);
            });
        }
        self.open.push(open);
        self.open.len() - 1
    }

    /// `told` is how many tokens of it have been told before with how likely they were.
    fn add(&mut self, at: usize, piece: Value<'_>, told: usize, out: &mut BytesMut) {
        let open = &mut self.open[at];
        open.text.push_str(&piece.as_str().unwrap_or_default());
        if matches!(open.content, Content::Custom(..)) {
            return;
        }
        let logprobs = format!("[{}]", open.logprobs[told..].join(","));
        let event = format!("response.{}.delta", open.content.text_event());
        let mut place = Writer::default();
        open.place(&mut place);
        let place = String::from_utf8(place.finish()).unwrap_or_default();
        let is_text = matches!(open.content, Content::Text);
        self.send(out, &event, |to| {
            to.raw(&place);
            to.member("delta", piece.raw());
            if is_text {
                to.member("logprobs", &logprobs);
            }
        });
    }

    fn close(&mut self, out: &mut BytesMut, is_over: impl Fn(&Open) -> bool) {
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(is_over);
        self.open = open;
        let over: Vec<Open> = over;
        for open in over {
            self.done(&open, out);
        }
    }

    fn done(&mut self, open: &Open, out: &mut BytesMut) {
        if matches!(open.content, Content::Custom(..)) {
            let event = format!("response.{}.delta", open.content.text_event());
            self.send(out, &event, |to| {
                open.place(to);
                to.text("delta", &custom_input(&open.text));
            });
        }
        self.send(out, &format!("response.{}.done", open.content.text_event()), |to| {
            open.place(to);
            match &open.content {
                Content::Call(_, _, name) => {
                    to.member("name", name);
                    to.text("arguments", open.arguments());
                }
                Content::Custom(..) => to.text("input", &custom_input(&open.text)),
                Content::Refusal => to.text("refusal", &open.text),
                Content::Text => {
                    to.text("text", &open.text);
                    to.member("logprobs", &open.logprobs());
                }
                Content::Reasoning(_) => to.text("text", &open.text),
            }
        });
        if let Some(name) = open.content.part_event() {
            let part = open.part(&open.text);
            self.send(out, &format!("response.{name}.done"), |to| {
                open.place(to);
                to.member("part", &part);
            });
        }
        let item = open.item(true);
        self.items[open.index].clone_from(&item);
        self.send(out, "response.output_item.done", |to| {
            to.number("output_index", open.index as u64);
            to.member("item", &item);
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
        if self.head.is_none() {
            self.start(chunk, out);
        }
        if let Some(delta) = choice.field("delta") {
            let logprobs = choice.field("logprobs").and_then(|logprobs| logprobs.field("content"));
            self.delta(delta, logprobs, out);
        }
        let reason = choice.field("finish_reason").and_then(|reason| reason.as_str());
        self.finish = reason.map(String::from).or(self.finish.take());
    }

    fn restart(&mut self, out: &mut BytesMut) {
        self.close(out, |_| true);
    }

    fn end(&mut self, usage: Option<&Usage>, out: &mut BytesMut) {
        if self.head.is_none()
            && let Ok(nothing) = Document::parse(Bytes::from_static(b"{}"), LIMITS)
        {
            self.start(nothing.root(), out);
        }
        self.close(out, |_| true);
        let finish = self.finish.take();
        let status = Status::Ended(finish.as_deref(), usage);
        let name = match status.incomplete() {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.send_response(out, name, status);
    }

    fn fail(&mut self, error: &ApiError, id: &str, out: &mut BytesMut) {
        out.extend_from_slice(&error_event(error, id, Some(self.number)));
    }
}

impl Content {
    /// Calls may come side by side.
    fn is_call(&self) -> bool {
        matches!(self, Self::Call(..) | Self::Custom(..))
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Reasoning(_) => "rs",
            Self::Text | Self::Refusal => "msg",
            Self::Call(..) => "fc",
            Self::Custom(..) => "ctc",
        }
    }

    /// The events that begin and end a part of an item, where items have parts.
    fn part_event(&self) -> Option<&'static str> {
        match self {
            Self::Reasoning(_) => Some("reasoning_summary_part"),
            Self::Text | Self::Refusal => Some("content_part"),
            Self::Call(..) | Self::Custom(..) => None,
        }
    }

    /// The events that tell text.
    fn text_event(&self) -> &'static str {
        match self {
            Self::Reasoning(_) => "reasoning_summary_text",
            Self::Text => "output_text",
            Self::Refusal => "refusal",
            Self::Call(..) => "function_call_arguments",
            Self::Custom(..) => "custom_tool_call_input",
        }
    }
}

impl Open {
    /// Whether nothing can follow: of calls, which may come side by side, those whose arguments are an object.
    fn is_whole(&self) -> bool {
        let is_object = |text: &str| {
            let read = Document::parse(Bytes::copy_from_slice(text.as_bytes()), LIMITS);
            read.is_ok_and(|document| document.root().kind() == Kind::Object)
        };
        !self.content.is_call() || is_object(&self.text)
    }

    fn logprobs(&self) -> String {
        format!("[{}]", self.logprobs.join(","))
    }

    fn arguments(&self) -> &str {
        if self.text.is_empty() { "{}" } else { &self.text }
    }

    /// Where it stands.
    fn place(&self, to: &mut Writer) {
        to.text("item_id", &self.id);
        to.number("output_index", self.index as u64);
        match self.content {
            Content::Reasoning(_) => to.number("summary_index", 0),
            Content::Text | Content::Refusal => to.number("content_index", 0),
            Content::Call(..) | Content::Custom(..) => {}
        }
    }

    /// Its part with this text.
    fn part(&self, text: &str) -> String {
        match self.content {
            Content::Refusal => Said::Refusal(text).part(),
            Content::Text => Said::Text(text, &self.logprobs(), &self.annotations).part(),
            _ => serde_json::json!({"type": "summary_text", "text": text}).to_string(),
        }
    }

    fn item(&self, is_done: bool) -> String {
        match &self.content {
            Content::Reasoning(signed) => {
                let signed = (!signed.is_empty()).then(|| format!("[{}]", signed.join(",")));
                reasoning(&self.id, &self.text, signed.as_deref())
            }
            Content::Text | Content::Refusal if !is_done => message(&self.id, &Said::Nothing),
            Content::Text => message(&self.id, &Said::Text(&self.text, &self.logprobs(), &self.annotations)),
            Content::Refusal => message(&self.id, &Said::Refusal(&self.text)),
            Content::Call(_, id, name) => {
                let arguments = if is_done { self.arguments() } else { "" };
                call(&self.id, (id, name), arguments, is_done)
            }
            Content::Custom(_, id, name) => {
                let input = if is_done {
                    custom_input(&self.text)
                } else {
                    String::new()
                };
                custom_call(&self.id, (id, name), &input, is_done)
            }
        }
    }
}
