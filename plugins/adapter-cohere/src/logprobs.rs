//! How likely the words of the answer were. The provider tells it of pieces of text, each of one or more tokens; the
//! likelihood of several tokens in a row is the sum of their logarithms.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize)]
pub(crate) struct Logprobs<'a> {
    content: Vec<Likelihood<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct Likelihood<'a> {
    token: Cow<'a, str>,
    logprob: f64,
    bytes: Vec<u8>,
    /// The provider tells no alternatives.
    top_logprobs: [(); 0],
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(default)]
    logprobs: Vec<f64>,
}

impl<'a> Logprobs<'a> {
    /// Of one item or of a list. Items that make no sense are unknown ones: the answer is still served.
    pub(crate) fn read(raw: &'a RawValue) -> Option<Self> {
        let items: Vec<Item> = match raw.get().starts_with('[') {
            true => serde_json::from_str(raw.get()).ok()?,
            false => vec![serde_json::from_str(raw.get()).ok()?],
        };
        let content: Vec<Likelihood> = items.into_iter().filter_map(Item::likelihood).collect();
        (!content.is_empty()).then_some(Logprobs { content, refusal: None })
    }
}

impl<'a> Item<'a> {
    fn likelihood(self) -> Option<Likelihood<'a>> {
        let logprob: f64 = self.logprobs.iter().sum();
        (!self.logprobs.is_empty() && logprob.is_finite()).then(|| Likelihood {
            logprob,
            bytes: self.text.as_bytes().to_vec(),
            token: self.text,
            top_logprobs: [],
        })
    }
}
