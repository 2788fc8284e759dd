//! For providers that speak OpenAI's JSON as it is: their profile, and what an adapter does unless it says otherwise.
//! Bodies keep every byte that needs no change, unknown fields and the order of members included.

use serde::Deserialize;

use crate::adapter::{
    AdapterStream, Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation, Outgoing,
    Profile, Target, Usage,
};
use crate::translate::Members;

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

impl Passthrough {
    /// What [`Adapter::encode`](crate::Adapter::encode) does as it stands, for adapters that change a body beforehand.
    pub fn encode(
        profile: &Profile,
        operation: Operation,
        target: &Target,
        is_stream: bool,
        body: &[u8],
    ) -> Result<Outgoing, Failure> {
        encode(profile, operation, target, is_stream, body)
    }
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
    let mut members = Members::of(body)?;
    members.set("model", serde_json::Value::from(target.model.as_str()).to_string());
    if is_stream {
        members.set("stream", "true".to_owned());
        members.set("stream_options", r#"{"include_usage":true}"#.to_owned());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Adapter;

    struct Plain;
    impl Adapter for Plain {
        type Stream = Passthrough;
        fn describe() -> Profile {
            Profile::openai()
        }
    }

    fn target() -> Target {
        Target {
            model: "up\"stream".into(),
            settings: "{}".into(),
            max_output_tokens: None,
            request_id: "r".into(),
            now_ms: 0,
        }
    }

    fn push(stream: &mut Passthrough, events: &[&str]) -> Result<Vec<Chunk>, Failure> {
        let events: Vec<Event> = events.iter().map(|data| Event::new(*data)).collect();
        stream.push(&events)
    }

    fn encode(is_stream: bool, body: &str) -> String {
        let outgoing = Plain::encode(Operation::Chat, &target(), is_stream, body.as_bytes()).unwrap();
        assert_eq!(
            (outgoing.method.as_str(), outgoing.path.as_str()),
            ("POST", "/chat/completions")
        );
        String::from_utf8(outgoing.body).unwrap()
    }

    #[test]
    fn a_body_keeps_its_order_its_numbers_and_what_nobody_knows() {
        let body = r#"{"z":1.0e2, "model":"auto","x-unknown":{"b":1,"a":[ 2 ]},"café\n":12345678901234567890123}"#;
        let expected =
            r#"{"z":1.0e2,"model":"up\"stream","x-unknown":{"b":1,"a":[ 2 ]},"café\n":12345678901234567890123}"#;
        assert_eq!(encode(false, body), expected);
    }

    #[test]
    fn a_stream_is_asked_for_its_usage() {
        let expected = r#"{"model":"up\"stream","stream":true,"stream_options":{"include_usage":true}}"#;
        assert_eq!(encode(true, r#"{"model":"auto"}"#), expected);
    }

    #[test]
    fn a_body_that_is_no_object_is_the_callers_mistake() {
        for body in ["", "[]", "{"] {
            let failure = Plain::encode(Operation::Chat, &target(), false, body.as_bytes()).unwrap_err();
            assert_eq!(failure.kind, Kind::InvalidRequest, "{body}");
        }
        assert!(Plain::encode(Operation::CountTokens, &target(), false, b"{}").is_err());
    }

    #[test]
    fn usage_tells_cached_input_apart() {
        let body = json!({ "usage": {
            "prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": { "cached_tokens": 60 },
            "completion_tokens_details": { "reasoning_tokens": 5 } } });
        let answer = Plain::decode(Operation::Chat, &target(), body.to_string().as_bytes()).unwrap();
        let expected = Usage {
            input: 40,
            cache_read: 60,
            output: 20,
            reasoning: 5,
            ..Usage::none()
        };
        assert_eq!(
            (answer.body, answer.usage),
            (body.to_string().into_bytes(), Some(expected))
        );
        assert_eq!(Plain::decode(Operation::Chat, &target(), b"{}").unwrap().usage, None);
        assert!(Plain::decode(Operation::Chat, &target(), b"<html>").is_err());
    }

    #[test]
    fn errors_are_told_apart_by_code_and_status() {
        let error = |code: &str| json!({ "error": { "message": "no", "type": "t", "code": code } }).to_string();
        for (status, code, kind) in [
            (400, "context_length_exceeded", Kind::ContextLength),
            (400, "content_filter", Kind::ContentPolicy),
            (400, "other", Kind::InvalidRequest),
            (401, "invalid_api_key", Kind::Authentication),
            (429, "insufficient_quota", Kind::QuotaExhausted),
            (429, "rate_limit_exceeded", Kind::RateLimited),
            (503, "x", Kind::Overloaded),
            (500, "x", Kind::Upstream),
            (302, "x", Kind::Other("status 302".into())),
        ] {
            let failure = Plain::explain(status, &[], error(code).as_bytes());
            assert_eq!(
                (failure.kind, failure.code.as_deref(), failure.message.as_str()),
                (kind, Some(code), "no")
            );
        }
        assert_eq!(
            Plain::explain(502, &[], b"<html>").message,
            "the provider answered with status 502"
        );
    }

    #[test]
    fn the_time_to_wait_is_read_in_seconds_and_milliseconds() {
        let after = |name: &str, value: &str| Plain::explain(429, &[(name.into(), value.into())], b"").retry_after_ms;
        assert_eq!(after("retry-after", "1.5"), Some(1500));
        assert_eq!(after("retry-after-ms", "20"), Some(20));
        assert_eq!(after("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(after("retry-after", "-1"), None);
    }

    #[test]
    fn a_stream_passes_with_its_usage_and_must_be_finished() {
        let mut stream = Passthrough::begin(Operation::Chat, &target()).unwrap();
        let first = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
        assert_eq!(push(&mut stream, &[first]), Ok(vec![Chunk::new(first)]));
        assert_eq!(stream.finish().unwrap_err().kind, Kind::Upstream);
        let last = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let usage = Some(Usage {
            input: 3,
            output: 2,
            ..Usage::none()
        });
        assert_eq!(
            push(&mut stream, &[last, "[DONE]"]),
            Ok(vec![Chunk {
                usage,
                ..Chunk::new(last)
            }])
        );
        assert_eq!(stream.finish(), Ok(vec![]));
    }

    #[test]
    fn a_finish_reason_finishes_a_stream_without_a_closing_event() {
        let mut stream = Passthrough::default();
        push(&mut stream, &[r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#]).unwrap();
        assert_eq!(stream.finish(), Ok(vec![]));
    }

    #[test]
    fn an_error_within_a_stream_and_what_is_no_chunk_end_it() {
        let error = push(
            &mut Passthrough::default(),
            &[r#"{"error":{"message":"too many","code":"rate_limit_exceeded"}}"#],
        );
        let failure = error.unwrap_err();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (Kind::RateLimited, "too many")
        );
        assert_eq!(
            push(&mut Passthrough::default(), &["nonsense"]).unwrap_err().kind,
            Kind::Upstream
        );
    }
}
