//! What a caller's wishes leave of a route's candidates and of its decision: never more than there was.

use std::borrow::Cow;
use std::sync::Arc;

use super::decide::{Decision, Step};
use crate::error::ApiError;
use crate::generation::{Model, Route};
use crate::surfaces::{Sort, Wishes};

type Offer = (Arc<Model>, u32);

/// The candidates that are wished for, in the order that is. An error says which wishes none of them fulfils.
pub(super) fn narrowed<'o>(
    offer: Cow<'o, [Offer]>,
    wishes: &Wishes,
    route: &Route,
) -> Result<Cow<'o, [Offer]>, ApiError> {
    let has_tag = |model: &Model| wishes.tags.iter().any(|tag| model.tags.contains(tag));
    // Tags that no model has are for somebody's books.
    let is_tagged = offer.iter().any(|(model, _)| has_tag(model));
    let closed = wishes.is_alone && !wishes.order.is_empty();
    let may = |model: &Model| {
        let names = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(&model.provider.name));
        wishes.only.as_ref().is_none_or(|only| names(only))
            && !names(&wishes.ignore)
            && (!closed || names(&wishes.order))
            && (!is_tagged || has_tag(model))
            && is_affordable(model, wishes)
    };
    let sorts = wishes.sort.is_some() || !wishes.order.is_empty();
    if !sorts && offer.iter().all(|(model, _)| may(model)) {
        return Ok(offer);
    }
    let mut kept: Vec<Offer> = offer.iter().filter(|(model, _)| may(model)).cloned().collect();
    if kept.is_empty() {
        let message = format!(
            "no model of `{}` is as the request wishes ({}); its models are of {}",
            route.name,
            said(wishes, is_tagged).join(", "),
            providers(&offer)
        );
        return Err(ApiError::no_candidate(message));
    }
    if let Some(sort) = wishes.sort {
        // Times change while they are compared.
        kept.sort_by_cached_key(|(model, _)| rank(model, sort));
    }
    let place = |model: &Model| {
        let mut order = wishes.order.iter();
        order
            .position(|name| name.eq_ignore_ascii_case(&model.provider.name))
            .unwrap_or(usize::MAX)
    };
    kept.sort_by_key(|(model, _)| place(model));
    Ok(kept.into())
}

/// Holds a decision to what is wished for.
pub(super) fn limited(mut decision: Decision, wishes: &Wishes) -> Decision {
    if wishes.is_alone && wishes.order.is_empty() {
        decision.steps.truncate(1);
    }
    if let Some(retries) = wishes.retries {
        decision.retries = decision.retries.min(retries);
    }
    if let Some(timeout) = wishes.timeout {
        let shorten = |step: &mut Step| {
            step.timeout = step.timeout.min(timeout);
            step.first_token_timeout = step.first_token_timeout.min(timeout);
        };
        decision.steps.iter_mut().for_each(shorten);
    }
    decision
}

/// A price that nobody knows may be any.
fn is_affordable(model: &Model, wishes: &Wishes) -> bool {
    let (input, output) = wishes.most;
    if input.is_none() && output.is_none() {
        return true;
    }
    let rates = model.price.as_ref().map(|price| price.base());
    rates.is_some_and(|rates| {
        input.is_none_or(|most| rates.input <= most) && output.is_none_or(|most| rates.output <= most)
    })
}

/// The smaller comes first, and what is unknown last.
fn rank(model: &Model, sort: Sort) -> u64 {
    let health = || model.seen.health.read();
    let known = match sort {
        Sort::Price => model.price.as_ref().map(|price| {
            let rates = price.base();
            rates.input.0.saturating_add(rates.output.0)
        }),
        Sort::Latency => health().first_token_ms.map(u64::from),
        Sort::Throughput => health().total_ms.map(u64::from),
    };
    known.unwrap_or(u64::MAX)
}

/// The wishes that rule candidates out, for people.
fn said(wishes: &Wishes, is_tagged: bool) -> Vec<&'static str> {
    let all = [
        (wishes.only.is_some(), "`provider.only`"),
        (!wishes.ignore.is_empty(), "`provider.ignore`"),
        (
            wishes.is_alone && !wishes.order.is_empty(),
            "`provider.order` without fallbacks",
        ),
        (wishes.most != (None, None), "the price"),
        (is_tagged, "`metadata.tags`"),
    ];
    all.into_iter()
        .filter(|(is_said, _)| *is_said)
        .map(|(_, name)| name)
        .collect()
}

fn providers(offer: &[Offer]) -> String {
    let mut names: Vec<String> = offer
        .iter()
        .map(|(model, _)| format!("`{}`", model.provider.name))
        .collect();
    names.sort();
    names.dedup();
    names.join(", ")
}
