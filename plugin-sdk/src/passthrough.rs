//! For providers that speak OpenAI's JSON as it is: their profile, and what an adapter does unless it says otherwise.
//! Bodies keep every byte that needs no change, unknown fields and the order of members included.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::adapter::{
    AdapterStream, Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation, Outgoing,
    Profile, Target, Usage,
};

const PATHS: [(Operation, &str); 8] = [
    (Operation::Chat, "/chat/completions"),
    (Operation::Completion, "/completions"),
    (Operation::Embedding, "/embeddings"),
    (Operation::Image, "/images/generations"),
    (Operation::Speech, "/audio/speech"),
    (Operation::Transcription, "/audio/transcriptions"),
    (Operation::Moderation, "/moderations"),
    (Operation::Rerank, "/rerank"),
];

impl Profile {
    /// A provider that speaks OpenAI's chat completions, completions and embeddings at OpenAI's paths, with a bearer key.
    pub fn openai() -> Self {
        let operations = vec![Operation::Chat, Operation::Completion, Operation::Embedding];
        let header = |meaning: &str, name: &str| (meaning.to_owned(), name.to_owned());
        Profile {
            paths: PATHS
                .iter()
                .filter(|(operation, _)| operations.contains(operation))
                .map(|&(operation, path)| (operation, path.to_owned()))
                .collect(),
            operations,
            framing: Framing::ServerSentEvents,
            authentication: Authentication::Bearer,
            speaks: Dialects::OPENAI_CHAT,
            base_url: None,
            headers: Vec::new(),
            limit_headers: vec![
                header("requests-left", "x-ratelimit-remaining-requests"),
                header("tokens-left", "x-ratelimit-remaining-tokens"),
                header("requests-reset", "x-ratelimit-reset-requests"),
                header("tokens-reset", "x-ratelimit-reset-tokens"),
            ],
            extras: Vec::new(),
        }
    }
}

/// A streamed answer that needs no translation: chunks as they come, and the usage that they tell.
#[derive(Debug, Default)]
pub struct Passthrough {
    is_closed: bool,
}

impl AdapterStream for Passthrough {
    fn begin(_: Operation, _: &Target) -> Result<Self, Failure> {
        Ok(Passthrough::default())
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            if event.data.trim_ascii() == b"[DONE]" {
                self.is_closed = true;
                continue;
            }
            let seen: StreamedChunk = serde_json::from_slice(&event.data).map_err(|error| {
                Failure::new(
                    Kind::Upstream,
                    format!("the provider sent an event that is no chunk: {error}"),
                )
            })?;
            if seen.error.is_some() {
                return Err(explain(500, &[], &event.data));
            }
            self.is_closed |= seen
                .choices
                .unwrap_or_default()
                .iter()
                .any(|choice| choice.finish_reason.is_some());
            chunks.push(Chunk {
                data: event.data.clone(),
                usage: seen.usage.map(Usage::from),
            });
        }
        Ok(chunks)
    }

    /// Some providers send no `[DONE]`, so a finish reason counts as well.
    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        if self.is_closed {
            return Ok(Vec::new());
        }
        Err(Failure::new(
            Kind::Upstream,
            "the provider's answer broke off before it was finished",
        ))
    }
}

pub(crate) fn encode(
    profile: &Profile,
    operation: Operation,
    target: &Target,
    is_stream: bool,
    body: &[u8],
) -> Result<Outgoing, Failure> {
    let paths = profile.paths.iter().map(|(known, path)| (*known, path.as_str()));
    let Some((_, path)) = paths.chain(PATHS).find(|(known, _)| *known == operation) else {
        return Err(Failure::new(
            Kind::InvalidRequest,
            format!("this provider has no operation `{operation:?}`"),
        ));
    };
    let mut members: Members = serde_json::from_slice(body).map_err(|error| {
        Failure::new(
            Kind::InvalidRequest,
            format!("the request is not a JSON object: {error}"),
        )
    })?;
    members.set("model", &serde_json::Value::from(target.model.as_str()));
    if is_stream {
        members.set("stream", &serde_json::Value::Bool(true));
        members.set("stream_options", &serde_json::json!({ "include_usage": true }));
    }
    Ok(Outgoing::json(path, members.into_json()))
}

pub(crate) fn decode(body: &[u8]) -> Result<Answer, Failure> {
    let seen: WholeAnswer = serde_json::from_slice(body)
        .map_err(|error| Failure::new(Kind::Upstream, format!("the provider's answer is not JSON: {error}")))?;
    Ok(Answer {
        body: body.to_vec(),
        usage: seen.usage.map(Usage::from),
    })
}

pub(crate) fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
    let seen = serde_json::from_slice::<ErrorAnswer>(body)
        .map(|answer| answer.error)
        .unwrap_or_default();
    let code = seen.code.as_ref().and_then(text_of).or_else(|| seen.kind.clone());
    Failure {
        kind: kind_of(status, code.as_deref().unwrap_or_default()),
        message: seen
            .message
            .unwrap_or_else(|| format!("the provider answered with status {status}")),
        code,
        retry_after_ms: retry_after_ms(headers),
    }
}

fn kind_of(status: u16, code: &str) -> Kind {
    match (status, code) {
        (_, "context_length_exceeded") => Kind::ContextLength,
        (_, "content_policy_violation" | "content_filter") => Kind::ContentPolicy,
        (_, "insufficient_quota") | (402, _) => Kind::QuotaExhausted,
        (_, "rate_limit_exceeded") | (429, _) => Kind::RateLimited,
        (400 | 409 | 413 | 415 | 422, _) => Kind::InvalidRequest,
        (401, _) => Kind::Authentication,
        (403, _) => Kind::Permission,
        (404, _) => Kind::NotFound,
        (408 | 504, _) => Kind::TimedOut,
        (503 | 529, _) => Kind::Overloaded,
        (500.., _) => Kind::Upstream,
        (status, _) => Kind::Other(format!("status {status}")),
    }
}

/// Seconds by the standard, milliseconds by OpenAI's own header; a date is left alone, since an adapter has no clock.
fn retry_after_ms(headers: &[(String, String)]) -> Option<u32> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(own, _)| own == name)?
            .1
            .trim()
            .parse::<f64>()
            .ok()
    };
    let milliseconds = header("retry-after-ms").or_else(|| Some(header("retry-after")? * 1000.0))?;
    // The cast saturates, which is right for "not today".
    (milliseconds >= 0.0).then_some(milliseconds.ceil() as u32)
}

fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A JSON object whose values are left as the text that they are.
struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Members<'_> {
    fn set(&mut self, name: &'static str, value: &serde_json::Value) {
        let value = Cow::Owned(value.to_string());
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.into(), value)),
        }
    }

    fn into_json(self) -> Vec<u8> {
        let mut json = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(&serde_json::Value::from(&**name).to_string());
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json.into_bytes()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, Cow::Borrowed(value.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

// `Cow` alone would always own; a member's name is nearly never escaped, so nearly always borrowed.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct WholeAnswer {
    usage: Option<SeenUsage>,
}

#[derive(Deserialize)]
struct StreamedChunk {
    choices: Option<Vec<Choice>>,
    usage: Option<SeenUsage>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct ErrorAnswer {
    error: SeenError,
}

#[derive(Deserialize, Default)]
struct SeenError {
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<serde_json::Value>,
}

/// Usage as OpenAI tells it: the prompt's tokens include the cached ones.
#[derive(Deserialize, Default)]
#[serde(default)]
struct SeenUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<SeenDetails>,
    completion_tokens_details: Option<SeenDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SeenDetails {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

impl From<SeenUsage> for Usage {
    fn from(seen: SeenUsage) -> Self {
        let cache_read = seen
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .unwrap_or(0);
        Usage {
            input: seen.prompt_tokens.unwrap_or(0).saturating_sub(cache_read),
            cache_read,
            output: seen.completion_tokens.unwrap_or(0),
            reasoning: seen
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
            ..Usage::none()
        }
    }
}
