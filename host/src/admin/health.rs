//! How models are doing, and with which of their providers' credentials they may be asked.

use serde_json::{Value, json};

use crate::generation::{Generation, Model};

/// All models of the configuration, and those beside them that were asked for lately.
pub(super) fn shown(generation: &Generation) -> Value {
    let models: Vec<Value> = generation.models.values().map(|model| one(model)).collect();
    let unlisted: Vec<Value> = generation.unlisted_models().iter().map(one).collect();
    json!({"generation": generation.number, "models": models, "unlisted": unlisted})
}

fn one(model: &Model) -> Value {
    let (health, standing, room) = (model.seen.health.read(), model.standing(), model.room());
    let keys = model.seen.lanes.iter().enumerate().map(|(index, lane)| {
        let credential = model.provider.credentials.get(index);
        let rest = lane.told().or_else(|| lane.guessed());
        json!({
            "key": index + 1,
            "is_refused": credential.is_some_and(|credential| credential.is_refused()),
            "rests_ms": rest.map(|rest| rest.as_millis() as u64),
        })
    });
    json!({
        "model": model.id,
        "provider": model.provider.name,
        "standing": standing.word(),
        "standing_ms": standing.left().map(|left| left.as_millis() as u64),
        "in_flight": health.in_flight,
        "waiting": model.seen.queue.len(),
        "error_permille": health.error_permille,
        "first_token_ms": health.first_token_ms,
        "total_ms": health.total_ms,
        "requests_left": room.requests,
        "tokens_left": room.tokens,
        "keys": keys.collect::<Vec<_>>(),
    })
}
