//! How likely each token was, in the canonical form.

use pointsman_plugin::translate::{Likelihood, Logprobs, Raw, Text};
use serde::Deserialize;

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

/// Nothing where they make no sense: the answer is still served.
pub(crate) fn read(raw: Raw<'_>) -> Option<Logprobs<'_>> {
    let reported: Reported = serde_json::from_str(raw.get()).ok()?;
    let mut top = reported.top_candidates.into_iter();
    let mut alternatives = move || top.next().unwrap_or_default().candidates;
    let chosen = reported.chosen_candidates.into_iter();
    Some(Logprobs::new(chosen.map(|token| {
        let alternatives = alternatives().into_iter().map(Likelihood::from).collect();
        (token.into(), alternatives)
    })))
}

impl<'a> From<Token<'a>> for Likelihood<'a> {
    fn from(token: Token<'a>) -> Self {
        Likelihood::new(token.token.0, token.log_probability)
    }
}
