//! Speaks to Anthropic's Messages API: OpenAI's chat completions in, OpenAI's answers out.
//!
//! The request goes through `request.rs`, a whole answer through `response.rs`, a streamed one through `stream.rs`, an
//! error through `errors.rs`. `settings.rs` has what the configuration may say. What has no counterpart here is left out
//! and named or, where the settings say so, refused.

mod citations;
mod content;
mod conversation;
mod errors;
mod event;
mod messages;
mod request;
mod response;
mod settings;
mod stream;
mod thinking;
mod tools;
mod usage;

pub use crate::stream::Stream;
use pointsman_plugin::{
    Adapter, Answer, Authentication, Dialects, Failure, Framing, Operation, Outgoing, Profile, Target,
};

/// How people call the provider.
const PROVIDER: &str = "Anthropic";

const MESSAGES_PATH: &str = "/v1/messages";
const COUNT_PATH: &str = "/v1/messages/count_tokens";

/// The adapter.
pub struct Anthropic;

impl Adapter for Anthropic {
    type Stream = Stream;

    fn describe() -> Profile {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Profile {
            operations: vec![Operation::Chat, Operation::CountTokens],
            framing: Framing::ServerSentEvents,
            authentication: Authentication::Header("x-api-key".to_owned()),
            speaks: Dialects::ANTHROPIC_MESSAGES,
            base_url: Some("https://api.anthropic.com".to_owned()),
            paths: vec![
                (Operation::Chat, MESSAGES_PATH.to_owned()),
                (Operation::CountTokens, COUNT_PATH.to_owned()),
            ],
            headers: vec![pair("anthropic-version", "2023-06-01")],
            limit_headers: vec![
                pair("requests-left", "anthropic-ratelimit-requests-remaining"),
                pair("tokens-left", "anthropic-ratelimit-tokens-remaining"),
                pair("requests-reset", "anthropic-ratelimit-requests-reset"),
                pair("tokens-reset", "anthropic-ratelimit-tokens-reset"),
            ],
            extras: Vec::new(),
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        request::encode(operation, target, is_stream, body)
    }

    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        match operation {
            Operation::CountTokens => Ok(Answer::new(body)),
            _ => response::decode(target, body),
        }
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

pointsman_plugin::export_adapter!(Anthropic);
