//! The words of Cohere's second version.

use serde_json::{Value, json};

use super::{
    Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, image, list, pieces, string, texts, vector, with_time,
};
use crate::answer::Answer;

pub(super) fn answer(path: &str, body: &Value, memory: &Memory) -> Answer {
    let answer = match path {
        path if path.ends_with("/v2/chat") => read(body).map(|asked| said(&asked, &super::reply(&asked, memory))),
        path if path.ends_with("/v2/embed") => {
            let vectors = texts(&body["texts"]).iter().map(vector).collect::<Result<Vec<_>, _>>();
            vectors.map(|vectors| {
                Answer::json(
                    200,
                    &json!({ "id": "e-1", "texts": body["texts"], "embeddings": { "float": vectors },
                    "meta": { "billed_units": { "input_tokens": INPUT } }, "response_type": "embeddings_by_type" }),
                )
            })
        }
        path if path.ends_with("/v2/rerank") => {
            let results = json!([{ "index": 0, "relevance_score": 0.5 }]);
            Ok(Answer::json(
                200,
                &json!({ "id": "r-1", "results": results, "meta": { "billed_units": { "search_units": 1 } } }),
            ))
        }
        _ => Err(format!("there is no {path}")),
    };
    answer.unwrap_or_else(|wrong| refused(&Refusal::Wrong(wrong)))
}

fn read(body: &Value) -> Result<Asked, String> {
    let mut turns = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let role = string(&message["role"], "role")?;
        if role == "system" {
            continue;
        }
        let mut said = match &message["content"] {
            Value::Null => Vec::new(),
            Value::String(text) => vec![Piece::Text(text.clone())],
            parts => list(parts, "content")?.iter().map(part).collect::<Result<_, _>>()?,
        };
        if role == "tool" {
            said = vec![Piece::Result {
                id: string(&message["tool_call_id"], "tool_call_id")?,
                text: said.iter().filter_map(super::text_of).collect(),
            }];
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments = string(&call["function"]["arguments"], "arguments")?;
            said.push(Piece::Call {
                id: string(&call["id"], "a call's id")?,
                name: string(&call["function"]["name"], "a call's name")?,
                arguments: serde_json::from_str(&arguments).map_err(|error| error.to_string())?,
            });
        }
        turns.push(Turn {
            is_models: role == "assistant",
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
    let format = &body["response_format"];
    if !format.is_null() && format["type"] != "json_object" {
        return Err(format!("what is {format}?"));
    }
    Ok(Asked {
        model: string(&body["model"], "model")?,
        turns,
        tools: tools.collect::<Result<_, String>>()?,
        is_json: format.is_object(),
        schema: format["json_schema"].is_object().then(|| format["json_schema"].clone()),
        is_stream: body["stream"] == true,
    })
}

fn part(part: &Value) -> Result<Piece, String> {
    match part["type"].as_str() {
        Some("text") => Ok(Piece::Text(string(&part["text"], "text")?)),
        Some("image_url") => image(&string(&part["image_url"]["url"], "url")?),
        _ => Err(format!("what is {part}?")),
    }
}

fn said(asked: &Asked, said: &Said) -> Answer {
    let (text, calls) = match said {
        Said::Text(text) => (Some(text), &[][..]),
        Said::Calls(calls) => (None, calls.as_slice()),
        Said::Refusal(refusal) => return refused(refusal),
    };
    let finish = if calls.is_empty() { "COMPLETE" } else { "TOOL_CALL" };
    let usage = json!({ "billed_units": { "input_tokens": INPUT, "output_tokens": OUTPUT },
        "tokens": { "input_tokens": INPUT, "output_tokens": OUTPUT } });
    let call = |call: &super::Call, arguments: &str| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } });
    if !asked.is_stream {
        let mut message = json!({ "role": "assistant" });
        match text {
            Some(text) => message["content"] = json!([{ "type": "text", "text": text }]),
            None => message["tool_calls"] = calls.iter().map(|one| call(one, &one.arguments.to_string())).collect(),
        }
        return Answer::json(
            200,
            &json!({ "id": "m-1", "message": message, "finish_reason": finish, "usage": usage }),
        );
    }
    let mut events = vec![json!({ "type": "message-start", "id": "m-1",
        "delta": { "message": { "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [] } } })];
    let event = |kind: &str, index: usize, message: Value| json!({ "type": kind, "index": index, "delta": { "message": message } });
    if let Some(text) = text {
        events.push(event(
            "content-start",
            0,
            json!({ "content": { "type": "text", "text": "" } }),
        ));
        events.extend(
            pieces(text)
                .into_iter()
                .map(|piece| event("content-delta", 0, json!({ "content": { "text": piece } }))),
        );
        events.push(json!({ "type": "content-end", "index": 0 }));
    } else {
        events.push(json!({ "type": "tool-plan-delta", "delta": { "message": { "tool_plan": "" } } }));
    }
    for (index, one) in calls.iter().enumerate() {
        events.push(event("tool-call-start", index, json!({ "tool_calls": call(one, "") })));
        let delta = |piece| {
            event(
                "tool-call-delta",
                index,
                json!({ "tool_calls": { "function": { "arguments": piece } } }),
            )
        };
        events.extend(pieces(&one.arguments.to_string()).into_iter().map(delta));
        events.push(json!({ "type": "tool-call-end", "index": index }));
    }
    events.push(json!({ "type": "message-end", "delta": { "finish_reason": finish, "usage": usage } }));
    Answer::typed_events(&events)
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, message) = match refusal {
        Refusal::Key => (401, "invalid api token"),
        Refusal::Unknown => (404, "model 'none' not found"),
        Refusal::Limited(_) => (429, "you have sent too many requests; please wait"),
        Refusal::TooLong => (400, "too many tokens: size limit exceeded by 2 tokens"),
        Refusal::Overloaded => (503, "there is no room"),
        Refusal::Wrong(what) => (400, what.as_str()),
    };
    with_time(
        Answer::json(status, &json!({ "id": "e-1", "message": message })),
        refusal,
    )
}
