//! Ollama's own words, whose streams are lines of JSON.

use serde_json::{Value, json};

use super::{
    Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, bytes, list, pieces, string, texts, vector, with_time,
};
use crate::answer::Answer;

pub(super) fn answer(path: &str, body: &Value, memory: &Memory) -> Answer {
    let answer = match path {
        path if path.ends_with("/api/chat") => read(body).map(|asked| said(&asked, &super::reply(&asked, memory))),
        path if path.ends_with("/api/embed") => {
            let vectors = texts(&body["input"]).iter().map(vector).collect::<Result<Vec<_>, _>>();
            vectors.map(|vectors| {
                Answer::json(
                    200,
                    &json!({ "model": body["model"], "embeddings": vectors, "prompt_eval_count": INPUT }),
                )
            })
        }
        _ => Err(format!("there is no {path}")),
    };
    answer.unwrap_or_else(|wrong| refused(&Refusal::Wrong(wrong)))
}

fn read(body: &Value) -> Result<Asked, String> {
    let mut turns = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let text = string(&message["content"], "content")?;
        let mut said = Vec::new();
        let is_models = match message["role"].as_str() {
            Some("system") => continue,
            Some("tool") => {
                let id = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
                said.push(Piece::Result { id, text });
                false
            }
            Some(role @ ("user" | "assistant")) => {
                said.push(Piece::Text(text));
                role == "assistant"
            }
            _ => return Err(format!("what is {message}?")),
        };
        for data in message["images"].as_array().into_iter().flatten() {
            // Ollama is told no type and looks at the bytes.
            let bytes = bytes(data)?;
            let kind = if bytes.starts_with(b"\x89PNG") {
                "image/png"
            } else {
                "image"
            }
            .to_owned();
            said.push(Piece::Image { kind, bytes });
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            if !call["function"]["arguments"].is_object() {
                return Err(format!("the arguments of {call} are no object"));
            }
            said.push(Piece::Call {
                id: call["id"].as_str().unwrap_or_default().to_owned(),
                name: string(&call["function"]["name"], "a call's name")?,
                arguments: call["function"]["arguments"].clone(),
            });
        }
        turns.push(Turn {
            is_models,
            pieces: said,
        });
    }
    let tools = body["tools"].as_array().into_iter().flatten();
    let tools = tools.map(|tool| {
        let function = &tool["function"];
        Ok((
            string(&function["name"], "a tool's name")?,
            function["parameters"].clone(),
        ))
    });
    Ok(Asked {
        model: string(&body["model"], "model")?,
        turns,
        tools: tools.collect::<Result<_, String>>()?,
        is_json: body["format"] == "json",
        schema: body["format"].is_object().then(|| body["format"].clone()),
        is_stream: body["stream"] == true,
    })
}

fn said(asked: &Asked, said: &Said) -> Answer {
    let line = |message: Value| json!({ "model": asked.model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false });
    let spoken = |text: &str| line(json!({ "role": "assistant", "content": text }));
    let mut lines: Vec<Value> = match said {
        Said::Text(text) if asked.is_stream => pieces(text).iter().map(|piece| spoken(piece)).collect(),
        Said::Text(text) => vec![spoken(text)],
        // All calls come at once, and old servers give them no ids.
        Said::Calls(calls) => {
            let call = |call: &super::Call| json!({ "id": call.id, "function": { "name": call.name, "arguments": call.arguments } });
            let calls: Vec<Value> = calls.iter().map(call).collect();
            vec![line(json!({ "role": "assistant", "content": "", "tool_calls": calls }))]
        }
        Said::Refusal(refusal) => return refused(refusal),
    };
    if asked.is_stream {
        lines.push(spoken(""));
    }
    if let Some(last) = lines.last_mut().and_then(Value::as_object_mut) {
        last.insert("done".to_owned(), true.into());
        last.insert("done_reason".to_owned(), "stop".into());
        last.insert("prompt_eval_count".to_owned(), INPUT.into());
        last.insert("eval_count".to_owned(), OUTPUT.into());
    }
    if !asked.is_stream {
        return Answer::json(200, &lines[0]);
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Answer::new(200, "application/x-ndjson", lines)
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, message) = match refusal {
        Refusal::Key => (401, "unauthorized"),
        Refusal::Unknown => (404, "model 'none' not found"),
        Refusal::Limited(_) => (429, "too many requests"),
        Refusal::TooLong => (400, "the prompt is too long: it exceeds the context length"),
        Refusal::Overloaded => (503, "server busy, please try again. maximum pending requests exceeded"),
        Refusal::Wrong(what) => (400, what.as_str()),
    };
    with_time(Answer::json(status, &json!({ "error": message })), refusal)
}
