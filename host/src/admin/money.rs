//! What was spent, what is left, and corrections: the ledger as operators see it.

use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Changed, digest, refuse, reply};
use crate::body::Body;
use crate::ledger::{Balance, Change, Ledger, correction};
use crate::money::{signed_from_usd, usd};
use crate::spend::{Query, at_text};
use crate::store::{Line, Store, StoreError, now_ms};

/// What is sent here is short.
const BODY_BYTES: usize = 16 << 10;

/// `POST /admin/ledger/corrections`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Correcting {
    line: u64,
    /// As text: JSON's numbers are not exact everywhere.
    by_usd: String,
    reason: String,
}

/// Why nothing came of a request.
enum Wrong {
    Request(String),
    Store(StoreError),
}

/// `GET /admin/spend?by=…`
pub(super) async fn spend(ledger: &Ledger, query: Option<&str>) -> Response<Body> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let settings = query.into_iter().flat_map(|query| query.split('&'));
    let settings = settings.filter(|setting| !setting.is_empty()).map(|setting| {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        (decoded(name), decoded(value))
    });
    let query = match Query::parse(settings, now_ms()) {
        Ok(query) => query,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    // Nobody is told of less than was booked when they asked.
    ledger.flush().await;
    let report = reading(ledger, move |store| query.ask(store)).await;
    answer(report.map(|report| report.to_json()).map_err(Wrong::Store))
}

/// `GET /admin/budgets`
pub(super) async fn budgets(ledger: &Ledger) -> Response<Body> {
    let balances = ledger.balances().await;
    let mut shown = json!({"budgets": balances.iter().map(balance).collect::<Vec<_>>()});
    if let Some(fleet) = fleet(ledger) {
        shown["fleet"] = fleet;
    }
    reply(StatusCode::OK, &shown)
}

/// With whom budgets are shared, and whether anything can be borrowed.
pub(super) fn fleet(ledger: &Ledger) -> Option<Value> {
    let fleet = ledger.fleet()?;
    Some(json!({"name": fleet.name, "state": fleet.state().name()}))
}

fn balance(balance: &Balance) -> Value {
    let budget = &balance.budget;
    let held = i128::try_from(balance.held).unwrap_or(i128::MAX);
    let others = balance.shared.map_or(0, |shared| shared.spent + shared.held);
    let left = i128::from(budget.limit.0) - balance.spent - held - others;
    let shared = balance.shared.map(|shared| {
        json!({
            "lent_usd": usd(shared.lent),
            "others_spent_usd": usd(shared.spent),
            "others_held_usd": usd(shared.held),
        })
    });
    let mut shown = json!({
        "scope": balance.scope.to_string(),
        "period": budget.period.name(),
        "zone": budget.zone.name(),
        "hard": budget.is_hard,
        "limit_usd": budget.limit.to_string(),
        "spent_usd": usd(balance.spent),
        "held_usd": usd(held),
        "left_usd": usd(left),
        "resets": balance.resets_ms.map(at_text),
    });
    if let Some(shared) = shared {
        shown["fleet"] = shared;
    }
    shown
}

/// `POST /admin/ledger/corrections`
pub(super) async fn correct(ledger: &Ledger, body: Incoming) -> Changed {
    let body = match super::body(body, BODY_BYTES).await {
        Ok(body) => body,
        Err(response) => return response.into(),
    };
    let corrected = corrected(ledger, &body).await;
    let done = corrected
        .as_ref()
        .ok()
        .map(|value| (value["corrects"].to_string(), digest(value)));
    let (subject, after) = done.unzip();
    Changed {
        subject: subject.map(|line| format!("line {line}")),
        after,
        ..answer(corrected).into()
    }
}

static CORRECTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn corrected(ledger: &Ledger, body: &[u8]) -> Result<Value, Wrong> {
    let wanted = "`{\"line\": 12, \"by_usd\": \"-0.50\", \"reason\": \"…\"}`";
    let asked: Correcting = serde_json::from_slice(body)
        .map_err(|error| Wrong::Request(format!("a correction is {wanted}, and this is not: {error}")))?;
    let change = Change {
        line: asked.line,
        by: signed_from_usd(&asked.by_usd).map_err(Wrong::Request)?,
        reason: asked.reason,
    };
    // One after another: two that look at what a line stands at before either is booked could take it below nothing.
    let _turn = CORRECTING.lock().await;
    // What was booked a moment ago can be corrected.
    ledger.flush().await;
    let line: Line = reading(ledger, move |store| correction(&change, store))
        .await
        .map_err(Wrong::Store)?;
    let (corrects, at) = (line.corrects, line.at_ms);
    let id = ledger.note_now(line).await.map_err(|error| match error {
        StoreError::Failed(reason) => Wrong::Store(StoreError::Failed(format!(
            "{reason}; whether the correction is booked, `pointsman store export` shows: look before you repeat it"
        ))),
        error => Wrong::Store(error),
    })?;
    tracing::info!(
        line = id,
        corrects = corrects.map(|c| c.line),
        "a line of the ledger was corrected"
    );
    Ok(json!({
        "line": id,
        "corrects": corrects.map(|correction| correction.line),
        "by_usd": corrects.map(|correction| usd(correction.by.into())),
        "at": at_text(at),
    }))
}

/// Asks the store on a thread that may take its time.
async fn reading<T: Send + 'static>(
    ledger: &Ledger,
    ask: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ledger = ledger.clone();
    let asking = tokio::task::spawn_blocking(move || ask(ledger.reader()?.as_ref()));
    asking.await.map_err(|error| StoreError::Failed(error.to_string()))?
}

fn answer(outcome: Result<Value, Wrong>) -> Response<Body> {
    match outcome {
        Ok(value) => reply(StatusCode::OK, &value),
        Err(Wrong::Request(message)) => refuse(StatusCode::BAD_REQUEST, &message),
        Err(Wrong::Store(StoreError::Refused(message))) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &message),
        Err(Wrong::Store(error)) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
