//! What was used. The provider counts input apart from what was read from its cache and what was written to it.

use pointsman_plugin::Usage;
use pointsman_plugin::translate::{Counts, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The provider's counts.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Reported {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    cache_details: Option<Vec<Detail>>,
    #[serde(skip)]
    is_batch: bool,
    #[serde(skip)]
    is_priority: bool,
}

/// How it was served.
#[derive(Deserialize)]
pub(crate) struct Tier<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

/// For how long a part was written.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    ttl: String,
    input_tokens: Option<u64>,
}

impl Reported {
    /// Counts that make no sense are unknown counts: the answer is still served.
    pub(crate) fn read(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// What is served when there is time to is billed as batches are.
    pub(crate) fn served(self, tier: Option<Tier>) -> Self {
        let kind = tier.and_then(|tier| tier.kind);
        Reported {
            is_batch: kind.as_ref().is_some_and(|kind| kind.0 == "flex"),
            is_priority: kind.is_some_and(|kind| kind.0 == "priority"),
            ..self
        }
    }

    /// `None` where the provider told nothing: unknown, not free.
    pub(crate) fn billed(&self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let details = self.cache_details.iter().flatten();
        let for_an_hour = details.filter(|detail| detail.ttl == "1h");
        let written_1h: u64 = for_an_hour
            .filter_map(|detail| detail.input_tokens)
            .fold(0, u64::saturating_add);
        Some(Usage {
            input: self.input_tokens.unwrap_or(0),
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write: self.cache_write_input_tokens.unwrap_or(0),
            output: self.output_tokens.unwrap_or(0),
            reasoning: 0,
            extras: [
                ("cache-write-1h", written_1h),
                ("batch", self.is_batch.into()),
                ("priority", self.is_priority.into()),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
        })
    }

    pub(crate) fn told_and_billed(&self) -> Option<(Usage, Counts)> {
        let used = self.billed()?;
        let counts = Counts::of(&used).written(used.cache_write);
        Some((used, counts))
    }
}
