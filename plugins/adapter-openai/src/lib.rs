//! Speaks to OpenAI, and to every provider that speaks as OpenAI does: bodies are not translated. The gateway forwards chat
//! completions to these providers by itself and comes here for their errors (`errors.rs`); when the other
//! functions are called, they change nothing but the model's name and read the usage (`usage.rs`, `stream.rs`).

mod errors;
mod stream;
mod usage;

pub use crate::stream::Stream;
use pointsman_plugin::{Adapter, Answer, Failure, Kind, Operation, Profile, Target};

/// The adapter.
pub struct OpenAi;

impl Adapter for OpenAi {
    type Stream = Stream;

    fn describe() -> Profile {
        let path = |operation, path: &str| (operation, path.to_owned());
        let paths = vec![
            path(Operation::Chat, "/chat/completions"),
            path(Operation::Completion, "/completions"),
            path(Operation::Embedding, "/embeddings"),
            path(Operation::Image, "/images/generations"),
            path(Operation::Speech, "/audio/speech"),
            path(Operation::Transcription, "/audio/transcriptions"),
            path(Operation::Moderation, "/moderations"),
        ];
        Profile {
            base_url: Some("https://api.openai.com/v1".to_owned()),
            operations: paths.iter().map(|(operation, _)| *operation).collect(),
            paths,
            ..Profile::openai()
        }
    }

    fn decode(operation: Operation, _: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            // Sound is no JSON, and a transcript may be plain text.
            Operation::Speech | Operation::Transcription => Ok(Answer {
                body: body.to_vec(),
                usage: usage::of(body),
            }),
            _ if !body.trim_ascii_start().starts_with(b"{") => Err(Failure::new(
                Kind::Upstream,
                "the provider's answer is not a JSON object",
            )),
            _ => {
                let seen = usage::Seen::read(body).map_err(|error| {
                    Failure::new(Kind::Upstream, format!("the provider's answer cannot be read: {error}"))
                })?;
                match seen.error {
                    Some(_) => Err(errors::explain_inside(body)),
                    None => Ok(Answer {
                        body: body.to_vec(),
                        usage: seen.usage(),
                    }),
                }
            }
        }
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

pointsman_plugin::export_adapter!(OpenAi);
