//! OpenAI's words, and what those who speak nearly as OpenAI does say otherwise.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{
    Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, image, list, pieces, string, texts, vector, with_time,
};
use crate::answer::Answer;

/// The answer to a request at this path below the provider's base; `name` is the provider's.
pub(super) fn answer(name: &str, path: &str, body: &Value, memory: &Memory) -> Answer {
    match path {
        path if path.ends_with("/embeddings") => embed(body).unwrap_or_else(|wrong| refused(&Refusal::Wrong(wrong))),
        path if path.ends_with("/chat/completions") => match read(name, body) {
            Ok(asked) => said(name, &asked, body, &super::reply(&asked, memory)),
            Err(wrong) => refused(&Refusal::Wrong(wrong)),
        },
        path => elsewhere(path),
    }
}

/// What is no conversation, and is answered in one way.
fn elsewhere(path: &str) -> Answer {
    let answer = match path {
        path if path.ends_with("/completions") => {
            json!({ "id": "c-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "text": "Hello there", "finish_reason": "stop", "logprobs": null }], "usage": usage() })
        }
        path if path.ends_with("/moderations") => {
            json!({ "id": "m-1", "model": "m", "results": [{ "flagged": false, "categories": {}, "category_scores": {} }] })
        }
        path if path.contains("/rerank") => {
            json!({ "id": "r-1", "model": "m", "results": [{ "index": 0, "relevance_score": 0.5 }], "usage": usage() })
        }
        path if path.ends_with("/images/generations") => json!({ "created": 1, "data": [{ "b64_json": "AAAA" }] }),
        path if path.ends_with("/audio/speech") => return Answer::new(200, "audio/mpeg", "sound"),
        _ => return refused(&Refusal::Wrong(format!("there is no {path}"))),
    };
    Answer::json(200, &answer)
}

/// Members that a provider refuses to know, and those that it calls otherwise.
fn check(name: &str, body: &Value) -> Result<(), String> {
    let foreign: &[&str] = match name {
        "openai" | "azure" => &["max_tokens_of_others"],
        "mistral" => &[
            "max_completion_tokens",
            "seed",
            "stream_options",
            "user",
            "logit_bias",
            "logprobs",
            "store",
            "metadata",
        ],
        "perplexity" => &["tools", "max_completion_tokens"],
        "deepseek" | "zhipu" | "minimax" | "moonshot" | "siliconflow" => {
            &["max_completion_tokens", "parallel_tool_calls", "store", "metadata"]
        }
        _ => &["store", "metadata"],
    };
    match foreign.iter().find(|member| !body[**member].is_null()) {
        Some(member) => Err(format!("{name} does not know `{member}`")),
        None => Ok(()),
    }
}

fn read(name: &str, body: &Value) -> Result<Asked, String> {
    check(name, body)?;
    let mut turns = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let role = string(&message["role"], "role")?;
        let developer = ["openai", "azure", "github", "openrouter", "vllm", "fireworks"].contains(&name);
        match role.as_str() {
            "system" => continue,
            "developer" if developer => continue,
            "user" | "assistant" | "tool" => {}
            other => return Err(format!("{name} has no role `{other}`")),
        }
        let mut said = if role == "tool" {
            vec![result(message)?]
        } else {
            content(&message["content"])?
        };
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            said.push(called(name, call)?);
        }
        turns.push(Turn {
            is_models: role == "assistant",
            pieces: said,
        });
    }
    let format = &body["response_format"];
    let schema = format["json_schema"]["schema"].clone();
    if !schema.is_null() && ["deepseek", "zhipu"].contains(&name) {
        return Err(format!("{name} takes no schema"));
    }
    let mut tools = Vec::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        tools.push((
            string(&function["name"], "a tool's name")?,
            function["parameters"].clone(),
        ));
    }
    Ok(Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        turns,
        tools,
        is_json: format["type"] == "json_object",
        schema: (!schema.is_null()).then_some(schema),
        is_stream: body["stream"] == true,
    })
}

fn content(content: &Value) -> Result<Vec<Piece>, String> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Piece::Text(text.clone())]),
        parts => list(parts, "content")?.iter().map(part).collect(),
    }
}

fn part(part: &Value) -> Result<Piece, String> {
    match part["type"].as_str() {
        Some("text") => Ok(Piece::Text(string(&part["text"], "text")?)),
        Some("image_url") => image(&string(&part["image_url"]["url"], "url")?),
        _ => Err(format!("what is {part}?")),
    }
}

fn result(message: &Value) -> Result<Piece, String> {
    let told = content(&message["content"])?;
    Ok(Piece::Result {
        id: string(&message["tool_call_id"], "tool_call_id")?,
        text: told.iter().filter_map(super::text_of).collect(),
    })
}

fn called(name: &str, call: &Value) -> Result<Piece, String> {
    let id = string(&call["id"], "a call's id")?;
    if name == "mistral" && id.len() != 9 {
        return Err(format!("the id `{id}` is not of nine letters"));
    }
    let arguments = string(&call["function"]["arguments"], "arguments")?;
    Ok(Piece::Call {
        id,
        name: string(&call["function"]["name"], "a call's name")?,
        arguments: serde_json::from_str(&arguments).map_err(|error| format!("arguments: {error}"))?,
    })
}

fn said(name: &str, asked: &Asked, body: &Value, said: &Said) -> Answer {
    let (text, calls) = match said {
        Said::Text(text) => (Some(text.as_str()), &[][..]),
        Said::Calls(calls) => (None, calls.as_slice()),
        Said::Refusal(refusal) => return refused(refusal),
    };
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let call = |index: usize, arguments: &str| {
        json!({ "id": calls[index].id, "type": "function",
            "function": { "name": calls[index].name, "arguments": arguments } })
    };
    let model = &asked.model;
    if !asked.is_stream {
        let mut message = json!({ "role": "assistant", "content": text });
        if !calls.is_empty() {
            let calls = calls.iter().enumerate();
            message["tool_calls"] = calls
                .map(|(index, one)| call(index, &one.arguments.to_string()))
                .collect();
        }
        let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
        return Answer::json(
            200,
            &json!({ "id": "c-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [choice], "usage": usage() }),
        );
    }
    let chunk = |choices: Value| json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices });
    let delta = |delta: Value, finish: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]));
    let mut chunks = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    chunks.extend(
        pieces(text.unwrap_or_default())
            .into_iter()
            .map(|piece| delta(json!({ "content": piece }), Value::Null)),
    );
    for (index, one) in calls.iter().enumerate() {
        // Mistral and others send a call whole.
        let whole = ["mistral", "groq", "xai"].contains(&name);
        let arguments = one.arguments.to_string();
        let mut begun = call(index, if whole { &arguments } else { "" });
        begun["index"] = index.into();
        chunks.push(delta(json!({ "tool_calls": [begun] }), Value::Null));
        let rest = if whole { Vec::new() } else { pieces(&arguments) };
        let more = |piece| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] });
        chunks.extend(rest.into_iter().map(|piece: String| delta(more(piece), Value::Null)));
    }
    let mut end = delta(json!({}), finish.into());
    match name {
        "groq" => end["x_groq"] = json!({ "usage": usage() }),
        "moonshot" => end["choices"][0]["usage"] = usage(),
        "mistral" | "zhipu" | "perplexity" | "minimax" | "deepseek" => end["usage"] = usage(),
        _ => {}
    }
    if end["usage"].is_null() && body["stream_options"]["include_usage"] == true {
        chunks.push(end);
        end = chunk(json!([]));
        end["usage"] = usage();
    }
    chunks.push(end);
    let events: Vec<String> = chunks.iter().map(Value::to_string).collect();
    Answer::events(events.iter().map(String::as_str).chain(["[DONE]"]))
}

fn usage() -> Value {
    json!({ "prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT })
}

fn embed(body: &Value) -> Result<Answer, String> {
    let mut data = Vec::new();
    for (index, text) in texts(&body["input"]).iter().enumerate() {
        let vector = vector(text)?;
        let little: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let embedding = match body["encoding_format"].as_str() {
            Some("base64") => json!(STANDARD.encode(little)),
            _ => json!(vector),
        };
        data.push(json!({ "object": "embedding", "index": index, "embedding": embedding }));
    }
    Ok(Answer::json(
        200,
        &json!({ "object": "list", "model": body["model"], "data": data,
        "usage": { "prompt_tokens": INPUT, "total_tokens": INPUT } }),
    ))
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, kind, code, message) = match refusal {
        Refusal::Key => (401, "invalid_request_error", "invalid_api_key", "that key is not known"),
        Refusal::Unknown => (
            404,
            "invalid_request_error",
            "model_not_found",
            "there is no such model",
        ),
        Refusal::Limited(_) => (429, "requests", "rate_limit_exceeded", "too many requests"),
        Refusal::TooLong => (
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "the maximum context length is 10 tokens",
        ),
        Refusal::Overloaded => (503, "server_error", "overloaded", "there is no room"),
        Refusal::Wrong(what) => (400, "invalid_request_error", "not_understood", what.as_str()),
    };
    let error = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    with_time(Answer::json(status, &error), refusal)
}
