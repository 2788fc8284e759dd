//! A request in the words of OpenAI's Responses becomes a canonical one. What needs answers that were kept cannot be translated: only
//! a provider that keeps them can be asked for it.

use super::super::Canonical;
use super::super::chat::wrong_type;
use super::CUSTOM_INPUT;
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
    logprobs(body, &mut to);
    text(body, &mut to)?;
    tools(body, &mut to, &mut lost)?;
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
        if body.field("stream").and_then(|stream| stream.as_bool()) != Some(true) {
            let why = "`background` needs `stream`: a response that is made after its answer cannot be fetched here, and nobody would know \
                       what it cost; ask for events, or leave `background` out";
            return Err(ApiError::invalid("invalid_request", why).with_param("background"));
        }
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

/// How likely the tokens of the text were: to be included, or the likeliest of them.
fn logprobs(body: Value<'_>, to: &mut Writer) {
    let mut included = body.field("include").into_iter().flat_map(|list| list.elements());
    let is_included = included.any(|name| name.is("message.output_text.logprobs"));
    let has_top = body.field("top_logprobs").and_then(|top| top.as_u64());
    if is_included || has_top.is_some_and(|top| top > 0) {
        to.member("logprobs", "true");
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

/// Functions are described in a member of their own; a tool that takes a text is a function with one; other tools, which a provider
/// runs itself, keep their words.
fn tools(body: Value<'_>, to: &mut Writer, lost: &mut Vec<String>) -> Result<(), ApiError> {
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
        let is_custom = tool.get("type").is_some_and(|kind| kind.is("custom"));
        if !is_custom && !tool.get("type").is_some_and(|kind| kind.is("function")) {
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
        match is_custom {
            false => ["name", "description", "parameters", "strict"]
                .into_iter()
                .for_each(|member| to.take(member, tool, member)),
            true => custom(tool, to, lost),
        }
        to.close('}');
        to.close('}');
    }
    to.close(']');
    Ok(())
}

/// A tool that takes a text, as the members of a function. That the text fits a grammar is the model's to see to.
fn custom(tool: Value<'_>, to: &mut Writer, lost: &mut Vec<String>) {
    to.take("name", tool, "name");
    to.take("description", tool, "description");
    to.key("parameters");
    to.open('{');
    to.text("type", "object");
    to.key("properties");
    to.open('{');
    to.key(CUSTOM_INPUT);
    to.open('{');
    to.text("type", "string");
    if let Some(grammar) = tool.field("format").and_then(|format| format.field("definition")) {
        lost.push("tools[].format".to_owned());
        let grammar = grammar.as_str().unwrap_or_default();
        to.text("description", &format!("A text that fits this grammar:\n{grammar}"));
    }
    to.close('}');
    to.close('}');
    to.member("required", &format!("[\"{CUSTOM_INPUT}\"]"));
    to.member("additionalProperties", "false");
    to.close('}');
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
        Some("function" | "custom") => function(to, choice),
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
