//! Gemini's words, at its own paths and at those of Google Cloud.

use serde_json::{Value, json};

use super::{Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, bytes, list, pieces, string, vector};
use crate::answer::Answer;

pub(super) fn answer(path: &str, body: &Value, memory: &Memory) -> Answer {
    let (model, method) = path.rsplit_once(':').unwrap_or_default();
    let answer = match method {
        "generateContent" | "streamGenerateContent" => read(&spelled(body.clone())).map(|mut asked| {
            asked.is_stream = method == "streamGenerateContent";
            asked.model = model.to_owned();
            said(&asked, &super::reply(&asked, memory))
        }),
        "countTokens" => Ok(Answer::json(200, &json!({ "totalTokens": INPUT }))),
        "batchEmbedContents" => list(&body["requests"], "requests").and_then(|requests| {
            let vectors = requests
                .iter()
                .map(|request| Ok(json!({ "values": text(&request["content"])? })));
            let vectors: Vec<Value> = vectors.collect::<Result<_, String>>()?;
            Ok(Answer::json(
                200,
                &json!({ "embeddings": vectors, "usageMetadata": { "promptTokenCount": INPUT } }),
            ))
        }),
        "embedContent" => text(&body["content"]).map(|vector| {
            let usage = json!({ "promptTokenCount": INPUT });
            Answer::json(
                200,
                &json!({ "embedding": { "values": vector }, "usageMetadata": usage }),
            )
        }),
        _ => Err(format!("there is no {path}")),
    };
    answer.unwrap_or_else(|wrong| refused(&Refusal::Wrong(wrong)))
}

/// Google takes members in both spellings, and its SDK for Python mixes them.
pub(super) fn spelled(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(spelled).collect(),
        Value::Object(members) => {
            let camel = |name: String| match name.as_str() {
                "mime_type" => "mimeType".to_owned(),
                "property_ordering" => "propertyOrdering".to_owned(),
                "parameters_json_schema" => "parametersJsonSchema".to_owned(),
                _ => name,
            };
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (camel(name), spelled(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

fn text(content: &Value) -> Result<Vec<f32>, String> {
    vector(&content["parts"][0]["text"])
}

fn read(body: &Value) -> Result<Asked, String> {
    let mut turns = Vec::new();
    for content in list(&body["contents"], "contents")? {
        let parts = list(&content["parts"], "parts")?.iter().map(part);
        turns.push(Turn {
            is_models: content["role"] == "model",
            pieces: parts.collect::<Result<_, _>>()?,
        });
    }
    let declared = body["tools"].as_array().into_iter().flatten();
    let declared = declared.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
    let tools = declared.map(|tool| {
        let schema = [&tool["parametersJsonSchema"], &tool["parameters"]];
        let schema = schema.into_iter().find(|schema| schema.is_object()).cloned();
        Ok((string(&tool["name"], "a tool's name")?, schema.unwrap_or_default()))
    });
    let config = &body["generationConfig"];
    let schemas = ["responseJsonSchema", "responseSchema"].map(|name| config[name].clone());
    Ok(Asked {
        model: String::new(),
        turns,
        tools: tools.collect::<Result<_, String>>()?,
        is_json: config["responseMimeType"] == "application/json",
        schema: schemas.into_iter().find(Value::is_object),
        is_stream: false,
    })
}

fn part(part: &Value) -> Result<Piece, String> {
    let (call, result) = (&part["functionCall"], &part["functionResponse"]);
    let id = |of: &Value| of["id"].as_str().unwrap_or_default().to_owned();
    Ok(if let Some(text) = part["text"].as_str() {
        Piece::Text(text.to_owned())
    } else if part["inlineData"].is_object() {
        Piece::Image {
            kind: string(&part["inlineData"]["mimeType"], "mimeType")?,
            bytes: bytes(&part["inlineData"]["data"])?,
        }
    } else if call.is_object() {
        Piece::Call {
            id: id(call),
            name: string(&call["name"], "a call's name")?,
            arguments: call["args"].clone(),
        }
    } else if result.is_object() {
        Piece::Result {
            id: id(result),
            text: result["response"].to_string(),
        }
    } else {
        return Err(format!("what is {part}?"));
    })
}

fn said(asked: &Asked, said: &Said) -> Answer {
    let parts: Vec<Value> = match said {
        Said::Text(text) if asked.is_stream => pieces(text).into_iter().map(|piece| json!({ "text": piece })).collect(),
        Said::Text(text) => vec![json!({ "text": text })],
        // Gemini's calls have no ids, or none that it wants back.
        Said::Calls(calls) => {
            let call = |call: &super::Call| json!({ "functionCall": { "name": call.name, "args": call.arguments } });
            calls.iter().map(call).collect()
        }
        Said::Refusal(refusal) => return refused(refusal),
    };
    let event = |parts: &[Value], finish: Option<&str>| {
        let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({ "candidates": [candidate], "modelVersion": "gemini", "responseId": "r-1", "usageMetadata": {
            "promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT } })
    };
    if !asked.is_stream {
        return Answer::json(200, &event(&parts, Some("STOP")));
    }
    let last = parts.len() - 1;
    let events = parts.iter().enumerate();
    let events = events.map(|(at, part)| event(std::slice::from_ref(part), (at == last).then_some("STOP")).to_string());
    let events: Vec<String> = events.collect();
    Answer::events(events.iter().map(String::as_str))
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, word, message) = match refusal {
        Refusal::Key => (
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
        ),
        Refusal::Unknown => (404, "NOT_FOUND", "models/none is not found for API version v1beta"),
        Refusal::Limited(_) => (429, "RESOURCE_EXHAUSTED", "too many requests"),
        Refusal::TooLong => (
            400,
            "INVALID_ARGUMENT",
            "The input token count (12) exceeds the maximum number of tokens allowed (10).",
        ),
        Refusal::Overloaded => (503, "UNAVAILABLE", "The model is overloaded."),
        Refusal::Wrong(what) => (400, "INVALID_ARGUMENT", what.as_str()),
    };
    let mut details = Vec::new();
    if let Refusal::Limited(after) = refusal {
        let delay = format!("{}.{:03}s", after / 1000, after % 1000);
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }));
    }
    if *refusal == Refusal::Key {
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com" }));
    }
    let error = json!({ "error": { "code": status, "message": message, "status": word, "details": details } });
    Answer::json(status, &error)
}
