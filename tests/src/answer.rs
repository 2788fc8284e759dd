//! What the fake provider answers: a head, and a body as steps that say which bytes go out in one piece, where the body
//! waits, and how it ends. Nothing here opens a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Taken before the head goes out.
    pub(crate) before: Vec<Step>,
    pub(crate) body: Vec<Step>,
    pub(crate) end: End,
}

/// One step of a body.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These bytes, flushed by themselves.
    Send(Bytes),
    /// Nothing until the test opens the gate.
    Hold(Gate),
    /// Nothing for so long.
    Sleep(Duration),
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// As HTTP asks for.
    #[default]
    Whole,
    /// The connection is closed in good order, in the middle of the body.
    Close,
    /// The connection is reset in the middle of the body.
    Reset,
    /// Nothing more comes and the connection stays open.
    Hang,
}

/// Holds an answer until the test lets it go, which no sleep can do reliably. Clones are the same gate; each `open` lets
/// one holder pass.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Gate {
        Gate(Arc::new(Semaphore::new(0)))
    }

    /// Lets one holder pass, now or when it comes.
    pub fn open(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

impl Answer {
    /// An answer with this status and body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            before: Vec::new(),
            body: vec![Step::Send(body.into())],
            end: End::Whole,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, "application/json", body.to_string())
    }

    /// An error in OpenAI's shape.
    pub fn error(status: u16, code: &str) -> Answer {
        Answer::json(
            status,
            &json!({ "error": { "message": code, "type": "error", "param": null, "code": code } }),
        )
    }

    /// A whole chat completion in OpenAI's shape, with usage.
    pub fn chat(text: &str) -> Answer {
        Answer::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "upstream-model",
                "choices": [{
                    "index": 0, "message": { "role": "assistant", "content": text }, "logprobs": null, "finish_reason": "stop",
                }],
                "usage": usage(),
            }),
        )
    }

    /// A streamed chat completion in OpenAI's shape: a chunk for each piece, one with the reason it ended, one with
    /// usage, `[DONE]`.
    pub fn chat_stream<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Answer {
        let mut events: Vec<String> = pieces
            .into_iter()
            .map(|piece| chunk(json!({ "content": piece }), Value::Null))
            .collect();
        events.push(chunk(json!({}), json!("stop")));
        events.push(chunk_with(json!([]), usage()));
        events.push("[DONE]".into());
        Answer::events(events.iter().map(String::as_str))
    }

    /// Server-sent events without names, each flushed by itself.
    pub fn events<'a>(data: impl IntoIterator<Item = &'a str>) -> Answer {
        let body = data
            .into_iter()
            .map(|data| Step::Send(format!("data: {data}\n\n").into()))
            .collect();
        Answer {
            body,
            ..Answer::new(200, "text/event-stream", Bytes::new())
        }
    }

    /// Server-sent events whose names are their `type`, as Anthropic writes them, each flushed by itself.
    pub fn typed_events<'a>(data: impl IntoIterator<Item = &'a Value>) -> Answer {
        let event = |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
        let body = data.into_iter().map(|data| Step::Send(event(data).into())).collect();
        Answer {
            body,
            ..Answer::new(200, "text/event-stream", Bytes::new())
        }
    }

    /// Adds a response header.
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Flushes the body in pieces of so many bytes, wherever that cuts an event or a character.
    pub fn in_pieces_of(mut self, size: usize) -> Answer {
        let whole: Vec<u8> = self.body.iter().flat_map(Step::bytes).copied().collect();
        self.body = whole
            .chunks(size)
            .map(|piece| Step::Send(Bytes::copy_from_slice(piece)))
            .collect();
        self
    }

    /// Ends like this after so many bytes of the body.
    pub fn cut_after(mut self, bytes: usize, end: End) -> Answer {
        let mut left = bytes;
        for step in &mut self.body {
            if let Step::Send(piece) = step {
                piece.truncate(left);
                left -= piece.len();
            }
        }
        self.end = end;
        self
    }

    /// Ends like this after so many flushed pieces, after so many events say.
    pub fn cut_after_pieces(mut self, pieces: usize, end: End) -> Answer {
        self.body.truncate(pieces);
        self.end = end;
        self
    }

    /// Waits at the gate before the head goes out.
    pub fn held(mut self, gate: &Gate) -> Answer {
        self.before.push(Step::Hold(gate.clone()));
        self
    }

    /// Waits at the gate after so many pieces of the body.
    pub fn held_after(mut self, pieces: usize, gate: &Gate) -> Answer {
        self.body.insert(pieces.min(self.body.len()), Step::Hold(gate.clone()));
        self
    }

    /// Waits so long after so many steps of the body. A test that only needs an order uses a gate.
    pub fn pausing_after(mut self, steps: usize, pause: Duration) -> Answer {
        self.body.insert(steps.min(self.body.len()), Step::Sleep(pause));
        self
    }

    /// Waits so long before the head goes out. A test that only needs an order uses a gate.
    pub fn delayed(mut self, delay: Duration) -> Answer {
        self.before.push(Step::Sleep(delay));
        self
    }

    /// Never sends a head.
    pub fn never() -> Answer {
        Answer {
            end: End::Hang,
            ..Answer::new(200, "text/plain", Bytes::new())
        }
        .held(&Gate::shut())
    }
}

impl Step {
    fn bytes(&self) -> &[u8] {
        match self {
            Step::Send(bytes) => bytes,
            Step::Hold(_) | Step::Sleep(_) => &[],
        }
    }
}

fn chunk(delta: Value, finish_reason: Value) -> String {
    chunk_with(
        json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]),
        Value::Null,
    )
}

fn chunk_with(choices: Value, usage: Value) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "upstream-model",
        "choices": choices, "usage": usage,
    })
    .to_string()
}

/// What every canned answer says that it has used.
fn usage() -> Value {
    json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 })
}
