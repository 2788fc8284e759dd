//! `[routes.*]`: the model names that clients ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::{Section, suggestion};
use super::{CacheRule, ModelConfig, PolicyConfig, Timeouts, budgets, cache, timeouts};
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
    /// How long a request waits while all that could serve it are at their limits.
    pub queue: Duration,
    /// Who waits for room: 0 before 1 before 2.
    pub priority: u8,
    /// Whether another candidate is tried where one refuses what the request is about.
    pub passes_content: bool,
    /// Whether another candidate follows a stream that breaks before it has shown anything.
    pub restarts: bool,
    /// How long one attempt may take.
    pub timeouts: Timeouts,
    /// When the next candidate is started beside one that has not answered.
    pub hedge: Option<Hedge>,
}

/// Unless the configuration says otherwise.
const BACKOFF: Duration = Duration::from_millis(250);
const QUEUE: Duration = Duration::from_secs(5);
/// In the order in which they come first.
const PRIORITIES: [&str; 3] = ["high", "normal", "low"];
const NORMAL: u8 = 1;

/// When the next candidate is started beside one that has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// After so long.
    After(Duration),
    /// When 95 of 100 answers of the model had come.
    P95,
}

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
            queue: QUEUE,
            priority: NORMAL,
            passes_content: false,
            restarts: false,
            timeouts: Timeouts::default(),
            hedge: None,
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
        queue: section
            .number("queue_ms", 0..=86_400_000)
            .map_or(QUEUE, Duration::from_millis),
        priority: priority(&section),
        passes_content: choice(&section, "on_content_policy", ["stop", "next"]),
        restarts: choice(&section, "resume", ["never", "restart"]),
        timeouts: timeouts::read(&section),
        hedge: hedge(&section),
    };
    section.finish();
    route
}

/// `hedge_ms = 800` or `hedge = "p95"`.
fn hedge(section: &Section<'_>) -> Option<Hedge> {
    let after = section.number("hedge_ms", 1..=86_400_000).map(Duration::from_millis);
    let Some((word, span)) = section.string("hedge") else {
        return after.map(Hedge::After);
    };
    if word != "p95" {
        section.note(span, format!("`hedge` is `p95`, not `{word}`; `hedge_ms` is a time"));
    } else if after.is_some() {
        section.note(span, "`hedge` and `hedge_ms` are both there; keep one of them");
    }
    Some(Hedge::P95)
}

fn priority(section: &Section<'_>) -> u8 {
    let Some((word, span)) = section.string("priority") else {
        return NORMAL;
    };
    let found = (0..).zip(PRIORITIES).find(|(_, known)| *known == word);
    found.map_or_else(
        || {
            section.note(
                span,
                format!("`priority` is one of {}, not `{word}`", PRIORITIES.join(", ")),
            );
            NORMAL
        },
        |(priority, _)| priority,
    )
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
