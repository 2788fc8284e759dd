//! An adapter that works until it has seen three events of a streamed answer.

use pointsman_plugin::{
    Adapter, AdapterStream, Chunk, Dialects, Event, Failure, Operation, Passthrough, Profile, Target, export_adapter,
};

struct Breaks;

impl Adapter for Breaks {
    type Stream = BreaksLater;

    /// It claims to speak no dialect as it is, so that every event passes through it.
    fn describe() -> Profile {
        Profile {
            speaks: Dialects::empty(),
            ..Profile::openai()
        }
    }
}

struct BreaksLater {
    inner: Passthrough,
    seen: usize,
}

impl AdapterStream for BreaksLater {
    fn begin(operation: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(BreaksLater {
            inner: Passthrough::begin(operation, target)?,
            seen: 0,
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        self.seen += events.len();
        assert!(self.seen < 3, "the third event is one too many");
        self.inner.push(events)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        self.inner.finish()
    }
}

export_adapter!(Breaks);
