//! `GET /v1/models` and `/v1/models/{id}`: routes first, then the catalog.

use serde_json::{Value, json};

use crate::generation::Generation;

/// OpenAI's list object.
pub fn list(generation: &Generation) -> Value {
    let routes = generation.routes.keys().map(|name| route(name));
    let models = generation.models.keys().filter_map(|id| model(generation, id));
    json!({"object": "list", "data": routes.chain(models).collect::<Vec<_>>()})
}

/// One model or route.
pub fn one(generation: &Generation, id: &str) -> Option<Value> {
    if generation.routes.contains_key(id) {
        return Some(route(id));
    }
    model(generation, id)
}

fn route(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "pointsman"})
}

fn model(generation: &Generation, id: &str) -> Option<Value> {
    let model = generation.models.get(id)?;
    let price = model.price.as_ref().map(|price| {
        let rates = price.base();
        json!({
            "input": rates.input.to_string(),
            "cached_input": rates.cached_input.to_string(),
            "cache_write": rates.cache_write.to_string(),
            "output": rates.output.to_string(),
        })
    });
    Some(json!({
        "id": id,
        "object": "model",
        "created": 0,
        "owned_by": model.provider.name,
        "context_window": model.context,
        "max_output_tokens": model.max_output,
        "price_usd_per_million_tokens": price,
        "tags": model.tags,
    }))
}
