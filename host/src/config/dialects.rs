//! Providers that are known by name: an adapter, and how the provider differs from what the adapter speaks. Each is a file in the
//! folder `providers/` of its adapter, built in; whatever it says can be said otherwise.

use std::collections::BTreeMap;

use serde::Deserialize;

include!(concat!(env!("OUT_DIR"), "/dialects.rs"));

/// What is known of a provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dialect {
    /// Where it is; absent for what everybody has at another place.
    pub(super) base_url: Option<String>,
    /// Where its key goes, if not where the adapter says.
    pub(super) authentication: Option<String>,
    /// What of images and sound it has; all that its dialect has where absent.
    pub(super) media: Option<Vec<String>>,
    /// Whether it ranks texts, if it speaks OpenAI's dialect, which has no word for it.
    #[serde(default)]
    pub(super) rerank: bool,
    /// Whether it judges texts as OpenAI does.
    #[serde(default)]
    pub(super) moderation: bool,
    /// Headers of its answers that tell its limits, by meaning; those that the adapter knows where absent.
    pub(super) limit_headers: Option<BTreeMap<String, String>>,
    /// Whether the settings below matter only to what the adapter translates, so that requests in the provider's own words need it not.
    #[serde(default)]
    pub(super) passes_own_words: bool,
    /// Where such requests go, if not where the adapter says.
    pub(super) own_words: Option<OwnWords>,
    /// For the adapter.
    #[serde(default)]
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
}

/// Paths for requests in the provider's own words, in which `{model}` stands for the model's name, and what is said in their bodies
/// beside.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnWords {
    /// For an answer.
    pub chat: String,
    /// For one that is streamed.
    pub stream: String,
    /// For a count of tokens.
    pub count_tokens: String,
    /// Members of every body.
    #[serde(default)]
    pub members: BTreeMap<String, serde_json::Value>,
}

/// What a header may tell of limits.
pub(super) const LIMIT_MEANINGS: [&str; 4] = ["requests-left", "tokens-left", "requests-reset", "tokens-reset"];

/// The adapter and the dialect of a provider with this name.
pub(super) fn find(name: &str) -> Option<(&'static str, Dialect)> {
    let (_, adapter, text) = DIALECTS.iter().find(|(known, ..)| *known == name)?;
    // Every file is read by a test, so what cannot be read is not built in.
    toml::from_str(text).ok().map(|dialect| (*adapter, dialect))
}

/// The names of all that are known.
pub fn names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_provider_can_be_read_and_says_where_it_is() {
        let placeless = ["azure", "gpustack"];
        for name in names() {
            let (adapter, dialect) = find(name).unwrap_or_else(|| panic!("{name} cannot be read"));
            assert!(!adapter.is_empty(), "{name}");
            let meanings = dialect.limit_headers.iter().flat_map(|named| named.keys());
            for meaning in meanings {
                assert!(LIMIT_MEANINGS.contains(&meaning.as_str()), "{name}: {meaning}");
            }
            assert_eq!(dialect.base_url.is_none(), placeless.contains(&name), "{name}");
        }
        assert!(names().count() > 20 && find("moon").is_none());
    }
}
