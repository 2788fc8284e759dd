//! The provider's request: what goes on the wire, field by field. Nothing here decides anything.

use crate::settings::SafetySetting;
use pointsman_plugin::translate::Raw;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The body of `generateContent` and of `streamGenerateContent`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    /// Only inside a count of tokens; otherwise the path names the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    pub(crate) contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_instruction: Option<Instruction<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "SafetySettings::is_none")]
    pub(crate) safety_settings: SafetySettings<'a>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub(crate) generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cached_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_tier: Option<&'static str>,
}

impl Request<'_> {
    /// What of it counts, which is the body of `countTokens` on Google Cloud.
    pub(crate) fn counted(self) -> Self {
        Request {
            tool_config: None,
            safety_settings: SafetySettings::Configured(Vec::new()),
            cached_content: None,
            service_tier: None,
            ..self
        }
    }
}

/// The body of `countTokens`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountRequest<'a> {
    pub(crate) generate_content_request: Request<'a>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Model,
}

#[derive(Serialize)]
pub(crate) struct Content<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Instruction<'a> {
    pub(crate) parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Part<'a> {
    #[serde(flatten)]
    pub(crate) data: Payload<'a>,
    #[serde(rename = "thoughtSignature", skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Payload<'a> {
    Text(Cow<'a, str>),
    InlineData(Blob<'a>),
    FileData(FileData<'a>),
    FunctionCall(FunctionCall<'a>),
    FunctionResponse(FunctionResponse<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blob<'a> {
    pub(crate) mime_type: Cow<'a, str>,
    pub(crate) data: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mime_type: Option<&'static str>,
    pub(crate) file_uri: Cow<'a, str>,
}

#[derive(Serialize)]
pub(crate) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) args: Object<'a>,
}

#[derive(Serialize)]
pub(crate) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) response: Object<'a>,
}

/// Arguments and results: always an object, whatever the client's history holds.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Object<'a> {
    Given(Box<RawValue>),
    /// A text that is not a JSON object is shown to the model as it is.
    Unreadable {
        arguments: Cow<'a, str>,
    },
    Text {
        result: Cow<'a, str>,
    },
    List {
        result: Box<RawValue>,
    },
    Empty {},
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Tool<'a> {
    #[serde(rename_all = "camelCase")]
    Functions {
        function_declarations: Vec<Declaration<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    Search { google_search: Empty },
    /// A tool in the provider's own words, such as its code execution.
    Own(Raw<'a>),
}

#[derive(Serialize)]
pub(crate) struct Empty {}

/// A function; it has one kind of schema or the other, or none where it takes nothing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Declaration<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters_json_schema: Option<Raw<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolConfig<'a> {
    pub(crate) function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallingConfig<'a> {
    pub(crate) mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed_function_names: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum SafetySettings<'a> {
    /// As the client wrote them.
    Given(Raw<'a>),
    /// As the configuration has them.
    Configured(Vec<SafetySetting>),
}

impl SafetySettings<'_> {
    fn is_none(&self) -> bool {
        matches!(self, SafetySettings::Configured(settings) if settings.is_empty())
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stop_sequences: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_json_schema: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking_config: Option<Thinking<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_modalities: Option<Modalities<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_resolution: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speech_config: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_config: Option<Raw<'a>>,
}

impl GenerationConfig<'_> {
    /// Written once to see: no list of its members to forget one in.
    fn is_empty(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|written| written == b"{}")
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Modalities<'a> {
    Given(Raw<'a>),
    Made([&'static str; 2]),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Thinking<'a> {
    /// As the client wrote it.
    Given(Raw<'a>),
    #[serde(rename_all = "camelCase")]
    Made {
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        include_thoughts: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        thinking_budget: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thinking_level: Option<&'static str>,
    },
}
