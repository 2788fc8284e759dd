//! A streamed answer. The provider numbers blocks of every kind; here only calls are numbered, from 0, and a block's text
//! is passed on as it comes. The closing event is `message_stop`: a stream that ends without it is broken.

use crate::citations;
use crate::errors;
use crate::event::{self, Change};
use crate::response::{Block, Response, StopDetails, ending_of};
use crate::usage::Reported;
use pointsman_plugin::translate::{
    Annotation, Delta, IndexedThinking, Telling, Text, ThinkingBlock, arguments, upstream,
};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Operation, Target};

/// One answer under way.
pub struct Stream {
    telling: Telling,
    /// Open blocks by the provider's number; there is rarely more than one.
    open: Vec<(u64, Open)>,
    thoughts: u32,
    /// Characters of text so far.
    said: usize,
    reported: Reported,
}

enum Open {
    /// With the characters before it, and JSON of what it cites.
    Text {
        before: usize,
        citations: Vec<String>,
    },
    /// `input` is what the block began with; it counts if no arguments follow.
    Call {
        index: u32,
        has_arguments: bool,
        input: Box<str>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            telling: Telling::of(target)?,
            open: Vec::new(),
            thoughts: 0,
            said: 0,
            reported: Reported::default(),
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if !self.telling.is_stopped() {
                self.take(event, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        self.telling.finish()
    }
}

impl Stream {
    fn take(&mut self, event: &Event, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(event) = event::read(event)? else {
            return Ok(());
        };
        if let Some(reason) = &event.error {
            return Err(errors::explain_event(reason));
        }
        match (event.kind.as_ref(), event.message, event.content_block, event.delta) {
            ("message_start", Some(message), ..) => self.start(message, chunks),
            ("content_block_start", _, Some(block), _) => self.open(event.index, block, chunks),
            ("content_block_delta", .., Some(delta)) => self.add(event.index, delta, chunks),
            ("content_block_stop", ..) => self.close(event.index, chunks),
            ("message_delta", .., delta) => {
                self.reported
                    .update(event.usage.map(Reported::read).unwrap_or_default());
                let Some(delta) = delta else { return Ok(()) };
                self.end(delta.stop_reason, delta.stop_sequence, delta.stop_details, chunks)
            }
            ("message_stop", ..) => self.stop(chunks),
            ("error", ..) => Err(upstream("the provider broke off with an error that says nothing")),
            _ => Ok(()),
        }
    }

    /// The content is empty, except after calls from inside the provider's own sandbox, which come whole.
    fn start(&mut self, message: Response, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let (id, model) = (message.id.as_ref(), message.model.as_ref());
        self.telling
            .start(id.map(|id| &*id.0), model.map(|model| &*model.0), chunks)?;
        self.reported
            .update(message.usage.map(Reported::read).unwrap_or_default());
        for (index, block) in (0..).zip(message.content.into_iter().flatten()) {
            self.whole(index, block, chunks)?;
        }
        match message.stop_reason {
            Some(reason) => self.end(Some(reason), message.stop_sequence, message.stop_details, chunks),
            None => Ok(()),
        }
    }

    fn whole(&mut self, index: u64, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.open(index, block, chunks)?;
        self.close(index, chunks)
    }

    fn open(&mut self, number: u64, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match block.kind.as_ref() {
            "text" => {
                let cited = block
                    .citations
                    .map(|raw| raw.get())
                    .filter(|json| *json != "[]" && *json != "null");
                let citations = cited.map(str::to_owned).into_iter().collect();
                let before = self.said;
                self.open.push((number, Open::Text { before, citations }));
                self.say(&Text::of(block.text)?, chunks)
            }
            "thinking" => {
                let thinking = Text::of(block.thinking)?.into_owned();
                let signature = Text::of(block.signature)?.into_owned();
                self.telling.reason(&thinking, chunks)?;
                self.open.push((number, Open::Thinking { thinking, signature }));
                Ok(())
            }
            "redacted_thinking" => {
                let data = Text::of(block.data)?;
                self.think(ThinkingBlock::RedactedThinking { data }, chunks)
            }
            "tool_use" => {
                let (id, name) = (Text::of(block.id)?, Text::of(block.name)?);
                let index = self.telling.call(Some(&id), &name, chunks)?;
                let input = arguments(block.input.map(|raw| raw.get())).into();
                self.open.push((
                    number,
                    Open::Call {
                        index,
                        has_arguments: false,
                        input,
                    },
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, number: u64, delta: Change, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if delta.kind == "text_delta" {
            return self.say(&Text::of(delta.text)?, chunks);
        }
        let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == number) else {
            return Ok(());
        };
        match (open, delta.kind.as_ref()) {
            (Open::Text { citations, .. }, "citations_delta") => {
                citations.extend(delta.citation.map(|raw| format!("[{}]", raw.get())));
                Ok(())
            }
            (Open::Thinking { thinking, .. }, "thinking_delta") => {
                let more = Text::of(delta.thinking)?;
                thinking.push_str(&more);
                self.telling.reason(&more, chunks)
            }
            (Open::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(&Text::of(delta.signature)?);
                Ok(())
            }
            (
                Open::Call {
                    index, has_arguments, ..
                },
                "input_json_delta",
            ) => {
                let more = Text::of(delta.partial_json)?;
                if more.is_empty() {
                    return Ok(());
                }
                *has_arguments = true;
                self.telling.add_arguments(*index, &more, chunks)
            }
            _ => Ok(()),
        }
    }

    fn say(&mut self, text: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.said += text.chars().count();
        self.telling.say(text, chunks)
    }

    /// What a text rests on is told when all of it has been said.
    fn cite(&mut self, before: usize, citations: &[String], chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let span = (before, self.said);
        let cited = citations.iter().flat_map(|json| citations::listed(json));
        let annotations: Vec<Annotation> = cited.filter_map(|cited| cited.annotation(span)).collect();
        if annotations.is_empty() {
            return Ok(());
        }
        let delta = Delta {
            annotations: &annotations,
            ..Delta::default()
        };
        self.telling.send(delta, chunks)
    }

    /// A call that had no arguments gets the empty object, and thinking its signed block.
    fn close(&mut self, number: u64, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else {
            return Ok(());
        };
        match self.open.remove(at).1 {
            Open::Text { before, citations } => self.cite(before, &citations, chunks),
            Open::Call {
                has_arguments: true, ..
            } => Ok(()),
            Open::Call { index, input, .. } => self.telling.add_arguments(index, &input, chunks),
            Open::Thinking { signature, .. } if signature.is_empty() => Ok(()),
            Open::Thinking { thinking, signature } => self.think(
                ThinkingBlock::Thinking {
                    thinking: thinking.into(),
                    signature: signature.into(),
                },
                chunks,
            ),
        }
    }

    fn end(
        &mut self,
        reason: Option<Text>,
        sequence: Option<Text>,
        details: Option<StopDetails>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let Some(reason) = reason.filter(|_| !self.telling.is_finished()) else {
            return Ok(());
        };
        while let Some((number, _)) = self.open.first() {
            self.close(*number, chunks)?;
        }
        if let Some(explanation) = details.and_then(|details| details.explanation) {
            let delta = Delta {
                refusal: Some(&explanation.0),
                ..Delta::default()
            };
            self.telling.send(delta, chunks)?;
        }
        let sequence = sequence.map(|text| text.0);
        let ending = ending_of(Some(&reason.0), sequence, self.telling.calls() > 0);
        self.telling.end(ending, chunks)
    }

    /// The closing event. A provider that never said why it stopped has stopped all the same.
    fn stop(&mut self, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.telling.is_started() {
            self.end(Some(Text::default()), None, None, chunks)?;
        }
        let used = self.reported.billed().zip(self.reported.counts());
        self.telling.stop(used, chunks)
    }

    fn think(&mut self, block: ThinkingBlock, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let index = self.thoughts;
        self.thoughts += 1;
        let delta = Delta {
            thinking_blocks: Some([IndexedThinking { index, block }]),
            ..Delta::default()
        };
        self.telling.send(delta, chunks)
    }
}
