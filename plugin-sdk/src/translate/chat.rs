//! The canonical request. Each member is read when it is there; what is left over are a provider's own words, which an adapter
//! takes by name from `own`. What nobody takes is left out, and said so: [`Chat::settle`].

mod content;
mod settle;
mod tools;

use serde::Deserialize;

pub use self::content::{File, InputAudio, Part, UrlPart, parts};
pub use self::tools::{Function, Mode, Tool, ToolChoice, spelt_arguments};
use super::{Members, Raw, Text, read, refuse};
use crate::Failure;

/// A chat completion as the client asked for it.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Chat<'a> {
    pub messages: Vec<Turn<'a>>,
    pub max_tokens: Option<u64>,
    pub max_completion_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    /// Not canonical, but what everybody calls it.
    pub top_k: Option<u64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub n: Option<u64>,
    pub stop: Option<Raw<'a>>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u64>,
    pub logit_bias: Option<Raw<'a>>,
    pub tools: Vec<Raw<'a>>,
    pub tool_choice: Option<Raw<'a>>,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<ResponseFormat<'a>>,
    pub reasoning_effort: Option<Text<'a>>,
    /// Several providers' way to state a budget.
    pub thinking: Option<Raw<'a>>,
    pub modalities: Vec<Text<'a>>,
    pub audio: Option<Raw<'a>>,
    pub prediction: Option<Raw<'a>>,
    pub verbosity: Option<Text<'a>>,
    pub web_search_options: Option<Raw<'a>>,
    pub service_tier: Option<Text<'a>>,
    pub user: Option<Text<'a>>,
    pub safety_identifier: Option<Text<'a>>,
    pub metadata: Option<Raw<'a>>,
    pub prompt_cache_key: Option<Text<'a>>,
    pub store: Option<bool>,
    pub functions: Option<Raw<'a>>,
    /// Whether a message of the model's has images that it made.
    pub has_images: bool,
    /// What has no canonical name.
    pub own: Members<'a>,
}

/// One message of the conversation.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Turn<'a> {
    #[serde(borrow)]
    pub role: Text<'a>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub content: Option<Raw<'a>>,
    #[serde(borrow)]
    pub refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<Text<'a>>,
    /// What some providers call `reasoning_content`.
    #[serde(borrow)]
    pub reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<TurnCall<'a>>>,
    #[serde(borrow)]
    pub tool_call_id: Option<Text<'a>>,
    /// Signed thinking of an earlier answer.
    #[serde(borrow)]
    pub thinking_blocks: Option<Vec<Thought<'a>>>,
    /// Google's place for a signature.
    #[serde(borrow)]
    pub extra_content: Option<Signed<'a>>,
    /// What the model made, as OpenRouter has it: see [`Turn::made`].
    #[serde(borrow)]
    pub images: Option<Raw<'a>>,
    /// For a message whose content is a plain string.
    #[serde(borrow)]
    pub cache_control: Option<Raw<'a>>,
}

/// A call in the history.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct TurnCall<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub function: Option<TurnFunction<'a>>,
    #[serde(borrow)]
    pub extra_content: Option<Signed<'a>>,
    #[serde(borrow)]
    pub cache_control: Option<Raw<'a>>,
}

/// What was called.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct TurnFunction<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub arguments: Option<Text<'a>>,
}

/// Thinking as an answer brought it, with its provider's signature.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Thought<'a> {
    #[serde(borrow)]
    pub thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub signature: Option<Text<'a>>,
    /// Thinking that the provider keeps to itself.
    #[serde(borrow)]
    pub data: Option<Text<'a>>,
}

/// `{"google": {"thought_signature"}}`.
#[derive(Deserialize, Clone, Debug)]
pub struct Signed<'a> {
    /// Whose signature it is.
    #[serde(borrow)]
    pub google: Option<Signature<'a>>,
}

/// One signature.
#[derive(Deserialize, Clone, Debug)]
pub struct Signature<'a> {
    /// Opaque.
    #[serde(borrow)]
    pub thought_signature: Option<Text<'a>>,
}

/// How the answer is to be written.
#[derive(Deserialize, Debug)]
pub struct ResponseFormat<'a> {
    /// `text`, `json_object` or `json_schema`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// For the last.
    #[serde(borrow)]
    pub json_schema: Option<JsonSchema<'a>>,
}

/// A named schema.
#[derive(Deserialize, Debug)]
pub struct JsonSchema<'a> {
    /// How the client calls it.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// The schema itself.
    #[serde(borrow)]
    pub schema: Option<Raw<'a>>,
    /// Whether the answer has to keep to it.
    pub strict: Option<bool>,
}

/// `thinking`, a word that several providers use, with more or less in it.
#[derive(Deserialize, Debug, Default)]
pub struct Thinking<'a> {
    /// `enabled`, `disabled`, `adaptive`.
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Tokens.
    #[serde(alias = "token_budget")]
    pub budget_tokens: Option<u64>,
    /// `summarized`, `omitted`.
    #[serde(borrow)]
    pub display: Option<Text<'a>>,
}

impl<'a> Chat<'a> {
    /// Reads a request's body.
    pub fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let mut members = Members::of(body)?;
        for silent in ["model", "stream", "stream_options"] {
            members.remove(silent);
        }
        let messages: Vec<Turn> = members.take("messages")?.unwrap_or_default();
        Ok(Chat {
            has_images: messages.iter().any(|turn| !turn.made().is_empty()),
            messages,
            max_tokens: members.take("max_tokens")?,
            max_completion_tokens: members.take("max_completion_tokens")?,
            temperature: members.take("temperature")?,
            top_p: members.take("top_p")?,
            top_k: members.take("top_k")?,
            presence_penalty: members.take("presence_penalty")?,
            frequency_penalty: members.take("frequency_penalty")?,
            seed: members.take("seed")?,
            n: members.take("n")?,
            stop: members.take_raw("stop"),
            logprobs: members.take("logprobs")?,
            top_logprobs: members.take("top_logprobs")?,
            logit_bias: members.take_raw("logit_bias").filter(|bias| bias.get() != "{}"),
            tools: members.take("tools")?.unwrap_or_default(),
            tool_choice: members.take_raw("tool_choice"),
            parallel_tool_calls: members.take("parallel_tool_calls")?,
            response_format: members.take("response_format")?,
            reasoning_effort: members.take("reasoning_effort")?,
            thinking: members.take_raw("thinking"),
            modalities: members.take("modalities")?.unwrap_or_default(),
            audio: members.take_raw("audio"),
            prediction: members.take_raw("prediction"),
            verbosity: members.take("verbosity")?,
            web_search_options: members.take_raw("web_search_options"),
            service_tier: members.take("service_tier")?,
            user: members.take("user")?,
            safety_identifier: members.take("safety_identifier")?,
            metadata: members.take_raw("metadata").filter(|metadata| metadata.get() != "{}"),
            prompt_cache_key: members.take("prompt_cache_key")?,
            store: members.take("store")?,
            functions: members.take_raw("functions"),
            own: members,
        })
    }

    /// The most that the client wants to be told, under either of its names.
    pub fn most_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// `stop`, which is a string or a list. Empty sequences would stop nothing, and most providers refuse them.
    pub fn stops(&self) -> Result<Vec<std::borrow::Cow<'a, str>>, Failure> {
        let Some(raw) = self.stop else { return Ok(Vec::new()) };
        let texts: Vec<Text> = match raw.get().starts_with('"') {
            true => vec![read(raw.get(), "stop")?],
            false => read(raw.get(), "stop")?,
        };
        let texts = texts.into_iter().map(|text| text.0);
        Ok(texts.filter(|text| !text.is_empty()).collect())
    }

    /// What the choice among tools is; the provider's default, `auto`, where there are none.
    pub fn choice(&self, provider: &str) -> Result<ToolChoice<'a>, Failure> {
        match self.tool_choice.filter(|_| !self.tools.is_empty()) {
            Some(raw) => ToolChoice::read(raw, provider),
            None => Ok(ToolChoice::default()),
        }
    }

    /// The functions among the tools, with their places; anything else is refused.
    pub fn functions(&self, provider: &str) -> Result<Vec<Function<'a>>, Failure> {
        let function = |(index, raw): (usize, &Raw<'a>)| {
            let tool: Tool = read(raw.get(), &format!("tools[{index}]"))?;
            tool.function.ok_or_else(|| {
                let kind = tool.kind.as_ref().map_or("nothing known", |kind| &kind.0);
                refuse(format!(
                    "tools[{index}] is of type `{kind}`; {provider} takes functions only"
                ))
            })
        };
        self.tools.iter().enumerate().map(function).collect()
    }
}

impl<'a> ResponseFormat<'a> {
    /// The schema that the answer has to fit; `Some(None)` for JSON of any shape, `None` for text.
    pub fn schema(&self) -> Result<Option<Option<Raw<'a>>>, Failure> {
        match self.kind.0.as_ref() {
            "text" => Ok(None),
            "json_object" => Ok(Some(None)),
            "json_schema" => match self.json_schema.as_ref().and_then(|named| named.schema) {
                Some(schema) => Ok(Some(Some(schema))),
                None => Err(refuse("response_format.json_schema.schema is missing")),
            },
            other => Err(refuse(format!(
                "response_format is `{other}`, but must be text, json_object or json_schema"
            ))),
        }
    }
}

/// An image that the model made.
#[derive(Deserialize)]
struct Made<'a> {
    #[serde(borrow)]
    image_url: UrlPart<'a>,
}

impl<'a> Turn<'a> {
    /// Images that the model made, by their addresses or as data; what cannot be read is none.
    pub fn made(&self) -> Vec<Text<'a>> {
        let made = self.images.map(|raw| serde_json::from_str::<Vec<Made>>(raw.get()));
        let made = made.and_then(Result::ok).unwrap_or_default();
        made.into_iter().map(|made| made.image_url.url).collect()
    }

    /// Of a role that nobody knows.
    pub fn unknown_role(&self, place: &dyn Fn() -> String) -> Failure {
        refuse(format!(
            "{}.role is `{}`, but must be system, developer, user, assistant or tool",
            place(),
            self.role.0
        ))
    }
}

impl<'a> TurnCall<'a> {
    /// The call's id and function, both of which it needs.
    pub fn called(self, provider: &str, place: &dyn Fn() -> String) -> Result<(Text<'a>, TurnFunction<'a>), Failure> {
        let Some(function) = self.function else {
            return Err(refuse(format!(
                "{} has no `function`; {provider} takes functions only",
                place()
            )));
        };
        let missing = || refuse(format!("{}.id is missing", place()));
        Ok((self.id.ok_or_else(missing)?, function))
    }
}
