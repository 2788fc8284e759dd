//! What the provider's documentation says of a request, as checks on the JSON that goes out. Written from the rules, not
//! from the adapter, so that the two can disagree.

use serde_json::Value;

const MEMBERS: [&str; 22] = [
    "model",
    "messages",
    "stream",
    "tools",
    "tool_choice",
    "strict_tools",
    "response_format",
    "thinking",
    "max_tokens",
    "stop_sequences",
    "temperature",
    "p",
    "k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "documents",
    "citation_options",
    "safety_mode",
    "priority",
    "raw_prompting",
];

/// The first rule that the request breaks.
pub(crate) fn check(request: &Value) -> Result<(), String> {
    let members = request.as_object().ok_or("the request is no object")?;
    for (name, value) in members {
        ensure(MEMBERS.contains(&name.as_str()), || format!("`{name}` is not known"))?;
        ensure(!value.is_null(), || format!("`{name}` is null"))?;
    }
    ensure(request["model"].is_string(), || "no model".into())?;
    ensure(request["stream"].is_boolean(), || "no word about streaming".into())?;
    check_numbers(request)?;
    check_tools(request)?;
    check_turns(request["messages"].as_array().ok_or("no messages")?)
}

fn check_numbers(request: &Value) -> Result<(), String> {
    let ranges = [
        ("temperature", 0.0, 1.0),
        ("p", 0.01, 0.99),
        ("k", 0.0, 500.0),
        ("frequency_penalty", 0.0, 1.0),
        ("presence_penalty", 0.0, 1.0),
    ];
    for (name, least, most) in ranges {
        let number = &request[name];
        let is_fine = |number: f64| (least..=most).contains(&number);
        ensure(number.is_null() || number.as_f64().is_some_and(is_fine), || {
            format!("{name} is {number}")
        })?;
    }
    for name in ["max_tokens", "seed"] {
        ensure(request[name].is_null() || request[name].is_u64(), || {
            format!("{name} is {}", request[name])
        })?;
    }
    let budget = &request["thinking"]["token_budget"];
    ensure(
        budget.is_null() || budget.as_u64().is_some_and(|budget| budget > 0),
        || format!("a budget of {budget}"),
    )?;
    let kind = request["thinking"]["type"].as_str();
    ensure(matches!(kind, None | Some("enabled" | "disabled")), || {
        format!("thinking is {kind:?}")
    })?;
    let format = request["response_format"]["type"].as_str();
    ensure(matches!(format, None | Some("json_object")), || {
        format!("the format {format:?}")
    })?;
    let is_stop = |stop: &Value| stop.as_str().is_some_and(|stop| !stop.is_empty());
    ensure(list(&request["stop_sequences"]).iter().all(is_stop), || {
        "an empty stop sequence".into()
    })
}

fn check_tools(request: &Value) -> Result<(), String> {
    let tools = &request["tools"];
    ensure(tools.is_null() || !list(tools).is_empty(), || {
        "an empty list of tools".into()
    })?;
    for name in ["tool_choice", "strict_tools"] {
        ensure(request[name].is_null() || !tools.is_null(), || {
            format!("{name} without tools")
        })?;
    }
    let choice = request["tool_choice"].as_str();
    ensure(matches!(choice, None | Some("REQUIRED" | "NONE")), || {
        format!("the choice {choice:?}")
    })?;
    for tool in list(tools) {
        let function = &tool["function"];
        ensure(tool["type"] == "function" && function["name"].is_string(), || {
            format!("the tool {tool}")
        })?;
        ensure(function["parameters"]["type"] == "object", || {
            format!("the schema of {tool}")
        })?;
        ensure(function.get("strict").is_none(), || {
            format!("strictness of one tool: {tool}")
        })?;
    }
    Ok(())
}

fn check_turns(turns: &[Value]) -> Result<(), String> {
    ensure(!turns.is_empty(), || "no messages".into())?;
    for (index, turn) in turns.iter().enumerate() {
        let place = |complaint: String| format!("messages[{index}]: {complaint}");
        let kinds: &[&str] = match turn["role"].as_str() {
            Some("system") => {
                ensure(index == 0, || place("system turns come first".into()))?;
                &["text"]
            }
            Some("user") => &["text", "image_url"],
            Some("assistant") => &["text", "thinking"],
            Some("tool") => &["text", "document"],
            _ => return Err(place(format!("the role {}", turn["role"]))),
        };
        let may_be_without = list(&turn["tool_calls"]).iter().any(is_call) && turn["role"] == "assistant";
        ensure(list(&turn["tool_calls"]).iter().all(is_call), || {
            place(format!("the calls {}", turn["tool_calls"]))
        })?;
        ensure(is_content(&turn["content"], kinds, may_be_without), || {
            place(format!("the content {}", turn["content"]))
        })?;
        ensure(turn["role"] != "tool" || turn["tool_call_id"].is_string(), || {
            place("a result of nothing".into())
        })?;
    }
    Ok(())
}

fn is_content(content: &Value, kinds: &[&str], may_be_without: bool) -> bool {
    let is_text = |text: &Value| text.as_str().is_some_and(|text| !text.trim().is_empty());
    match content {
        Value::Null => may_be_without,
        Value::Array(parts) => {
            !parts.is_empty()
                && parts.iter().all(|part| {
                    let kind = part["type"].as_str().unwrap_or_default();
                    kinds.contains(&kind)
                        && match kind {
                            "image_url" => is_image(&part["image_url"]["url"]),
                            "document" => !part["document"].is_null(),
                            kind => is_text(&part[kind]),
                        }
                })
        }
        text => is_text(text),
    }
}

fn is_image(url: &Value) -> bool {
    let kinds = [
        "https://",
        "http://",
        "data:image/png;",
        "data:image/jpeg;",
        "data:image/gif;",
        "data:image/webp;",
    ];
    kinds
        .iter()
        .any(|kind| url.as_str().is_some_and(|url| url.starts_with(kind)))
}

fn is_call(call: &Value) -> bool {
    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
    let is_object = serde_json::from_str::<Value>(arguments).is_ok_and(|arguments| arguments.is_object());
    is_object && call["id"].is_string() && call["function"]["name"].is_string()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn ensure(is_fine: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err(complaint()) }
}
