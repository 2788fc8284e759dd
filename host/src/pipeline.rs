//! THE page: one model call, from a request that was read to an answer that is on its way.
//!
//! The pipeline knows neither sockets towards clients nor files: it takes a [`Call`] and a [`Generation`], which it keeps to
//! the end of the stream, and gives an [`Answer`].

mod account;
mod answer;
mod asking;
pub mod attempt;
mod bill;
mod cached;
pub mod candidates;
pub mod decide;
mod facts;
mod hold;
mod mock;
mod narrow;
mod onward;
mod order;
mod prefix;
mod purse;
mod reading;
mod receipt;
pub mod record;
mod relay;
mod resume;
mod review;
mod telling;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cache::Cache;
use crate::error::ApiError;
use crate::generation::{Generation, Route};
use crate::handover::Books;
use crate::json::Document;
use crate::keys::Caller;
use crate::plugins::Models;
use crate::surfaces::Wording;
use crate::surfaces::chat::Ask;
use crate::telemetry::Meter;
use account::Account;
pub use answer::Answer;
use asking::Asking;
use cached::Looked;
pub use order::Tried;
use purse::Purse;
use resume::Resume;

/// A request as the pipeline takes it.
#[derive(Debug, Clone)]
pub struct Call {
    /// As in `x-pointsman-request-id`.
    pub id: Arc<str>,
    /// When its head had been read.
    pub received: Instant,
    /// The clock and the chance of this decision, recorded so that it can be repeated.
    pub now_ms: u64,
    /// See `now_ms`.
    pub seed: u64,
    /// Of the request.
    pub headers: HeaderMap,
    /// The body, in the canonical form.
    pub document: Document,
    /// What the body asks for.
    pub ask: Ask,
    /// Headers that policies may read beside the built-in ones.
    pub policy_headers: Vec<String>,
    /// Whose request it is.
    pub caller: Arc<Caller>,
    /// How the client put it.
    pub wording: Wording,
    /// Attempts of it that reached a provider, or that may have.
    pub sent: Arc<AtomicU32>,
    /// What has been tried for it so far, under all of its names.
    pub tried: Arc<Tried>,
    /// Set before the last piece of a streamed answer goes out.
    pub is_told: Arc<AtomicBool>,
}

/// What outlives every generation, and every request uses.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Where it is counted.
    pub meter: &'a Meter,
    /// Answers that were kept.
    pub cache: &'a Arc<Cache>,
    /// Where money is reserved and booked.
    pub ledger: &'a Books,
}

impl Call {
    /// The seed that belongs to a request's id: whoever knows the id can repeat the decision.
    pub fn seed_of(id: &str) -> u64 {
        hash(&[id.as_bytes()])
    }
}

/// Serves a call: which models may, which shall, and the first of those that does.
pub async fn run(generation: Arc<Generation>, call: Arc<Call>, means: Means<'_>) -> Result<Answer, ApiError> {
    onward::run(generation, call, means).await
}

/// Serves a call by one route.
async fn route_served(
    generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    means: Means<'_>,
) -> Result<Answer, ApiError> {
    let label = route.label.clone();
    let permit = (route.config.outlives_client && !call.ask.is_stream).then(|| OUTLIVING.try_acquire().ok());
    let served = match permit.flatten() {
        Some(permit) => outliving(generation, route, call, means, permit).await,
        None => serve(generation, route, call, means).await,
    };
    served.map_err(|error| ApiError { route: label, ..error })
}

/// Answers that are waited for though their clients may have gone; beyond them, a disconnect cancels.
static OUTLIVING: Semaphore = Semaphore::const_new(64);

/// Serves in a task of its own, which a disconnect does not reach.
async fn outliving(
    generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    means: Means<'_>,
    permit: SemaphorePermit<'static>,
) -> Result<Answer, ApiError> {
    let (meter, cache, ledger) = (means.meter.clone(), means.cache.clone(), means.ledger.clone());
    let task = tokio::spawn(async move {
        let _permit = permit;
        let means = Means {
            meter: &meter,
            cache: &cache,
            ledger: &ledger,
        };
        serve(generation, route, call, means).await
    });
    let ended = task.await;
    ended.unwrap_or_else(|_| Err(ApiError::internal("a request panicked")))
}

async fn serve(
    generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    means: Means<'_>,
) -> Result<Answer, ApiError> {
    let wish = cached::wish(&call.headers)?;
    let Means { meter, cache, ledger } = means;
    let admission = call.caller.admit(facts::expected_tokens(&call.ask))?;
    let purse = Purse::new(ledger.clone(), generation.clone(), route.clone(), call.clone());
    let mut account = Account::open(
        generation.clone(),
        route.clone(),
        call.clone(),
        meter.clone(),
        purse,
        admission,
    );
    let offer = candidates::offer(&route, &call)?;
    let asking = Asking::of(&generation, &route, &call, account.bill());
    let models = asking.clone().map(|asking| asking as Arc<dyn Models>);
    let decided = decide::chain(&route, &call, offer, models).await;
    let asking = asking.as_deref();
    account.waited(asking.map_or(Duration::ZERO, Asking::waited));
    let wishes = &call.wording.wishes;
    let decision = narrow::limited(account.decided(decided)?, wishes);
    if let Some(text) = &wishes.mock {
        let served = mock::served(text, &decision, &call)?;
        return Ok(answer::of(served, &decision, account, None, None, None));
    }
    let (word, recorder) = match cached::look(cache, wish, &generation, &call, &route, &decision, &mut account).await {
        Looked::Hit(entry) => return Ok(answer::again(&entry, &decision, account)),
        Looked::Not { word, recorder } => (word, recorder),
    };
    let served = walk::walk(&call, &decision, &mut account, asking).await?;
    let resume = Resume::after(&served, &decision, &call);
    Ok(answer::of(served, &decision, account, word, recorder, resume))
}

/// A hash for seeds and names, not for secrets: eight bytes at a step are mixed in by a multiplication and a fold.
fn hash(parts: &[&[u8]]) -> u64 {
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15;
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut state = 0x243f_6a88_85a3_08d3;
    for part in parts {
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = mix(state, u64::from_le_bytes(word));
        }
        // The length, so that what ends one part cannot begin the next.
        state = mix(state, part.len() as u64 ^ 0xff51_afd7_ed55_8ccd);
    }
    state
}

/// Whole milliseconds, as the contract counts time.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
