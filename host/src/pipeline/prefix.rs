//! How much of a conversation a model's provider has in its cache: what an answer leaves there, and what is believed to be
//! there when the next request is decided on. Providers do not say what they hold, only what they read and wrote.

use std::time::Instant;

use super::facts::expected_input;
use crate::generation::Model;
use crate::money::Usage;
use crate::plugins::words::Abilities;
use crate::surfaces::chat::Ask;

/// Shorter prompts are not cached by providers that cache by themselves.
const LEAST_TOKENS: u64 = 1_024;

/// A conversation as records know it: whose it is, and its name.
pub(super) fn conversation(key: &str, session: &str) -> u64 {
    super::hash(&[key.as_bytes(), session.as_bytes()])
}

/// Tokens of this request's input that are believed to be cached; none where the model has not served the conversation
/// lately.
pub(super) fn cached(model: &Model, conversation: u64, ask: &Ask) -> Option<u64> {
    let keeps = model.provider.prompt_cache;
    let tokens = model.seen.health.prefixes.tokens(conversation, keeps, Instant::now())?;
    Some(tokens.min(expected_input(ask)))
}

/// Takes note of an answer.
pub(super) fn answered(model: &Model, conversation: u64, usage: &Usage) {
    model
        .seen
        .health
        .prefixes
        .note(conversation, left(model, usage), Instant::now());
}

/// What is cached after an answer that used this. Where caching is asked for, by marks in the request, it is what was read
/// and written; where the provider caches by itself, it is all of the input.
fn left(model: &Model, usage: &Usage) -> u64 {
    let marked = usage.cache_read.saturating_add(usage.cache_write);
    let price = model.price.as_ref().map(|price| price.base());
    let is_marked = usage.cache_write > 0 || price.is_some_and(|rates| rates.cache_write > rates.input);
    if is_marked {
        return marked;
    }
    let is_known_to = model.abilities.is_some_and(|all| all.contains(Abilities::PROMPT_CACHE))
        || price.is_some_and(|rates| rates.cached_input < rates.input);
    let input = usage.all_input();
    if usage.cache_read > 0 || is_known_to && input >= LEAST_TOKENS {
        input
    } else {
        0
    }
}
