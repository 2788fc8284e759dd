//! What was used, in the canonical form: `prompt_tokens` holds the cached tokens, `completion_tokens` the reasoning.

use serde::Serialize;

use crate::Usage;

/// The `usage` member of an answer.
#[derive(Serialize, Debug)]
pub struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Serialize, Debug)]
struct PromptDetails {
    cached_tokens: u64,
    /// Not in the canonical form, but what several gateways call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tokens: Option<u64>,
}

#[derive(Serialize, Debug)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl Counts {
    /// Tokens of the prompt, cached ones included, and of the answer.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Counts {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails {
                cached_tokens: 0,
                cache_write_tokens: None,
                image_tokens: None,
            },
            completion_tokens_details: None,
        }
    }

    /// The sum of what is billed by its parts.
    pub fn of(used: &Usage) -> Self {
        let prompt = used
            .input
            .saturating_add(used.cache_read)
            .saturating_add(used.cache_write);
        Counts::new(prompt, used.output).cached(used.cache_read)
    }

    /// Tokens of the prompt that came from the provider's cache.
    #[must_use]
    pub fn cached(mut self, tokens: u64) -> Self {
        self.prompt_tokens_details.cached_tokens = tokens;
        self
    }

    /// Tokens of the prompt that went into the provider's cache, where it counts them.
    #[must_use]
    pub fn written(mut self, tokens: u64) -> Self {
        self.prompt_tokens_details.cache_write_tokens = Some(tokens);
        self
    }

    /// Tokens of images, where the provider counts them apart.
    #[must_use]
    pub fn images(mut self, tokens: Option<u64>) -> Self {
        self.prompt_tokens_details.image_tokens = tokens;
        self
    }

    /// Tokens of reasoning, where the provider tells them.
    #[must_use]
    pub fn reasoning(mut self, tokens: Option<u64>) -> Self {
        self.completion_tokens_details = tokens.map(|reasoning_tokens| CompletionDetails { reasoning_tokens });
        self
    }
}
