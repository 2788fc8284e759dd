//! A request in the words of OpenAI's Responses becomes a canonical one. What needs answers that were kept cannot be translated: only
//! a provider that keeps them can be asked for it.

use super::super::Canonical;
use super::super::chat::wrong_type;
use super::items::Items;
use crate::error::ApiError;
use crate::json::{Kind, Value, Writer};

/// Members that mean the same under the same name.
const SAME: [&str; 11] = [
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "metadata",
    "top_logprobs",
];
/// Members that are translated one by one, and those that change nothing about an answer here.
const KNOWN: [&str; 15] = [
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "previous_response_id",
    "prompt",
    "reasoning",
    "store",
    "stream",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
];
/// Members that lead to what only a provider has kept.
const KEPT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// The canonical request.
pub(in super::super) fn canonical(body: Value<'_>) -> Result<Canonical, ApiError> {
    let mut to = Writer::with_capacity(body.raw().len() + body.raw().len() / 8);
    let mut lost: Vec<String> = Vec::new();
    to.open('{');
    for (name, value) in body.members() {
        let name = name.as_str().unwrap_or_default();
        if SAME.contains(&&*name) {
            let is_nothing = name == "metadata" && value.members().next().is_none();
            if !is_nothing {
                to.take(&name, body, &name);
            }
        } else if !KNOWN.contains(&&*name) && !value.is_null() {
            lost.push(crate::error::printable(&name, 60));
        }
    }
    stream(body, &mut to)?;
    if let Some(limit) = body.field("max_output_tokens") {
        to.member("max_completion_tokens", limit.raw());
    }
    let effort = body.field("reasoning").and_then(|reasoning| reasoning.field("effort"));
    if let Some(effort) = effort {
        to.member("reasoning_effort", effort.raw());
    }
    text(body, &mut to)?;
    tools(body, &mut to)?;
    choice(body, &mut to)?;
    to.key("messages");
    to.open('[');
    let mut items = Items::new(&mut to, &mut lost);
    items.all(body)?;
    let mut needs = items.needs;
    to.close(']');
    to.close('}');
    needs = KEPT.into_iter().find(|name| body.field(name).is_some()).or(needs);
    if body.field("background").and_then(|background| background.as_bool()) == Some(true) {
        needs = Some("background");
    }
    lost.sort();
    lost.dedup();
    let text = to.finish();
    Ok(Canonical { text, lost, needs })
}

/// What was used is always told in a stream of this dialect.
fn stream(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    match body.field("stream").map(|stream| stream.as_bool()) {
        None | Some(Some(false)) => Ok(()),
        Some(None) => Err(wrong_type("stream", "true or false")),
        Some(Some(true)) => {
            to.member("stream", "true");
            to.member("stream_options", r#"{"include_usage":true}"#);
            Ok(())
        }
    }
}

/// The form of the answer's text, and how much of it there is to be.
fn text(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    let Some(text) = body.field("text") else { return Ok(()) };
    to.take("verbosity", text, "verbosity");
    let Some(format) = text.field("format") else {
        return Ok(());
    };
    let kind = format.get("type").and_then(|kind| kind.as_str());
    match kind.as_deref() {
        Some("text") => {}
        Some("json_object") => to.member("response_format", r#"{"type":"json_object"}"#),
        Some("json_schema") => {
            to.key("response_format");
            to.open('{');
            to.text("type", "json_schema");
            to.key("json_schema");
            to.open('{');
            for member in ["name", "description", "schema", "strict"] {
                to.take(member, format, member);
            }
            to.close('}');
            to.close('}');
        }
        _ => {
            return Err(wrong_type("text.format.type", "`text`, `json_object` or `json_schema`"));
        }
    }
    Ok(())
}

/// Functions are described in a member of their own; other tools, which a provider runs itself, keep their words.
fn tools(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    let Some(tools) = body.field("tools") else {
        return Ok(());
    };
    if tools.kind() != Kind::Array {
        return Err(wrong_type("tools", "an array"));
    }
    if tools.elements().next().is_none() {
        return Ok(());
    }
    to.key("tools");
    to.open('[');
    for (index, tool) in tools.elements().enumerate() {
        if !tool.get("type").is_some_and(|kind| kind.kind() == Kind::String) {
            return Err(wrong_type(&format!("tools[{index}].type"), "a text"));
        }
        if !tool.get("type").is_some_and(|kind| kind.is("function")) {
            to.raw(tool.raw());
            continue;
        }
        if !tool.get("name").is_some_and(|name| name.kind() == Kind::String) {
            return Err(wrong_type(&format!("tools[{index}].name"), "a text"));
        }
        to.open('{');
        to.text("type", "function");
        to.key("function");
        to.open('{');
        for member in ["name", "description", "parameters", "strict"] {
            to.take(member, tool, member);
        }
        to.close('}');
        to.close('}');
    }
    to.close(']');
    Ok(())
}

fn choice(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    let Some(choice) = body.field("tool_choice") else {
        return Ok(());
    };
    let has_tools = body
        .field("tools")
        .is_some_and(|tools| tools.elements().next().is_some());
    if !has_tools {
        return Ok(());
    }
    if choice.kind() == Kind::String {
        to.member("tool_choice", choice.raw());
        return Ok(());
    }
    let function = |to: &mut Writer, tool: Value<'_>| {
        to.open('{');
        to.text("type", "function");
        to.key("function");
        to.open('{');
        to.take("name", tool, "name");
        to.close('}');
        to.close('}');
    };
    let kind = choice.get("type").and_then(|kind| kind.as_str());
    to.key("tool_choice");
    match kind.as_deref() {
        Some("function") => function(to, choice),
        Some("allowed_tools") => {
            to.open('{');
            to.text("type", "allowed_tools");
            to.key("allowed_tools");
            to.open('{');
            to.take("mode", choice, "mode");
            to.key("tools");
            to.open('[');
            let tools = choice.field("tools").into_iter().flat_map(|tools| tools.elements());
            tools.for_each(|tool| function(to, tool));
            to.close(']');
            to.close('}');
            to.close('}');
        }
        Some(_) => to.raw(choice.raw()),
        None => return Err(wrong_type("tool_choice", "a word or an object with a `type`")),
    }
    Ok(())
}
