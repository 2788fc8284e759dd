//! What was used. The provider counts twice: `tokens` is what the model read and wrote, with the provider's own
//! instructions and what came from its cache, and is what a client is told; `billed_units` is what it charges for, and is
//! what counts as billed. The cache makes nothing cheaper here, so what was read from it is not billed apart.

use pointsman_plugin::Usage;
use pointsman_plugin::translate::Counts;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The provider's counts, which are floating-point numbers in some answers.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Reported {
    billed_units: Option<Units>,
    tokens: Option<Units>,
    cached_tokens: Option<f64>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Units {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
    image_tokens: Option<f64>,
    search_units: Option<f64>,
}

impl Reported {
    /// Counts that make no sense are unknown counts: the answer is still served.
    pub(crate) fn read(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// Where the provider names no billed units, the tokens are taken for them. `None` where it told nothing: unknown, not
    /// free.
    pub(crate) fn billed(&self) -> Option<Usage> {
        let billed = self.billed_units.filter(Units::is_told).or(self.told())?;
        let output = whole(billed.output_tokens).unwrap_or(0);
        let searches = whole(billed.search_units).filter(|count| *count > 0);
        Some(Usage {
            input: whole(billed.input_tokens).unwrap_or(0),
            cache_read: 0,
            cache_write: 0,
            output,
            reasoning: self.reasoning().unwrap_or(0).min(output),
            extras: searches
                .map(|count| ("search-units".to_owned(), count))
                .into_iter()
                .collect(),
        })
    }

    /// Both, for the end of an answer.
    pub(crate) fn told_and_billed(&self) -> Option<(Usage, Counts)> {
        Some((self.billed()?, self.counts()?))
    }

    /// Tokens of images are not among those of the prompt, as the provider counts.
    pub(crate) fn counts(&self) -> Option<Counts> {
        let tokens = self.told()?;
        let prompt = whole(tokens.input_tokens).unwrap_or(0);
        let counts = Counts::new(prompt, whole(tokens.output_tokens).unwrap_or(0));
        Some(
            counts
                .cached(whole(self.cached_tokens).unwrap_or(0).min(prompt))
                .images(whole(tokens.image_tokens).filter(|count| *count > 0))
                .reasoning(self.reasoning()),
        )
    }

    /// `tokens`, or what is nearest to them.
    fn told(&self) -> Option<Units> {
        self.tokens
            .filter(Units::is_told)
            .or(self.billed_units)
            .filter(Units::is_told)
    }

    fn reasoning(&self) -> Option<u64> {
        whole(self.tokens?.reasoning_tokens)
    }
}

impl Units {
    fn is_told(&self) -> bool {
        whole(self.input_tokens).or(whole(self.output_tokens)).is_some()
    }
}

/// What a reranking is billed by; `None` where the provider told nothing.
pub(crate) fn of_searches(billed: &RawValue) -> Option<Usage> {
    let billed: Units = serde_json::from_str(billed.get()).ok()?;
    let searches = whole(billed.search_units)?;
    Some(Usage {
        input: whole(billed.input_tokens).unwrap_or(0),
        extras: vec![("search-units".to_owned(), searches)],
        ..Usage::none()
    })
}

/// Rounded; what no answer can have used is not known.
fn whole(count: Option<f64>) -> Option<u64> {
    count
        .filter(|count| (0.0..=f64::from(u32::MAX)).contains(count))
        .map(|count| count.round() as u64)
}
