//! The words of Bedrock's Converse, whose streams are messages in frames.

use serde_json::{Value, json};

use super::{Asked, INPUT, Memory, OUTPUT, Piece, Refusal, Said, Turn, bytes, list, pieces, string, with_time};
use crate::answer::Answer;
use crate::clouds::messages;

pub(super) fn answer(path: &str, body: &Value, memory: &Memory) -> Answer {
    let (model, method) = path.rsplit_once('/').unwrap_or_default();
    if !["converse", "converse-stream"].contains(&method) {
        return refused(&Refusal::Wrong(format!("there is no {path}")));
    }
    match read(body) {
        Ok(mut asked) => {
            asked.is_stream = method == "converse-stream";
            asked.model = model.to_owned();
            said(&asked, &super::reply(&asked, memory))
        }
        Err(wrong) => refused(&Refusal::Wrong(wrong)),
    }
}

fn read(body: &Value) -> Result<Asked, String> {
    let mut turns = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let blocks = list(&message["content"], "content")?.iter().map(block);
        turns.push(Turn {
            is_models: message["role"] == "assistant",
            pieces: blocks.collect::<Result<_, _>>()?,
        });
    }
    let tools = body["toolConfig"]["tools"].as_array().into_iter().flatten();
    let tools = tools.filter(|tool| tool["toolSpec"].is_object()).map(|tool| {
        let spec = &tool["toolSpec"];
        Ok((
            string(&spec["name"], "a tool's name")?,
            spec["inputSchema"]["json"].clone(),
        ))
    });
    let schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str();
    Ok(Asked {
        model: String::new(),
        turns,
        tools: tools.collect::<Result<_, String>>()?,
        schema: schema
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| error.to_string())?,
        is_json: false,
        is_stream: false,
    })
}

fn block(block: &Value) -> Result<Piece, String> {
    let (image, call, result) = (&block["image"], &block["toolUse"], &block["toolResult"]);
    Ok(if let Some(text) = block["text"].as_str() {
        Piece::Text(text.to_owned())
    } else if image.is_object() {
        Piece::Image {
            kind: format!("image/{}", string(&image["format"], "format")?),
            bytes: bytes(&image["source"]["bytes"])?,
        }
    } else if call.is_object() {
        Piece::Call {
            id: string(&call["toolUseId"], "toolUseId")?,
            name: string(&call["name"], "a call's name")?,
            arguments: call["input"].clone(),
        }
    } else if result.is_object() {
        let told = list(&result["content"], "a result")?.iter();
        Piece::Result {
            id: string(&result["toolUseId"], "toolUseId")?,
            text: told.filter_map(|block| block["text"].as_str()).collect(),
        }
    } else {
        return Err(format!("what is {block}?"));
    })
}

fn said(asked: &Asked, said: &Said) -> Answer {
    let (blocks, reason): (Vec<Value>, _) = match said {
        Said::Text(text) => (vec![json!({ "text": text })], "end_turn"),
        Said::Calls(calls) => {
            let block = |call: &super::Call| json!({ "toolUse": { "toolUseId": call.id, "name": call.name, "input": call.arguments } });
            (calls.iter().map(block).collect(), "tool_use")
        }
        Said::Refusal(refusal) => return refused(refusal),
    };
    let usage = json!({ "inputTokens": INPUT, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT });
    if !asked.is_stream {
        return Answer::json(
            200,
            &json!({ "output": { "message": { "role": "assistant", "content": blocks } },
            "stopReason": reason, "usage": usage, "metrics": { "latencyMs": 1 } }),
        );
    }
    let mut events = vec![("messageStart", json!({ "role": "assistant" }))];
    for (index, block) in blocks.iter().enumerate() {
        let delta = |delta: Value| {
            (
                "contentBlockDelta",
                json!({ "contentBlockIndex": index, "delta": delta }),
            )
        };
        if let Some(text) = block["text"].as_str() {
            // A block of text has no beginning of its own.
            events.extend(pieces(text).into_iter().map(|piece| delta(json!({ "text": piece }))));
        } else {
            let mut begun = block.clone();
            begun["toolUse"].as_object_mut().expect("a call").remove("input");
            events.push((
                "contentBlockStart",
                json!({ "contentBlockIndex": index, "start": begun }),
            ));
            let input = block["toolUse"]["input"].to_string();
            events.extend(
                pieces(&input)
                    .into_iter()
                    .map(|piece| delta(json!({ "toolUse": { "input": piece } }))),
            );
        }
        events.push(("contentBlockStop", json!({ "contentBlockIndex": index })));
    }
    events.push(("messageStop", json!({ "stopReason": reason })));
    events.push(("metadata", json!({ "usage": usage, "metrics": { "latencyMs": 1 } })));
    messages(&events)
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, class, message) = match refusal {
        Refusal::Key => (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        Refusal::Unknown => (404, "ResourceNotFoundException", "There is no such model."),
        Refusal::Limited(_) => (429, "ThrottlingException", "Too many requests, please wait."),
        Refusal::TooLong => (400, "ValidationException", "Input is too long for requested model."),
        Refusal::Overloaded => (503, "ServiceUnavailableException", "Bedrock has no room."),
        Refusal::Wrong(what) => (400, "ValidationException", what.as_str()),
    };
    let answer = Answer::json(status, &json!({ "message": message })).header("x-amzn-errortype", class);
    with_time(answer, refusal)
}
