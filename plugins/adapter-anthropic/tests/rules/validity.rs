//! What the provider's documentation says of a request, as checks on the JSON that goes out. Written from the rules, not
//! from the adapter, so that the two can disagree.

use serde_json::Value;

const MEMBERS: [&str; 20] = [
    "model",
    "max_tokens",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
    "mcp_servers",
    "context_management",
    "stream",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "metadata",
    "service_tier",
    "container",
    "inference_geo",
];

/// The first rule that the request breaks.
pub(crate) fn check(request: &Value) -> Result<(), String> {
    let members = request.as_object().ok_or("the request is no object")?;
    for name in members.keys() {
        ensure(MEMBERS.contains(&name.as_str()), || format!("`{name}` is not known"))?;
    }
    ensure(members.contains_key("model"), || "no model".into())?;
    ensure(request["max_tokens"].is_u64(), || "no max_tokens".into())?;
    check_numbers(request)?;
    check_system(&request["system"])?;
    check_tools(request)?;
    check_turns(request["messages"].as_array().ok_or("no messages")?)
}

fn check_numbers(request: &Value) -> Result<(), String> {
    for name in ["temperature", "top_p"] {
        let is_fine = |number: f64| (0.0..=1.0).contains(&number);
        let number = &request[name];
        ensure(number.is_null() || number.as_f64().is_some_and(is_fine), || {
            format!("{name} is {number}")
        })?;
    }
    if let Some(budget) = request["thinking"]["budget_tokens"].as_u64() {
        let most = request["max_tokens"].as_u64().unwrap_or(0);
        ensure((1024..most).contains(&budget), || {
            format!("a budget of {budget} of {most} tokens")
        })?;
        ensure(request["temperature"].is_null(), || {
            "thinking with a temperature".into()
        })?;
        let is_forced = request["tool_choice"]["type"] == "any" || request["tool_choice"]["type"] == "tool";
        ensure(!is_forced, || "thinking with a forced tool".into())?;
    }
    for stop in list(&request["stop_sequences"]) {
        ensure(stop.as_str().is_some_and(|stop| !stop.trim().is_empty()), || {
            format!("the stop sequence {stop}")
        })?;
    }
    Ok(())
}

fn check_system(system: &Value) -> Result<(), String> {
    match system {
        Value::Null => Ok(()),
        Value::String(text) => ensure(!text.trim().is_empty(), || "a blank system text".into()),
        blocks => list(blocks).iter().try_for_each(|block| {
            ensure(block["type"] == "text", || format!("a system block {block}"))?;
            check_block(block)
        }),
    }
}

fn check_tools(request: &Value) -> Result<(), String> {
    let tools = &request["tools"];
    ensure(tools.is_null() || !list(tools).is_empty(), || {
        "an empty list of tools".into()
    })?;
    ensure(request["tool_choice"].is_null() || !tools.is_null(), || {
        "a tool choice without tools".into()
    })?;
    for tool in list(tools) {
        let is_function = tool.get("type").is_none();
        ensure(!is_function || tool["input_schema"]["type"] == "object", || {
            format!("the schema of {tool}")
        })?;
        ensure(tool["name"].is_string(), || format!("a tool without a name: {tool}"))?;
    }
    let is_plain = request["tool_choice"]["type"] != "none";
    ensure(
        is_plain || request["tool_choice"]["disable_parallel_tool_use"].is_null(),
        || "none, not parallel".into(),
    )
}

fn check_turns(turns: &[Value]) -> Result<(), String> {
    ensure(turns.first().is_some_and(|turn| turn["role"] == "user"), || {
        "the first turn is not a user's".into()
    })?;
    for (index, turn) in turns.iter().enumerate() {
        let place = |complaint: String| format!("messages[{index}]: {complaint}");
        let expected = if index % 2 == 0 { "user" } else { "assistant" };
        ensure(turn["role"] == expected, || place(format!("is not {expected}")))?;
        let blocks = list(&turn["content"]);
        ensure(!blocks.is_empty(), || place("has no content".into()))?;
        blocks.iter().try_for_each(check_block).map_err(place)?;
        check_order(blocks, expected).map_err(place)?;
    }
    let last = turns.last().filter(|turn| turn["role"] == "assistant");
    let text = last.and_then(|turn| list(&turn["content"]).last()?["text"].as_str());
    ensure(text.is_none_or(|text| text.trim_end() == text), || {
        "the prefill ends in white space".into()
    })
}

fn check_block(block: &Value) -> Result<(), String> {
    let is_fine = match block["type"].as_str() {
        Some("text") => block["text"].as_str().is_some_and(|text| !text.trim().is_empty()),
        Some("image") => match block["source"]["type"].as_str() {
            Some("url") => block["source"]["url"].is_string(),
            _ => {
                let kinds = ["image/png", "image/jpeg", "image/gif", "image/webp"];
                kinds.contains(&block["source"]["media_type"].as_str().unwrap_or_default())
            }
        },
        Some("document") => block["source"].is_object(),
        Some("thinking") => block["signature"]
            .as_str()
            .is_some_and(|signature| !signature.is_empty()),
        Some("redacted_thinking") => block["data"].is_string(),
        Some("tool_use") => is_id(&block["id"]) && block["input"].is_object() && block["name"].is_string(),
        Some("tool_result") => {
            is_id(&block["tool_use_id"]) && list(&block["content"]).iter().all(|block| check_block(block).is_ok())
        }
        _ => false,
    };
    ensure(is_fine, || format!("the block {block}"))
}

fn check_order(blocks: &[Value], role: &str) -> Result<(), String> {
    let kinds: Vec<&str> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
    let is_result = |kind: &&&str| **kind == "tool_result";
    let results = kinds.iter().filter(is_result).count();
    ensure(kinds.iter().take_while(is_result).count() == results, || {
        "results after other content".into()
    })?;
    ensure(role == "user" || results == 0, || {
        "results in an assistant's turn".into()
    })?;
    let is_answer = |kind: &&str| matches!(*kind, "tool_use" | "thinking" | "redacted_thinking");
    ensure(role == "assistant" || !kinds.iter().any(is_answer), || {
        "calls in a user's turn".into()
    })
}

fn is_id(id: &Value) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    id.as_str().is_some_and(|id| !id.is_empty() && id.chars().all(is_plain))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn ensure(is_fine: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err(complaint()) }
}
