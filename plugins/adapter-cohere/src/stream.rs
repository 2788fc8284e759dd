//! A streamed answer. Texts, thoughts and the plan before calls are passed on as they come; the arguments of a call from
//! the brace that opens them. The closing event is `message-end`: a stream that ends without it is broken.

use crate::errors;
use crate::event::{self, Change, Incoming, Said};
use crate::logprobs;
use crate::response::{Block, Call, finish_of};
use crate::usage::Reported;
use pointsman_plugin::translate::{Delta, Raw, Telling, Text, unreadable, upstream};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Kind, Operation, Target};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One answer under way.
pub struct Stream {
    telling: Telling,
    /// Open calls by the provider's number; there is rarely more than one.
    open: Vec<(u64, Open)>,
}

struct Open {
    index: u32,
    /// Whether the arguments are an object, once they have begun. A tool without parameters is called with `null` by some
    /// models; nothing of what is no object is passed on.
    is_object: Option<bool>,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            telling: Telling::of(target)?,
            open: Vec::new(),
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if !self.telling.is_stopped()
                && let Some(incoming) = event::read(event)?
            {
                self.take(incoming, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        self.telling.finish()
    }
}

impl Stream {
    fn take(&mut self, event: Incoming, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let kind = event.kind.as_ref();
        // An error's body in place of an event has no kind.
        if let ("error" | "", Some(message)) = (kind, &event.message) {
            return Err(errors::broken_off(Kind::Upstream, None, &message.0));
        }
        match kind {
            "message-start" => return self.telling.start(event.id.as_ref().map(|id| &*id.0), None, chunks),
            "message-end" => return self.stop(event.delta, chunks),
            "error" => return Err(upstream("the provider broke off with an error that says nothing")),
            _ => {}
        }
        let said = event.delta.and_then(|delta| delta.message).unwrap_or_default();
        match kind {
            "content-start" | "content-delta" => self.add(said, event.logprobs, chunks),
            "tool-plan-delta" => match said.tool_plan {
                Some(raw) => self.telling.say(&read::<Text>(raw)?.0, chunks),
                None => Ok(()),
            },
            "tool-call-start" => self.open(event.index, said.tool_calls, chunks),
            "tool-call-delta" => self.add_arguments(event.index, said.tool_calls, chunks),
            "tool-call-end" => self.close(event.index, chunks),
            "citation-start" => self.cite(said.citations, chunks),
            _ => Ok(()),
        }
    }

    fn add(&mut self, said: Said, likelihood: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = said.content else { return Ok(()) };
        let block: Block = read(raw)?;
        self.telling.reason(&block.thinking.unwrap_or_default().0, chunks)?;
        let Some(Text(text)) = block.text else { return Ok(()) };
        match likelihood.and_then(logprobs::read) {
            None => self.telling.say(&text, chunks),
            logprobs => {
                let delta = Delta {
                    content: Some(&text),
                    ..Delta::default()
                };
                self.telling.likely(delta, logprobs, chunks)
            }
        }
    }

    /// A number that is still open is closed first.
    fn open(&mut self, number: u64, call: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = call else { return Ok(()) };
        self.close(number, chunks)?;
        let call: Call = read(raw)?;
        let (name, arguments) = call
            .function
            .map_or((None, None), |called| (called.name, called.arguments));
        let id = call.id.as_ref().map(|id| &*id.0);
        let index = self.telling.call(id, &name.unwrap_or_default().0, chunks)?;
        let is_object = None;
        self.open.push((number, Open { index, is_object }));
        match arguments {
            Some(Text(more)) => self.pass(number, &more, chunks),
            None => Ok(()),
        }
    }

    fn add_arguments(&mut self, number: u64, call: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = call else { return Ok(()) };
        let call: Call = read(raw)?;
        match call.function.and_then(|called| called.arguments) {
            Some(Text(more)) => self.pass(number, &more, chunks),
            None => Ok(()),
        }
    }

    fn pass(&mut self, number: u64, more: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == number) else {
            return Ok(());
        };
        if open.is_object.is_none() && !more.trim().is_empty() {
            open.is_object = Some(more.trim_start().starts_with('{'));
        }
        if open.is_object != Some(true) || more.is_empty() {
            return Ok(());
        }
        let index = open.index;
        self.telling.add_arguments(index, more, chunks)
    }

    /// A call that had no arguments gets the empty object.
    fn close(&mut self, number: u64, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else {
            return Ok(());
        };
        match self.open.remove(at).1 {
            Open {
                is_object: Some(true), ..
            } => Ok(()),
            Open { index, .. } => self.telling.add_arguments(index, "{}", chunks),
        }
    }

    fn cite(&mut self, citation: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = citation.filter(|raw| raw.get().starts_with('{')) else {
            return Ok(());
        };
        let one_line = one_line(raw)?;
        let delta = Delta {
            citations: Some([&one_line]),
            ..Delta::default()
        };
        self.telling.send(delta, chunks)
    }

    /// The closing event. A provider that never said why it stopped has stopped all the same.
    fn stop(&mut self, end: Option<Change>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let (reason, usage, error) = end.map_or((None, None, None), |end| (end.finish_reason, end.usage, end.error));
        if self.telling.is_started() {
            let reason = reason.as_ref().map(|reason| &*reason.0);
            let error = error.as_ref().map_or("", |error| &*error.0);
            let finish =
                finish_of(reason, self.telling.calls() > 0).map_err(|kind| errors::broken_off(kind, reason, error))?;
            while let Some((number, _)) = self.open.first() {
                self.close(*number, chunks)?;
            }
            self.telling.end(finish, chunks)?;
        }
        let reported = usage.map(Reported::read).unwrap_or_default();
        self.telling.stop(reported.told_and_billed(), chunks)
    }
}

fn read<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))
}

/// A chunk is one line, and an event's data may be several. Inside of JSON's texts there are no line ends.
fn one_line(raw: Raw<'_>) -> Result<Cow<'_, RawValue>, Failure> {
    if !raw.get().contains(['\r', '\n']) {
        return Ok(Cow::Borrowed(raw));
    }
    let line = RawValue::from_string(raw.get().replace(['\r', '\n'], " "));
    line.map(Cow::Owned).map_err(|error| unreadable(&error))
}
