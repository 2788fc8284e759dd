//! Anthropic's words, at its own paths and at those of Google Cloud.

use serde_json::{Value, json};

use super::{Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, bytes, list, pieces, string, with_time};
use crate::answer::Answer;

pub(super) fn answer(path: &str, body: &Value, memory: &Memory) -> Answer {
    if path.ends_with("/count_tokens") || path.ends_with("/count-tokens:rawPredict") {
        return Answer::json(200, &json!({ "input_tokens": INPUT }));
    }
    let is_cloud = path.ends_with("awPredict");
    if !is_cloud && !path.ends_with("/v1/messages") {
        return refused(&Refusal::Wrong(format!("there is no {path}")));
    }
    if is_cloud != body["model"].is_null() || is_cloud != body["anthropic_version"].is_string() {
        return refused(&Refusal::Wrong(
            "the model or the version is not where it belongs".to_owned(),
        ));
    }
    match read(body) {
        Ok(asked) => said(&asked, &super::reply(&asked, memory)),
        Err(wrong) => refused(&Refusal::Wrong(wrong)),
    }
}

fn read(body: &Value) -> Result<Asked, String> {
    if !body["max_tokens"].is_u64() {
        return Err("max_tokens: Field required".to_owned());
    }
    let mut turns: Vec<Turn> = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let pieces = match &message["content"] {
            Value::String(text) => vec![Piece::Text(text.clone())],
            blocks => list(blocks, "content")?.iter().map(block).collect::<Result<_, _>>()?,
        };
        let is_models = match message["role"].as_str() {
            Some("user") => false,
            Some("assistant") => true,
            _ => return Err(format!("what is {message}?")),
        };
        turns.push(Turn { is_models, pieces });
    }
    let tools = body["tools"].as_array().into_iter().flatten();
    let tools = tools.map(|tool| Ok((string(&tool["name"], "a tool's name")?, tool["input_schema"].clone())));
    let schema = &body["output_config"]["format"]["schema"];
    Ok(Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        turns,
        tools: tools.collect::<Result<_, String>>()?,
        schema: schema.is_object().then(|| schema.clone()),
        is_json: false,
        is_stream: body["stream"] == true,
    })
}

fn block(block: &Value) -> Result<Piece, String> {
    Ok(match block["type"].as_str() {
        Some("text") => Piece::Text(string(&block["text"], "text")?),
        Some("image") => Piece::Image {
            kind: string(&block["source"]["media_type"], "media_type")?,
            bytes: bytes(&block["source"]["data"])?,
        },
        Some("tool_use") => Piece::Call {
            id: string(&block["id"], "a call's id")?,
            name: string(&block["name"], "a call's name")?,
            arguments: block["input"].clone(),
        },
        Some("tool_result") => Piece::Result {
            id: string(&block["tool_use_id"], "tool_use_id")?,
            text: match &block["content"] {
                Value::String(text) => text.clone(),
                blocks => list(blocks, "a result")?
                    .iter()
                    .filter_map(|block| block["text"].as_str())
                    .collect(),
            },
        },
        _ => return Err(format!("what is {block}?")),
    })
}

fn said(asked: &Asked, said: &Said) -> Answer {
    let (blocks, reason): (Vec<Value>, _) = match said {
        Said::Text(text) => (vec![json!({ "type": "text", "text": text })], "end_turn"),
        Said::Calls(calls) => {
            let block = |call: &super::Call| json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments });
            (calls.iter().map(block).collect(), "tool_use")
        }
        Said::Refusal(refusal) => return refused(refusal),
    };
    let mut message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks,
        "stop_reason": reason, "stop_sequence": null, "usage": { "input_tokens": INPUT, "output_tokens": OUTPUT } });
    if !asked.is_stream {
        return Answer::json(200, &message);
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    message["usage"]["output_tokens"] = 1.into();
    let mut events = vec![json!({ "type": "message_start", "message": message })];
    for (index, block) in blocks.iter().enumerate() {
        let mut begun = block.clone();
        let (whole, kind, member) = if block["type"] == "text" {
            begun["text"] = "".into();
            (
                block["text"].as_str().unwrap_or_default().to_owned(),
                "text_delta",
                "text",
            )
        } else {
            begun["input"] = json!({});
            (block["input"].to_string(), "input_json_delta", "partial_json")
        };
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": begun }));
        let delta = |piece: String| json!({ "type": "content_block_delta", "index": index, "delta": { "type": kind, member: piece } });
        events.extend(pieces(&whole).into_iter().map(delta));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.push(
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
        "usage": { "input_tokens": INPUT, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": OUTPUT } }),
    );
    events.push(json!({ "type": "message_stop" }));
    Answer::typed_events(&events)
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, kind, message) = match refusal {
        Refusal::Key => (401, "authentication_error", "invalid x-api-key"),
        Refusal::Unknown => (404, "not_found_error", "model: no-such-model"),
        Refusal::Limited(_) => (429, "rate_limit_error", "too many requests"),
        Refusal::TooLong => (
            400,
            "invalid_request_error",
            "prompt is too long: 12 tokens > 10 maximum",
        ),
        Refusal::Overloaded => (529, "overloaded_error", "Overloaded"),
        Refusal::Wrong(what) => (400, "invalid_request_error", what.as_str()),
    };
    let error = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" });
    with_time(Answer::json(status, &error), refusal)
}
