//! The lists of others, read at run time: what models.dev publishes (`api.json`), and LiteLLM's
//! `model_prices_and_context_window.json`. Which of them a text is shows in its shape. Models of providers that the catalog has
//! no name for are left out.

mod litellm;
mod models_dev;

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use super::decimal::per_million;
use super::{Entry, text};
use crate::json::{Document, Kind, Limits, Value};
use crate::money::{Nanodollars, StatedRates};

/// What a list says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Whose shape it has.
    pub shape: &'static str,
    /// By provider and name.
    pub models: BTreeMap<(String, String), Entry>,
    /// How many were left out: those of other providers, and what is no model that answers in tokens.
    pub left_out: usize,
}

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    /// No JSON.
    #[error("this is not JSON: {0}")]
    NoJson(String),
    /// Of no shape that is known.
    #[error("this is neither models.dev's list (`api.json`) nor LiteLLM's (`model_prices_and_context_window.json`)")]
    NoList,
    /// No model of a provider that the catalog has.
    #[error("the list has the shape of {0}, and no model of any provider in the catalog")]
    Empty(&'static str),
    /// A value of another kind than the list has at that place.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

/// So many are named.
const MOST_WRONG: usize = 20;

/// Reads a list, all of it or nothing.
pub fn read(list: Bytes) -> Result<Taken, SourceError> {
    let document = Document::parse(list, Limits::default()).map_err(|error| SourceError::NoJson(error.to_string()))?;
    let root = document.root();
    let has = |key: &str, kind: Kind| {
        let mut members = root.members();
        members.any(|(_, value)| value.get(key).is_some_and(|value| value.kind() == kind))
    };
    let mut reading = Reading::default();
    if has("models", Kind::Object) {
        reading.taken.shape = "models.dev";
        models_dev::read(root, &mut reading);
    } else if has("litellm_provider", Kind::String) {
        reading.taken.shape = "LiteLLM";
        litellm::read(root, &mut reading);
    } else {
        return Err(SourceError::NoList);
    }
    let Reading { taken, mut wrong } = reading;
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(MOST_WRONG);
        wrong.truncate(MOST_WRONG);
        wrong.extend((more > 0).then(|| format!("and {more} more")));
        return Err(SourceError::Wrong(wrong));
    }
    if taken.models.is_empty() {
        return Err(SourceError::Empty(taken.shape));
    }
    Ok(taken)
}

/// What has been read so far, and what was wrong with it.
#[derive(Debug, Default)]
struct Reading {
    taken: Taken,
    wrong: Vec<String>,
}

impl Reading {
    fn insert(&mut self, provider: &str, model: &str, entry: Entry) {
        if text::can_hold(model) {
            self.taken.models.insert((provider.to_owned(), model.to_owned()), entry);
        } else {
            self.taken.left_out += 1;
        }
    }
}

/// Where input has a price, lists write 0 for a kind of token that costs nothing beyond it, or of which they know nothing. Either
/// way it is not free.
fn without_noughts(rates: StatedRates) -> StatedRates {
    if rates.input.0 == 0 {
        return rates;
    }
    let told = |rate: Option<Nanodollars>| rate.filter(|rate| rate.0 > 0);
    StatedRates {
        cached_input: told(rates.cached_input),
        cache_write: told(rates.cache_write),
        cache_write_1h: told(rates.cache_write_1h),
        reasoning: told(rates.reasoning),
        audio_input: told(rates.audio_input),
        audio_output: told(rates.audio_output),
        image_input: told(rates.image_input),
        image_output: told(rates.image_output),
        characters: told(rates.characters),
        search: told(rates.search),
        ..rates
    }
}

/// One model's object. What is not of the kind that it should be is noted with its place.
struct Item<'a, 'r> {
    at: &'r str,
    value: Value<'a>,
    wrong: &'r mut Vec<String>,
}

impl<'a> Item<'a, '_> {
    /// A member that is there and not `null`, if it is of this kind.
    fn member(&mut self, key: &str, kind: Kind, words: &str) -> Option<Value<'a>> {
        let found = self.value.field(key)?;
        if found.kind() == kind {
            return Some(found);
        }
        self.wrong.push(format!("{}: `{key}` must be {words}", self.at));
        None
    }

    fn number(&mut self, key: &str) -> Option<&'a str> {
        self.member(key, Kind::Number, "a number").map(|number| number.raw())
    }

    /// US dollars for 10 to this power of tokens, as nano-dollars per million. What is negative is no price, as of models that choose
    /// others.
    fn rate(&mut self, key: &str, tokens_power: i32) -> Option<Nanodollars> {
        let number = self.number(key).filter(|number| !number.starts_with('-'))?;
        let rate = per_million(number, tokens_power);
        if rate.is_none() {
            self.wrong
                .push(format!("{}: `{key}` is {number}, which is no price", self.at));
        }
        rate
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.member(key, Kind::Bool, "true or false")?.as_bool()
    }

    fn object(&mut self, key: &str) -> Option<Value<'a>> {
        self.member(key, Kind::Object, "an object")
    }

    fn array(&mut self, key: &str) -> Option<Value<'a>> {
        self.member(key, Kind::Array, "a list")
    }

    /// A size in tokens; lists write 0 for one that they do not know.
    fn tokens(&mut self, key: &str) -> Option<u32> {
        let number = self.number(key)?.parse::<f64>().ok()?;
        (number >= 1.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
    }

    /// A part of it.
    fn part<'s>(&'s mut self, value: Value<'a>) -> Item<'a, 's> {
        Item {
            at: self.at,
            value,
            wrong: self.wrong,
        }
    }
}

#[cfg(test)]
mod tests;
