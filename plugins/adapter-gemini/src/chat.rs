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
    pub(crate) n: Option<u64>,
    pub(crate) seed: Option<i64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) logprobs: Option<bool>,
    pub(crate) top_logprobs: Option<u64>,
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
    /// Other providers' way to state a budget: `{"type", "budget_tokens"}`.
    #[serde(borrow)]
    pub(crate) thinking: Option<Thinking<'a>>,
    #[serde(borrow)]
    pub(crate) modalities: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) service_tier: Option<Text<'a>>,
    pub(crate) web_search_options: Option<IgnoredAny>,

    // The provider's own words: beside the canonical ones, or where Google's own OpenAI endpoint has them.
    pub(crate) top_k: Option<u64>,
    #[serde(borrow, alias = "safetySettings")]
    pub(crate) safety_settings: Option<Raw<'a>>,
    #[serde(borrow, alias = "cachedContent")]
    pub(crate) cached_content: Option<Text<'a>>,
    #[serde(borrow, alias = "thinkingConfig")]
    pub(crate) thinking_config: Option<Raw<'a>>,
    #[serde(borrow, alias = "generationConfig")]
    pub(crate) generation_config: Option<OwnGeneration<'a>>,
    #[serde(borrow)]
    pub(crate) extra_body: Option<ExtraBody<'a>>,

    // Without a counterpart: left out, or refused where the settings say so.
    pub(crate) logit_bias: Option<IgnoredAny>,
    pub(crate) prediction: Option<IgnoredAny>,
    pub(crate) verbosity: Option<IgnoredAny>,
    // What no answer of this provider could honour.
    pub(crate) audio: Option<IgnoredAny>,
    pub(crate) functions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct ExtraBody<'a> {
    #[serde(borrow)]
    pub(crate) google: Option<Own<'a>>,
}

/// The same words as in [`Chat`], under `extra_body.google`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Own<'a> {
    #[serde(borrow, alias = "safetySettings")]
    pub(crate) safety_settings: Option<Raw<'a>>,
    #[serde(borrow, alias = "cachedContent")]
    pub(crate) cached_content: Option<Text<'a>>,
    #[serde(borrow, alias = "thinkingConfig")]
    pub(crate) thinking_config: Option<Raw<'a>>,
    #[serde(borrow, alias = "generationConfig")]
    pub(crate) generation_config: Option<OwnGeneration<'a>>,
}

/// What of the provider's `generationConfig` has no canonical name.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OwnGeneration<'a> {
    #[serde(borrow, alias = "responseModalities")]
    pub(crate) response_modalities: Option<Raw<'a>>,
    #[serde(borrow, alias = "mediaResolution")]
    pub(crate) media_resolution: Option<Raw<'a>>,
    #[serde(borrow, alias = "speechConfig")]
    pub(crate) speech_config: Option<Raw<'a>>,
    #[serde(borrow, alias = "imageConfig")]
    pub(crate) image_config: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    pub(crate) budget_tokens: Option<u64>,
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
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_call_id: Option<Text<'a>>,
    /// What `decode` put there in an earlier turn; see `answer.rs`.
    #[serde(borrow)]
    pub(crate) extra_content: Option<ExtraContent<'a>>,
    pub(crate) cache_control: Option<IgnoredAny>,
}

#[derive(Deserialize, Clone)]
pub(crate) struct ExtraContent<'a> {
    #[serde(borrow)]
    pub(crate) google: Option<Signed<'a>>,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Signed<'a> {
    #[serde(borrow)]
    pub(crate) thought_signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(crate) extra_content: Option<ExtraContent<'a>>,
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
    #[serde(borrow, alias = "video_url")]
    pub(crate) image_url: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) input_audio: Option<InputAudio<'a>>,
    #[serde(borrow)]
    pub(crate) file: Option<File<'a>>,
    pub(crate) cache_control: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct Url<'a> {
    #[serde(borrow)]
    pub(crate) url: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct InputAudio<'a> {
    #[serde(borrow)]
    pub(crate) data: Text<'a>,
    #[serde(borrow)]
    pub(crate) format: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct File<'a> {
    #[serde(borrow)]
    pub(crate) file_data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) file_id: Option<Text<'a>>,
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

impl<'a> Chat<'a> {
    /// The request, with what `extra_body.google` says in its place; a word that is said twice is refused.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(body).map_err(|error| refuse(format!("the request is not UTF-8: {error}")))?;
        let mut chat: Chat = read(text, "the request")?;
        if let Some(own) = chat.extra_body.take().and_then(|extra| extra.google) {
            merge(&mut chat.safety_settings, own.safety_settings, "safety_settings")?;
            merge(&mut chat.cached_content, own.cached_content, "cached_content")?;
            merge(&mut chat.thinking_config, own.thinking_config, "thinking_config")?;
            merge(&mut chat.generation_config, own.generation_config, "generation_config")?;
        }
        Ok(chat)
    }
}

fn merge<T>(place: &mut Option<T>, more: Option<T>, name: &str) -> Result<(), Failure> {
    if place.is_some() && more.is_some() {
        return Err(refuse(format!(
            "{name} is given twice, at the top and in extra_body.google; give it once"
        )));
    }
    *place = place.take().or(more);
    Ok(())
}

/// Reads one piece of the request; `what` names it in the failure.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| refuse(format!("{what} cannot be read: {error}")))
}

/// The caller's mistake, or a wish that this provider cannot grant.
pub(crate) fn refuse(message: impl Into<String>) -> Failure {
    Failure::new(Kind::InvalidRequest, message)
}
