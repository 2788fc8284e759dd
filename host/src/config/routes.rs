//! `[routes.*]`: the model names that clients ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::{Section, suggestion};
use super::{CacheRule, ModelConfig, PolicyConfig, budgets, cache};
use crate::budget::Budget;
use crate::plugins;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    /// In the order of the file: the order of preference where no policy says otherwise.
    pub candidates: Vec<RouteCandidate>,
    /// By name, in the order in which they run.
    pub policies: Vec<String>,
    /// What may be spent on it.
    pub budgets: Vec<Budget>,
    /// Which of its answers are kept; none where absent.
    pub cache: Option<CacheRule>,
    /// The model that answers are compared with, to say what routing saved.
    pub reference: Option<String>,
    /// Whether an answer that is not streamed is waited for when its client has gone, to learn what it cost.
    pub outlives_client: bool,
    /// Attempts after the first.
    pub retries: u32,
    /// The pause before a candidate is asked again, the first time; then twice as long.
    pub backoff: Duration,
    /// Whether another candidate is tried where one refuses what the request is about.
    pub passes_content: bool,
    /// Up to the whole answer of one attempt.
    pub timeout: Duration,
    /// Up to the first event of one attempt's answer.
    pub first_token_timeout: Duration,
    /// Between two events of a stream.
    pub gap_timeout: Duration,
}

/// Unless the configuration says otherwise.
const BACKOFF: Duration = Duration::from_millis(250);

/// A model that a route offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCandidate {
    /// The model's id.
    pub model: String,
    /// Its share where a policy splits by weight.
    pub weight: u32,
}

impl RouteConfig {
    /// How a model is served that was asked for by its id.
    pub fn direct(model: &str) -> Self {
        Self {
            candidates: vec![RouteCandidate {
                model: model.to_owned(),
                weight: 1,
            }],
            policies: Vec::new(),
            budgets: Vec::new(),
            cache: None,
            reference: None,
            outlives_client: false,
            retries: 0,
            backoff: BACKOFF,
            passes_content: false,
            timeout: Duration::from_secs(600),
            first_token_timeout: Duration::from_secs(60),
            gap_timeout: Duration::from_secs(60),
        }
    }
}

/// A name that no model and no route can have, since `/v1/models/{id}` and headers could not carry it.
pub(super) fn is_reserved(name: &str) -> bool {
    name.is_empty() || name.len() > 200 || name.chars().any(|c| c.is_control() || c == ' ')
}

pub(super) fn read(
    root: &Section<'_>,
    models: &BTreeMap<String, ModelConfig>,
    policies: &BTreeMap<String, PolicyConfig>,
    cache: CacheRule,
) -> BTreeMap<String, RouteConfig> {
    let mut routes = BTreeMap::new();
    for (name, section) in root.sections("routes") {
        if is_reserved(&name) {
            section.note(section.span(), format!("`{name}` cannot be a route's name"));
        }
        if models.contains_key(&name) {
            section.note(
                section.span(),
                format!("`{name}` is a model's id already; a route needs a name of its own"),
            );
        }
        routes.insert(name, route(section, models, policies, cache));
    }
    routes
}

fn route(
    section: Section<'_>,
    models: &BTreeMap<String, ModelConfig>,
    policies: &BTreeMap<String, PolicyConfig>,
    cache: CacheRule,
) -> RouteConfig {
    let candidates = candidates(&section, models);
    if candidates.is_empty() && section.items("candidates").is_empty() {
        section.note(section.span(), "`candidates` is missing: name at least one model");
    }
    if candidates.len() > plugins::STEPS {
        let message = format!(
            "{} candidates: a route has {} at most",
            candidates.len(),
            plugins::STEPS
        );
        section.note(section.span(), message);
    }
    let mut chain: Vec<String> = Vec::new();
    for (name, span) in section.strings("policies") {
        if !policies.contains_key(&name) {
            let near = suggestion(&name, policies.keys().map(String::as_str));
            section.note(span, format!("no policy `{name}`{near}"));
        } else if chain.contains(&name) {
            section.note(span, format!("the policy `{name}` is named twice"));
        }
        chain.push(name);
    }
    let milliseconds = |key, default| Duration::from_millis(section.number(key, 1..=86_400_000).unwrap_or(default));
    let route = RouteConfig {
        candidates,
        policies: chain,
        budgets: budgets::read(&section),
        cache: cache::of_route(section.section("cache"), cache),
        reference: reference(&section, models),
        outlives_client: choice(&section, "on_disconnect", ["cancel", "finish"]),
        retries: section.number("retries", 0..=16).unwrap_or(2) as u32,
        backoff: section
            .number("backoff_ms", 0..=60_000)
            .map_or(BACKOFF, Duration::from_millis),
        passes_content: choice(&section, "on_content_policy", ["stop", "next"]),
        timeout: milliseconds("timeout_ms", 600_000),
        first_token_timeout: milliseconds("first_token_timeout_ms", 60_000),
        gap_timeout: milliseconds("gap_timeout_ms", 60_000),
    };
    section.finish();
    route
}

/// One of two words, the first unless it is said: whether it is the second.
fn choice(section: &Section<'_>, key: &'static str, words: [&str; 2]) -> bool {
    let Some((word, span)) = section.string(key) else {
        return false;
    };
    if !words.contains(&word.as_str()) {
        section.note(
            span,
            format!("`{key}` is `{}` or `{}`, not `{word}`", words[0], words[1]),
        );
    }
    word == words[1]
}

/// A model of the catalog.
fn reference(section: &Section<'_>, models: &BTreeMap<String, ModelConfig>) -> Option<String> {
    let (model, span) = section.string("reference")?;
    if !models.contains_key(&model) {
        let near = suggestion(&model, models.keys().map(String::as_str));
        section.note(span, format!("no model `{model}`{near}"));
    }
    Some(model)
}

/// Each is a model's id, or `{ model = "…", weight = 3 }`.
fn candidates(section: &Section<'_>, models: &BTreeMap<String, ModelConfig>) -> Vec<RouteCandidate> {
    let mut candidates: Vec<RouteCandidate> = Vec::new();
    for item in section.items("candidates") {
        let (model, weight) = match section.item_section("candidates", item) {
            Some(table) => {
                let model = table.required_string("model");
                let weight = table.number("weight", 0..=1_000_000).unwrap_or(1) as u32;
                table.finish();
                (model.map(|(model, _)| model), weight)
            }
            None => (item.get_ref().as_str().map(str::to_owned), 1),
        };
        let Some(model) = model else {
            section.note(
                item.span(),
                "a candidate is a model's id, or `{ model = \"…\", weight = 3 }`",
            );
            continue;
        };
        if !models.contains_key(&model) {
            let near = suggestion(&model, models.keys().map(String::as_str));
            section.note(item.span(), format!("no model `{model}`{near}"));
        }
        if candidates.iter().any(|candidate| candidate.model == model) {
            section.note(item.span(), format!("the model `{model}` is named twice"));
        }
        candidates.push(RouteCandidate { model, weight });
    }
    candidates
}
