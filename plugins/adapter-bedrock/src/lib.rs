//! Speaks to Amazon Bedrock's Converse API, which is one for models of many makers: OpenAI's chat completions in, OpenAI's answers
//! out. The gateway signs requests and cuts AWS's event stream into events; neither is seen here.
//!
//! The request goes through `request.rs`, a whole answer through `response.rs`, a streamed one through `stream.rs`, an error
//! through `errors.rs`. `settings.rs` has what the configuration may say, and what follows from a model's name.
//! `docs/adapters/bedrock.md` has the whole of it as tables.

mod content;
mod conversation;
mod errors;
mod request;
mod response;
mod settings;
mod stream;
mod thinking;
mod tools;
mod usage;
mod wire;

pub use crate::stream::Stream;
use pointsman_plugin::translate::refuse;
use pointsman_plugin::{
    Adapter, Answer, Authentication, Dialects, Failure, Framing, Operation, Outgoing, Profile, Target,
};

/// How people call the provider.
const PROVIDER: &str = "Bedrock";

/// The adapter.
pub struct Bedrock;

impl Adapter for Bedrock {
    type Stream = Stream;

    fn describe() -> Profile {
        Profile {
            operations: vec![Operation::Chat],
            framing: Framing::AwsEventStream,
            authentication: Authentication::AwsSigv4("bedrock".to_owned()),
            speaks: Dialects::empty(),
            base_url: Some("https://bedrock-runtime.{region}.amazonaws.com".to_owned()),
            paths: Vec::new(),
            headers: Vec::new(),
            limit_headers: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        match operation {
            Operation::Chat => request::encode(target, is_stream, body),
            _ => Err(refuse("the adapter `bedrock` serves chat completions only")),
        }
    }

    fn decode(_: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        response::decode(target, body)
    }

    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        errors::explain(status, headers, body)
    }
}

pointsman_plugin::export_adapter!(Bedrock);
