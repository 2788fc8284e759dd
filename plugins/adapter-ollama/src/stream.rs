//! A streamed answer: every line is an answer of its own with what is new, and calls come whole. The line that says `done` closes
//! it: a stream that ends without it is broken.

use crate::errors;
use crate::response::{Call, Response, Said, finish_of, image, logprobs};
use pointsman_plugin::translate::{Counts, Delta, Telling, Text, arguments, unreadable};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Operation, Target};

/// One answer under way.
pub struct Stream {
    telling: Telling,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            telling: Telling::of(target)?,
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if !self.telling.is_stopped() {
                let line: Response = serde_json::from_slice(&event.data).map_err(|error| unreadable(&error))?;
                self.take(line, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        self.telling.finish()
    }
}

impl Stream {
    fn take(&mut self, mut line: Response, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        if let Some(error) = line.error {
            return Err(errors::broken_off(error));
        }
        if !self.telling.is_started() {
            self.telling
                .start(None, line.model.as_ref().map(|model| &*model.0), chunks)?;
        }
        let said = line.message.take().unwrap_or_default();
        self.say(&said, &line, chunks)?;
        for call in said.tool_calls.into_iter().flatten() {
            self.call(call, chunks)?;
        }
        if line.done == Some(true) {
            let reason = line.done_reason.as_ref().map(|reason| &*reason.0);
            self.telling.end(finish_of(reason, self.telling.calls() > 0), chunks)?;
            let used = line.usage();
            let counted = used.map(|used| {
                let counts = Counts::of(&used);
                (used, counts)
            });
            self.telling.stop(counted, chunks)?;
        }
        Ok(())
    }

    fn say(&mut self, said: &Said, line: &Response, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.telling.reason(text(&said.thinking), chunks)?;
        match line.logprobs.and_then(logprobs) {
            None => self.telling.say(text(&said.content), chunks)?,
            likely => {
                let delta = Delta {
                    content: Some(text(&said.content)),
                    ..Delta::default()
                };
                self.telling.likely(delta, likely, chunks)?;
            }
        }
        for data in said.images.iter().flatten() {
            let delta = Delta {
                images: Some([image(&data.0)]),
                ..Delta::default()
            };
            self.telling.send(delta, chunks)?;
        }
        Ok(())
    }

    fn call(&mut self, call: Call, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let (name, given) = call
            .function
            .map_or((None, None), |called| (called.name, called.arguments));
        let id = call.id.as_ref().map(|id| &*id.0);
        let index = self.telling.call(id, &name.unwrap_or_default().0, chunks)?;
        let arguments = arguments(given.map(|raw| raw.get()));
        self.telling.add_arguments(index, arguments, chunks)
    }
}

fn text<'a>(text: &'a Option<Text>) -> &'a str {
    text.as_ref().map_or("", |text| &text.0)
}
