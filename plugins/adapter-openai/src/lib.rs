//! Speaks to OpenAI, and to every provider that speaks as OpenAI does, or nearly so.
//!
//! To those that do the gateway forwards chat completions by itself, and comes here for their errors (`errors.rs`). How a
//! dialect differs is data: `settings.rs` says what there is to say, and `providers/` says it of each provider that is known.
//! Requests then go through `request.rs` and `messages.rs`; of answers `tidy.rs` changes what clients would not understand, and
//! every other byte stays. Usage is read wherever a provider tells it (`usage.rs`, `stream.rs`).

mod errors;
mod known;
mod messages;
mod request;
mod rerank;
mod settings;
mod stream;
mod tidy;
mod usage;

use crate::settings::Settings;
pub use crate::stream::Stream;
use pointsman_plugin::{Adapter, Answer, Failure, Kind, Operation, Outgoing, Passthrough, Profile, Target};

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
            path(Operation::Rerank, "/rerank"),
        ];
        Profile {
            base_url: Some("https://api.openai.com/v1".to_owned()),
            operations: paths.iter().map(|(operation, _)| *operation).collect(),
            paths,
            ..Profile::openai()
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        match Settings::of(target)? {
            Some(settings) => request::encode(&settings, operation, target, is_stream, body),
            None => Passthrough::encode(&Self::describe(), operation, target, is_stream, body),
        }
    }

    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            // Sound is no JSON, and a transcript may be plain text.
            Operation::Speech | Operation::Transcription => Ok(Answer {
                body: body.to_vec(),
                usage: usage::of(body),
            }),
            Operation::Rerank => rerank::decode(body),
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
                        usage: seen.usage(),
                        body: match operation {
                            Operation::Chat => tidy::answer(body, &seen, &target.request_id)?.into_owned(),
                            _ => body.to_vec(),
                        },
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
