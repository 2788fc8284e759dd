//! A streamed answer. Texts, thoughts and the plan before calls are passed on as they come; the arguments of a call from
//! the brace that opens them. The closing event is `message-end`: a stream that ends without it is broken.

use crate::answer::{Delta, Finish, FunctionDelta, PieceChoice, Pieces, ToolDelta};
use crate::chat::{Raw, Text};
use crate::errors;
use crate::event::{self, Change, Incoming, Said};
use crate::logprobs::Logprobs;
use crate::response::{Block, Call, made_up_id, unreadable};
use crate::usage::Reported;
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Kind, Operation, Target};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One answer under way.
pub struct Stream {
    /// For what the answer lacks.
    id: String,
    model: String,
    created: u64,
    pieces: Pieces,
    stage: Stage,
    /// Open calls by the provider's number; there is rarely more than one.
    open: Vec<(u64, Open)>,
    calls: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Started,
    /// Something of the answer has gone out.
    Answering,
    Stopped,
}

struct Open {
    index: u32,
    /// Whether the arguments are an object, once they have begun. A tool without parameters is called with `null` by some
    /// models; nothing of what is no object is passed on.
    is_object: Option<bool>,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        let created = target.now_ms / 1000;
        Ok(Stream {
            id: target.request_id.clone(),
            model: target.model.clone(),
            created,
            pieces: Pieces::of(&target.request_id, &target.model, created)?,
            stage: Stage::Waiting,
            open: Vec::new(),
            calls: 0,
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if self.stage != Stage::Stopped
                && let Some(incoming) = event::read(event)?
            {
                self.take(incoming, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        match self.stage {
            Stage::Stopped => Ok(Vec::new()),
            Stage::Waiting => Err(upstream("the provider's stream ended before the answer began")),
            _ => Err(upstream("the provider's stream ended before the answer was whole")),
        }
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
            "message-start" => return self.start(event.id.as_ref(), chunks),
            "message-end" => return self.stop(event.delta, chunks),
            "error" => return Err(upstream("the provider broke off with an error that says nothing")),
            _ => {}
        }
        let said = event.delta.and_then(|delta| delta.message).unwrap_or_default();
        match kind {
            "content-start" | "content-delta" => self.add(said, event.logprobs, chunks),
            "tool-plan-delta" => match said.tool_plan {
                Some(raw) => self.say(&read::<Text>(raw)?.0, None, chunks),
                None => Ok(()),
            },
            "tool-call-start" => self.open(event.index, said.tool_calls, chunks),
            "tool-call-delta" => self.add_arguments(event.index, said.tool_calls, chunks),
            "tool-call-end" => self.close(event.index, chunks),
            "citation-start" => self.cite(said.citations, chunks),
            _ => Ok(()),
        }
    }

    /// A proxy that tried again behind our back starts the message a second time: harmless until something has gone out.
    fn start(&mut self, id: Option<&Text>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match self.stage {
            Stage::Answering => {
                return Err(upstream(
                    "the provider began the answer anew after a part had been sent",
                ));
            }
            Stage::Waiting => {}
            _ => return Ok(()),
        }
        self.stage = Stage::Started;
        let id = id.map_or(&*self.id, |id| &id.0);
        self.pieces = Pieces::of(id, &self.model, self.created)?;
        let role = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.send(role, None, None, chunks)
    }

    fn add(&mut self, said: Said, logprobs: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = said.content else { return Ok(()) };
        let block: Block = read(raw)?;
        if let Some(Text(thinking)) = block.thinking.filter(|text| !text.0.is_empty()) {
            let delta = Delta {
                reasoning_content: Some(&thinking),
                ..Delta::default()
            };
            self.send(delta, None, None, chunks)?;
        }
        match block.text {
            Some(Text(text)) => self.say(&text, logprobs.and_then(Logprobs::read), chunks),
            None => Ok(()),
        }
    }

    fn say(&mut self, text: &str, logprobs: Option<Logprobs>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if text.is_empty() && logprobs.is_none() {
            return Ok(());
        }
        let delta = Delta {
            content: Some(text),
            ..Delta::default()
        };
        self.send(delta, logprobs, None, chunks)
    }

    /// A call is numbered as it comes, whatever number the provider gives it; a number that is still open is closed first.
    fn open(&mut self, number: u64, call: Option<Raw>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(raw) = call else { return Ok(()) };
        self.close(number, chunks)?;
        let call: Call = read(raw)?;
        let index = self.calls;
        self.calls += 1;
        let made_up;
        let id = match &call.id {
            Some(id) => &id.0,
            None => {
                made_up = made_up_id(&self.id, index);
                made_up.as_str()
            }
        };
        let (name, arguments) = call
            .function
            .map_or((None, None), |called| (called.name, called.arguments));
        let begin = ToolDelta {
            index,
            id: Some(id),
            kind: Some("function"),
            function: FunctionDelta {
                name: Some(name.as_ref().map_or("", |name| &name.0)),
                arguments: "",
            },
        };
        self.call(begin, chunks)?;
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
        let delta = arguments_of(open.index, more);
        self.call(delta, chunks)
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
            Open { index, .. } => self.call(arguments_of(index, "{}"), chunks),
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
        self.send(delta, None, None, chunks)
    }

    /// The closing event. A provider that never said why it stopped has stopped all the same.
    fn stop(&mut self, end: Option<Change>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(upstream("the provider's stream ended before the answer began"));
        }
        let (reason, usage, error) = end.map_or((None, None, None), |end| (end.finish_reason, end.usage, end.error));
        let reason = reason.as_ref().map(|reason| &*reason.0);
        let error = error.as_ref().map_or("", |error| &*error.0);
        let finish = Finish::of(reason, self.calls > 0).map_err(|kind| errors::broken_off(kind, reason, error))?;
        while let Some((number, _)) = self.open.first() {
            self.close(*number, chunks)?;
        }
        self.send(Delta::default(), None, Some(finish), chunks)?;
        self.stage = Stage::Stopped;
        let reported = usage.map(Reported::read).unwrap_or_default();
        if let Some(usage) = reported.billed() {
            chunks.push(Chunk {
                data: self.pieces.write(&[], reported.counts())?,
                usage: Some(usage),
            });
        }
        Ok(())
    }

    fn call(&mut self, delta: ToolDelta, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let delta = Delta {
            tool_calls: Some([delta]),
            ..Delta::default()
        };
        self.send(delta, None, None, chunks)
    }

    fn send(
        &mut self,
        delta: Delta,
        logprobs: Option<Logprobs>,
        finish_reason: Option<Finish>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(upstream("the provider's stream begins in the middle of an answer"));
        }
        if delta.role.is_none() {
            self.stage = Stage::Answering;
        }
        let choice = PieceChoice {
            index: 0,
            delta,
            logprobs,
            finish_reason,
        };
        chunks.push(Chunk::new(self.pieces.write(&[choice], None)?));
        Ok(())
    }
}

fn arguments_of(index: u32, arguments: &str) -> ToolDelta<'_> {
    ToolDelta {
        index,
        id: None,
        kind: None,
        function: FunctionDelta { name: None, arguments },
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

fn upstream(message: &str) -> Failure {
    Failure::new(Kind::Upstream, message)
}
