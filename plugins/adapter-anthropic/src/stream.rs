//! A streamed answer. The provider numbers blocks of every kind; here only calls are numbered, from 0, and a block's text
//! is passed on as it comes. The closing event is `message_stop`: a stream that ends without it is broken.

use crate::answer::{Delta, Finish, FunctionDelta, IndexedThinking, PieceChoice, Pieces, ThinkingBlock, ToolDelta};
use crate::chat::Text;
use crate::errors;
use crate::event::{self, Change};
use crate::response::{Block, Response, StopDetails, arguments, string};
use crate::usage::Reported;
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Kind, Operation, Target};

/// One answer under way.
pub struct Stream {
    /// For what the answer lacks.
    id: String,
    model: String,
    created: u64,
    pieces: Pieces,
    stage: Stage,
    /// Open blocks by the provider's number; there is rarely more than one.
    open: Vec<(u64, Open)>,
    calls: u32,
    thoughts: u32,
    finish: Option<Finish>,
    reported: Reported,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Started,
    /// Something of the answer has gone out.
    Answering,
    Stopped,
}

enum Open {
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
        let created = target.now_ms / 1000;
        Ok(Stream {
            id: target.request_id.clone(),
            model: target.model.clone(),
            created,
            pieces: Pieces::of(&target.request_id, &target.model, created)?,
            stage: Stage::Waiting,
            open: Vec::new(),
            calls: 0,
            thoughts: 0,
            finish: None,
            reported: Reported::default(),
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if self.stage != Stage::Stopped {
                self.take(event, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        match self.stage {
            Stage::Stopped => Ok(Vec::new()),
            Stage::Waiting => Err(Failure::new(
                Kind::Upstream,
                "the provider's stream ended before the answer began",
            )),
            _ => Err(Failure::new(
                Kind::Upstream,
                "the provider's stream ended before the answer was whole",
            )),
        }
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
                self.end(delta.stop_reason, delta.stop_details, chunks)
            }
            ("message_stop", ..) => self.stop(chunks),
            ("error", ..) => Err(Failure::new(
                Kind::Upstream,
                "the provider broke off with an error that says nothing",
            )),
            _ => Ok(()),
        }
    }

    /// A proxy that tried again behind our back starts the message a second time: harmless until something has gone out.
    /// The content is empty, except after calls from inside the provider's own sandbox, which come whole.
    fn start(&mut self, message: Response, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.stage == Stage::Answering {
            return Err(Failure::new(
                Kind::Upstream,
                "the provider began the answer anew after a part had been sent",
            ));
        }
        self.reported
            .update(message.usage.map(Reported::read).unwrap_or_default());
        if self.stage == Stage::Waiting {
            self.stage = Stage::Started;
            let id = message.id.as_ref().map_or(&*self.id, |id| &id.0);
            let model = message.model.as_ref().map_or(&*self.model, |model| &model.0);
            self.pieces = Pieces::of(id, model, self.created)?;
            self.send(
                Delta {
                    role: Some("assistant"),
                    content: Some(""),
                    ..Delta::default()
                },
                None,
                chunks,
            )?;
        }
        for (index, block) in (0..).zip(message.content.into_iter().flatten()) {
            self.whole(index, block, chunks)?;
        }
        match message.stop_reason {
            Some(reason) => self.end(Some(reason), message.stop_details, chunks),
            None => Ok(()),
        }
    }

    fn whole(&mut self, index: u64, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.open(index, block, chunks)?;
        self.close(index, chunks)
    }

    fn open(&mut self, number: u64, block: Block, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match block.kind.as_ref() {
            "text" => self.say(&string(block.text)?, chunks),
            "thinking" => {
                let (thinking, signature) = (
                    string(block.thinking)?.into_owned(),
                    string(block.signature)?.into_owned(),
                );
                if !thinking.is_empty() {
                    self.send(
                        Delta {
                            reasoning_content: Some(&thinking),
                            ..Delta::default()
                        },
                        None,
                        chunks,
                    )?;
                }
                self.open.push((number, Open::Thinking { thinking, signature }));
                Ok(())
            }
            "redacted_thinking" => self.think(
                ThinkingBlock::RedactedThinking {
                    data: string(block.data)?,
                },
                chunks,
            ),
            "tool_use" => {
                let index = self.calls;
                self.calls += 1;
                let input = arguments(block.input).into();
                self.open.push((
                    number,
                    Open::Call {
                        index,
                        has_arguments: false,
                        input,
                    },
                ));
                let (id, name) = (string(block.id)?, string(block.name)?);
                let function = FunctionDelta {
                    name: Some(&name),
                    arguments: "",
                };
                self.call(
                    ToolDelta {
                        index,
                        id: Some(&id),
                        kind: Some("function"),
                        function,
                    },
                    chunks,
                )
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, number: u64, delta: Change, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if delta.kind == "text_delta" {
            return self.say(&string(delta.text)?, chunks);
        }
        let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == number) else {
            return Ok(());
        };
        match (open, delta.kind.as_ref()) {
            (Open::Thinking { thinking, .. }, "thinking_delta") => {
                let more = string(delta.thinking)?;
                thinking.push_str(&more);
                self.send(
                    Delta {
                        reasoning_content: Some(&more),
                        ..Delta::default()
                    },
                    None,
                    chunks,
                )
            }
            (Open::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(&string(delta.signature)?);
                Ok(())
            }
            (
                Open::Call {
                    index, has_arguments, ..
                },
                "input_json_delta",
            ) => {
                let more = string(delta.partial_json)?;
                if more.is_empty() {
                    return Ok(());
                }
                *has_arguments = true;
                let index = *index;
                self.call(arguments_of(index, &more), chunks)
            }
            _ => Ok(()),
        }
    }

    /// A call that had no arguments gets the empty object, and thinking its signed block.
    fn close(&mut self, number: u64, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else {
            return Ok(());
        };
        match self.open.remove(at).1 {
            Open::Call {
                has_arguments: true, ..
            } => Ok(()),
            Open::Call { index, input, .. } => self.call(arguments_of(index, &input), chunks),
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
        details: Option<StopDetails>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if self.finish.is_some() || reason.is_none() {
            return Ok(());
        }
        while let Some((number, _)) = self.open.first() {
            self.close(*number, chunks)?;
        }
        if let Some(explanation) = details.and_then(|details| details.explanation) {
            self.send(
                Delta {
                    refusal: Some(&explanation.0),
                    ..Delta::default()
                },
                None,
                chunks,
            )?;
        }
        let finish = Finish::of(reason.as_ref().map(|reason| &*reason.0), self.calls > 0);
        self.finish = Some(finish);
        self.send(Delta::default(), Some(finish), chunks)
    }

    /// The closing event. A provider that never said why it stopped has stopped all the same.
    fn stop(&mut self, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(Failure::new(
                Kind::Upstream,
                "the provider's stream ended before the answer began",
            ));
        }
        self.end(Some(Text("".into())), None, chunks)?;
        self.stage = Stage::Stopped;
        if let Some(usage) = self.reported.billed() {
            let data = self.pieces.write(&[], self.reported.counts())?;
            chunks.push(Chunk {
                data,
                usage: Some(usage),
            });
        }
        Ok(())
    }

    fn say(&mut self, text: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match text {
            "" => Ok(()),
            text => self.send(
                Delta {
                    content: Some(text),
                    ..Delta::default()
                },
                None,
                chunks,
            ),
        }
    }

    fn call(&mut self, delta: ToolDelta, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.send(
            Delta {
                tool_calls: Some([delta]),
                ..Delta::default()
            },
            None,
            chunks,
        )
    }

    fn think(&mut self, block: ThinkingBlock, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let index = self.thoughts;
        self.thoughts += 1;
        self.send(
            Delta {
                thinking_blocks: Some([IndexedThinking { index, block }]),
                ..Delta::default()
            },
            None,
            chunks,
        )
    }

    fn send(&mut self, delta: Delta, finish_reason: Option<Finish>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(Failure::new(
                Kind::Upstream,
                "the provider's stream begins in the middle of an answer",
            ));
        }
        if delta.role.is_none() {
            self.stage = Stage::Answering;
        }
        let choice = PieceChoice {
            index: 0,
            delta,
            logprobs: None,
            finish_reason,
        };
        chunks.push(Chunk {
            data: self.pieces.write(&[choice], None)?,
            usage: None,
        });
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
