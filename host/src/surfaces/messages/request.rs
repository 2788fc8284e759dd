//! A request in Anthropic's words becomes a canonical one. What only adapters of its dialect understand (marks for the prompt
//! cache, thinking, own tools) keeps Anthropic's names, as the canonical form does; `plain` leaves them out for other providers.

use super::super::Canonical;
use super::super::chat::{missing, wrong_type};
use super::blocks::{self, Conversation};
use crate::error::ApiError;
use crate::json::{Kind, Value, Writer};

/// Members that mean the same under the same name, or are known by it to the adapters of this dialect.
const SAME: [&str; 11] = [
    "model",
    "temperature",
    "top_p",
    "top_k",
    "thinking",
    "service_tier",
    "cache_control",
    "mcp_servers",
    "context_management",
    "container",
    "inference_geo",
];
/// Members that are translated one by one.
const TRANSLATED: [&str; 10] = [
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "output_format",
    "stop_sequences",
    "stream",
    "system",
    "tool_choice",
    "tools",
];

/// Members of a function; `eager_input_streaming` is about how its arguments come, by which no answer differs.
const TOOL: [&str; 7] = [
    "type",
    "name",
    "description",
    "input_schema",
    "strict",
    "cache_control",
    "eager_input_streaming",
];

/// The canonical request. `is_count` where its tokens are to be counted, and no limit is needed.
pub(in super::super) fn canonical(body: Value<'_>, is_count: bool) -> Result<Canonical, ApiError> {
    let mut to = Writer::with_capacity(body.raw().len() + body.raw().len() / 8);
    let mut lost: Vec<String> = Vec::new();
    to.open('{');
    for (name, value) in body.members() {
        let name = name.as_str().unwrap_or_default();
        if SAME.contains(&&*name) {
            to.take(&name, body, &name);
        } else if !TRANSLATED.contains(&&*name) && !value.is_null() {
            lost.push(crate::error::printable(&name, 60));
        }
    }
    if !is_count {
        to.member("max_completion_tokens", limit(body)?.raw());
        stream(body, &mut to)?;
    }
    stops(body, &mut to)?;
    tools(body, &mut to, &mut lost)?;
    choice(body, &mut to)?;
    output(body, &mut to, &mut lost)?;
    let user = body.field("metadata").and_then(|metadata| metadata.field("user_id"));
    if let Some(user) = user.filter(|user| user.kind() == Kind::String) {
        to.member("user", user.raw());
    }
    messages(body, &mut to, &mut lost)?;
    to.close('}');
    lost.sort();
    lost.dedup();
    let text = to.finish();
    Ok(Canonical {
        text,
        lost,
        needs: None,
    })
}

/// Names what of an object is not among these; what is off is not missed.
fn lose_unknown(object: Value<'_>, place: &str, known: &[&str], lost: &mut Vec<String>) {
    for (name, value) in object.members() {
        let name = name.as_str().unwrap_or_default();
        if !known.contains(&&*name) && !value.is_null() && value.as_bool() != Some(false) {
            lost.push(crate::error::printable(&format!("{place}{name}"), 60));
        }
    }
}

fn limit(body: Value<'_>) -> Result<Value<'_>, ApiError> {
    let limit = body.field("max_tokens").ok_or_else(|| missing("max_tokens"))?;
    match limit.as_u64() {
        Some(1..) => Ok(limit),
        _ => Err(wrong_type("max_tokens", "a positive whole number")),
    }
}

/// What was used is always told in a stream of this dialect.
fn stream(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    let Some(stream) = body.field("stream") else {
        return Ok(());
    };
    match stream.as_bool() {
        Some(true) => {
            to.member("stream", "true");
            to.member("stream_options", r#"{"include_usage":true}"#);
            Ok(())
        }
        Some(false) => Ok(()),
        None => Err(wrong_type("stream", "true or false")),
    }
}

fn stops(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    match body.field("stop_sequences") {
        None => Ok(()),
        Some(stops) if stops.kind() != Kind::Array => Err(wrong_type("stop_sequences", "an array of texts")),
        Some(stops) if stops.elements().next().is_none() => Ok(()),
        Some(stops) => {
            to.member("stop", stops.raw());
            Ok(())
        }
    }
}

/// Functions are described in OpenAI's way; Anthropic's own tools, which it runs itself, keep their words.
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
        if tool.kind() != Kind::Object {
            return Err(wrong_type(&format!("tools[{index}]"), "an object"));
        }
        if tool.field("type").is_some_and(|kind| !kind.is("custom")) {
            to.raw(tool.raw());
            continue;
        }
        let name = tool.field("name").filter(|name| name.kind() == Kind::String);
        let name = name.ok_or_else(|| wrong_type(&format!("tools[{index}].name"), "a text"))?;
        to.open('{');
        to.text("type", "function");
        to.key("function");
        to.open('{');
        to.member("name", name.raw());
        to.take("description", tool, "description");
        to.take("parameters", tool, "input_schema");
        to.take("strict", tool, "strict");
        to.close('}');
        to.take("cache_control", tool, "cache_control");
        to.close('}');
        lose_unknown(tool, "tools[].", &TOOL, lost);
    }
    to.close(']');
    Ok(())
}

fn choice(body: Value<'_>, to: &mut Writer) -> Result<(), ApiError> {
    let Some(choice) = body.field("tool_choice") else {
        return Ok(());
    };
    let kind = choice.get("type").and_then(|kind| kind.as_str());
    match kind.as_deref() {
        Some("auto") => to.text("tool_choice", "auto"),
        Some("any") => to.text("tool_choice", "required"),
        Some("none") => to.text("tool_choice", "none"),
        Some("tool") => {
            let name = choice.field("name").filter(|name| name.kind() == Kind::String);
            let name = name.ok_or_else(|| wrong_type("tool_choice.name", "a text"))?;
            to.key("tool_choice");
            to.open('{');
            to.text("type", "function");
            to.key("function");
            to.open('{');
            to.member("name", name.raw());
            to.close('}');
            to.close('}');
        }
        _ => return Err(wrong_type("tool_choice.type", "`auto`, `any`, `tool` or `none`")),
    }
    let is_serial = choice
        .field("disable_parallel_tool_use")
        .and_then(|serial| serial.as_bool());
    if is_serial == Some(true) {
        to.member("parallel_tool_calls", "false");
    }
    Ok(())
}

/// How much thought goes into the answer, and which form it has.
fn output(body: Value<'_>, to: &mut Writer, lost: &mut Vec<String>) -> Result<(), ApiError> {
    let config = body.field("output_config");
    if let Some(config) = config {
        lose_unknown(config, "output_config.", &["effort", "format"], lost);
    }
    // How much is thought, where that is the model's own business; a `thinking` that is on or off says more.
    let is_open = |thinking: Value<'_>| thinking.get("type").is_some_and(|kind| kind.is("adaptive"));
    let effort = config.filter(|_| body.field("thinking").is_none_or(is_open));
    if let Some(effort) = effort.and_then(|config| config.field("effort")) {
        to.member("reasoning_effort", effort.raw());
    }
    let inside = config.and_then(|config| config.field("format"));
    let Some(format) = inside.or(body.field("output_format")) else {
        return Ok(());
    };
    let schema = format
        .field("schema")
        .filter(|_| format.get("type").is_some_and(|kind| kind.is("json_schema")));
    let schema = schema.ok_or_else(|| wrong_type("output_config.format", "a `json_schema` with a `schema`"))?;
    to.key("response_format");
    to.open('{');
    to.text("type", "json_schema");
    to.key("json_schema");
    to.open('{');
    to.text("name", "answer");
    to.member("strict", "true");
    to.member("schema", schema.raw());
    to.close('}');
    to.close('}');
    Ok(())
}

fn messages(body: Value<'_>, to: &mut Writer, lost: &mut Vec<String>) -> Result<(), ApiError> {
    let messages = body.field("messages").ok_or_else(|| missing("messages"))?;
    if messages.kind() != Kind::Array {
        return Err(wrong_type("messages", "an array of messages"));
    }
    to.key("messages");
    to.open('[');
    let mut conversation = Conversation { to, lost };
    if let Some(system) = body.field("system") {
        conversation.said("system", system, &|| "system".to_owned())?;
    }
    for (index, message) in messages.elements().enumerate() {
        let place = || format!("messages[{index}]");
        let role = message.get("role").and_then(|role| role.as_str());
        let content = || {
            message
                .field("content")
                .ok_or_else(|| missing(&format!("{}.content", place())))
        };
        let of_content = || format!("{}.content", place());
        match role.as_deref() {
            Some("user") => conversation.user(content()?, &of_content)?,
            Some("assistant") => conversation.assistant(content()?, &of_content)?,
            Some("system") => conversation.said("system", content()?, &of_content)?,
            _ => return Err(wrong_type(&format!("{}.role", place()), "`user` or `assistant`")),
        }
    }
    to.close(']');
    Ok(())
}

/// A text, or blocks of which each is an object with a type.
pub(super) fn check_content(content: Value<'_>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
    match content.kind() {
        Kind::String => Ok(()),
        Kind::Array => match content.elements().position(|block| blocks::kind(block).is_none()) {
            None => Ok(()),
            Some(index) => Err(wrong_type(
                &format!("{}[{index}]", place()),
                "a content block with a `type`",
            )),
        },
        _ => Err(wrong_type(&place(), "a text or an array of content blocks")),
    }
}
