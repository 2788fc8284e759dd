//! What gateways of a fleet share: how much of each budget each of them may spend. A lender keeps that, outside of all of them;
//! each gateway has its own store and its own ledger, says what it has spent, and borrows ahead of its calls.
//!
//! What a gateway was lent is its own until it gives it back, whatever becomes of the lender: that is why a lender that is out harms
//! nobody who has something left, and why one that has forgotten must hear everybody before it lends again.

#[cfg(test)]
pub mod memory;
pub mod operators;
pub mod postgres;
#[cfg(test)]
mod suite;
mod tls;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who lends. One gateway has one; several of them lend from the same place.
pub trait Lender: Send {
    /// Begins, or begins anew: what was said before and has not arrived never will. Gives what this gateway has been lent, as the
    /// lender knows it, in windows that have not ended.
    fn join(&mut self) -> Result<Vec<Account>, Fault>;

    /// Takes down what a gateway says of its accounts, lends it what it asks for, and says how things stand, in the same order.
    /// After a fault nobody knows whether any of it was taken down, and the gateway joins again.
    fn exchange(&mut self, entries: &[Entry]) -> Result<Answer, Fault>;
}

/// What a budget is known by among gateways: whose, how long, and which window. Nothing in it is one gateway's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// As [`crate::budget::Scope`] is written.
    pub scope: String,
    /// As [`crate::budget::Period`] is called.
    pub period: String,
    /// By its IANA name.
    pub zone: String,
    /// When its window begins, in milliseconds since 1970.
    pub start_ms: u64,
    /// When the next one begins.
    pub end_ms: u64,
}

/// What a gateway says of an account, in nano-dollars of the account's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub account: Account,
    /// What it was lent, and has not given back: what it has spent and holds is part of it.
    pub lent: i64,
    /// What it has booked.
    pub spent: i64,
    /// What it has reserved.
    pub held: i64,
    /// What all gateways together may spend, as this one was told.
    pub limit: i64,
    /// With less than this beyond what it was lent it cannot go on: where there is not as much, it gets nothing, and others hear of it.
    pub need: i64,
    /// As much as it would like; nothing is lent where this is 0.
    pub want: i64,
}

/// How the accounts stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The lender waits until it has heard everybody, and lends nothing meanwhile.
    pub is_settling: bool,
    /// For each entry.
    pub terms: Vec<Terms>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// What this gateway is lent from now on.
    pub lent: i64,
    /// What is left of the limit that nobody was lent; less than nothing where a limit was lowered, or a provider billed more.
    pub unlent: i64,
    /// What the others have booked.
    pub spent: i64,
    /// What the others have reserved.
    pub held: i64,
    /// Another one needs more than that.
    pub is_wanted: bool,
}

/// Why a lender did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// Of what is left, so much is lent at once where less is asked for: what is lent gets smaller as a budget runs out.
pub const SHARE: i64 = 16;
