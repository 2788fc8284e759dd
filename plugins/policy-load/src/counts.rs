//! What is kept in `state`: whose turn it is, and what each candidate has used in the window of time that is under way.

use pointsman_plugin::{Attempt, Ended, state};

use crate::config::Usage;

/// Whose turn it is on a route: 0, 1, 2, …
pub(crate) fn turn(route: &str) -> u64 {
    let turns = state::add(&format!("turn/{}", bounded(route)), 1, None);
    turns.saturating_sub(1).unsigned_abs()
}

/// What a candidate has used in the window that the moment lies in.
pub(crate) fn used(candidate: &str, now_ms: u64, window_s: u32) -> u64 {
    state::get(&counter(candidate, now_ms, window_s)).unwrap_or(0)
}

/// Counts what a request has used, for the window that it ended in.
pub(crate) fn count(ended: &Ended, usage: Usage, window_s: u32) {
    let served = ended.served();
    for (index, attempt) in ended.attempts.iter().enumerate() {
        let amount = amount(attempt, served == Some(index), ended, usage);
        if amount > 0 {
            // Two windows long, so that a clock that is a little behind still finds it.
            let ttl_ms = 2000 * u64::from(window_s);
            let amount = i64::try_from(amount).unwrap_or(i64::MAX);
            state::add(
                &counter(&attempt.candidate, ended.now_ms, window_s),
                amount,
                Some(ttl_ms),
            );
        }
    }
}

/// Tokens are told of the request as a whole, so they are those of the attempt that served it.
fn amount(attempt: &Attempt, served: bool, ended: &Ended, usage: Usage) -> u64 {
    let served = u64::from(served);
    match usage {
        Usage::Tokens => served * ended.input_tokens.saturating_add(ended.output_tokens),
        Usage::InputTokens => served * ended.input_tokens,
        Usage::OutputTokens => served * ended.output_tokens,
        Usage::Requests => 1,
        Usage::Cost => attempt.cost.unwrap_or(0),
    }
}

fn counter(candidate: &str, now_ms: u64, window_s: u32) -> String {
    let window = now_ms / (1000 * u64::from(window_s));
    format!("used/{window}/{}", bounded(candidate))
}

/// The store takes keys of 256 bytes. Names that are the same for so long share a count.
fn bounded(name: &str) -> &str {
    &name[..name.floor_char_boundary(200)]
}
