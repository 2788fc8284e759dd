//! A streamed answer. Texts and thoughts are passed on as they come, signed thinking once it is whole, the arguments of a call from
//! the brace that opens them. `messageStop` closes the answer, and what was used follows it: a stream that ends before is broken.

use crate::errors;
use crate::response::{Call, finish_of};
use crate::usage::{Reported, Tier};
use pointsman_plugin::translate::{Counts, Delta, IndexedThinking, Raw, Telling, Text, ThinkingBlock, unreadable};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Operation, Target, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One answer under way.
pub struct Stream {
    telling: Telling,
    /// Blocks that are not over, by the provider's number.
    open: Vec<(u64, Open)>,
    /// Thinking that has gone out whole.
    thoughts: u32,
    /// What was used, where it was told before the end.
    used: Option<(Usage, Counts)>,
}

enum Open {
    Call {
        index: u32,
        /// Whether the arguments are an object, once they have begun; nothing of what is none is passed on.
        is_object: Option<bool>,
    },
    Thought(Thought),
    /// A call that the provider answers itself.
    Ignored,
}

#[derive(Default)]
struct Thought {
    text: String,
    signature: String,
    redacted: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(default)]
    content_block_index: u64,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    delta: Option<More<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    tool_use: Option<Call<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<Arguments<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow)]
    citation: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop<'a> {
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    usage: Option<Raw<'a>>,
    #[serde(borrow)]
    service_tier: Option<Tier<'a>>,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            telling: Telling::of(target)?,
            open: Vec::new(),
            thoughts: 0,
            used: None,
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if !self.telling.is_stopped() {
                self.take(event.name.as_deref().unwrap_or_default(), &event.data, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    /// An answer whose usage never came is whole all the same.
    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::new();
        if self.telling.is_finished() && !self.telling.is_stopped() {
            self.telling.stop(None, &mut chunks)?;
        }
        chunks.extend(self.telling.finish()?);
        Ok(chunks)
    }
}

impl Stream {
    /// Events of a kind that is not known are passed over.
    fn take(&mut self, name: &str, data: &[u8], chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if let Some(class) = name.strip_prefix("exception:") {
            return Err(errors::broken_off(class, data));
        }
        // Some proxies leave out the first event.
        if name.starts_with("contentBlock") && !self.telling.is_started() {
            self.telling.start(None, None, chunks)?;
        }
        match name {
            "messageStart" => self.telling.start(None, None, chunks),
            "contentBlockStart" => self.open(read(data)?, chunks),
            "contentBlockDelta" => self.add(read(data)?, chunks),
            "contentBlockStop" => self.close(read::<Block>(data)?.content_block_index, chunks),
            "messageStop" => self.end(read(data)?, chunks),
            "metadata" => {
                let metadata: Metadata = read(data)?;
                let reported = metadata.usage.map(Reported::read).unwrap_or_default();
                let reported = reported.served(metadata.service_tier);
                self.used = reported.told_and_billed();
                self.stop_if_told(chunks)
            }
            _ => Ok(()),
        }
    }

    /// A number that is still open is closed first. Texts and thoughts begin without a word.
    fn open(&mut self, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let number = block.content_block_index;
        self.close(number, chunks)?;
        let Some(call) = block.start.and_then(|start| start.tool_use) else {
            return Ok(());
        };
        let open = match call.is_the_providers() {
            true => Open::Ignored,
            false => {
                let id = call.tool_use_id.as_ref().map(|id| &*id.0);
                let index = self.telling.call(id, &call.name.unwrap_or_default().0, chunks)?;
                let is_object = None;
                Open::Call { index, is_object }
            }
        };
        self.open.push((number, open));
        Ok(())
    }

    fn add(&mut self, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let number = block.content_block_index;
        let Some(more) = block.delta else { return Ok(()) };
        self.telling.say(&more.text.unwrap_or_default().0, chunks)?;
        if let Some(Text(input)) = more.tool_use.and_then(|arguments| arguments.input) {
            self.pass(number, &input, chunks)?;
        }
        if let Some(reasoning) = more.reasoning_content {
            self.think(number, reasoning, chunks)?;
        }
        match more.citation.filter(|raw| raw.get().starts_with('{')) {
            Some(citation) => self.cite(citation, chunks),
            None => Ok(()),
        }
    }

    fn pass(&mut self, number: u64, more: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let found = self.open.iter_mut().find(|(open, _)| *open == number);
        let Some((_, Open::Call { index, is_object })) = found else {
            return Ok(());
        };
        if is_object.is_none() && !more.trim().is_empty() {
            *is_object = Some(more.trim_start().starts_with('{'));
        }
        if *is_object != Some(true) || more.is_empty() {
            return Ok(());
        }
        let index = *index;
        self.telling.add_arguments(index, more, chunks)
    }

    fn think(&mut self, number: u64, more: Reasoning, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if !self.open.iter().any(|(open, _)| *open == number) {
            self.open.push((number, Open::Thought(Thought::default())));
        }
        let found = self.open.iter_mut().find(|(open, _)| *open == number);
        if let Some((_, Open::Thought(thought))) = found {
            let pieces = [
                (&mut thought.text, &more.text),
                (&mut thought.signature, &more.signature),
                (&mut thought.redacted, &more.redacted_content),
            ];
            for (whole, piece) in pieces {
                whole.push_str(piece.as_ref().map_or("", |piece| &piece.0));
            }
        }
        self.telling.reason(&more.text.unwrap_or_default().0, chunks)
    }

    /// A chunk is one line; inside of JSON's texts there are no line ends.
    fn cite(&mut self, citation: Raw, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let line = RawValue::from_string(citation.get().replace(['\r', '\n'], " "));
        let line = line.map_err(|error| unreadable(&error))?;
        let delta = Delta {
            citations: Some([&line]),
            ..Delta::default()
        };
        self.telling.send(delta, chunks)
    }

    /// A call that had no arguments gets the empty object; thinking that was signed goes out whole, for the way back.
    fn close(&mut self, number: u64, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else {
            return Ok(());
        };
        let block = match self.open.remove(at).1 {
            Open::Call { index, is_object } if is_object != Some(true) => {
                return self.telling.add_arguments(index, "{}", chunks);
            }
            Open::Thought(thought) if !thought.redacted.is_empty() => ThinkingBlock::RedactedThinking {
                data: thought.redacted.into(),
            },
            Open::Thought(thought) if !thought.signature.is_empty() => ThinkingBlock::Thinking {
                thinking: thought.text.into(),
                signature: thought.signature.into(),
            },
            _ => return Ok(()),
        };
        let index = self.thoughts;
        self.thoughts += 1;
        let delta = Delta {
            thinking_blocks: Some([IndexedThinking { index, block }]),
            ..Delta::default()
        };
        self.telling.send(delta, chunks)
    }

    fn end(&mut self, stop: Stop, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        while let Some((number, _)) = self.open.first() {
            self.close(*number, chunks)?;
        }
        let reason = stop.stop_reason.as_ref().map(|reason| &*reason.0);
        let finish = finish_of(reason, self.telling.calls() > 0)?;
        self.telling.end(finish, chunks)?;
        self.stop_if_told(chunks)
    }

    /// What was used follows the end, and comes before it from some.
    fn stop_if_told(&mut self, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match self.used.take_if(|_| self.telling.is_finished()) {
            None => Ok(()),
            used => self.telling.stop(used, chunks),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(data).map_err(|error| unreadable(&error))
}
