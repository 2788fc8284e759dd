//! Which of a route's models may serve a request: those that nothing known rules out. What nobody said of a model rules
//! nothing out, and estimates never rule out the last one.

use std::sync::Arc;

use crate::error::ApiError;
use crate::generation::{Model, Route};
use crate::plugins::words::Abilities;
use crate::surfaces::chat::Ask;

/// The models that may serve, with their weights, in the route's order.
pub fn offer(route: &Route, ask: &Ask) -> Result<Vec<(Arc<Model>, u32)>, ApiError> {
    if let [only] = route.candidates.as_slice() {
        // There is nothing to choose, and the provider knows its own limits best.
        return Ok(vec![only.clone()]);
    }
    let able: Vec<(Arc<Model>, u32)> = route
        .candidates
        .iter()
        .filter(|(model, _)| lacking(model, ask).is_none())
        .cloned()
        .collect();
    if able.is_empty() {
        return Err(none_is_able(route, ask));
    }
    let needed = ask.estimated_input_tokens();
    let fits = |model: &Model| model.context.is_none_or(|context| needed <= context);
    if able.iter().any(|(model, _)| fits(model)) {
        return Ok(able.into_iter().filter(|(model, _)| fits(model)).collect());
    }
    // Only an estimate says that the request is too long for all, so the largest may try.
    let largest = able.iter().map(|(model, _)| model.context).max().flatten();
    Ok(able.into_iter().filter(|(model, _)| model.context == largest).collect())
}

/// An ability that the request needs and the model is known not to have.
fn lacking(model: &Model, ask: &Ask) -> Option<&'static str> {
    let abilities = model.abilities?;
    let needs = [
        (ask.tools_bytes > 0, Abilities::TOOLS, "tools"),
        (ask.images > 0, Abilities::VISION, "vision"),
        (ask.is_stream, Abilities::STREAMING, "streaming"),
        (
            ask.wants_structured_output,
            Abilities::STRUCTURED_OUTPUT,
            "structured-output",
        ),
    ];
    needs
        .into_iter()
        .find(|(is_needed, flag, _)| *is_needed && !abilities.contains(*flag))
        .map(|(_, _, name)| name)
}

fn none_is_able(route: &Route, ask: &Ask) -> ApiError {
    let reasons: Vec<String> = route
        .candidates
        .iter()
        .filter_map(|(model, _)| lacking(model, ask).map(|ability| format!("`{}` lacks {ability}", model.id)))
        .collect();
    let message = format!(
        "no model of `{}` can serve this request: {}",
        route.name,
        reasons.join(", ")
    );
    ApiError::invalid("no_candidate", message)
        .with_param("model")
        .final_answer()
}
