//! What was used: the provider's counts, the canonical ones for the client, and the parts as they are billed.

use pointsman_plugin::Usage;
use pointsman_plugin::translate::{Counts, Raw};
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    prompt_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
    service_tier: Option<String>,
    #[serde(skip)]
    searches: u64,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Modality {
    modality: String,
    token_count: u64,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Grounding {
    web_search_queries: Vec<IgnoredAny>,
}

fn sound(details: &Option<Vec<Modality>>) -> u64 {
    let parts = details.iter().flatten().filter(|part| part.modality == "AUDIO");
    parts.fold(0, |sum: u64, part| sum.saturating_add(part.token_count))
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
        self.prompt_tokens_details = later.prompt_tokens_details.or(self.prompt_tokens_details.take());
        let said = later.candidates_tokens_details;
        self.candidates_tokens_details = said.or(self.candidates_tokens_details.take());
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
        let is_batch = matches!(self.service_tier.as_deref(), Some("flex" | "batch"));
        let extras = [
            ("audio-input", sound(&self.prompt_tokens_details)),
            ("audio-output", sound(&self.candidates_tokens_details).min(output)),
            ("web-search-requests", self.searches),
            ("batch", is_batch.into()),
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
