//! Which of a route's models may serve a request: those that nothing known rules out. What nobody said of a model rules
//! nothing out, and estimates never rule out the last one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Call, narrow};
use crate::error::ApiError;
use crate::generation::{Model, Route};
use crate::operation::Operation;
use crate::plugins::words::Abilities;
use crate::surfaces::chat::Ask;

/// The models that may serve, with their weights, in the route's order. What the caller may not use is not among them,
/// whatever policies or estimates would say.
pub fn offer(route: &Route, call: &Call) -> Result<Vec<(Arc<Model>, u32)>, ApiError> {
    let (caller, ask) = (&call.caller, &call.ask);
    let may_serve = |(model, _): &&(Arc<Model>, u32)| caller.may_use(&model.id, &model.tags);
    let allowed: Cow<'_, [(Arc<Model>, u32)]> = if caller.may_use_all() {
        Cow::Borrowed(&route.candidates)
    } else {
        Cow::Owned(route.candidates.iter().filter(may_serve).cloned().collect())
    };
    if allowed.is_empty() {
        return Err(caller.no_model(&route.name));
    }
    let wishes = &call.wording.wishes;
    let allowed = narrow::narrowed(allowed, wishes, route)?;
    // Who cannot count tokens is counted for.
    let serves = |(model, _): &&(Arc<Model>, u32)| {
        ask.operation == Operation::CountTokens || model.provider.serves(ask.operation)
    };
    let allowed: Cow<'_, [(Arc<Model>, u32)]> = if allowed.iter().all(|offer| serves(&offer)) {
        allowed
    } else {
        Cow::Owned(allowed.iter().filter(serves).cloned().collect())
    };
    match &*allowed {
        [] => return Err(none_serves(route, ask.operation)),
        // There is nothing to choose, and the provider knows its own limits best.
        [only] if !wishes.needs_all => return Ok(vec![only.clone()]),
        _ => {}
    }
    let able: Vec<(Arc<Model>, u32)> = allowed
        .iter()
        .filter(|(model, _)| lacking(model, ask).is_none())
        .cloned()
        .collect();
    if able.is_empty() {
        return Err(none_is_able(route, &allowed, ask));
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
        // Sound goes on as it comes from whoever makes it.
        (
            ask.is_stream && ask.operation != Operation::Speech,
            Abilities::STREAMING,
            "streaming",
        ),
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

fn none_serves(route: &Route, operation: Operation) -> ApiError {
    let providers: BTreeSet<&str> = route
        .candidates
        .iter()
        .map(|(model, _)| &*model.provider.name)
        .collect();
    let providers: Vec<&str> = providers.into_iter().collect();
    let message = format!(
        "no model of `{}` serves {}: the adapter of {} does not offer that",
        route.name,
        operation.name(),
        providers.join(", ")
    );
    ApiError::no_candidate(message)
}

fn none_is_able(route: &Route, allowed: &[(Arc<Model>, u32)], ask: &Ask) -> ApiError {
    let reasons: Vec<String> = allowed
        .iter()
        .filter_map(|(model, _)| lacking(model, ask).map(|ability| format!("`{}` lacks {ability}", model.id)))
        .collect();
    let message = format!(
        "no model of `{}` can serve this request: {}",
        route.name,
        reasons.join(", ")
    );
    ApiError::no_candidate(message)
}
