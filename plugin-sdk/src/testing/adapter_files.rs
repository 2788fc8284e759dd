//! Runs an adapter's golden files.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Adapter, AdapterStream, Chunk, Event, Failure, Kind, Operation, Target, Usage};

/// Runs every file in an adapter's `golden/`: `adapter_golden::<MyAdapter>(env!("CARGO_MANIFEST_DIR"))`. Panics with all
/// that is wrong, and where there is nothing to run.
///
/// A file holds one case or a list of them. A case may have a `name`, and is one of
/// * `{"encode": {"operation"?, "target"?, "is_stream"?, "body"}, "outgoing": {"method"?, "path", "headers"?, "body"}}`
/// * `{"decode": {"operation"?, "target"?, "body"}, "answer": {"body", "usage"?}}`
/// * `{"stream": {"operation"?, "target"?, "events": [{"name"?, "data"}]}, "chunks": [{"data", "usage"?}]}`
/// * `{"explain": {"status", "headers"?, "body"?}, "failure": …}`
///
/// and instead of `outgoing` and `answer`, or beside `chunks`, there may be a `failure`: `{"kind", "message"?, "code"?,
/// "retry_after_ms"?}`, whose `message` is a part of the real one. The operation is `chat` unless given; a target has
/// `model`, `settings`, `max_output_tokens`, `request_id` and `now_ms`, none of which it needs. Bodies and data are JSON,
/// or a string where they are not. `usage` has the contract's fields, zero unless given, and is expected to be absent
/// where it is not given. `headers` are compared if given, `method` is `POST` unless given.
///
/// A stream is run twice, with its events all at once and one by one: the chunks must be the same, however they are cut.
#[track_caller]
pub fn adapter_golden<A: Adapter>(plugin: &str) {
    let mut complaints = Vec::new();
    for (name, text) in super::files(plugin) {
        match serde_json::from_str::<OneOrMany>(&text).map(Vec::from) {
            Ok(cases) if cases.is_empty() => complaints.push(format!("{name}: no cases")),
            Ok(cases) => complaints.extend(
                cases
                    .iter()
                    .filter_map(|case| Some(format!("{name}: {}", run::<A>(case)?))),
            ),
            Err(error) => complaints.push(format!("{name}: {error}")),
        }
    }
    super::settle(&complaints);
}

struct OneOrMany(Vec<File>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not untagged, whose errors would not say what is wrong.
        let cases = match Value::deserialize(deserializer)? {
            Value::Array(cases) => cases,
            case => vec![case],
        };
        let cases = cases.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
        cases.map(OneOrMany).map_err(serde::de::Error::custom)
    }
}

impl From<OneOrMany> for Vec<File> {
    fn from(cases: OneOrMany) -> Self {
        cases.0
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: String,
    encode: Option<Encode>,
    decode: Option<Decode>,
    stream: Option<Stream>,
    explain: Option<Explain>,
    outgoing: Option<Value>,
    answer: Option<Value>,
    chunks: Option<Vec<Value>>,
    failure: Option<ExpectedFailure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encode {
    #[serde(default)]
    operation: Op,
    #[serde(default)]
    target: Aim,
    #[serde(default)]
    is_stream: bool,
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decode {
    #[serde(default)]
    operation: Op,
    #[serde(default)]
    target: Aim,
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    #[serde(default)]
    operation: Op,
    #[serde(default)]
    target: Aim,
    events: Vec<GivenEvent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEvent {
    name: Option<String>,
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFailure {
    kind: String,
    message: Option<String>,
    code: Option<String>,
    retry_after_ms: Option<u32>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Op {
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Aim {
    model: Option<String>,
    settings: Option<Value>,
    max_output_tokens: Option<u32>,
    request_id: Option<String>,
    now_ms: Option<u64>,
}

/// What is wrong with a case, if anything is.
fn run<A: Adapter>(file: &File) -> Option<String> {
    let (expected, actual) = match file {
        File {
            encode: Some(given), ..
        } => {
            let encoded = A::encode(
                given.operation.into(),
                &given.target.target(),
                given.is_stream,
                &bytes(&given.body),
            );
            let shown = encoded.map(|outgoing| {
                let headers: BTreeMap<_, _> = outgoing.headers.into_iter().collect();
                json!({ "method": outgoing.method, "path": outgoing.path, "headers": headers, "body": shown(&outgoing.body) })
            });
            (
                file.outgoing
                    .clone()
                    .map(|outgoing| with_default(outgoing, "method", json!("POST"))),
                shown,
            )
        }
        File {
            decode: Some(given), ..
        } => {
            let decoded = A::decode(given.operation.into(), &given.target.target(), &bytes(&given.body));
            let shown = decoded.map(
                |answer| json!({ "body": shown(&answer.body), "usage": answer.usage.map(|usage| usage_of(&usage)) }),
            );
            (file.answer.clone().map(with_usage), shown)
        }
        File {
            stream: Some(given), ..
        } => return run_stream::<A>(file, given),
        File {
            explain: Some(given), ..
        } => {
            let headers: Vec<_> = given.headers.clone().into_iter().collect();
            (None, Err(A::explain(given.status, &headers, &bytes(&given.body))))
        }
        _ => {
            return Some(format!(
                "{}: one of encode, decode, stream and explain is needed",
                file.name
            ));
        }
    };
    let complaint = match (expected, &file.failure, actual) {
        (Some(expected), None, Ok(actual)) => differ(&expected, &only_given(&expected, actual)),
        (None, Some(expected), Err(failure)) => expected.complaint(&failure),
        (_, _, Ok(actual)) => Some(format!("  a failure was expected, got {actual}")),
        (_, _, Err(failure)) => Some(format!("  failed: {failure:?}")),
    };
    complaint.map(|complaint| format!("{}:\n{complaint}", file.name))
}

fn run_stream<A: Adapter>(file: &File, given: &Stream) -> Option<String> {
    let events: Vec<Event> = given
        .events
        .iter()
        .map(|event| Event {
            name: event.name.clone(),
            data: bytes(&event.data),
        })
        .collect();
    let at_once: Vec<&[Event]> = vec![&events];
    let one_by_one: Vec<&[Event]> = events.chunks(1).collect();
    let expected: Vec<Value> = file.chunks.iter().flatten().cloned().map(with_usage).collect();
    for (how, reads) in [("at once", at_once), ("one by one", one_by_one)] {
        let mut chunks = Vec::new();
        let end = relay::<A>(given, &reads, &mut chunks);
        // A read that fails loses the chunks of its own earlier events, so a broken stream is compared one by one only.
        let is_comparable = file.failure.is_none() || how == "one by one";
        let complaint = match (&file.failure, end) {
            (None, Err(failure)) => Some(format!("  failed: {failure:?}")),
            (Some(_), Ok(())) => Some("  a failure was expected, but the stream ended well".into()),
            (Some(expected), Err(failure)) => expected.complaint(&failure),
            (None, Ok(())) => None,
        };
        let chunks = || {
            chunks
                .iter()
                .map(|chunk| json!({ "data": shown(&chunk.data), "usage": chunk.usage.as_ref().map(usage_of) }))
                .collect()
        };
        let complaint = complaint
            .or_else(|| differ(&Value::Array(expected.clone()), &Value::Array(chunks())).filter(|_| is_comparable));
        if let Some(complaint) = complaint {
            return Some(format!("{} (events {how}):\n{complaint}", file.name));
        }
    }
    None
}

fn relay<A: Adapter>(given: &Stream, reads: &[&[Event]], chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
    let mut stream = A::Stream::begin(given.operation.into(), &given.target.target())?;
    for events in reads {
        chunks.extend(stream.push(events)?);
    }
    chunks.extend(stream.finish()?);
    Ok(())
}

fn differ(expected: &Value, actual: &Value) -> Option<String> {
    (expected != actual).then(|| format!("  expected {expected}\n  got      {actual}"))
}

/// Leaves out of an outgoing request the headers that the file says nothing about.
fn only_given(expected: &Value, mut actual: Value) -> Value {
    if expected.get("headers").is_none()
        && let Some(fields) = actual.as_object_mut()
    {
        fields.remove("headers");
    }
    actual
}

fn with_default(mut value: Value, name: &str, default: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.entry(name).or_insert(default);
    }
    value
}

fn with_usage(value: Value) -> Value {
    let mut value = with_default(value, "usage", Value::Null);
    if let Some(given) = value["usage"].as_object_mut() {
        let zeros = usage_of(&Usage::none());
        for (name, zero) in zeros.as_object().into_iter().flatten() {
            given.entry(name).or_insert(zero.clone());
        }
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

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    }
}

fn shown(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

impl ExpectedFailure {
    fn complaint(&self, failure: &Failure) -> Option<String> {
        let is_expected = self.kind == kind_of(&failure.kind)
            && self
                .message
                .as_ref()
                .is_none_or(|message| failure.message.contains(message))
            && self.code == failure.code
            && self.retry_after_ms == failure.retry_after_ms;
        (!is_expected).then(|| format!("  another failure than expected: {failure:?}"))
    }
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

impl From<Op> for Operation {
    fn from(operation: Op) -> Self {
        match operation {
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
    fn target(&self) -> Target {
        Target {
            model: self.model.clone().unwrap_or_else(|| "test-model".into()),
            settings: self.settings.as_ref().map_or_else(|| "{}".into(), Value::to_string),
            max_output_tokens: self.max_output_tokens,
            request_id: self.request_id.clone().unwrap_or_else(|| "test".into()),
            now_ms: self.now_ms.unwrap_or(1_750_000_000_000),
        }
    }
}
