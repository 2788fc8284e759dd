//! LiteLLM: one flat list of models, prices in US dollars per token.

use super::{Item, Reading};
use crate::catalog::{Abilities, Entry, names};
use crate::json::Value;
use crate::money::{Nanodollars, PriceList, Shares, StatedRates};

/// An entry that explains the others.
const SAMPLE: &str = "sample_spec";
/// What answers in tokens.
const MODES: [&str; 4] = ["chat", "completion", "responses", "embedding"];
/// What may, or has another price that can be stated.
const PRICED_MODES: [&str; 4] = ["image_generation", "audio_speech", "audio_transcription", "rerank"];

pub(super) fn read(root: Value<'_>, reading: &mut Reading) {
    for (name, model) in root.members() {
        let name = name.as_str().unwrap_or_default();
        if name == SAMPLE {
            continue;
        }
        let provider = model.field("litellm_provider").and_then(|provider| provider.as_str());
        let Some(provider) = provider else {
            reading
                .wrong
                .push(format!("{name}: `litellm_provider` must be a string"));
            continue;
        };
        let mode = model.field("mode").and_then(|mode| mode.as_str());
        let is_wanted = mode.as_deref().is_none_or(|mode| MODES.contains(&mode));
        let is_wanted_priced = mode.as_deref().is_some_and(|mode| PRICED_MODES.contains(&mode));
        let Some(own) = names::of_litellm(&provider).filter(|_| is_wanted || is_wanted_priced) else {
            reading.taken.left_out += 1;
            continue;
        };
        let entry = entry(Item {
            at: &name,
            value: model,
            wrong: &mut reading.wrong,
        });
        if entry.price.is_none() && !is_wanted {
            reading.taken.left_out += 1;
            continue;
        }
        reading.insert(own, bare(&name, &provider), entry);
    }
}

/// Without the provider, which some of the names begin with.
fn bare<'n>(name: &'n str, provider: &str) -> &'n str {
    let family = provider.split(['-', '_']).next().unwrap_or(provider);
    let prefixes = [provider, family, "vertex_ai"];
    let stripped = prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix)?.strip_prefix('/'));
    stripped.unwrap_or(name)
}

fn entry(mut model: Item<'_, '_>) -> Entry {
    let ability = |model: &mut Item<'_, '_>, name: &str| model.flag(&format!("supports_{name}"));
    let tools = ability(&mut model, "function_calling");
    let vision = ability(&mut model, "vision");
    // Where not even these are told of, nothing is.
    let is_told = tools.is_some() || vision.is_some();
    let mut has = |name| ability(&mut model, name);
    let abilities = Abilities {
        streaming: true,
        tools: tools == Some(true),
        parallel_tools: has("parallel_function_calling").or(tools) == Some(true),
        vision: vision == Some(true),
        audio: has("audio_input") == Some(true),
        structured_output: has("response_schema") != Some(false),
        reasoning: has("reasoning") == Some(true),
        prompt_cache: has("prompt_caching") == Some(true),
    };
    Entry {
        shares: Shares::default(),
        price: price(&mut model),
        context: model.tokens("max_input_tokens"),
        max_output: model.tokens("max_output_tokens"),
        abilities: is_told.then_some(abilities),
    }
}

fn price(model: &mut Item<'_, '_>) -> Option<PriceList> {
    if let Some(ranges) = model.array("tiered_pricing") {
        return of_ranges(model, ranges);
    }
    let rates = rates(model, "", None)?;
    let mut tiers: Vec<(u64, StatedRates)> = Vec::new();
    for (above, suffix) in sizes(model.value) {
        tiers.extend(self::rates(model, &suffix, Some(&rates)).map(|rates| (above, rates)));
    }
    // One share stands for all kinds of tokens: where they differ, that of the dearest, so that nothing is booked too low.
    let mut share = |service: &str, most: u32| {
        let kinds = [
            ("input_cost_per_token", Some(rates.input)),
            ("output_cost_per_token", Some(rates.output)),
            ("cache_read_input_token_cost", rates.cached_input),
        ];
        let shares = kinds.into_iter().filter_map(|(key, usual)| {
            let rate = model.rate(&format!("{key}_{service}"), 0)?;
            let usual = usual.filter(|usual| usual.0 > 0)?;
            Some(u128::from(rate.0).checked_mul(1_000)?.div_ceil(usual.0.into()))
        });
        let permille = u32::try_from(shares.max()?).ok();
        permille.filter(|permille| *permille <= most && *permille != 1_000)
    };
    // What is asked of a gateway and served when there is time to is flex; most providers bill both alike.
    let shares = Shares {
        batch: share("flex", 1_000).or_else(|| share("batches", 1_000)),
        priority: share("priority", 10_000),
    };
    Some(PriceList { rates, tiers, shares })
}

/// The sizes above which members have other rates, rising, each with how these members end: `_above_200k_tokens`.
fn sizes(model: Value<'_>) -> Vec<(u64, String)> {
    let mut sizes = Vec::new();
    for (key, _) in model.members() {
        let key = key.as_str().unwrap_or_default();
        let thousands = key
            .strip_suffix("k_tokens")
            .and_then(|key| key.rsplit_once("_above_"))
            .and_then(|(_, thousands)| thousands.parse::<u32>().ok());
        sizes.extend(thousands.map(|thousands| (u64::from(thousands) * 1_000, format!("_above_{thousands}k_tokens"))));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// `[{ "range": [0, 128000], "input_cost_per_token": …, … }, …]`: the first is of an ordinary call.
fn of_ranges<'a>(model: &mut Item<'a, '_>, ranges: Value<'a>) -> Option<PriceList> {
    let mut read = Vec::new();
    for range in ranges.elements() {
        let mut item = model.part(range);
        let above = item
            .array("range")
            .and_then(|bounds| bounds.elements().next()?.as_f64());
        read.push((above? as u64, rates(&mut item, "", None)?));
    }
    read.sort_by_key(|(above, _)| *above);
    let mut read = read.into_iter();
    Some(PriceList {
        rates: read.next()?.1,
        tiers: read.collect(),
        shares: Shares::default(),
    })
}

/// Nothing where input or output have no price, neither here nor below.
fn rates(model: &mut Item<'_, '_>, suffix: &str, below: Option<&StatedRates>) -> Option<StatedRates> {
    // Other models have these beside prices for tokens, and mean something else by them.
    let is = |mode: &str| model.value.field("mode").is_some_and(|of| of.is(mode));
    let (is_reranker, is_speaker) = (is("rerank"), is("audio_speech"));
    // Of one search.
    let search = model
        .rate(&format!("input_cost_per_query{suffix}"), 6)
        .filter(|_| is_reranker);
    let mut rate = |key: &str| model.rate(&format!("{key}{suffix}"), 0);
    let characters = rate("input_cost_per_character").filter(|_| is_speaker);
    let image_output = rate("output_cost_per_image_token");
    // What is billed by something else has no price for tokens.
    let none = search.or(characters).map(|_| Nanodollars(0));
    Some(super::without_noughts(StatedRates {
        input: rate("input_cost_per_token")
            .or(below.map(|below| below.input))
            .or(none)?,
        cached_input: rate("cache_read_input_token_cost"),
        cache_write: rate("cache_creation_input_token_cost"),
        cache_write_1h: rate("cache_creation_input_token_cost_above_1hr"),
        output: rate("output_cost_per_token")
            .or(below.map(|below| below.output))
            .or(image_output)
            .or(none)?,
        reasoning: rate("output_cost_per_reasoning_token"),
        audio_input: rate("input_cost_per_audio_token"),
        audio_output: rate("output_cost_per_audio_token"),
        image_input: rate("input_cost_per_image_token"),
        image_output,
        characters,
        search,
    }))
}
