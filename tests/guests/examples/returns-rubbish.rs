//! An adapter whose answers cannot be used, each in a way that the model's name says, and that tells whether the provider's
//! key ever got into it.

use pointsman_plugin::{
    Adapter, AdapterStream, Answer, Chunk, Dialects, Event, Failure, Kind, Operation, Passthrough, Profile, Target,
    Usage, export_adapter,
};

struct Rubbish;

impl Adapter for Rubbish {
    type Stream = RubbishStream;

    fn describe() -> Profile {
        Profile {
            speaks: Dialects::empty(),
            ..Profile::openai()
        }
    }

    fn decode(_: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        let usage = |input| Usage { input, ..Usage::none() };
        Ok(match target.model.as_str() {
            "no-json" => Answer::new("oops"),
            "twice" => Answer::new(r#"{"id":"1","id":"2"}"#),
            "wild-usage" => Answer {
                usage: Some(usage(u64::MAX)),
                ..Answer::new("{}")
            },
            _ => Answer::new(body),
        })
    }

    /// The kind of failure is as many words as the body has, and no word at all.
    fn explain(_: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        let has_key = |text: &str| text.contains("canary");
        let body = String::from_utf8_lossy(body);
        let in_header = headers.iter().any(|(_, value)| has_key(value));
        let seen = format!("key in a header: {in_header}, key in the body: {}", has_key(&body));
        Failure::new(Kind::Other(format!("Failed so: {body}")), seen)
    }
}

struct RubbishStream(Passthrough, String);

impl AdapterStream for RubbishStream {
    fn begin(operation: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(RubbishStream(
            Passthrough::begin(operation, target)?,
            target.model.clone(),
        ))
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        match self.1.as_str() {
            "no-json" => Ok(vec![Chunk::new("{oops}")]),
            _ => self.0.push(events),
        }
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        self.0.finish()
    }
}

export_adapter!(Rubbish);
