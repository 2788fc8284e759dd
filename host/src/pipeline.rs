//! THE page: one model call, from a request that was read to an answer that is on its way.
//!
//! The pipeline knows neither sockets towards clients nor files: it takes a [`Call`] and a [`Generation`], which it keeps to
//! the end of the stream, and gives an [`Answer`].

mod account;
mod answer;
pub mod attempt;
pub mod candidates;
pub mod decide;
mod facts;
mod relay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::HeaderMap;

use crate::error::ApiError;
use crate::generation::Generation;
use crate::json::Document;
use crate::surfaces::chat::Ask;
use crate::telemetry::Meter;
use account::Account;
pub use answer::Answer;

/// A request as the pipeline takes it.
#[derive(Debug)]
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
    /// The body.
    pub document: Document,
    /// What the body asks for.
    pub ask: Ask,
    /// Headers that policies may read beside the built-in ones.
    pub policy_headers: Vec<String>,
}

impl Call {
    /// The seed that belongs to a request's id: whoever knows the id can repeat the decision.
    pub fn seed_of(id: &str) -> u64 {
        fnv(id.bytes())
    }
}

/// Serves a call: which models may, which shall, and the first of those that does.
pub async fn run(generation: Arc<Generation>, call: Arc<Call>, meter: &Meter) -> Result<Answer, ApiError> {
    let route = generation
        .resolve(&call.ask.model)
        .ok_or_else(|| ApiError::unknown_model(&call.ask.model))?;
    let mut account = Account::open(generation.clone(), route.clone(), call.clone(), meter.clone());
    let offer = candidates::offer(&route, &call.ask)?;
    let decided = decide::chain(&route, &call, offer).await;
    let decision = account.decided(decided)?;
    let served = attempt::walk(&call, &decision, &mut account).await?;
    Ok(match served.reply {
        attempt::Reply::Whole(whole) => answer::whole(whole, served.step, &decision, account),
        attempt::Reply::Stream(source) => answer::stream(source, served.step, &decision, account),
    })
}

/// FNV-1a, 64 bits, with the high half folded in: for seeds and names, not for secrets.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

/// Whole milliseconds, as the contract counts time.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
