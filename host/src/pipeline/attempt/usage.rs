//! What was used, wherever a provider that speaks OpenAI's dialect tells it: the rules of the adapter `openai`, for answers
//! that pass without it. Counts that make no sense are left unknown: the answer is served all the same.

use crate::json::Value;
use crate::money::{Service, Usage};

/// What an answer, or a chunk of one, says that was used.
pub(super) fn of(answer: Value<'_>) -> Option<Usage> {
    counted(answer, &said(answer))
}

/// What was used by the first of these that says anything.
pub(super) fn counted(answer: Value<'_>, said: &[(String, Value<'_>)]) -> Option<Usage> {
    let (_, usage) = said.iter().find(|(_, usage)| !usage.is_null())?;
    let usage = billed(*usage)?;
    let tier = answer
        .get("service_tier")
        .and_then(|tier| tier.as_str().map(|tier| Service::of(&tier)));
    Some(Usage {
        service: tier.unwrap_or_default(),
        ..usage
    })
}

/// Every place where usage is told, `null` included, as a pointer with what is there; the one that counts comes first.
pub(super) fn said(answer: Value<'_>) -> Vec<(String, Value<'_>)> {
    let top = answer.get("usage").map(|usage| ("/usage".to_owned(), usage));
    // Moonshot's place for the usage of a stream.
    let choices = answer.get("choices").into_iter().flat_map(|list| list.elements());
    let inside = choices.enumerate().filter_map(|(index, choice)| {
        let usage = choice.get("usage")?;
        Some((format!("/choices/{index}/usage"), usage))
    });
    // Groq's.
    let beside = answer.get("x_groq").and_then(|beside| beside.get("usage"));
    let beside = beside.map(|usage| ("/x_groq/usage".to_owned(), usage));
    top.into_iter().chain(inside).chain(beside).collect()
}

/// The dialect counts cached tokens as part of the prompt; they are billed apart.
fn billed(usage: Value<'_>) -> Option<Usage> {
    let at = |key: &str| count(usage.get(key));
    let detail = |group: &str, key: &str| count(usage.get(group)?.get(key));
    let (prompt, completion) = (at("prompt_tokens"), at("completion_tokens"));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let cached = detail("prompt_tokens_details", "cached_tokens")
        // DeepSeek, Moonshot, Mistral.
        .or_else(|| at("prompt_cache_hit_tokens"))
        .or_else(|| at("cached_tokens"))
        .or_else(|| at("num_cached_tokens"));
    let cache_read = cached.unwrap_or(0).min(prompt);
    let written = detail("prompt_tokens_details", "cache_write_tokens")
        // Qwen, and gateways that pass Anthropic's word on.
        .or_else(|| detail("prompt_tokens_details", "cache_creation_input_tokens"))
        .or_else(|| at("cache_creation_input_tokens"));
    let cache_write = written.unwrap_or(0).min(prompt - cache_read);
    let for_an_hour = usage
        .get("prompt_tokens_details")
        .and_then(|details| details.get("cache_creation"))
        .and_then(|written| count(written.get("ephemeral_1h_input_tokens")));
    let input = prompt - cache_read - cache_write;
    let reasoning = detail("completion_tokens_details", "reasoning_tokens").unwrap_or(0);
    // xAI leaves reasoning out of `completion_tokens`; its total tells.
    let with_reasoning = completion.saturating_add(reasoning);
    let is_apart = at("total_tokens") == prompt.checked_add(with_reasoning);
    let output = if is_apart { with_reasoning } else { completion };
    let reasoning = reasoning.min(output);
    // Of what the cache served nobody says how much was sound.
    let audio_input = detail("prompt_tokens_details", "audio_tokens").unwrap_or(0).min(input);
    let audio_output = detail("completion_tokens_details", "audio_tokens").unwrap_or(0);
    let image_output = detail("completion_tokens_details", "image_tokens").unwrap_or(0);
    let image_input = detail("prompt_tokens_details", "image_tokens").unwrap_or(0);
    Some(Usage {
        input,
        audio_input,
        cache_read,
        cache_write,
        cache_write_1h: for_an_hour.unwrap_or(0).min(cache_write),
        output,
        reasoning,
        audio_output: audio_output.min(output - reasoning),
        image_input: image_input.min(input - audio_input),
        image_output: image_output.min(output - reasoning),
        ..Usage::default()
    })
}

/// Some providers write counts as `12.0`.
fn count(value: Option<Value<'_>>) -> Option<u64> {
    let value = value?;
    let whole = |number: f64| (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64);
    value.as_u64().or_else(|| whole(value.as_f64()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::json::{Document, Limits};

    /// Input, read from the cache, written to it, output, reasoning.
    fn counts(answer: &str) -> Option<[u64; 5]> {
        let answer = Document::parse(Bytes::copy_from_slice(answer.as_bytes()), Limits::default()).unwrap();
        let usage = of(answer.root())?;
        Some([
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.output,
            usage.reasoning,
        ])
    }

    #[test]
    fn counts_are_read_as_each_provider_writes_them() {
        for (usage, expected) in [
            (r#"{"prompt_tokens": 10, "completion_tokens": 5}"#, [10, 0, 0, 5, 0]),
            (
                r#"{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 3}}"#,
                [6, 4, 0, 5, 3],
            ),
            (
                r#"{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18, "completion_tokens_details": {"reasoning_tokens": 3}}"#,
                [10, 0, 0, 8, 3],
            ),
            (
                r#"{"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}}"#,
                [4, 4, 2, 5, 0],
            ),
            (
                r#"{"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}"#,
                [6, 4, 0, 5, 0],
            ),
            (
                r#"{"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4, "prompt_tokens_details": null}"#,
                [6, 4, 0, 5, 0],
            ),
            (
                r#"{"prompt_tokens": 10.0, "completion_tokens": 5.0, "num_cached_tokens": 4.0}"#,
                [6, 4, 0, 5, 0],
            ),
            (r#"{"prompt_tokens": 10}"#, [10, 0, 0, 0, 0]),
            (r#"{"prompt_tokens": "12", "completion_tokens": 3.0}"#, [0, 0, 0, 3, 0]),
            (
                r#"{"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 9}"#,
                [0, 5, 0, 1, 0],
            ),
        ] {
            assert_eq!(counts(&format!(r#"{{"usage": {usage}}}"#)), Some(expected), "{usage}");
        }
    }

    #[test]
    fn sound_long_lived_writes_and_batches_are_told_apart() {
        let read = |answer: &str| {
            let answer = Document::parse(Bytes::copy_from_slice(answer.as_bytes()), Limits::default()).unwrap();
            of(answer.root()).unwrap()
        };
        let usage = read(
            r#"{"service_tier": "flex", "usage": {"prompt_tokens": 100, "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 40, "cache_creation_input_tokens": 30, "audio_tokens": 99,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
                "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 30, "image_tokens": 7}}}"#,
        );
        let expected = Usage {
            input: 30,
            audio_input: 30,
            cache_read: 40,
            cache_write: 30,
            cache_write_1h: 20,
            output: 50,
            reasoning: 5,
            audio_output: 30,
            image_output: 7,
            service: Service::Batch,
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        let plain = r#"{"service_tier": "default", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}"#;
        assert_eq!(read(plain).service, Service::Ordinary);
    }

    #[test]
    fn usage_is_found_wherever_a_provider_tells_it() {
        let usage = r#"{"prompt_tokens": 10, "completion_tokens": 5}"#;
        for answer in [
            format!(r#"{{"usage": {usage}}}"#),
            format!(r#"{{"choices": [{{"index": 0}}, {{"index": 1, "usage": {usage}}}], "usage": null}}"#),
            format!(r#"{{"choices": [], "x_groq": {{"id": "req", "usage": {usage}}}}}"#),
        ] {
            assert_eq!(counts(&answer), Some([10, 0, 0, 5, 0]), "{answer}");
        }
    }

    #[test]
    fn counts_that_make_no_sense_are_unknown() {
        for usage in [
            "null",
            "-5",
            r#""many""#,
            "[]",
            "{}",
            r#"{"prompt_tokens": -5}"#,
            r#"{"prompt_tokens": 1e30}"#,
            r#"{"prompt_tokens": 1.5}"#,
        ] {
            assert_eq!(counts(&format!(r#"{{"usage": {usage}}}"#)), None, "{usage}");
        }
    }
}
