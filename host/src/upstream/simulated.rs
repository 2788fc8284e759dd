//! A provider that needs no network: deterministic answers with honest usage, at the speed and with the failures that the
//! configuration asks for. It speaks the canonical form, so no adapter stands in between.

mod inputs;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::config::SimulatedConfig;
use crate::json::{Document, Value};
use crate::money::Usage;
use crate::operation::Operation;

/// An answer that is already known whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the client gets to read.
    pub form: Form,
    /// Absent where the configuration says that the provider keeps it to itself.
    pub usage: Option<Usage>,
    /// Before the first chunk.
    pub latency: Duration,
    /// Between chunks.
    pub pace: Duration,
}

/// An answer in the form that was asked for.
#[derive(Debug, Clone)]
pub enum Form {
    /// All of it.
    Whole(Bytes),
    /// `chat.completion.chunk`s; the one with the usage, if any, is last.
    Chunks(Vec<Bytes>),
}

/// A failure that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
}

/// What a call is about beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Whether the answer comes in chunks.
    pub is_stream: bool,
    /// For the answer's id.
    pub request_id: &'a str,
    /// For the answer's time.
    pub now_ms: u64,
}

/// Answers a request. The same request gets the same answer, and the same choice of failing or not.
pub fn answer(
    config: &SimulatedConfig,
    operation: Operation,
    request: &Document,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    if fnv(request.text()) % 1000 < config.failure_permille {
        return Err(Failure {
            status: config.failure_status,
        });
    }
    let body = request.root();
    let (mut answer, input) = match operation {
        // Nobody asks it to count: the gateway does that itself.
        Operation::Chat | Operation::CountTokens => return Ok(chat(config, request, target)),
        Operation::Embedding => inputs::embeddings(body, target.model),
        Operation::Moderation => inputs::moderation(body, target.model, target.request_id),
        Operation::Rerank => inputs::rerank(body, target.model, target.request_id),
        // It has no images and no sound, and is not asked for them.
        Operation::Image
        | Operation::ImageEdit
        | Operation::Speech
        | Operation::Transcription
        | Operation::Translation => return Err(Failure { status: 404 }),
    };
    if config.reports_usage {
        answer["usage"] = json!({ "prompt_tokens": input, "total_tokens": input });
    }
    let usage = Usage {
        input,
        ..Usage::default()
    };
    Ok(Answer {
        form: Form::Whole(answer.to_string().into()),
        usage: config.reports_usage.then_some(usage),
        latency: config.latency,
        pace: Duration::ZERO,
    })
}

fn chat(config: &SimulatedConfig, request: &Document, target: Target<'_>) -> Answer {
    let body = request.root();
    let prompt_tokens = tokens(request.pointer("/messages").map_or("", |messages| messages.raw()));
    let mut reply = reply(body, target.model);
    let most = ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|key| body.field(key)?.as_u64());
    let is_cut = most.is_some_and(|most| most < reply.tokens());
    if let Some(most) = most {
        reply.cut(most);
    }
    let completion_tokens = reply.tokens();
    let finish = if is_cut { "length" } else { reply.finish() };
    let usage = Usage {
        input: prompt_tokens,
        output: completion_tokens,
        ..Usage::default()
    };
    let usage_json = json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    });
    let usage_json = if config.reports_usage { usage_json } else { Json::Null };
    let head = |object: &str| {
        json!({
            "id": format!("chatcmpl-{}", target.request_id),
            "object": object,
            "created": target.now_ms / 1000,
            "model": target.model,
        })
    };
    let pace = Duration::from_secs(1).checked_div(u32::try_from(config.tokens_per_second).unwrap_or(u32::MAX));
    let form = if target.is_stream {
        Form::Chunks(chunks(&head("chat.completion.chunk"), &reply, finish, &usage_json))
    } else {
        Form::Whole(whole(head("chat.completion"), &reply, finish, &usage_json))
    };
    Answer {
        form,
        usage: config.reports_usage.then_some(usage),
        latency: config.latency,
        pace: pace.unwrap_or_default(),
    }
}

enum Reply {
    Text(Vec<String>),
    Tool { name: String, id: String },
}

impl Reply {
    fn tokens(&self) -> u64 {
        match self {
            Self::Text(words) => words.len() as u64,
            Self::Tool { .. } => 8,
        }
    }

    fn cut(&mut self, most: u64) {
        if let Self::Text(words) = self {
            words.truncate(most as usize);
        }
    }

    fn finish(&self) -> &'static str {
        match self {
            Self::Text(_) => "stop",
            Self::Tool { .. } => "tool_calls",
        }
    }
}

/// A forced tool is called; a JSON format is obeyed; otherwise the answer says who speaks and what was asked.
fn reply(body: Value<'_>, model: &str) -> Reply {
    if let Some(name) = forced_tool(body) {
        return Reply::Tool {
            id: format!("call_{:016x}", fnv(name.as_bytes())),
            name,
        };
    }
    let question = last_user_text(body);
    let question: String = question.chars().take(200).collect();
    let wants_json = body
        .field("response_format")
        .and_then(|format| format.get("type"))
        .is_some_and(|kind| !kind.is("text"));
    let text = if wants_json {
        json!({"model": model, "question": question}).to_string()
    } else {
        format!("This is {model}, simulated. You asked: {question}")
    };
    Reply::Text(text.split_inclusive(' ').map(str::to_owned).collect())
}

fn forced_tool(body: Value<'_>) -> Option<String> {
    let choice = body.field("tool_choice")?;
    let named = choice
        .get("function")
        .and_then(|function| function.get("name")?.as_str());
    let first = || {
        body.get("tools")?
            .elements()
            .next()?
            .get("function")?
            .get("name")?
            .as_str()
    };
    let name = if choice.is("required") { first() } else { named };
    name.map(|name| name.into_owned())
}

fn last_user_text(body: Value<'_>) -> String {
    let messages = body.get("messages");
    let users = messages
        .iter()
        .flat_map(|list| list.elements())
        .filter(|m| m.get("role").is_some_and(|role| role.is("user")));
    let Some(content) = users.last().and_then(|message| message.get("content")) else {
        return String::new();
    };
    let parts = content.elements().filter_map(|part| part.get("text")?.as_str());
    content
        .as_str()
        .map_or_else(|| parts.collect::<Vec<_>>().join("\n"), |text| text.into_owned())
}

fn whole(mut head: Json, reply: &Reply, finish: &str, usage: &Json) -> Bytes {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    match reply {
        Reply::Text(words) => message["content"] = words.concat().into(),
        Reply::Tool { name, id } => {
            message["tool_calls"] =
                json!([{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}]);
        }
    }
    head["choices"] = json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}]);
    if !usage.is_null() {
        head["usage"] = usage.clone();
    }
    head.to_string().into()
}

fn chunks(head: &Json, reply: &Reply, finish: &str, usage: &Json) -> Vec<Bytes> {
    let chunk = |delta: Json, finish: Json| {
        let mut chunk = head.clone();
        chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        Bytes::from(chunk.to_string())
    };
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), Json::Null)];
    match reply {
        Reply::Text(words) => chunks.extend(words.iter().map(|word| chunk(json!({"content": word}), Json::Null))),
        Reply::Tool { name, id } => chunks.push(chunk(
            json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}]}),
            Json::Null,
        )),
    }
    chunks.push(chunk(json!({}), finish.into()));
    if !usage.is_null() {
        let mut last = head.clone();
        last["choices"] = json!([]);
        last["usage"] = usage.clone();
        chunks.push(last.to_string().into());
    }
    chunks
}

/// Four bytes a token, as English text has it.
fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    // The low digits of FNV are weak; folding the high half in is the hash's own advice.
    hash ^ (hash >> 32)
}
