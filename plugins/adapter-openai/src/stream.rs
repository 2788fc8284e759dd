//! A streamed answer: the chunks as they come, but for what clients would not understand, and what can be read of them on the way. A stream is whole when `[DONE]`
//! came, or, from providers that do not say it, when every choice has given its reason to finish.

use crate::errors;
use crate::tidy::{self, Calls};
use crate::usage::{Choice, Seen};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Kind, Operation, Target};

/// One answer under way.
#[derive(Debug, Default)]
pub struct Stream {
    is_done: bool,
    /// The choices seen, and whether each has finished.
    choices: Vec<(u64, bool)>,
    calls: Calls,
    request_id: String,
    /// What came before the answer itself, and goes out with its beginning: until then another provider could still answer.
    preamble: Vec<Chunk>,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            request_id: target.request_id.clone(),
            ..Stream::default()
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            match event.data.trim_ascii() {
                b"" => {}
                b"[DONE]" => self.is_done = true,
                _ if self.is_done => {}
                data => {
                    let taken = self.take(data)?;
                    if taken.is_some() {
                        chunks.append(&mut self.preamble);
                    }
                    chunks.extend(taken);
                }
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        let is_whole = !self.choices.is_empty() && self.choices.iter().all(|(_, has_finished)| *has_finished);
        match self.is_done || is_whole {
            true => Ok(Vec::new()),
            false => Err(Failure::new(
                Kind::Upstream,
                "the provider's stream ended before the answer was whole",
            )),
        }
    }
}

impl Stream {
    fn take(&mut self, data: &[u8]) -> Result<Option<Chunk>, Failure> {
        let seen = Seen::read(data).map_err(|error| {
            Failure::new(
                Kind::Upstream,
                format!("the provider sent an event that is not a chunk: {error}"),
            )
        })?;
        if seen.error.is_some() {
            return Err(errors::explain_inside(data));
        }
        for choice in seen.choices.iter().flatten() {
            self.follow(choice)?;
        }
        if seen.is_preamble() {
            self.preamble.push(Chunk::new(data.to_vec()));
            return Ok(None);
        }
        Ok(Some(Chunk {
            usage: seen.usage(),
            data: tidy::chunk(data, &seen, &mut self.calls, &self.request_id)?.into_owned(),
        }))
    }

    fn follow(&mut self, choice: &Choice) -> Result<(), Failure> {
        let reason = choice.finish_reason.map(|reason| reason.get());
        if matches!(reason, Some("\"error\"" | "\"network_error\"")) {
            return Err(Failure::new(
                Kind::Upstream,
                "the provider broke off the answer with an error",
            ));
        }
        let has_finished = reason.is_some_and(|reason| reason != "\"\"");
        match self.choices.iter_mut().find(|(index, _)| *index == choice.index) {
            Some((_, finished)) => *finished |= has_finished,
            None => self.choices.push((choice.index, has_finished)),
        }
        Ok(())
    }
}
