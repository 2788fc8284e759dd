//! A request that was translated into the canonical form, for a provider that speaks OpenAI's dialect and nothing beyond it:
//! marks, thinking and tools of other providers are left out, texts are texts, and images that a tool brought are shown by the user.

use super::strictness::is_strict;
use crate::json::{Document, Kind, Limits, Value, Writer};

/// As deep as a request may be configured to be.
const LIMITS: Limits = Limits { depth: 520 };
/// OpenAI takes no longer names of users.
const LONGEST_USER: usize = 64;
/// Members of a request that OpenAI does not know, and whether an answer may differ without them.
const FOREIGN: [(&str, bool); 13] = [
    ("top_k", true),
    ("thinking", false),
    ("metadata", false),
    ("cache_control", false),
    ("mcp_servers", true),
    ("context_management", true),
    ("container", true),
    ("inference_geo", true),
    ("safety_settings", true),
    ("generation_config", true),
    ("thinking_config", false),
    ("task_type", true),
    ("title", true),
];

/// What is named where a model's own images are left out.
const IMAGES: &str = "messages[].images";

/// What is known of who gets the request.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Where it looks for the most tokens of output.
    pub limit: &'a str,
    /// Its model's largest output.
    pub most: Option<u32>,
    /// Whether its model may be told how much to think.
    pub may_reason: bool,
    /// Whether it wants to see the reasoning of earlier turns.
    pub keeps_reasoning: bool,
    /// Whether it is Google's own, which wants its signatures of thoughts back.
    pub keeps_signatures: bool,
}

/// The request in OpenAI's words alone, and what it has lost. None where it cannot be read, which a canonical one can.
pub fn plain(document: &Document, reader: Reader<'_>) -> Option<(Document, Vec<String>)> {
    let root = document.root();
    let mut lost = Vec::new();
    let mut to = Writer::with_capacity(document.text().len());
    to.open('{');
    let has_functions = root
        .field("tools")
        .is_some_and(|tools| tools.elements().any(|tool| tool.field("function").is_some()));
    for (name, value) in root.members() {
        let name = name.as_str()?;
        match &*name {
            "messages" => {
                to.key("messages");
                messages(&mut to, value, reader, &mut lost);
            }
            "max_completion_tokens" => {
                let asked = value.as_u64()?;
                let most = reader.most.map_or(asked, |most| asked.min(most.into()));
                to.number(reader.limit, most);
            }
            "tools" => tools(&mut to, value, has_functions, &mut lost),
            "tool_choice" | "parallel_tool_calls" if !has_functions => {}
            "reasoning_effort" if !reader.may_reason => lost.push(name.into_owned()),
            // Anthropic's highest is one above OpenAI's. Who has settings has an adapter that knows its provider's.
            "reasoning_effort" if !reader.keeps_reasoning && value.is("max") => to.text("reasoning_effort", "xhigh"),
            "response_format" => {
                to.key("response_format");
                held(&mut to, value, "json_schema", "schema");
            }
            "thinking" => match effort(value) {
                Some(effort) if reader.may_reason && root.field("reasoning_effort").is_none() => {
                    to.text("reasoning_effort", effort);
                }
                Some(_) => lost.push(name.into_owned()),
                None => {}
            },
            "user" if value.str_len() > LONGEST_USER => {}
            // Anthropic's own.
            "service_tier" if value.is("standard_only") => {}
            _ => match FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
                Some((foreign, true)) => lost.push((*foreign).to_owned()),
                Some(_) => {}
                None => {
                    to.string(&name);
                    to.colon();
                    to.raw(value.raw());
                }
            },
        }
    }
    to.close('}');
    let document = Document::parse(to.finish().into(), LIMITS).ok()?;
    Some((document, lost))
}

/// A budget of tokens as one of OpenAI's words; none where thinking is off, or the model's own business.
fn effort(thinking: Value<'_>) -> Option<&'static str> {
    let is_on = thinking.get("type").is_some_and(|kind| kind.is("enabled"));
    match thinking.field("budget_tokens").and_then(|budget| budget.as_u64()) {
        _ if !is_on => None,
        Some(..=4_096) => Some("low"),
        Some(16_385..) => Some("high"),
        _ => Some("medium"),
    }
}

fn tools(to: &mut Writer, tools: Value<'_>, has_functions: bool, lost: &mut Vec<String>) {
    let is_own = |tool: &Value<'_>| tool.field("function").is_none();
    for tool in tools.elements().filter(is_own) {
        let named = || tool.members().find_map(|(name, _)| name.as_str());
        let kind = tool.get("type").and_then(|kind| kind.as_str());
        let kind = kind.or_else(named).unwrap_or_default();
        lost.push(format!("tools of type {}", crate::error::printable(&kind, 60)));
    }
    if !has_functions {
        return;
    }
    to.key("tools");
    to.open('[');
    for tool in tools.elements().filter(|tool| !is_own(tool)) {
        held(to, tool, "function", "parameters");
    }
    to.close(']');
}

fn messages(to: &mut Writer, messages: Value<'_>, reader: Reader<'_>, lost: &mut Vec<String>) {
    to.open('[');
    let mut shown: Vec<Value<'_>> = Vec::new();
    for message in messages.elements() {
        let role = message.get("role").and_then(|role| role.as_str()).unwrap_or_default();
        if role != "tool" {
            show(to, &mut shown);
        }
        to.open('{');
        for (name, value) in message.members() {
            let name = name.as_str().unwrap_or_default();
            match &*name {
                "cache_control" | "thinking_blocks" => {}
                "extra_content" if !reader.keeps_signatures => {}
                // There is no word for images that a model made.
                "images" => {
                    lost.retain(|known| known != IMAGES);
                    lost.push(IMAGES.to_owned());
                }
                "reasoning_content" if !reader.keeps_reasoning => {}
                "content" if value.kind() == Kind::Array => {
                    to.key("content");
                    content(to, value, &role, &mut shown);
                }
                // An assistant that neither said nor called anything, but thought.
                "content" if value.is_null() && message.field("tool_calls").is_none() => to.text("content", ""),
                "tool_calls" => {
                    to.key("tool_calls");
                    to.open('[');
                    let foreign: &[&str] = match reader.keeps_signatures {
                        true => &["cache_control"],
                        false => &["cache_control", "extra_content"],
                    };
                    value.elements().for_each(|call| without(to, call, foreign));
                    to.close(']');
                }
                _ => {
                    to.string(&name);
                    to.colon();
                    to.raw(value.raw());
                }
            }
        }
        to.close('}');
    }
    show(to, &mut shown);
    to.close(']');
}

/// Texts alone are one text. What a tool brought that is no text is shown when all tools have spoken.
fn content<'a>(to: &mut Writer, parts: Value<'a>, role: &str, shown: &mut Vec<Value<'a>>) {
    let is_text = |part: &Value<'_>| part.get("type").is_some_and(|kind| kind.is("text"));
    let is_tool = role == "tool";
    if !is_tool && !parts.elements().all(|part| is_text(&part)) {
        to.open('[');
        parts.elements().for_each(|part| without(to, part, &["cache_control"]));
        to.close(']');
        return;
    }
    let texts = parts.elements().filter(is_text);
    let texts = texts.filter_map(|part| Some(part.field("text")?.as_str()?.into_owned()));
    let mut texts: Vec<String> = texts.collect();
    if is_tool {
        let before = shown.len();
        shown.extend(parts.elements().filter(|part| !is_text(part)));
        if shown.len() > before {
            texts.push("(What else it brought is shown below.)".to_owned());
        }
    }
    let between = match role {
        "assistant" => "",
        "system" | "developer" => "\n\n",
        _ => "\n",
    };
    to.string(&texts.join(between));
}

fn show(to: &mut Writer, shown: &mut Vec<Value<'_>>) {
    if shown.is_empty() {
        return;
    }
    to.open('{');
    to.text("role", "user");
    to.key("content");
    to.open('[');
    shown.drain(..).for_each(|part| without(to, part, &["cache_control"]));
    to.close(']');
    to.close('}');
}

/// An object whose member `inside` is held to a schema: only where that is one that can be held to strictly. Others may be told to
/// hold to any schema, and OpenAI refuses to.
fn held(to: &mut Writer, object: Value<'_>, inside: &str, schema: &str) {
    let is_loose = object.field(inside).is_some_and(|inner| {
        let is_asked = inner
            .field("strict")
            .is_some_and(|strict| strict.as_bool() == Some(true));
        is_asked && !inner.field(schema).is_some_and(is_strict)
    });
    if !is_loose {
        return without(to, object, &["cache_control"]);
    }
    to.open('{');
    for (name, value) in object.members().filter(|(name, _)| !name.is("cache_control")) {
        to.raw(name.raw());
        to.colon();
        match name.is(inside) {
            true => without(to, value, &["strict"]),
            false => to.raw(value.raw()),
        }
    }
    to.close('}');
}

/// An object without these members; with its own bytes where it has none of them.
fn without(to: &mut Writer, object: Value<'_>, members: &[&str]) {
    if members.iter().all(|member| object.get(member).is_none()) {
        to.raw(object.raw());
        return;
    }
    to.open('{');
    for (name, value) in object.members() {
        if !members.iter().any(|member| name.is(member)) {
            to.raw(name.raw());
            to.colon();
            to.raw(value.raw());
        }
    }
    to.close('}');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(request: &Json, reader: Reader<'_>) -> (Json, Vec<String>) {
        let document = Document::parse(Bytes::from(request.to_string()), LIMITS).unwrap();
        let (document, lost) = plain(&document, reader).unwrap();
        (serde_json::from_slice(document.text()).unwrap(), lost)
    }

    const READER: Reader<'_> = Reader {
        limit: "max_tokens",
        most: Some(50),
        may_reason: true,
        keeps_reasoning: false,
        keeps_signatures: false,
    };

    #[test]
    fn what_only_others_know_is_left_out_and_named() {
        let mark = json!({ "type": "ephemeral" });
        let function = json!({ "name": "f" });
        let request = json!({
            "model": "m", "max_completion_tokens": 100, "top_k": 4, "thinking": { "type": "enabled", "budget_tokens": 2000 },
            "user": "u".repeat(65), "unknown": [1],
            "tools": [{ "type": "function", "function": function, "cache_control": mark }, { "type": "web_search_20250305" }],
            "messages": [
                { "role": "system", "content": [{ "type": "text", "text": "a", "cache_control": mark }, { "type": "text", "text": "b" }] },
                { "role": "assistant", "content": null, "reasoning_content": "hm", "thinking_blocks": [{}] },
            ],
        });
        let (plain, lost) = read(&request, READER);
        let expected = json!({
            "model": "m", "max_tokens": 50, "reasoning_effort": "low", "unknown": [1],
            "tools": [{ "type": "function", "function": function }],
            "messages": [{ "role": "system", "content": "a\n\nb" }, { "role": "assistant", "content": "" }],
        });
        assert_eq!(plain, expected);
        assert_eq!(lost, ["tools of type web_search_20250305", "top_k"]);
        let reader = Reader {
            may_reason: false,
            keeps_reasoning: true,
            ..READER
        };
        let (plain, lost) = read(&request, reader);
        assert_eq!(plain["messages"][1]["reasoning_content"], "hm");
        assert!(plain.get("reasoning_effort").is_none() && lost.contains(&"thinking".to_owned()));
    }

    #[test]
    fn only_what_can_be_held_to_strictly_is_asked_for_strictly() {
        let open = json!({ "type": "object", "properties": { "a": {}, "b": {} }, "required": ["a"] });
        let closed =
            json!({ "type": "object", "properties": { "a": {} }, "required": ["a"], "additionalProperties": false });
        let tool = |schema: &Json, strict: Option<bool>| {
            let mut tool = json!({ "type": "function", "function": { "name": "f", "parameters": schema } });
            if let Some(strict) = strict {
                tool["function"]["strict"] = json!(strict);
            }
            tool
        };
        let format = |schema: &Json| json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema } });
        let request = json!({ "reasoning_effort": "max", "response_format": format(&open), "tools": [tool(&open, Some(true)), tool(&closed, Some(true))] });
        let (plain, _) = read(&request, READER);
        assert_eq!(plain["tools"], json!([tool(&open, None), tool(&closed, Some(true))]));
        assert_eq!(
            plain["response_format"]["json_schema"],
            json!({ "name": "answer", "schema": open })
        );
        // OpenAI has no higher one.
        assert_eq!(plain["reasoning_effort"], "xhigh");
        let (plain, _) = read(&json!({ "response_format": format(&closed) }), READER);
        assert_eq!(plain["response_format"], format(&closed));
    }

    #[test]
    fn googles_signatures_are_for_google_alone() {
        let signed = json!({ "google": { "thought_signature": "c2ln" } });
        let call = json!({ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let mut signed_call = call.clone();
        signed_call["extra_content"] = signed.clone();
        let request = json!({ "messages": [
            { "role": "assistant", "content": null, "tool_calls": [signed_call] },
            { "role": "assistant", "content": "a", "extra_content": signed },
        ] });
        let google = Reader {
            keeps_signatures: true,
            ..READER
        };
        assert_eq!(read(&request, google).0, request);
        let (plain, _) = read(&request, READER);
        assert_eq!(plain["messages"][0]["tool_calls"], json!([call]));
        assert_eq!(plain["messages"][1], json!({ "role": "assistant", "content": "a" }));
    }

    #[test]
    fn an_image_that_a_tool_brought_is_shown_when_all_tools_have_spoken() {
        let image = json!({ "type": "image_url", "image_url": { "url": "data:" } });
        let request = json!({ "messages": [
            { "role": "tool", "tool_call_id": "1", "content": [{ "type": "text", "text": "it is" }, image] },
            { "role": "tool", "tool_call_id": "2", "content": "plain" },
            { "role": "user", "content": [{ "type": "text", "text": "and?" }, image] },
        ] });
        let (plain, _) = read(&request, READER);
        let messages = plain["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 4);
        assert_eq!(messages[0]["content"], "it is\n(What else it brought is shown below.)");
        assert_eq!(messages[2], json!({ "role": "user", "content": [image] }));
        assert_eq!(messages[3], request["messages"][2]);
    }
}
