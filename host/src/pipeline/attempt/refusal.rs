//! What the caller hears where an attempt was not paid for.

use std::time::Duration;

use hyper::StatusCode;

use crate::budget::{Period, Scope, Window};
use crate::error::ApiError;
use crate::ledger::{Exceeded, Refused};
use crate::money::usd;
use crate::store::now_ms;

/// The error of a refusal. Whose budget it is and how it stands is told only where it is the caller's own.
pub(super) fn told(refused: Refused) -> ApiError {
    match refused {
        Refused::Exceeded(exceeded) => over_budget(&exceeded),
        Refused::Unpriced(scope) => {
            let message =
                "a budget applies to this request, and nobody has said what the model costs; ask for one with a price";
            let error = ApiError::rejected(403, "model_not_priced".to_owned(), message.to_owned(), None);
            error.with_param("model").with_detail(format!("the budget of {scope}"))
        }
        Refused::Unavailable(reason) => {
            let message = "the gateway cannot check its budgets at the moment; try again in a moment";
            ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "budget_store_unavailable", message)
                .with_retry_after(Some(Duration::from_secs(1)))
                .with_detail(reason)
        }
    }
}

fn over_budget(exceeded: &Exceeded) -> ApiError {
    let Exceeded {
        scope,
        budget,
        spent,
        held,
        ..
    } = exceeded;
    let resets = exceeded
        .resets_ms
        .map(|end_ms| Window { start_ms: 0, end_ms })
        .and_then(|window| window.end());
    let again = match &resets {
        Some(at) => format!("it begins anew at {at}"),
        None => "it does not begin anew".to_owned(),
    };
    let figures = format!(
        "of {} USD, {} are spent and {} are reserved for calls under way",
        budget.limit,
        usd(*spent),
        usd(i128::try_from(*held).unwrap_or(i128::MAX))
    );
    let message = if scope.is_the_callers() {
        format!(
            "the budget {} has not enough left for this request: {figures}; {again}",
            named(scope, budget.period)
        )
    } else {
        format!("a budget of this gateway has not enough left for this request; {again}")
    };
    let wait = exceeded
        .resets_ms
        .map(|end_ms| Duration::from_millis(end_ms.saturating_sub(now_ms())));
    ApiError::busy(StatusCode::TOO_MANY_REQUESTS, "budget_exceeded", message)
        .with_retry_after(wait)
        .with_detail(format!("the budget {}: {figures}", named(scope, budget.period)))
        .final_answer()
}

fn named(scope: &Scope, period: Period) -> String {
    match period {
        Period::Total => format!("of {scope}"),
        period => format!("of {scope} for this {}", period.name()),
    }
}
