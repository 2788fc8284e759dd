//! `GET /v1/models` and `/v1/models/{id}`, in Anthropic's words.

use serde_json::{Value, json};

use super::super::models;
use crate::generation::Generation;
use crate::keys::Caller;

/// When a model was made nobody says here.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";

/// All that the caller may use, on one page.
pub fn list(generation: &Generation, caller: &Caller) -> Value {
    let list = models::list(generation, caller);
    let models: Vec<Value> = list["data"].as_array().into_iter().flatten().map(model).collect();
    let id_of = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    let (first, last) = (id_of(models.first()), id_of(models.last()));
    json!({"data": models, "has_more": false, "first_id": first, "last_id": last})
}

/// One model or route that the caller may use.
pub fn one(generation: &Generation, caller: &Caller, id: &str) -> Option<Value> {
    models::one(generation, caller, id).as_ref().map(model)
}

fn model(known: &Value) -> Value {
    let mut model = json!({
        "type": "model",
        "id": known["id"],
        "display_name": known["id"],
        "created_at": UNKNOWN_TIME,
    });
    for (name, limit) in [
        ("max_input_tokens", &known["context_window"]),
        ("max_tokens", &known["max_output_tokens"]),
    ] {
        if !limit.is_null() {
            model[name] = limit.clone();
        }
    }
    model
}
