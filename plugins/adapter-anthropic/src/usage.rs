//! What was used: the provider's counts, the canonical ones for the client, and the parts as they are billed.

use pointsman_plugin::Usage;
use pointsman_plugin::translate::Counts;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The provider's counts; in a stream they come in pieces, each piece cumulative.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
pub(crate) struct Reported {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

impl Reported {
    /// Counts that make no sense are unknown counts: the answer is still served.
    pub(crate) fn read(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// Takes over what a later event tells; what it does not tell stays.
    pub(crate) fn update(&mut self, later: Reported) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
        self.server_tool_use = later.server_tool_use.or(self.server_tool_use);
    }

    /// `None` where the provider told nothing: unknown, not free.
    pub(crate) fn billed(&self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let written_1h = self.cache_creation.and_then(|cache| cache.ephemeral_1h_input_tokens);
        let searches = self.server_tool_use.and_then(|tools| tools.web_search_requests);
        let extras = [("cache-write-1h", written_1h), ("web-search-requests", searches)];
        Some(Usage {
            input: self.input_tokens.unwrap_or(0),
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write: self.cache_creation_input_tokens.unwrap_or(0),
            output: self.output_tokens.unwrap_or(0),
            reasoning: self.reasoning().unwrap_or(0),
            extras: extras
                .into_iter()
                .filter_map(|(name, count)| Some((name.to_owned(), count.filter(|count| *count > 0)?)))
                .collect(),
        })
    }

    fn reasoning(&self) -> Option<u64> {
        self.output_tokens_details.and_then(|details| details.thinking_tokens)
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        let used = self.billed()?;
        Some(Counts::of(&used).written(used.cache_write).reasoning(self.reasoning()))
    }
}
