//! Speaks to a provider of OpenAI's chat completions that calls the limit of tokens `max_output_tokens`.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use std::cell::Cell;

use exports::pointsman::plugin::{describe, streaming, unary};
use pointsman::plugin::wire::{
    Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation, Outgoing, Profile, Target, Usage,
};
use serde_json::{Map, Value, json};

thread_local! {
    /// Whether the provider has said that the answer is whole. An instance serves one stream.
    static HAS_ENDED: Cell<bool> = const { Cell::new(false) };
}

struct Plugin;

impl describe::Guest for Plugin {
    fn describe() -> Profile {
        Profile {
            operations: vec![Operation::Chat],
            framing: Framing::ServerSentEvents,
            authentication: Authentication::Bearer,
            // A provider that takes OpenAI's requests as they are would say `Dialects::OPENAI_CHAT`: nothing is translated.
            speaks: Dialects::empty(),
            base_url: Some("https://api.example.com/v1".into()),
            paths: Vec::new(),
            headers: Vec::new(),
            limit_headers: Vec::new(),
            extras: Vec::new(),
        }
    }
}

impl unary::Guest for Plugin {
    fn encode(operation: Operation, target: Target, is_stream: bool, body: Vec<u8>) -> Result<Outgoing, Failure> {
        if operation != Operation::Chat {
            let message = format!("{operation:?} is not offered by this provider");
            return Err(failure(Kind::InvalidRequest, message));
        }
        let mut request = parse(&body, Kind::InvalidRequest, "the request")?;
        let limits = ["max_completion_tokens", "max_tokens"].map(|name| request.remove(name));
        if let Some(limit) = limits.into_iter().flatten().find(|limit| !limit.is_null()) {
            request.insert("max_output_tokens".into(), limit);
        }
        request.insert("model".into(), target.model.into());
        if is_stream {
            request.insert("stream".into(), true.into());
            request.insert("stream_options".into(), json!({ "include_usage": true }));
        }
        Ok(Outgoing {
            method: "POST".into(),
            path: "/chat/completions".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: Value::Object(request).to_string().into_bytes(),
        })
    }

    fn decode(_: Operation, _: Target, body: Vec<u8>) -> Result<Answer, Failure> {
        let answer = parse(&body, Kind::Upstream, "the provider's answer")?;
        let usage = answer.get("usage").and_then(usage);
        Ok(Answer { body, usage })
    }

    fn explain(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Failure {
        // What is no JSON is told by its status.
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = &body["error"];
        let message = error["message"].as_str().map(str::to_owned);
        let retry_after = headers.iter().find(|(name, _)| name == "retry-after");
        let seconds: Option<f64> = retry_after.and_then(|(_, value)| value.trim().parse().ok());
        Failure {
            kind: kind(status),
            message: message.unwrap_or_else(|| format!("the provider answered with status {status}")),
            code: error["code"].as_str().map(str::to_owned),
            // The cast saturates, which is right for "not today".
            retry_after_ms: seconds.filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1000.0).ceil() as u32),
        }
    }
}

impl streaming::Guest for Plugin {
    fn begin(_: Operation, _: Target) -> Result<(), Failure> {
        HAS_ENDED.set(false);
        Ok(())
    }

    fn push(events: Vec<Event>) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::new();
        for event in events {
            if event.data.trim_ascii() == b"[DONE]" {
                HAS_ENDED.set(true);
                continue;
            }
            let chunk = Value::Object(parse(&event.data, Kind::Upstream, "an event")?);
            if !chunk["error"].is_null() {
                let message = chunk["error"]["message"].as_str().unwrap_or("the provider broke off");
                return Err(failure(Kind::Upstream, message));
            }
            let choices = chunk["choices"].as_array();
            if choices.is_some_and(|choices| choices.iter().any(|choice| !choice["finish_reason"].is_null())) {
                HAS_ENDED.set(true);
            }
            chunks.push(Chunk { data: chunk.to_string().into_bytes(), usage: usage(&chunk["usage"]) });
        }
        Ok(chunks)
    }

    fn finish() -> Result<Vec<Chunk>, Failure> {
        match HAS_ENDED.get() {
            true => Ok(Vec::new()),
            false => Err(failure(Kind::Upstream, "the provider's stream broke off")),
        }
    }
}

fn failure(kind: Kind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), code: None, retry_after_ms: None }
}

fn parse(body: &[u8], kind: Kind, what: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_slice(body).map_err(|error| failure(kind, format!("{what} is not a JSON object: {error}")))
}

fn usage(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    let cache_read = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
    let prompt = usage["prompt_tokens"].as_u64().unwrap_or(0);
    Some(Usage {
        input: prompt.saturating_sub(cache_read),
        cache_read,
        cache_write: 0,
        output: usage["completion_tokens"].as_u64().unwrap_or(0),
        reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
        extras: Vec::new(),
    })
}

fn kind(status: u16) -> Kind {
    match status {
        401 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        429 => Kind::RateLimited,
        503 => Kind::Overloaded,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Upstream,
    }
}

export!(Plugin);
