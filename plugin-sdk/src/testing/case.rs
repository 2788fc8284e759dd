//! One request with its candidates, as a golden file or a unit test gives it.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

use crate::models::{Failure, Reply};
use crate::{Abilities, Candidate, Health, Price, Reviewed, Summary, Surface, money::Usd};

/// A request and the candidates that it has. Made with [`Case::json`] or read from a golden file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    pub(super) name: String,
    pub(super) request: Value,
    route: String,
    key_id: String,
    team: Option<String>,
    session: Option<String>,
    labels: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) now_ms: u64,
    seed: u64,
    pub(super) state: BTreeMap<String, Held>,
    candidates: Vec<Offer>,
    pub(super) verdict: Option<super::verdict::Expected>,
    pub(super) state_after: BTreeMap<String, Held>,
    pub(super) replies: Vec<Prepared>,
    pub(super) asked: Option<Vec<String>>,
    pub(super) grants: Option<Vec<String>>,
    answer: Option<GivenAnswer>,
    pub(super) opinion: Option<super::verdict::ExpectedOpinion>,
}

/// What a key of the store holds: a number is a counter, a string is bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Held {
    Counter(i64),
    Text(String),
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
    abilities: Vec<String>,
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

impl Prepared {
    pub(super) fn is_for(&self, model: &str, text: &str) -> bool {
        self.model == model && text.contains(&self.contains)
    }

    pub(super) fn reply(&self) -> Result<Reply, Failure> {
        match self.failure.as_deref() {
            None => Ok(Reply {
                text: self.text.clone(),
                finish_reason: self.finish_reason.clone().unwrap_or_else(|| "stop".into()),
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                cost: self.cost_usd.map(|cost| cost.nanos),
                total_ms: self.total_ms,
            }),
            Some("timed-out") => Err(Failure::TimedOut),
            Some("refused") => Err(Failure::Refused(self.text.clone())),
            Some("upstream") => Err(Failure::Upstream(self.text.clone())),
            Some(_) => Err(Failure::Other(self.text.clone())),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Counter(count) => write!(f, "{count}"),
            Held::Text(text) => f.write_str(text),
        }
    }
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
            replies: Vec::new(),
            asked: None,
            grants: None,
            answer: None,
            opinion: None,
        }
    }
}

impl Case {
    /// A case in the form of the golden files. Panics where it has another form: it is for tests.
    #[track_caller]
    pub fn json(case: Value) -> Self {
        serde_json::from_value(case).unwrap_or_else(|error| panic!("not a case: {error}"))
    }

    /// A single message of a user, with candidates by their ids.
    #[track_caller]
    pub fn user(text: &str, candidates: &[&str]) -> Self {
        let candidates: Vec<Value> = candidates.iter().map(|id| serde_json::json!({ "id": id })).collect();
        Case::json(serde_json::json!({
            "request": { "messages": [{ "role": "user", "content": text }] },
            "candidates": candidates,
        }))
    }

    pub(crate) fn summary(&self) -> Summary {
        let body = &self.request;
        let texts: Vec<String> = self.messages().iter().map(text_of).collect();
        let text_bytes: usize = texts.iter().map(String::len).sum();
        let is_filled = |name: &str| body[name].as_array().is_some_and(|list| !list.is_empty());
        Summary {
            id: "test".into(),
            route: self.route.clone(),
            model: body["model"].as_str().unwrap_or(&self.route).to_owned(),
            surface: Surface::ChatCompletions,
            key_id: self.key_id.clone(),
            team: self.team.clone(),
            labels: self.labels.clone().into_iter().collect(),
            message_count: texts.len() as u32,
            text_bytes: text_bytes as u64,
            estimated_input_tokens: (text_bytes.div_ceil(4) + 4 * texts.len()) as u32,
            max_output_tokens: ["max_completion_tokens", "max_tokens"]
                .iter()
                .find_map(|name| body[*name].as_u64())
                .and_then(|tokens| u32::try_from(tokens).ok()),
            is_stream: body["stream"].as_bool().unwrap_or(false),
            has_tools: is_filled("tools"),
            has_images: self.messages().iter().any(has_image),
            wants_structured_output: matches!(
                body["response_format"]["type"].as_str(),
                Some("json_schema" | "json_object")
            ),
            session: self.session.clone(),
            now_ms: self.now_ms,
            seed: self.seed,
            extras: Vec::new(),
        }
    }

    /// The answer that a review is about. Panics where the case has none: it is for tests.
    #[track_caller]
    pub(super) fn answer(&self) -> Reviewed {
        let given = self
            .answer
            .as_ref()
            .unwrap_or_else(|| panic!("{}: the case has no answer", self.name));
        Reviewed {
            candidate: given.candidate.clone(),
            text: given.text.clone(),
            refusal: given.refusal.clone(),
            finish_reason: given.finish_reason.clone().unwrap_or_else(|| "stop".into()),
            tool_calls: given.tool_calls.clone(),
            mean_logprob: given.mean_logprob,
            input_tokens: given.input_tokens,
            output_tokens: given.output_tokens,
            cost: given.cost_usd.map(|cost| cost.nanos),
            total_ms: given.total_ms,
            steps_left: given.steps_left.unwrap_or(1),
            extras: Vec::new(),
        }
    }

    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.candidates.iter().map(Candidate::from).collect()
    }

    pub(super) fn messages(&self) -> &[Value] {
        self.request["messages"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// The text parts of a message, joined by line feeds.
pub(super) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

fn has_image(message: &Value) -> bool {
    message["content"]
        .as_array()
        .is_some_and(|parts| parts.iter().any(|part| part["type"] == "image_url"))
}

impl From<&Offer> for Candidate {
    fn from(offer: &Offer) -> Self {
        let by_habit = || {
            offer
                .id
                .split_once('/')
                .map_or("test", |(provider, _)| provider)
                .to_owned()
        };
        Candidate {
            id: offer.id.clone(),
            provider: offer.provider.clone().unwrap_or_else(by_habit),
            tags: offer.tags.clone(),
            weight: offer.weight.unwrap_or(1),
            price: offer.price.as_ref().map(Price::from),
            estimated_cost: offer.estimated_cost_usd.map(|cost| cost.nanos),
            ceiling_cost: offer.ceiling_cost_usd.map(|cost| cost.nanos),
            context_window: offer.context_window,
            abilities: offer
                .abilities
                .iter()
                .fold(Abilities::empty(), |all, name| all | ability(name)),
            health: Health::from(&offer.health),
            extras: offer.extras.clone().into_iter().collect(),
        }
    }
}

impl From<&OfferPrice> for Price {
    /// As in the catalog: what is not said of the cache costs as much as any input.
    fn from(price: &OfferPrice) -> Self {
        Price {
            input: price.input.nanos,
            cached_input: price.cached_input.unwrap_or(price.input).nanos,
            cache_write: price.cache_write.unwrap_or(price.input).nanos,
            output: price.output.nanos,
        }
    }
}

impl From<&OfferHealth> for Health {
    fn from(health: &OfferHealth) -> Self {
        Health {
            first_token_ms: health.first_token_ms,
            total_ms: health.total_ms,
            error_permille: health.error_permille,
            in_flight: health.in_flight,
            cooling_ms: health.cooling_ms,
            requests_left: health.requests_left,
            tokens_left: health.tokens_left,
        }
    }
}

fn ability(name: &str) -> Abilities {
    match name {
        "streaming" => Abilities::STREAMING,
        "tools" => Abilities::TOOLS,
        "parallel-tools" => Abilities::PARALLEL_TOOLS,
        "vision" => Abilities::VISION,
        "audio" => Abilities::AUDIO,
        "structured-output" => Abilities::STRUCTURED_OUTPUT,
        "reasoning" => Abilities::REASONING,
        "prompt-cache" => Abilities::PROMPT_CACHE,
        _ => panic!("no ability is called `{name}`"),
    }
}
