//! One case of an adapter's golden file: what goes in, what is expected to come out. The form is that of the SDK for Rust
//! (`pointsman_plugin::testing::adapter_golden`), so that the same files serve natively and here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::plugins::words::{Answer, Chunk, Event, Failure, Kind, Operation, Outgoing, Target, Usage};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    #[serde(default)]
    pub(super) name: String,
    pub(super) encode: Option<Encode>,
    pub(super) decode: Option<Decode>,
    pub(super) stream: Option<Stream>,
    pub(super) explain: Option<Explain>,
    pub(super) outgoing: Option<Value>,
    pub(super) answer: Option<Value>,
    pub(super) chunks: Option<Vec<Value>>,
    pub(super) failure: Option<ExpectedFailure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encode {
    #[serde(default)]
    pub(super) operation: Op,
    #[serde(default)]
    pub(super) target: Aim,
    #[serde(default)]
    pub(super) is_stream: bool,
    pub(super) body: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decode {
    #[serde(default)]
    pub(super) operation: Op,
    #[serde(default)]
    pub(super) target: Aim,
    pub(super) body: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stream {
    #[serde(default)]
    pub(super) operation: Op,
    #[serde(default)]
    pub(super) target: Aim,
    events: Vec<GivenEvent>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEvent {
    name: Option<String>,
    data: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    pub(super) status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedFailure {
    kind: String,
    message: Option<String>,
    code: Option<String>,
    retry_after_ms: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Op {
    #[default]
    Chat,
    Completion,
    Embedding,
    Image,
    Speech,
    Transcription,
    Moderation,
    Rerank,
    CountTokens,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Aim {
    model: Option<String>,
    settings: Option<Value>,
    max_output_tokens: Option<u32>,
    request_id: Option<String>,
    now_ms: Option<u64>,
}

impl Stream {
    pub(super) fn events(&self) -> Vec<Event> {
        let event = |event: &GivenEvent| Event {
            name: event.name.clone(),
            data: bytes(&event.data),
        };
        self.events.iter().map(event).collect()
    }
}

impl Explain {
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        self.headers.clone().into_iter().collect()
    }
}

impl ExpectedFailure {
    /// What is wrong with a failure, if anything is.
    pub(super) fn complaint(&self, failure: &Failure) -> Option<String> {
        let is_part = |message: &String| failure.message.contains(message.as_str());
        let is_expected = self.kind == kind_of(&failure.kind)
            && self.message.as_ref().is_none_or(is_part)
            && self.code == failure.code
            && self.retry_after_ms == failure.retry_after_ms;
        (!is_expected).then(|| format!("    - expected {self:?}\n    + got {}", shown_failure(failure)))
    }
}

impl Op {
    pub(super) fn operation(self) -> Operation {
        match self {
            Op::Chat => Operation::Chat,
            Op::Completion => Operation::Completion,
            Op::Embedding => Operation::Embedding,
            Op::Image => Operation::Image,
            Op::Speech => Operation::Speech,
            Op::Transcription => Operation::Transcription,
            Op::Moderation => Operation::Moderation,
            Op::Rerank => Operation::Rerank,
            Op::CountTokens => Operation::CountTokens,
        }
    }
}

impl Aim {
    pub(super) fn target(&self) -> Target {
        Target {
            model: self.model.clone().unwrap_or_else(|| "test-model".into()),
            settings: self.settings.as_ref().map_or_else(|| "{}".into(), Value::to_string),
            max_output_tokens: self.max_output_tokens,
            request_id: self.request_id.clone().unwrap_or_else(|| "test".into()),
            now_ms: self.now_ms.unwrap_or(1_750_000_000_000),
        }
    }
}

/// What was sent, beside what was expected: headers are compared if given, the method is `POST` unless given.
pub(super) fn outgoing(expected: &Value, outgoing: Outgoing) -> (Value, Value) {
    let expected = with_default(expected.clone(), "method", json!("POST"));
    let headers: BTreeMap<_, _> = outgoing.headers.into_iter().collect();
    let mut actual = json!({ "method": outgoing.method, "path": outgoing.path, "body": shown(&outgoing.body) });
    if expected.get("headers").is_some() {
        actual["headers"] = json!(headers);
    }
    (expected, actual)
}

pub(super) fn answer(expected: &Value, answer: &Answer) -> (Value, Value) {
    let actual = json!({ "body": shown(&answer.body), "usage": answer.usage.as_ref().map(usage_of) });
    (with_usage(expected.clone()), actual)
}

pub(super) fn chunks(expected: &[Value], chunks: &[Chunk]) -> (Value, Value) {
    let chunk = |chunk: &Chunk| json!({ "data": shown(&chunk.data), "usage": chunk.usage.as_ref().map(usage_of) });
    (
        expected.iter().cloned().map(with_usage).collect(),
        chunks.iter().map(chunk).collect(),
    )
}

pub(super) fn shown_failure(failure: &Failure) -> Value {
    json!({
        "kind": kind_of(&failure.kind), "message": failure.message, "code": failure.code,
        "retry_after_ms": failure.retry_after_ms,
    })
}

fn with_default(mut value: Value, name: &str, default: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.entry(name).or_insert(default);
    }
    value
}

/// Counts that are not given are zero, usage that is not given is expected to be absent.
fn with_usage(value: Value) -> Value {
    let mut value = with_default(value, "usage", Value::Null);
    if let Some(given) = value["usage"].as_object_mut() {
        for name in ["input", "cache_read", "cache_write", "output", "reasoning"] {
            given.entry(name).or_insert(json!(0));
        }
        given.entry("extras").or_insert(json!({}));
    }
    value
}

fn usage_of(usage: &Usage) -> Value {
    let extras: BTreeMap<_, _> = usage.extras.iter().cloned().collect();
    json!({
        "input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write, "output": usage.output,
        "reasoning": usage.reasoning, "extras": extras,
    })
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    }
}

fn shown(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn kind_of(kind: &Kind) -> &str {
    match kind {
        Kind::InvalidRequest => "invalid-request",
        Kind::Authentication => "authentication",
        Kind::Permission => "permission",
        Kind::NotFound => "not-found",
        Kind::RateLimited => "rate-limited",
        Kind::QuotaExhausted => "quota-exhausted",
        Kind::ContextLength => "context-length",
        Kind::ContentPolicy => "content-policy",
        Kind::Overloaded => "overloaded",
        Kind::TimedOut => "timed-out",
        Kind::Upstream => "upstream",
        Kind::Other(other) => other,
    }
}
