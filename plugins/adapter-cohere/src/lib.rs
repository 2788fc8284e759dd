//! Speaks to Cohere's API, version 2: OpenAI's chat completions and embeddings in, OpenAI's answers out, and reranking.
//!
//! Texts for vectors go through `embedding.rs`, texts to be put in order through `reranking.rs`. The request of a conversation goes through `request.rs`, a whole answer through `response.rs`, a streamed one through `stream.rs`, an
//! error through `errors.rs`. `settings.rs` has what the configuration may say. What has no counterpart here is left out
//! and named or, where the settings say so, refused; what an answer without it would be wrong about is refused always.
//! `docs/adapters/cohere.md` has the whole of it as tables.

mod body;
mod content;
mod conversation;
mod embedding;
mod errors;
mod event;
mod logprobs;
mod request;
mod reranking;
mod response;
mod settings;
mod stream;
mod thinking;
mod tools;
mod usage;

pub use crate::stream::Stream;
use pointsman_plugin::translate::refuse;
use pointsman_plugin::{
    Adapter, Answer, Authentication, Dialects, Failure, Framing, Operation, Outgoing, Profile, Target,
};

/// How people call the provider.
const PROVIDER: &str = "Cohere";

const CHAT_PATH: &str = "/v2/chat";

/// The adapter.
pub struct Cohere;

impl Adapter for Cohere {
    type Stream = Stream;

    fn describe() -> Profile {
        Profile {
            operations: vec![Operation::Chat, Operation::Embedding, Operation::Rerank],
            framing: Framing::ServerSentEvents,
            authentication: Authentication::Bearer,
            speaks: Dialects::empty(),
            base_url: Some("https://api.cohere.com".to_owned()),
            paths: Vec::new(),
            headers: Vec::new(),
            // Trial keys alone have such a header; production keys are told nothing.
            limit_headers: vec![("requests-left".to_owned(), "x-trial-endpoint-call-remaining".to_owned())],
            extras: Vec::new(),
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        match operation {
            Operation::Chat => request::encode(target, is_stream, body),
            Operation::Embedding => embedding::encode(target, body),
            Operation::Rerank => reranking::encode(target, body),
            _ => Err(refuse(
                "the adapter `cohere` serves chat completions, embeddings and reranking only",
            )),
        }
    }

    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            Operation::Embedding => embedding::decode(target, body),
            Operation::Rerank => reranking::decode(body),
            _ => response::decode(target, body),
        }
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

pointsman_plugin::export_adapter!(Cohere);
