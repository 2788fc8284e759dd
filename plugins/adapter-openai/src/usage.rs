//! What was used, wherever a provider of this dialect tells it. Counts that make no sense are left unknown: the answer is
//! served all the same.

use pointsman_plugin::Usage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an answer, or of a chunk, that matter here.
#[derive(Deserialize)]
pub(crate) struct Seen<'a> {
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    /// Groq's place for the usage of a stream.
    #[serde(borrow)]
    x_groq: Option<Beside<'a>>,
    /// How it was served.
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    /// What Azure's filters made of the prompt.
    prompt_filter_results: Option<IgnoredAny>,
}

/// What a choice says: all of it, or what is new.
#[derive(Deserialize)]
pub(crate) struct Said<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default)]
    pub(crate) index: u64,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) message: Option<Said<'a>>,
    #[serde(borrow)]
    pub(crate) delta: Option<Said<'a>>,
    /// Moonshot's place for the usage of a stream.
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Beside<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl<'a> Seen<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Azure tells what its filters made of the prompt before the answer begins, in a chunk without id and model.
    pub(crate) fn is_preamble(&self) -> bool {
        let has_choices = self.choices.as_ref().is_some_and(|choices| !choices.is_empty());
        self.prompt_filter_results.is_some() && !has_choices && self.usage.is_none()
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        let in_choice = || self.choices.as_ref()?.iter().find_map(|choice| choice.usage);
        let beside = || self.x_groq.as_ref()?.usage;
        let raw = self.usage.or_else(in_choice).or_else(beside)?;
        let mut usage = billed(&serde_json::from_str(raw.get()).ok()?)?;
        // What is served when there is time to is billed as batches are.
        let service = match self.service_tier.map(|tier| tier.get()) {
            Some(r#""flex""# | r#""batch""#) => Some("batch"),
            Some(r#""priority""#) => Some("priority"),
            _ => None,
        };
        usage.extras.extend(service.map(|service| (service.to_owned(), 1)));
        Some(usage)
    }
}

/// The usage of a body that need not be JSON.
pub(crate) fn of(body: &[u8]) -> Option<Usage> {
    Seen::read(body).ok()?.usage()
}

/// The dialect counts cached tokens as part of the prompt; they are billed apart.
fn billed(usage: &Value) -> Option<Usage> {
    let (prompt, completion) = (count(&usage["prompt_tokens"]), count(&usage["completion_tokens"]));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let details = &usage["prompt_tokens_details"];
    let reasoning = count(&usage["completion_tokens_details"]["reasoning_tokens"]).unwrap_or(0);
    let cached = [
        &details["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["cached_tokens"],
        &usage["num_cached_tokens"],
    ];
    let cache_read = cached.into_iter().find_map(count).unwrap_or(0).min(prompt);
    // Qwen, and gateways that pass Anthropic's word on, have another word.
    let written = [
        &details["cache_write_tokens"],
        &details["cache_creation_input_tokens"],
        &usage["cache_creation_input_tokens"],
    ];
    let cache_write = written
        .into_iter()
        .find_map(count)
        .unwrap_or(0)
        .min(prompt - cache_read);
    Some(Usage {
        input: prompt - cache_read - cache_write,
        cache_read,
        cache_write,
        output: completion.saturating_add(reasoning_apart(usage, prompt, completion, reasoning)),
        reasoning,
        extras: extras(usage),
    })
}

/// xAI leaves reasoning out of `completion_tokens`; its total tells.
fn reasoning_apart(usage: &Value, prompt: u64, completion: u64, reasoning: u64) -> u64 {
    let together = prompt
        .checked_add(completion)
        .and_then(|sum| sum.checked_add(reasoning));
    let is_apart = reasoning > 0 && together.is_some() && count(&usage["total_tokens"]) == together;
    if is_apart { reasoning } else { 0 }
}

fn extras(usage: &Value) -> Vec<(String, u64)> {
    let named = [
        ("audio-input", &usage["prompt_tokens_details"]["audio_tokens"]),
        ("audio-output", &usage["completion_tokens_details"]["audio_tokens"]),
        ("image-input", &usage["prompt_tokens_details"]["image_tokens"]),
        ("image-output", &usage["completion_tokens_details"]["image_tokens"]),
        (
            "cache-write-1h",
            &usage["prompt_tokens_details"]["cache_creation"]["ephemeral_1h_input_tokens"],
        ),
    ];
    let counted = |(name, value): (&str, &Value)| Some((name.to_owned(), count(value).filter(|count| *count > 0)?));
    named.into_iter().filter_map(counted).collect()
}

/// Some providers write counts as `12.0`.
fn count(value: &Value) -> Option<u64> {
    let whole = |number: f64| (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64);
    value.as_u64().or_else(|| whole(value.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_make_no_sense_are_unknown() {
        for usage in [
            "null",
            "-5",
            "\"many\"",
            "[]",
            r#"{"prompt_tokens": -5}"#,
            r#"{"prompt_tokens": 1e30}"#,
        ] {
            assert_eq!(of(format!(r#"{{"usage": {usage}}}"#).as_bytes()), None, "{usage}");
        }
        let half = of(br#"{"usage": {"prompt_tokens": "12", "completion_tokens": 3.0}}"#);
        assert_eq!(half.map(|usage| (usage.input, usage.output)), Some((0, 3)));
    }

    #[test]
    fn an_answer_that_was_served_when_there_was_time_is_billed_as_a_batch() {
        let body = br#"{"usage": {"prompt_tokens": 5, "completion_tokens": 1}, "service_tier": "flex"}"#;
        assert_eq!(of(body).map(|usage| usage.extras), Some(vec![("batch".to_owned(), 1)]));
    }

    #[test]
    fn more_cached_tokens_than_tokens_are_cut_to_what_there_is() {
        let usage = of(br#"{"usage": {"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 9}}"#);
        assert_eq!(usage.map(|usage| (usage.input, usage.cache_read)), Some((0, 5)));
    }
}
