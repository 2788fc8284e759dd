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
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) seed: Option<i64>,
    pub(crate) logprobs: Option<bool>,
    #[serde(borrow)]
    pub(crate) stop: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_choice: Option<Raw<'a>>,
    pub(crate) parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    pub(crate) response_format: Option<ResponseFormat<'a>>,
    #[serde(borrow)]
    pub(crate) reasoning_effort: Option<Text<'a>>,
    pub(crate) n: Option<u64>,
    #[serde(borrow)]
    pub(crate) modalities: Option<Vec<Text<'a>>>,

    // The provider's own words, which a client may use beside the canonical ones.
    pub(crate) k: Option<u64>,
    /// What other providers call `k`.
    pub(crate) top_k: Option<u64>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Thinking<'a>>,
    pub(crate) strict_tools: Option<bool>,
    #[serde(borrow)]
    pub(crate) documents: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) citation_options: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) safety_mode: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) priority: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) raw_prompting: Option<Raw<'a>>,

    // Without a counterpart: refused always, as an answer without them would not be what was asked for, …
    pub(crate) functions: Option<IgnoredAny>,
    pub(crate) audio: Option<IgnoredAny>,
    // … or left out, unless the settings say to refuse them.
    pub(crate) top_logprobs: Option<u64>,
    #[serde(borrow)]
    pub(crate) logit_bias: Option<Raw<'a>>,
    pub(crate) prediction: Option<IgnoredAny>,
    pub(crate) web_search_options: Option<IgnoredAny>,
    pub(crate) verbosity: Option<IgnoredAny>,
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
    pub(crate) reasoning_content: Option<Text<'a>>,
    /// What some providers call `reasoning_content`.
    #[serde(borrow)]
    pub(crate) reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_call_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionCall<'a>>,
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
    /// The provider's own: a document as the result of a tool, which the answer can then cite.
    #[serde(borrow)]
    pub(crate) document: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ImageUrl<'a> {
    #[serde(borrow)]
    pub(crate) url: Text<'a>,
    #[serde(borrow)]
    pub(crate) detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<Function<'a>>,
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

/// The provider's own `thinking`, a word that others use too, with more or less in it.
#[derive(Deserialize)]
pub(crate) struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    pub(crate) token_budget: Option<u64>,
    /// What other providers call `token_budget`.
    pub(crate) budget_tokens: Option<u64>,
}

impl<'a> Chat<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(body).map_err(|error| refuse(format!("the request is not UTF-8: {error}")))?;
        read(text, "the request")
    }

    /// The most that the client wants to be told, under either of its names.
    pub(crate) fn most_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
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
