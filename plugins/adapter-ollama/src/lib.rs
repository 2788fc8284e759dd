//! Speaks to Ollama's own API: OpenAI's chat completions and embeddings in, OpenAI's answers out. Its endpoint in OpenAI's dialect
//! knows less: the size of the context, what stays loaded, and how a model thinks can be said here only.
//!
//! A conversation goes through `request.rs`, a whole answer through `response.rs`, a streamed one, which is JSON by the line,
//! through `stream.rs`, texts for vectors through `embedding.rs`, an error through `errors.rs`. `settings.rs` has what the
//! configuration may say. `docs/adapters/ollama.md` has the whole of it as tables.

mod body;
mod conversation;
mod embedding;
mod errors;
mod options;
mod request;
mod response;
mod settings;
mod stream;

pub use crate::stream::Stream;
use pointsman_plugin::translate::refuse;
use pointsman_plugin::{
    Adapter, Answer, Authentication, Dialects, Failure, Framing, Operation, Outgoing, Profile, Target,
};

/// How people call the provider.
const PROVIDER: &str = "Ollama";

/// The adapter.
pub struct Ollama;

impl Adapter for Ollama {
    type Stream = Stream;

    fn describe() -> Profile {
        Profile {
            operations: vec![Operation::Chat, Operation::Embedding],
            framing: Framing::JsonLines,
            // A server of one's own wants no key; ollama.com does.
            authentication: Authentication::Bearer,
            speaks: Dialects::empty(),
            base_url: Some("http://localhost:11434".to_owned()),
            paths: Vec::new(),
            headers: Vec::new(),
            limit_headers: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        match operation {
            Operation::Chat => request::encode(target, is_stream, body),
            Operation::Embedding => embedding::encode(target, body),
            _ => Err(refuse(
                "the adapter `ollama` serves chat completions and embeddings only",
            )),
        }
    }

    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            Operation::Embedding => embedding::decode(target, body),
            _ => response::decode(target, body),
        }
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

pointsman_plugin::export_adapter!(Ollama);
