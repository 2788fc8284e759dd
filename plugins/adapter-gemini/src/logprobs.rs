//! How likely each token was, in the canonical form.

use crate::chat::{Raw, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported<'a> {
    #[serde(borrow, default)]
    chosen_candidates: Vec<Token<'a>>,
    #[serde(borrow, default)]
    top_candidates: Vec<Top<'a>>,
}

#[derive(Deserialize, Default)]
struct Top<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Token<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    /// Zero, which is certain, is left out.
    #[serde(default)]
    log_probability: f64,
}

#[derive(Serialize)]
pub(crate) struct Logprobs<'a> {
    content: Vec<Chosen<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct Chosen<'a> {
    #[serde(flatten)]
    likely: Likely<'a>,
    top_logprobs: Vec<Likely<'a>>,
}

#[derive(Serialize)]
struct Likely<'a> {
    token: Cow<'a, str>,
    logprob: f64,
    bytes: Vec<u8>,
}

impl<'a> Logprobs<'a> {
    /// Nothing where they make no sense: the answer is still served.
    pub(crate) fn read(raw: Raw<'a>) -> Option<Self> {
        let reported: Reported = serde_json::from_str(raw.get()).ok()?;
        let mut top = reported.top_candidates.into_iter();
        let content = reported.chosen_candidates.into_iter().map(|token| Chosen {
            likely: token.into(),
            top_logprobs: top
                .next()
                .unwrap_or_default()
                .candidates
                .into_iter()
                .map(Likely::from)
                .collect(),
        });
        Some(Logprobs {
            content: content.collect(),
            refusal: None,
        })
    }
}

impl<'a> From<Token<'a>> for Likely<'a> {
    fn from(token: Token<'a>) -> Self {
        Likely {
            bytes: token.token.0.as_bytes().to_vec(),
            token: token.token.0,
            logprob: token.log_probability,
        }
    }
}
