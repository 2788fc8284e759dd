//! What was used: the provider's counts, the canonical ones for the client, and the parts as they are billed.

use pointsman_plugin::Usage;
use pointsman_plugin::translate::{Counts, Raw, Text};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The provider's counts. In a stream every event has some, each of the whole answer so far.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Reported {
    prompt_token_count: Option<u64>,
    /// What the provider's own tools found, which the model read as well; not part of the prompt's count.
    tool_use_prompt_token_count: Option<u64>,
    /// A part of the prompt's count.
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    /// Beside the candidates' count, and billed as output.
    thoughts_token_count: Option<u64>,
    prompt_tokens_details: Option<Details>,
    candidates_tokens_details: Option<Details>,
    service_tier: Option<String>,
    #[serde(skip)]
    searches: u64,
}

/// Tokens of what is billed apart.
#[derive(Default, Clone, Copy)]
struct Details {
    audio: u64,
    image: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modality<'a> {
    #[serde(borrow)]
    modality: Option<Text<'a>>,
    #[serde(default)]
    token_count: u64,
}

impl<'de> Deserialize<'de> for Details {
    /// Every event has them, so nothing is kept of them but sums.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Details;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Details, A::Error> {
                let mut details = Details::default();
                while let Some(Modality { modality, token_count }) = list.next_element()? {
                    let sum = match modality.as_ref().map_or("", |modality| &modality.0) {
                        "AUDIO" => &mut details.audio,
                        "IMAGE" => &mut details.image,
                        _ => continue,
                    };
                    *sum = sum.saturating_add(token_count);
                }
                Ok(details)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Grounding {
    web_search_queries: Vec<IgnoredAny>,
}

impl Reported {
    /// Counts that make no sense are unknown counts: the answer is still served.
    pub(crate) fn read(raw: Raw) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// Takes over what a later event tells; what it does not tell stays.
    pub(crate) fn update(&mut self, later: Reported) {
        self.prompt_token_count = later.prompt_token_count.or(self.prompt_token_count);
        self.tool_use_prompt_token_count = later.tool_use_prompt_token_count.or(self.tool_use_prompt_token_count);
        self.cached_content_token_count = later.cached_content_token_count.or(self.cached_content_token_count);
        self.candidates_token_count = later.candidates_token_count.or(self.candidates_token_count);
        self.thoughts_token_count = later.thoughts_token_count.or(self.thoughts_token_count);
        self.prompt_tokens_details = later.prompt_tokens_details.or(self.prompt_tokens_details);
        self.candidates_tokens_details = later.candidates_tokens_details.or(self.candidates_tokens_details);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    /// Searches of the web are billed each. The events of a stream tell of all of them so far.
    pub(crate) fn count_searches(&mut self, grounding: Option<Raw>) {
        let grounding: Option<Grounding> = grounding.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let searches = grounding.map_or(0, |grounding| grounding.web_search_queries.len() as u64);
        self.searches = self.searches.max(searches);
    }

    /// `None` where the provider told nothing: unknown, not free.
    pub(crate) fn billed(&self) -> Option<Usage> {
        let is_told = self.prompt_token_count.is_some() || self.candidates_token_count.is_some();
        if !is_told {
            return None;
        }
        let prompt = self.prompt_token_count.unwrap_or(0);
        let prompt = prompt.saturating_add(self.tool_use_prompt_token_count.unwrap_or(0));
        let cache_read = self.cached_content_token_count.unwrap_or(0).min(prompt);
        let reasoning = self.thoughts_token_count.unwrap_or(0);
        let output = self.candidates_token_count.unwrap_or(0).saturating_add(reasoning);
        let tier = self.service_tier.as_deref().unwrap_or_default();
        let is = |words: &[&str]| words.iter().any(|word| tier.eq_ignore_ascii_case(word));
        let read = self.prompt_tokens_details.unwrap_or_default();
        let made = self.candidates_tokens_details.unwrap_or_default();
        let extras = [
            ("audio-input", read.audio),
            ("image-input", read.image),
            ("audio-output", made.audio.min(output)),
            ("image-output", made.image.min(output)),
            ("web-search-requests", self.searches),
            ("batch", is(&["flex", "batch"]).into()),
            ("priority", is(&["priority"]).into()),
        ];
        Some(Usage {
            input: prompt - cache_read,
            cache_read,
            cache_write: 0,
            output,
            reasoning,
            extras: extras
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        })
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        let used = self.billed()?;
        Some(Counts::of(&used).reasoning(Some(used.reasoning)))
    }
}
