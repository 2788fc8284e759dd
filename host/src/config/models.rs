//! `[models.*]`: the models there are. What is not said of one is taken from the built-in catalog, where that knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::{Section, suggestion};
use super::{ProviderConfig, RateLimits, Timeouts, budgets, providers, routes, timeouts};
use crate::budget::Budget;
use crate::catalog::{Abilities, Catalog, Entry};
use crate::money::{Nanodollars, Price, PriceList, Shares, StatedRates};

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The provider's name.
    pub provider: String,
    /// The provider's own name of the model.
    pub upstream: String,
    /// `None`: nobody has said what it costs.
    pub price: Option<Arc<Price>>,
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
    /// How much of it may be used.
    pub limits: RateLimits,
    /// How long its answers may take.
    pub timeouts: Timeouts,
    /// Handed to the adapter, over the provider's settings.
    pub settings: serde_json::Value,
}

impl ModelConfig {
    /// A provider's model of which so much is known.
    pub fn new(provider: String, upstream: String, known: Entry) -> Self {
        Self {
            provider,
            upstream,
            price: known.price.map(|list| Arc::new(Price::new(&list))),
            context: known.context,
            max_output: known.max_output,
            abilities: known.abilities,
            tags: Vec::new(),
            budgets: Vec::new(),
            limits: RateLimits::default(),
            timeouts: Timeouts::default(),
            settings: serde_json::json!({}),
        }
    }
}

pub(super) fn read(
    root: &Section<'_>,
    providers: &BTreeMap<String, ProviderConfig>,
    catalog: &Catalog,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, ModelConfig> {
    let mut models = BTreeMap::new();
    for (id, section) in root.sections("models") {
        if let Some(model) = model(&id, section, providers, catalog, warnings) {
            if model.price.is_none() {
                warnings.push(format!(
                    "models.\"{id}\" has no price, and the catalog knows none: what it costs is unknown, and budgets cannot count it"
                ));
            }
            models.insert(id, model);
        }
    }
    models
}

fn model(
    id: &str,
    section: Section<'_>,
    providers: &BTreeMap<String, ProviderConfig>,
    catalog: &Catalog,
    warnings: &mut Vec<String>,
) -> Option<ModelConfig> {
    let provider = section.required_string("provider");
    if let Some((name, span)) = &provider
        && !providers.contains_key(name)
    {
        let near = suggestion(name, providers.keys().map(String::as_str));
        section.note(span.clone(), format!("no provider `{name}`{near}"));
    }
    let habitual = id.split_once('/').map_or(id, |(_, name)| name);
    let tokens = |key| section.number(key, 1..=u64::from(u32::MAX)).map(|tokens| tokens as u32);
    let upstream = section.string("upstream");
    let upstream = upstream.map_or_else(|| habitual.to_owned(), |(name, _)| name);
    let listed = section.string("catalog").map(|(name, _)| name);
    let at = provider
        .as_ref()
        .and_then(|(name, _)| providers.get(name)?.catalog.as_deref());
    let known = match &listed {
        Some(name) => name.split_once('/').and_then(|(at, model)| catalog.find(at, model)),
        None => at.and_then(|at| catalog.find(at, &upstream)),
    };
    if let (Some(name), None) = (&listed, &known) {
        warnings.push(format!(
            "models.\"{id}\": the catalog has no `{name}`; `pointsman catalog list` prints what it has"
        ));
    }
    let stated = Entry {
        shares: Shares::default(),
        price: price(section.section("price")),
        context: tokens("context"),
        max_output: tokens("max_output"),
        abilities: abilities(&section),
    };
    let entry = stated.or(known.unwrap_or_default());
    let model = provider.map(|(provider, _)| ModelConfig {
        tags: section.strings("tags").into_iter().map(|(tag, _)| tag).collect(),
        budgets: budgets::read(&section),
        limits: providers::limits(section.section("limits")),
        timeouts: timeouts::read(&section),
        settings: section.json("settings"),
        ..ModelConfig::new(provider, upstream, entry)
    });
    if routes::is_reserved(id) {
        section.note(section.span(), format!("`{id}` cannot be a model's id"));
    }
    section.finish();
    model
}

/// USD per million tokens, in the kinds that providers bill apart; [`StatedRates`] says what is taken for those left out.
fn price(section: Section<'_>) -> Option<PriceList> {
    let list = section.is_present().then(|| PriceList {
        rates: rates(&section),
        tiers: tiers(&section),
        shares: Shares {
            batch: share(&section, "batch", 1),
            priority: share(&section, "priority", 10),
        },
    });
    section.finish();
    list
}

fn rates(section: &Section<'_>) -> StatedRates {
    let amount = |key| {
        let (text, span) = section.decimal(key)?;
        Nanodollars::from_usd(&text)
            .map_err(|reason| section.note(span, reason))
            .ok()
    };
    let missing: Vec<&str> = ["input", "output"]
        .into_iter()
        .filter(|key| section.any(key).is_none())
        .collect();
    if !missing.is_empty() {
        let verb = if missing.len() > 1 { "are" } else { "is" };
        section.note(
            section.span(),
            format!("`{}` {verb} missing (USD per million tokens)", missing.join("` and `")),
        );
    }
    StatedRates {
        // What is wrong with them is noted, and a configuration with mistakes is not used.
        input: amount("input").unwrap_or_default(),
        cached_input: amount("cached_input"),
        cache_write: amount("cache_write"),
        cache_write_1h: amount("cache_write_1h"),
        output: amount("output").unwrap_or_default(),
        reasoning: amount("reasoning"),
        audio_input: amount("audio_input"),
        audio_output: amount("audio_output"),
        image_input: amount("image_input"),
        image_output: amount("image_output"),
        characters: amount("characters"),
        search: amount("search"),
    }
}

/// `[{ above = 200_000, input = …, output = … }]`
fn tiers(section: &Section<'_>) -> Vec<(u64, StatedRates)> {
    let mut tiers: Vec<(u64, StatedRates)> = Vec::new();
    for item in section.items("tiers") {
        let Some(tier) = section.item_section("tiers", item) else {
            section.note(item.span(), "a tier is `{ above = 200_000, input = …, output = … }`");
            continue;
        };
        let above = tier.number("above", 1..=u64::from(u32::MAX));
        if tier.any("above").is_none() {
            tier.note(tier.span(), "`above` is missing (tokens of input)");
        }
        if tiers.iter().any(|(other, _)| Some(*other) == above) {
            tier.note(tier.span(), "two tiers begin above the same size");
        }
        let rates = rates(&tier);
        tier.finish();
        tiers.extend(above.map(|above| (above, rates)));
    }
    tiers
}

/// A share of the price, up to so many times it, in thousandths.
fn share(section: &Section<'_>, key: &'static str, most: u64) -> Option<u32> {
    let (text, span) = section.decimal(key)?;
    let permille = Nanodollars::from_usd(&text).ok().and_then(|share| {
        let is_share = share.0 <= most * 1_000_000_000 && share.0 % 1_000_000 == 0;
        is_share.then_some((share.0 / 1_000_000) as u32)
    });
    if permille.is_none() {
        section.note(
            span,
            format!("`{key}` is a share of the price from 0 to {most}, with at most three decimals"),
        );
    }
    permille
}

fn abilities(section: &Section<'_>) -> Option<Abilities> {
    section.any("abilities")?;
    let mut abilities = Abilities::default();
    for (name, span) in section.strings("abilities") {
        if !abilities.add(&name) {
            let all = Abilities::WORDS.join(", ");
            section.note(span, format!("no ability `{name}`; there are {all}"));
        }
    }
    Some(abilities)
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, Source};
    use crate::money::{Nanodollars, Service};

    fn load(price: &str) -> Result<super::super::Config, String> {
        let text = format!("[providers.p]\nadapter = \"simulated\"\n[models.m]\nprovider = \"p\"\nprice = {price}\n");
        let source = Source { path: None, text };
        source.load().map_err(|error| match error {
            ConfigError::Mistakes(mistakes, _) => mistakes.iter().map(|mistake| format!("{mistake}\n")).collect(),
            other => other.to_string(),
        })
    }

    #[test]
    fn a_price_is_read_with_its_tiers() {
        let config = load(
            "{ input = 1.25, output = 10, batch = 0.5, priority = 1.75, tiers = [{ above = 200_000, input = 2.5, output = 15 }] }",
        );
        let price = config.unwrap().models["m"].price.clone().unwrap();
        assert_eq!(price.tiers()[0].above, 200_000);
        let shares = [Service::Batch, Service::Priority].map(|service| price.shares().of(service));
        assert_eq!(shares, [500, 1_750]);
        assert_eq!(price.tiers()[0].rates.output, Nanodollars(15_000_000_000));
    }

    #[test]
    fn what_is_wrong_with_a_price_is_named() {
        for (price, expected) in [
            ("{ output = 1 }", "`input` is missing (USD per million tokens)"),
            ("{}", "`input` and `output` are missing (USD per million tokens)"),
            (
                "{ input = 1, output = 1, audio = 1 }",
                "unknown key `audio`; did you mean `audio_input`?",
            ),
            (
                "{ input = 1, output = 1, reasoning = \"1\" }",
                "`reasoning` must be a number",
            ),
            (
                "{ input = 1, output = 1, cache_write_1h = -1 }",
                "`-1` is not an amount",
            ),
            (
                "{ input = 1, output = 1, batch = 1.5 }",
                "`batch` is a share of the price from 0 to 1",
            ),
            (
                "{ input = 1, output = 1, batch = 0.3333 }",
                "`batch` is a share of the price from 0 to 1",
            ),
            (
                "{ input = 1, output = 1, priority = 11 }",
                "`priority` is a share of the price from 0 to 10",
            ),
            ("{ input = 1, output = 1, tiers = 5 }", "`tiers` must be a list"),
            ("{ input = 1, output = 1, tiers = [5] }", "a tier is `{ above"),
            (
                "{ input = 1, output = 1, tiers = [{ above = 5, input = 1 }] }",
                "`output` is missing",
            ),
            (
                "{ input = 1, output = 1, tiers = [{ input = 1, output = 1 }] }",
                "`above` is missing",
            ),
            (
                "{ input = 1, output = 1, tiers = [{ above = 0, input = 1, output = 1 }] }",
                "it must be from 1 to",
            ),
            (
                "{ input = 1, output = 1, tiers = [{ above = 5, input = 1, output = 1 }, { above = 5, input = 1, output = 1 }] }",
                "two tiers begin above the same size",
            ),
            ("7", "`price` must be a table"),
        ] {
            let said = load(price).unwrap_err();
            assert!(said.contains(expected), "{price}: {said}");
        }
    }
}
