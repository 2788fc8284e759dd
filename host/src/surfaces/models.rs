//! `GET /v1/models` and `/v1/models/{id}`: routes first, then the catalog.

use serde_json::{Map, Value, json};

use crate::generation::{Generation, Model};
use crate::keys::Caller;
use crate::money::Rates;

/// OpenAI's list object, of what the caller may use.
pub fn list(generation: &Generation, caller: &Caller) -> Value {
    let routes = generation
        .routes
        .keys()
        .filter_map(|name| route(generation, caller, name));
    let models = generation.models.keys().filter_map(|id| model(generation, caller, id));
    json!({"object": "list", "data": routes.chain(models).collect::<Vec<_>>()})
}

/// One model or route that the caller may use.
pub fn one(generation: &Generation, caller: &Caller, id: &str) -> Option<Value> {
    route(generation, caller, id).or_else(|| model(generation, caller, id))
}

fn route(generation: &Generation, caller: &Caller, name: &str) -> Option<Value> {
    let route = generation.routes.get(name)?;
    let may_serve = |model: &Model| caller.may_use(&model.id, &model.tags);
    let is_theirs = caller.may_ask(name) && route.candidates.iter().any(|(model, _)| may_serve(model));
    is_theirs.then(|| json!({"id": name, "object": "model", "created": 0, "owned_by": "pointsman"}))
}

fn model(generation: &Generation, caller: &Caller, id: &str) -> Option<Value> {
    let model = generation.models.get(id)?;
    if !caller.may_ask(id) || !caller.may_use(id, &model.tags) {
        return None;
    }
    let price = model.price.as_ref().map(|price| {
        let mut shown = rates(price.base());
        let tiers = price.tiers().iter().map(|tier| {
            let mut shown = rates(&tier.rates);
            shown.insert("above_input_tokens".to_owned(), tier.above.into());
            Value::Object(shown)
        });
        let tiers: Vec<Value> = tiers.collect();
        if !tiers.is_empty() {
            shown.insert("tiers".to_owned(), tiers.into());
        }
        shown
    });
    Some(json!({
        "id": id,
        "object": "model",
        "created": 0,
        "owned_by": model.provider.name,
        "context_window": model.context,
        "max_output_tokens": model.max_output,
        "price_usd_per_million_tokens": price,
        "price_version": model.price.as_ref().map(|price| price.version().to_string()),
        "tags": model.tags,
    }))
}

/// Of every kind, those of which the price list says nothing included.
fn rates(rates: &Rates) -> Map<String, Value> {
    let kinds = rates.named().into_iter();
    kinds
        .map(|(kind, rate)| (kind.to_owned(), rate.to_string().into()))
        .collect()
}
