//! One case of a policy's golden file: a request with its candidates, and what is expected. The form is that of the SDK for
//! Rust (`pointsman_plugin::testing`), so that the same files serve natively and here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::verdict::{Expected, ExpectedOpinion};
use crate::plugins::{Models, Prompt, Replies, words};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    pub(super) name: String,
    request: Value,
    route: String,
    key_id: String,
    team: Option<String>,
    session: Option<String>,
    labels: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    pub(super) now_ms: u64,
    seed: u64,
    pub(super) state: BTreeMap<String, Held>,
    candidates: Vec<Offer>,
    pub(super) verdict: Option<Expected>,
    pub(super) state_after: BTreeMap<String, Held>,
    pub(super) grants: Option<Vec<String>>,
    pub(super) replies: Vec<Prepared>,
    pub(super) asked: Option<Vec<String>>,
    answer: Option<GivenAnswer>,
    pub(super) opinion: Option<ExpectedOpinion>,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            name: String::new(),
            request: serde_json::json!({ "messages": [] }),
            route: "auto".into(),
            key_id: "anonymous".into(),
            team: None,
            session: None,
            labels: BTreeMap::new(),
            headers: BTreeMap::new(),
            now_ms: 1_750_000_000_000,
            seed: 0,
            state: BTreeMap::new(),
            candidates: Vec::new(),
            verdict: None,
            state_after: BTreeMap::new(),
            grants: None,
            replies: Vec::new(),
            asked: None,
            answer: None,
            opinion: None,
        }
    }
}

/// What a key of the store holds: a number is a counter, a string is bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Held {
    Counter(i64),
    Text(String),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Counter(count) => write!(f, "{count}"),
            Held::Text(text) => f.write_str(text),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Offer {
    id: String,
    provider: Option<String>,
    tags: Vec<String>,
    weight: Option<u32>,
    price: Option<OfferPrice>,
    estimated_cost_usd: Option<Usd>,
    ceiling_cost_usd: Option<Usd>,
    context_window: u32,
    abilities: Vec<Ability>,
    health: OfferHealth,
    extras: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferPrice {
    input: Usd,
    cached_input: Option<Usd>,
    cache_write: Option<Usd>,
    output: Usd,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OfferHealth {
    first_token_ms: Option<u32>,
    total_ms: Option<u32>,
    error_permille: u32,
    in_flight: u32,
    cooling_ms: Option<u32>,
    requests_left: Option<u32>,
    tokens_left: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ability {
    Streaming,
    Tools,
    ParallelTools,
    Vision,
    Audio,
    StructuredOutput,
    Reasoning,
    PromptCache,
}

/// What a model says when a policy asks it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Prepared {
    model: String,
    contains: String,
    text: String,
    finish_reason: Option<String>,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<Usd>,
    total_ms: u32,
    failure: Option<String>,
}

/// An answer that is to be reviewed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GivenAnswer {
    candidate: String,
    text: String,
    refusal: Option<String>,
    finish_reason: Option<String>,
    tool_calls: Vec<(String, String)>,
    mean_logprob: Option<f64>,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<Usd>,
    total_ms: u32,
    steps_left: Option<u32>,
}

/// Nano-dollars, given in dollars.
#[derive(Debug, Clone, Copy)]
struct Usd(u64);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        let nanos = (dollars * 1e9).round();
        match (0.0..i64::MAX as f64).contains(&nanos) {
            true => Ok(Usd(nanos as u64)),
            false => Err(de::Error::custom(format!("{dollars} is no amount in US dollars"))),
        }
    }
}

impl Case {
    pub(super) fn summary(&self) -> words::Summary {
        let body = &self.request;
        let texts: Vec<String> = messages(body).iter().map(text_of).collect();
        let text_bytes: usize = texts.iter().map(String::len).sum();
        let is_filled = |name: &str| body[name].as_array().is_some_and(|list| !list.is_empty());
        let limit = ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| body[*name].as_u64());
        let format = body["response_format"]["type"].as_str();
        words::Summary {
            id: "test".into(),
            route: self.route.clone(),
            model: body["model"].as_str().unwrap_or(&self.route).to_owned(),
            surface: words::Surface::ChatCompletions,
            key_id: self.key_id.clone(),
            team: self.team.clone(),
            labels: self.labels.clone().into_iter().collect(),
            message_count: texts.len() as u32,
            text_bytes: text_bytes as u64,
            estimated_input_tokens: (text_bytes.div_ceil(4) + 4 * texts.len()) as u32,
            max_output_tokens: limit.and_then(|tokens| u32::try_from(tokens).ok()),
            is_stream: body["stream"].as_bool().unwrap_or(false),
            has_tools: is_filled("tools"),
            has_images: messages(body).iter().any(has_image),
            wants_structured_output: matches!(format, Some("json_schema" | "json_object")),
            session: self.session.clone(),
            now_ms: self.now_ms,
            seed: self.seed,
            extras: Vec::new(),
        }
    }

    pub(super) fn candidates(&self) -> Vec<words::Candidate> {
        self.candidates.iter().map(Offer::candidate).collect()
    }

    pub(super) fn models(&self) -> Arc<Answers> {
        Arc::new(Answers {
            replies: self.replies.clone(),
            all_text: joined(messages(&self.request).iter()),
            asked: Mutex::default(),
        })
    }

    /// The answer that a review is about.
    pub(super) fn answer(&self) -> Option<words::Reviewed> {
        let given = self.answer.clone()?;
        Some(words::Reviewed {
            candidate: given.candidate,
            text: given.text,
            refusal: given.refusal,
            finish_reason: given.finish_reason.unwrap_or_else(|| "stop".into()),
            tool_calls: given.tool_calls,
            mean_logprob: given.mean_logprob,
            input_tokens: given.input_tokens,
            output_tokens: given.output_tokens,
            cost: given.cost_usd.map(|cost| cost.0),
            total_ms: given.total_ms,
            steps_left: given.steps_left.unwrap_or(1),
            extras: Vec::new(),
        })
    }

    pub(super) fn prompt(&self) -> Arc<dyn Prompt> {
        let headers = self.headers.iter();
        Arc::new(Shown {
            body: self.request.clone(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect(),
        })
    }
}

impl Prepared {
    fn reply(&self) -> Result<words::Reply, words::AskFailure> {
        match self.failure.as_deref() {
            None => Ok(words::Reply {
                text: self.text.clone(),
                finish_reason: self.finish_reason.clone().unwrap_or_else(|| "stop".into()),
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                cost: self.cost_usd.map(|cost| cost.0),
                total_ms: self.total_ms,
            }),
            Some("timed-out") => Err(words::AskFailure::TimedOut),
            Some("refused") => Err(words::AskFailure::Refused(self.text.clone())),
            Some("upstream") => Err(words::AskFailure::Upstream(self.text.clone())),
            Some(_) => Err(words::AskFailure::Other(self.text.clone())),
        }
    }
}

/// The models of a case: each ask has the first reply that is for its model and its words.
pub(super) struct Answers {
    replies: Vec<Prepared>,
    all_text: String,
    pub(super) asked: Mutex<Vec<String>>,
}

impl Models for Answers {
    fn ask_all(&self, asks: Vec<(words::Ask, Duration)>) -> Replies<'_> {
        let reply = |(ask, _): &(words::Ask, Duration)| {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(ask.model.clone());
            let text = match &ask.question {
                words::Question::Prompt(prompt) => &prompt.user,
                words::Question::Same(_) => &self.all_text,
            };
            let is_for = |one: &&Prepared| one.model == ask.model && text.contains(&one.contains);
            match self.replies.iter().find(is_for) {
                Some(prepared) => prepared.reply(),
                None => Err(words::AskFailure::Refused(format!(
                    "the case has no reply of `{}`",
                    ask.model
                ))),
            }
        };
        let replies = asks.iter().map(reply).collect();
        Box::pin(std::future::ready(replies))
    }
}

impl Offer {
    fn candidate(&self) -> words::Candidate {
        let by_habit = || self.id.split_once('/').map_or("test", |(provider, _)| provider);
        let health = &self.health;
        words::Candidate {
            id: self.id.clone(),
            provider: self.provider.clone().unwrap_or_else(|| by_habit().to_owned()),
            tags: self.tags.clone(),
            weight: self.weight.unwrap_or(1),
            // What is not said of the cache costs as much as any input.
            price: self.price.as_ref().map(|price| words::Price {
                input: price.input.0,
                cached_input: price.cached_input.unwrap_or(price.input).0,
                cache_write: price.cache_write.unwrap_or(price.input).0,
                output: price.output.0,
            }),
            estimated_cost: self.estimated_cost_usd.map(|cost| cost.0),
            ceiling_cost: self.ceiling_cost_usd.map(|cost| cost.0),
            context_window: self.context_window,
            abilities: self
                .abilities
                .iter()
                .fold(words::Abilities::empty(), |all, ability| all | ability.flag()),
            health: words::Health {
                first_token_ms: health.first_token_ms,
                total_ms: health.total_ms,
                error_permille: health.error_permille,
                in_flight: health.in_flight,
                cooling_ms: health.cooling_ms,
                requests_left: health.requests_left,
                tokens_left: health.tokens_left,
            },
            extras: self.extras.clone().into_iter().collect(),
        }
    }
}

impl Ability {
    fn flag(self) -> words::Abilities {
        match self {
            Ability::Streaming => words::Abilities::STREAMING,
            Ability::Tools => words::Abilities::TOOLS,
            Ability::ParallelTools => words::Abilities::PARALLEL_TOOLS,
            Ability::Vision => words::Abilities::VISION,
            Ability::Audio => words::Abilities::AUDIO,
            Ability::StructuredOutput => words::Abilities::STRUCTURED_OUTPUT,
            Ability::Reasoning => words::Abilities::REASONING,
            Ability::PromptCache => words::Abilities::PROMPT_CACHE,
        }
    }
}

/// The case's request, as a policy reads it.
struct Shown {
    body: Value,
    headers: BTreeMap<String, String>,
}

impl Prompt for Shown {
    fn role(&self, index: u32) -> Option<String> {
        messages(&self.body).get(index as usize)?["role"]
            .as_str()
            .map(str::to_owned)
    }

    fn text(&self, index: u32) -> Option<String> {
        messages(&self.body).get(index as usize).map(text_of)
    }

    fn last_user_text(&self) -> String {
        let mut users = messages(&self.body).iter().rev();
        users
            .find(|message| message["role"] == "user")
            .map(text_of)
            .unwrap_or_default()
    }

    fn system_text(&self) -> String {
        let is_system = |message: &&Value| matches!(message["role"].as_str(), Some("system" | "developer"));
        joined(messages(&self.body).iter().filter(is_system))
    }

    fn all_text(&self, at_most: u32) -> String {
        let mut text = joined(messages(&self.body).iter());
        text.truncate(text.floor_char_boundary(at_most as usize));
        text
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(&name.to_lowercase()).cloned()
    }

    fn get(&self, pointer: &str) -> Option<String> {
        self.body.pointer(pointer).map(Value::to_string)
    }
}

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn joined<'a>(messages: impl Iterator<Item = &'a Value>) -> String {
    messages.map(text_of).collect::<Vec<_>>().join("\n")
}

/// The text parts of a message, joined by line feeds.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn has_image(message: &Value) -> bool {
    let parts = message["content"].as_array();
    parts.is_some_and(|parts| parts.iter().any(|part| part["type"] == "image_url"))
}
