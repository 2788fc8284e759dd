//! How likely the words of the answer were. The provider tells it of pieces of text, each of one or more tokens; the
//! likelihood of several tokens in a row is the sum of their logarithms. It tells no alternatives.

use pointsman_plugin::translate::{Likelihood, Logprobs};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(default)]
    logprobs: Vec<f64>,
}

/// Of one item or of a list. Items that make no sense are unknown ones: the answer is still served.
pub(crate) fn read(raw: &RawValue) -> Option<Logprobs<'_>> {
    let items: Vec<Item> = match raw.get().starts_with('[') {
        true => serde_json::from_str(raw.get()).ok()?,
        false => vec![serde_json::from_str(raw.get()).ok()?],
    };
    let tokens: Vec<_> = items.into_iter().filter_map(Item::likelihood).collect();
    (!tokens.is_empty()).then(|| Logprobs::new(tokens.into_iter().map(|token| (token, Vec::new()))))
}

impl<'a> Item<'a> {
    fn likelihood(self) -> Option<Likelihood<'a>> {
        let logprob: f64 = self.logprobs.iter().sum();
        (!self.logprobs.is_empty() && logprob.is_finite()).then(|| Likelihood::new(self.text, logprob))
    }
}
