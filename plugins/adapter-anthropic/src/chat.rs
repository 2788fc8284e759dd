//! The canonical request, as far as this provider has a counterpart for it. Strings and nested JSON are borrowed from the
//! body, so that a schema or a number inside tool arguments reaches the provider exactly as the client wrote it.

use pointsman_plugin::{Failure, Kind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A string that borrows from the body unless it holds escapes. A type of its own, because serde borrows inside
/// `Option` and `Vec` only what says so itself.
#[derive(Deserialize, Clone, Debug)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

pub(crate) type Raw<'a> = &'a RawValue;

#[derive(Deserialize)]
pub(crate) struct Chat<'a> {
    #[serde(borrow, default)]
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    #[serde(borrow)]
    pub(crate) stop: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) tools: Option<Vec<Raw<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_choice: Option<Raw<'a>>,
    pub(crate) parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    pub(crate) response_format: Option<ResponseFormat<'a>>,
    #[serde(borrow)]
    pub(crate) reasoning_effort: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) user: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) safety_identifier: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    pub(crate) service_tier: Option<Text<'a>>,
    pub(crate) n: Option<u64>,

    // The provider's own words, which a client may use beside the canonical ones.
    pub(crate) top_k: Option<u64>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) output_config: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) container: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) context_management: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) mcp_servers: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) inference_geo: Option<Raw<'a>>,

    // Without a counterpart: left out, or refused where the settings say `strict`.
    pub(crate) seed: Option<IgnoredAny>,
    pub(crate) logit_bias: Option<IgnoredAny>,
    pub(crate) logprobs: Option<IgnoredAny>,
    pub(crate) top_logprobs: Option<IgnoredAny>,
    pub(crate) presence_penalty: Option<IgnoredAny>,
    pub(crate) frequency_penalty: Option<IgnoredAny>,
    pub(crate) prediction: Option<IgnoredAny>,
    pub(crate) web_search_options: Option<IgnoredAny>,
    pub(crate) verbosity: Option<IgnoredAny>,
    pub(crate) audio: Option<IgnoredAny>,
    pub(crate) functions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow)]
    pub(crate) role: Text<'a>,
    #[serde(borrow)]
    pub(crate) content: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_call_id: Option<Text<'a>>,
    /// What `decode` put there in an earlier turn; see `answer::ThinkingBlock`.
    #[serde(borrow)]
    pub(crate) thinking_blocks: Option<Vec<ThinkingBlock<'a>>>,
    /// For a message whose content is a plain string.
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ThinkingBlock<'a> {
    #[serde(borrow)]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) signature: Option<Text<'a>>,
    /// Thinking that the provider keeps to itself.
    #[serde(borrow)]
    pub(crate) data: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
}

/// One part of a content list; which members are there depends on `kind`.
#[derive(Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) image_url: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) file: Option<File<'a>>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ImageUrl<'a> {
    #[serde(borrow)]
    pub(crate) url: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct File<'a> {
    #[serde(borrow)]
    pub(crate) file_data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) filename: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<Function<'a>>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Function<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) description: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) parameters: Option<Raw<'a>>,
    pub(crate) strict: Option<bool>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct NamedChoice<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) function: Option<Name<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Name<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ResponseFormat<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct JsonSchema<'a> {
    #[serde(borrow)]
    pub(crate) schema: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub(crate) user_id: Option<Text<'a>>,
}

impl<'a> Chat<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(body).map_err(|error| refuse(format!("the request is not UTF-8: {error}")))?;
        read(text, "the request")
    }
}

/// Reads one piece of the request; `what` names it in the failure.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| refuse(format!("{what} cannot be read: {error}")))
}

/// The caller's mistake, or a wish that this provider cannot grant.
pub(crate) fn refuse(message: impl Into<String>) -> Failure {
    Failure::new(Kind::InvalidRequest, message)
}
