//! Speaks to Google's Gemini API (`generateContent`): OpenAI's chat completions and embeddings in, OpenAI's answers out.
//!
//! Texts for vectors go through `embedding.rs`. The request of a conversation goes through `request.rs`, a whole answer through `response.rs`, a streamed one through `stream.rs`, an
//! error through `errors.rs`. `settings.rs` has what the configuration may say. What has no counterpart here is left out
//! and named or, where the settings say `on_unsupported = "refuse"`, refused. The whole table is in `docs/adapters/gemini.md`.

mod calls;
mod content;
mod conversation;
mod embedding;
mod errors;
mod grounding;
mod logprobs;
mod own;
mod request;
mod response;
mod schema;
mod settings;
mod stream;
mod thinking;
mod tools;
mod usage;
mod wire;

pub use crate::stream::Stream;
use pointsman_plugin::{
    Adapter, Answer, Authentication, Dialects, Failure, Framing, Kind, Operation, Outgoing, Profile, Target,
};
use serde::Deserialize;

/// How people call the provider.
const PROVIDER: &str = "Gemini";

/// The adapter.
pub struct Gemini;

/// What `countTokens` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_tokens: u64,
}

impl Adapter for Gemini {
    type Stream = Stream;

    fn describe() -> Profile {
        Profile {
            operations: vec![Operation::Chat, Operation::CountTokens, Operation::Embedding],
            framing: Framing::ServerSentEvents,
            authentication: Authentication::Header("x-goog-api-key".to_owned()),
            speaks: Dialects::GEMINI_GENERATE,
            base_url: Some("https://generativelanguage.googleapis.com/v1beta".to_owned()),
            // The path names the model, so there is none for all of them.
            paths: Vec::new(),
            headers: Vec::new(),
            limit_headers: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        match operation {
            Operation::Embedding => embedding::encode(target, body),
            _ => request::encode(operation, target, is_stream, body),
        }
    }

    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            Operation::CountTokens => count(body),
            Operation::Embedding => embedding::decode(target, body),
            _ => response::decode(target, body),
        }
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

/// In the words of the one dialect that counts tokens for clients, Anthropic's.
fn count(body: &[u8]) -> Result<Answer, Failure> {
    let unreadable = |error| Failure::new(Kind::Upstream, format!("the provider's answer cannot be read: {error}"));
    let count: Count = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(Answer::new(format!("{{\"input_tokens\":{}}}", count.total_tokens)))
}

pointsman_plugin::export_adapter!(Gemini);
