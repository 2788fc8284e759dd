//! `GET /v1beta/models` and `/v1beta/models/{id}`: what there is, in Gemini's words.

use serde_json::{Value, json};

use super::super::models;
use crate::generation::Generation;
use crate::keys::Caller;

/// All that the caller may use, on one page.
pub fn list(generation: &Generation, caller: &Caller) -> Value {
    let list = models::list(generation, caller);
    let models: Vec<Value> = list["data"].as_array().into_iter().flatten().map(model).collect();
    json!({"models": models})
}

/// One model or route that the caller may use.
pub fn one(generation: &Generation, caller: &Caller, id: &str) -> Option<Value> {
    models::one(generation, caller, id).as_ref().map(model)
}

fn model(known: &Value) -> Value {
    let id = known["id"].as_str().unwrap_or_default();
    let mut model = json!({
        "name": format!("models/{id}"),
        "displayName": id,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    });
    for (name, limit) in [
        ("inputTokenLimit", &known["context_window"]),
        ("outputTokenLimit", &known["max_output_tokens"]),
    ] {
        if !limit.is_null() {
            model[name] = limit.clone();
        }
    }
    model
}
