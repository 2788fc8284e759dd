//! models.dev: providers with their models, prices in US dollars per million tokens.

use super::{Item, Reading};
use crate::catalog::{Abilities, Entry, names};
use crate::json::{Kind, Value};
use crate::money::{PriceList, Shares, StatedRates};

pub(super) fn read(root: Value<'_>, reading: &mut Reading) {
    for (id, provider) in root.members() {
        let id = id.as_str().unwrap_or_default();
        let Some(models) = provider.field("models").filter(|models| models.kind() == Kind::Object) else {
            reading.wrong.push(format!("{id}: `models` must be an object"));
            continue;
        };
        let Some(own) = names::of_models_dev(&id) else {
            reading.taken.left_out += models.members().count();
            continue;
        };
        for (name, model) in models.members() {
            let name = name.as_str().unwrap_or_default();
            let at = format!("{id}/{name}");
            if model.kind() != Kind::Object {
                reading.wrong.push(format!("{at} must be an object"));
                continue;
            }
            let entry = entry(Item {
                at: &at,
                value: model,
                wrong: &mut reading.wrong,
            });
            reading.insert(own, &name, entry);
        }
    }
}

fn entry(mut model: Item<'_, '_>) -> Entry {
    let mut price = None;
    let mut has_cache = false;
    if let Some(cost) = model.object("cost") {
        has_cache = cost.field("cache_read").is_some();
        price = read_price(model.part(cost));
    }
    let limit = model.object("limit");
    let mut tokens = |key| limit.and_then(|limit| model.part(limit).tokens(key));
    let (context, max_output) = (tokens("context"), tokens("output"));
    let modalities = model.object("modalities");
    let heard = modalities.and_then(|modalities| model.part(modalities).array("input"));
    let takes = |kind: &str| heard.is_some_and(|kinds| kinds.elements().any(|word| word.is(kind)));
    let tools = model.flag("tool_call") == Some(true);
    Entry {
        shares: Shares::default(),
        price,
        context,
        max_output,
        abilities: Some(Abilities {
            streaming: true,
            tools,
            parallel_tools: tools,
            vision: takes("image"),
            audio: takes("audio"),
            // Half of the models say nothing of it; only a clear no rules it out.
            structured_output: model.flag("structured_output") != Some(false),
            reasoning: model.flag("reasoning") == Some(true),
            prompt_cache: has_cache,
        }),
    }
}

fn read_price(mut cost: Item<'_, '_>) -> Option<PriceList> {
    let rates = rates(&mut cost, None)?;
    let mut tiers = Vec::new();
    for tier in cost.array("tiers").into_iter().flat_map(|tiers| tiers.elements()) {
        let mut tier = cost.part(tier);
        let Some(bound) = tier.object("tier") else {
            tier.wrong.push(format!("{}: a tier without its `tier`", tier.at));
            continue;
        };
        if bound.field("type").is_some_and(|kind| !kind.is("context")) {
            continue;
        }
        if let Some(above) = tier.part(bound).tokens("size") {
            tiers.extend(self::rates(&mut tier, Some(&rates)).map(|rates| (u64::from(above), rates)));
        }
    }
    // An older way to say the same.
    if tiers.is_empty()
        && let Some(over) = cost.object("context_over_200k")
    {
        tiers.extend(self::rates(&mut cost.part(over), Some(&rates)).map(|rates| (200_000, rates)));
    }
    tiers.sort_by_key(|(above, _)| *above);
    tiers.dedup_by_key(|(above, _)| *above);
    Some(PriceList {
        rates,
        tiers,
        shares: Shares::default(),
    })
}

/// Nothing where input or output have no price, neither here nor below.
fn rates(cost: &mut Item<'_, '_>, below: Option<&StatedRates>) -> Option<StatedRates> {
    let mut rate = |key: &str| cost.rate(key, 6);
    // A few models spell their members in other ways.
    let (cached_input, cache_write) = (
        rate("cache_read")
            .or_else(|| rate("cached_input"))
            .or_else(|| rate("cache_input")),
        rate("cache_write").or_else(|| rate("cached_write")),
    );
    Some(super::without_noughts(StatedRates {
        input: rate("input").or(below.map(|below| below.input))?,
        cached_input,
        cache_write,
        cache_write_1h: None,
        output: rate("output").or(below.map(|below| below.output))?,
        reasoning: rate("reasoning"),
        audio_input: rate("input_audio"),
        audio_output: rate("output_audio"),
        ..StatedRates::default()
    }))
}
