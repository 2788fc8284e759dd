//! A streamed answer on its way to the client: one choice, whose pieces come in an order that clients rely on. First the role,
//! then what is said and called, then one finish, then what was used. A stream that ends without its closing is broken.

use super::{Counts, Delta, Ending, Finish, Logprobs, Piece, Pieces, ToolDelta, made_up_id, upstream};
use crate::{Chunk, Failure, Target, Usage};

/// One answer under way.
#[derive(Debug)]
pub struct Telling {
    /// For what the answer lacks.
    id: String,
    model: String,
    created: u64,
    pieces: Pieces,
    stage: Stage,
    calls: u32,
    finish: Option<Finish>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Started,
    /// Something of the answer has gone out.
    Answering,
    Stopped,
}

impl Telling {
    /// Nothing has come yet.
    pub fn of(target: &Target) -> Result<Self, Failure> {
        let created = target.now_ms / 1000;
        Ok(Telling {
            id: target.request_id.clone(),
            model: target.model.clone(),
            created,
            pieces: Pieces::of(&target.request_id, &target.model, created)?,
            stage: Stage::Waiting,
            calls: 0,
            finish: None,
        })
    }

    /// Whether the answer has begun.
    pub fn is_started(&self) -> bool {
        self.stage != Stage::Waiting
    }

    /// Whether the closing event has come: whatever follows it is not looked at.
    pub fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether a finish has been told.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The first event. A proxy that tried again behind our back starts the message a second time: harmless until something
    /// has gone out.
    pub fn start(&mut self, id: Option<&str>, model: Option<&str>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
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
        self.pieces = Pieces::of(id.unwrap_or(&self.id), model.unwrap_or(&self.model), self.created)?;
        let role = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.send(role, chunks)
    }

    /// A piece of text; an empty one is none.
    pub fn say(&mut self, text: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match text {
            "" => Ok(()),
            text => self.send(
                Delta {
                    content: Some(text),
                    ..Delta::default()
                },
                chunks,
            ),
        }
    }

    /// A piece of reasoning; an empty one is none.
    pub fn reason(&mut self, text: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        match text {
            "" => Ok(()),
            text => self.send(
                Delta {
                    reasoning_content: Some(text),
                    ..Delta::default()
                },
                chunks,
            ),
        }
    }

    /// The beginning of a call, which is numbered as it comes, whatever number the provider gives it.
    pub fn call(&mut self, id: Option<&str>, name: &str, chunks: &mut Vec<Chunk>) -> Result<u32, Failure> {
        let index = self.calls;
        self.calls += 1;
        let made_up;
        let id = match id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => {
                made_up = made_up_id(&self.id, index);
                &made_up
            }
        };
        let delta = Delta {
            tool_calls: Some([ToolDelta::begin(index, id, name, "")]),
            ..Delta::default()
        };
        self.send(delta, chunks)?;
        Ok(index)
    }

    /// More arguments of a call.
    pub fn add_arguments(&mut self, index: u32, more: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let delta = Delta {
            tool_calls: Some([ToolDelta::more(index, more)]),
            ..Delta::default()
        };
        self.send(delta, chunks)
    }

    /// Any other piece.
    pub fn send(&mut self, delta: Delta, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.write(delta, None, None, chunks)
    }

    /// A piece with its likelihood.
    pub fn likely(&mut self, delta: Delta, logprobs: Option<Logprobs>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.write(delta, logprobs, None, chunks)
    }

    /// Why the answer ended; only the first reason counts.
    pub fn end<'e>(&mut self, ending: impl Into<Ending<'e>>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let ending = ending.into();
        if self.finish.is_some() {
            return Ok(());
        }
        self.finish = Some(ending.finish);
        self.write(Delta::default(), None, Some(ending), chunks)
    }

    /// The closing event, and what was used.
    pub fn stop(&mut self, used: Option<(Usage, Counts)>, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(upstream("the provider's stream ended before the answer began"));
        }
        self.stage = Stage::Stopped;
        if let Some((used, counts)) = used {
            chunks.push(self.pieces.usage(used, counts)?);
        }
        Ok(())
    }

    /// The end of the body.
    pub fn finish(&self) -> Result<Vec<Chunk>, Failure> {
        match self.stage {
            Stage::Stopped => Ok(Vec::new()),
            Stage::Waiting => Err(upstream("the provider's stream ended before the answer began")),
            _ => Err(upstream("the provider's stream ended before the answer was whole")),
        }
    }

    fn write(
        &mut self,
        delta: Delta,
        logprobs: Option<Logprobs>,
        ending: Option<Ending>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if self.stage == Stage::Waiting {
            return Err(upstream("the provider's stream begins in the middle of an answer"));
        }
        if delta.role.is_none() {
            self.stage = Stage::Answering;
        }
        let piece = Piece {
            index: 0,
            delta,
            logprobs,
            finish_reason: ending.as_ref().map(|ending| ending.finish),
            native_finish_reason: ending.as_ref().and_then(|ending| ending.native),
            stop_reason: ending.as_ref().and_then(|ending| ending.sequence.as_deref()),
        };
        chunks.push(self.pieces.piece(piece)?);
        Ok(())
    }
}
