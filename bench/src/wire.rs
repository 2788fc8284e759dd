//! The bytes on the wire: the requests that the load generator sends and the answers that the mock upstream gives.
//! Everything is built once before a measurement; nothing here runs while one is under way.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value, json};

/// The path of the one operation that is measured.
pub(crate) const PATH: &str = "/v1/chat/completions";
/// The model that the load asks for; in the gateway's configuration it is a route.
pub(crate) const MODEL: &str = "bench";
/// What ends a stream in OpenAI's dialect.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

const ANSWER_BYTES: usize = 1200;
const PROSE: &str = "The night train left the yard at four with nine wagons of grain and one of mail. \
    Please compare both timetables, explain which connection is safer in winter, and say why in two sentences. \
    The signal box reported ice on the points near the bridge, so every driver was told to go slowly. ";

/// A complete request of which the body has exactly `body_bytes` bytes.
pub(crate) fn request(target: SocketAddr, body_bytes: usize, stream: bool) -> Bytes {
    let body_with = |prompt: &str| {
        let mut body = json!({
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant of a railway company."},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0.7,
            "max_tokens": 256,
        });
        if stream {
            body["stream"] = Value::Bool(true);
        }
        body.to_string()
    };
    let body = body_with(&prose(body_bytes.saturating_sub(body_with("").len())));
    Bytes::from(format!(
        "POST {PATH} HTTP/1.1\r\nhost: {target}\r\nauthorization: Bearer sk-bench\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nuser-agent: pointsman-bench\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// What a mock upstream says when it is asked for a whole answer.
pub(crate) fn completion() -> Bytes {
    let body_with = |content: &str| {
        json!({
            "id": "chatcmpl-Bq3mXb0Vn1sTzKc9LhWfYe4RuAo2D",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": null, "annotations": []},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": usage(),
            "service_tier": "default",
            "system_fingerprint": "fp_bench",
        })
        .to_string()
    };
    let body = body_with(&prose(ANSWER_BYTES - body_with("").len()));
    Bytes::from(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The pieces of a streamed answer in the order in which they are due, one delay apart: the head with the role, each
/// content event, and with the last of them everything that ends the stream.
pub(crate) fn stream(content_events: usize, with_usage: bool) -> Vec<Bytes> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: req_bench\r\n\
                cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    let role = json!({"role": "assistant", "content": "", "refusal": null});
    let mut pieces = vec![[head.as_bytes(), &event(role, Value::Null, with_usage)].concat()];
    let words = PROSE.split_inclusive(' ').cycle();
    pieces.extend(
        words
            .take(content_events)
            .map(|word| event(json!({"content": word}), Value::Null, with_usage)),
    );

    let mut end = event(json!({}), json!("stop"), with_usage);
    if with_usage {
        end.extend(chunked(&sse(&envelope(json!([]), Some(usage())))));
    }
    end.extend(chunked(DONE));
    end.extend(b"0\r\n\r\n");
    if let Some(last) = pieces.last_mut() {
        last.extend(end);
    }
    pieces.into_iter().map(Bytes::from).collect()
}

/// How many events a client receives that did not ask for usage: the role, the content, the reason of the end, `[DONE]`.
pub(crate) fn events_of_a_stream(content_events: usize) -> u32 {
    u32::try_from(content_events + 3).unwrap_or(u32::MAX)
}

/// One event in its own HTTP chunk; where usage was asked for, every event but the last says `"usage": null`.
fn event(delta: Value, finish_reason: Value, with_usage: bool) -> Vec<u8> {
    let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
    chunked(&sse(&envelope(choice, with_usage.then_some(Value::Null))))
}

fn envelope(choices: Value, usage: Option<Value>) -> Value {
    let mut chunk = json!({
        "id": "chatcmpl-Bq3mXb0Vn1sTzKc9LhWfYe4RuAo2D",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
        "choices": choices,
    });
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    chunk
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 213,
        "completion_tokens": 187,
        "total_tokens": 400,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}

fn sse(chunk: &Value) -> Vec<u8> {
    format!("data: {chunk}\n\n").into_bytes()
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Plain ASCII without anything that JSON escapes, so that its length is its length in a JSON string.
fn prose(bytes: usize) -> String {
    PROSE.chars().cycle().take(bytes).collect()
}
