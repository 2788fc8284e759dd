//! `[models.*]`: the catalog.

use std::collections::BTreeMap;

use super::reader::{Section, suggestion};
use super::{ProviderConfig, budgets, routes};
use crate::budget::Budget;
use crate::money::{Nanodollars, Price};

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The provider's name.
    pub provider: String,
    /// The provider's own name of the model.
    pub upstream: String,
    /// `None`: nobody has said what it costs.
    pub price: Option<Price>,
    /// Tokens of input and output together.
    pub context: Option<u32>,
    /// Tokens of output.
    pub max_output: Option<u32>,
    /// `None`: nobody has said what it can do, so nothing is ruled out.
    pub abilities: Option<Abilities>,
    /// Free words for policies.
    pub tags: Vec<String>,
    /// What may be spent on it.
    pub budgets: Vec<Budget>,
    /// Handed to the adapter, over the provider's settings.
    pub settings: serde_json::Value,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "the names are those of the contract's flags, which explain them"
)]
pub struct Abilities {
    pub streaming: bool,
    pub tools: bool,
    pub parallel_tools: bool,
    pub vision: bool,
    pub audio: bool,
    pub structured_output: bool,
    pub reasoning: bool,
    pub prompt_cache: bool,
}

const ABILITIES: [&str; 8] = [
    "streaming",
    "tools",
    "parallel-tools",
    "vision",
    "audio",
    "structured-output",
    "reasoning",
    "prompt-cache",
];

pub(super) fn read(
    root: &Section<'_>,
    providers: &BTreeMap<String, ProviderConfig>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, ModelConfig> {
    let mut models = BTreeMap::new();
    for (id, section) in root.sections("models") {
        if let Some(model) = model(&id, section, providers) {
            if model.price.is_none() {
                warnings.push(format!(
                    "models.\"{id}\" has no price: what it costs is unknown, and budgets cannot count it"
                ));
            }
            models.insert(id, model);
        }
    }
    models
}

fn model(id: &str, section: Section<'_>, providers: &BTreeMap<String, ProviderConfig>) -> Option<ModelConfig> {
    let provider = section.required_string("provider");
    if let Some((name, span)) = &provider
        && !providers.contains_key(name)
    {
        let near = suggestion(name, providers.keys().map(String::as_str));
        section.note(span.clone(), format!("no provider `{name}`{near}"));
    }
    let habitual = id.split_once('/').map_or(id, |(_, name)| name);
    let tokens = |key| section.number(key, 1..=u64::from(u32::MAX)).map(|tokens| tokens as u32);
    let model = provider.map(|(provider, _)| ModelConfig {
        provider,
        upstream: section
            .string("upstream")
            .map_or_else(|| habitual.to_owned(), |(name, _)| name),
        price: price(section.section("price")),
        context: tokens("context"),
        max_output: tokens("max_output"),
        abilities: abilities(&section),
        tags: section.strings("tags").into_iter().map(|(tag, _)| tag).collect(),
        budgets: budgets::read(&section),
        settings: section.json("settings"),
    });
    if routes::is_reserved(id) {
        section.note(section.span(), format!("`{id}` cannot be a model's id"));
    }
    section.finish();
    model
}

/// USD per million tokens. Cached input costs what input costs unless it has a price of its own; so does a cache write.
fn price(section: Section<'_>) -> Option<Price> {
    let amount = |key| {
        let (text, span) = section.decimal(key)?;
        Nanodollars::from_usd(&text)
            .map_err(|reason| section.note(span, reason))
            .ok()
    };
    let (input, output) = (amount("input"), amount("output"));
    let (cached_input, cache_write) = (amount("cached_input"), amount("cache_write"));
    let missing = [("input", input), ("output", output)]
        .into_iter()
        .filter(|(key, value)| value.is_none() && section.any(key).is_none());
    let missing: Vec<&str> = missing.map(|(key, _)| key).collect();
    if section.is_present() && !missing.is_empty() {
        section.note(
            section.span(),
            format!("`{}` is missing (USD per million tokens)", missing.join("` and `")),
        );
    }
    section.finish();
    let input = input?;
    Some(Price {
        input,
        cached_input: cached_input.unwrap_or(input),
        cache_write: cache_write.unwrap_or(input),
        output: output?,
    })
}

fn abilities(section: &Section<'_>) -> Option<Abilities> {
    section.any("abilities")?;
    let mut abilities = Abilities::default();
    for (name, span) in section.strings("abilities") {
        match name.as_str() {
            "streaming" => abilities.streaming = true,
            "tools" => abilities.tools = true,
            "parallel-tools" => abilities.parallel_tools = true,
            "vision" => abilities.vision = true,
            "audio" => abilities.audio = true,
            "structured-output" => abilities.structured_output = true,
            "reasoning" => abilities.reasoning = true,
            "prompt-cache" => abilities.prompt_cache = true,
            _ => section.note(span, format!("no ability `{name}`; there are {}", ABILITIES.join(", "))),
        }
    }
    Some(abilities)
}
