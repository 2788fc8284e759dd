//! Where a request goes, and where it goes on when that fails, as its caller wishes. Each name is a route of its own, with its own
//! policies, budgets and times; what the caller may not ask for is refused before anything is tried.

use std::sync::Arc;

use super::{Answer, Call, Means, route_served};
use crate::error::ApiError;
use crate::generation::{Generation, Route, Standing};
use crate::surfaces::{Suffix, Wishes, renamed};

/// A route, and the request as it is asked.
type Way = (Arc<Route>, Arc<Call>);

/// Serves a call by the first of its ways that answers.
pub(super) async fn run(generation: Arc<Generation>, call: Arc<Call>, means: Means<'_>) -> Result<Answer, ApiError> {
    let (route, asked) = way(&generation, &call, &call.ask.model, "model")?;
    let others = &call.wording.wishes.fallbacks;
    if others.is_empty() {
        return route_served(generation, route, asked, means).await;
    }
    let others = others.iter().map(|(name, place)| way(&generation, &call, name, place));
    let others: Vec<Way> = others.collect::<Result<_, _>>()?;
    let mut ways: Vec<Way> = std::iter::once((route, asked)).chain(others).collect();
    // As within a route: who is left alone is asked after all others.
    ways.sort_by_key(|(route, _)| !may_serve(route));
    let mut next = ways.into_iter();
    let mut told: Option<ApiError> = None;
    let (mut route, mut asked) = next
        .next()
        .ok_or_else(|| ApiError::internal("a request names no model"))?;
    loop {
        let before = call.tried.begun();
        let error = match route_served(generation.clone(), route, asked, means).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let (may_go_on, is_final) = (error.may_go_on, error.should_retry == Some(false));
        // Where nobody was asked this time, what somebody answered before says more.
        let said = match told.filter(|_| call.tried.begun() == before) {
            Some(told) if is_final => told.final_answer(),
            Some(told) => told,
            None => error,
        };
        match next.next().filter(|_| may_go_on) {
            Some(way) => {
                tracing::info!(request_id = %call.id, code = %said.code, next = way.0.name, "the next model that was wished for is asked");
                (route, asked) = way;
                told = Some(said);
            }
            None => return Err(said),
        }
    }
}

/// Whether one of its models is asked now.
fn may_serve(route: &Route) -> bool {
    let mut models = route.candidates.iter();
    models.any(|(model, _)| matches!(model.standing(), Standing::Ready | Standing::Due))
}

/// What a name leads to. An end that asks for something is no part of it, unless there is such a name.
fn way(generation: &Generation, call: &Arc<Call>, name: &str, place: &str) -> Result<Way, ApiError> {
    let placed = |error: ApiError| match error.param {
        Some(_) => error.with_param(place),
        None => error,
    };
    let suffixed = Suffix::of(name).filter(|_| call.wording.knows_suffixes && generation.resolve(name).is_none());
    let (base, suffix) = match suffixed {
        Some((base, suffix)) => (base, Some(suffix.map_err(placed)?)),
        None => (name, None),
    };
    call.caller.check_name(base)?;
    let route = generation
        .resolve(base)
        .ok_or_else(|| placed(ApiError::unknown_model(name)))?;
    if base == call.ask.model {
        return Ok((route, call.clone()));
    }
    let mut call = Call::clone(call);
    call.ask.model = base.to_owned();
    (call.document, call.wording) = renamed(&call.document, &call.wording, base)?;
    if let Some(suffix) = suffix {
        let wishes = std::mem::take(&mut call.wording.wishes);
        call.wording.wishes = Wishes::with(wishes, suffix);
    }
    Ok((route, Arc::new(call)))
}
