//! Messages for a provider that knows other roles, other places of reasoning or other ids of calls.

use crate::known;
use crate::settings::{CallIds, ReasoningField, Settings};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Losses, Members, Raw, Text, digest, read, refuse};
use serde_json::{Value, json};

pub(crate) fn translate(raw: Raw, settings: &Settings, losses: &Losses) -> Result<String, Failure> {
    let messages: Vec<Members> = read(raw.get(), "messages")?;
    let mut translated = String::with_capacity(raw.get().len() + 64);
    let last = messages.len().saturating_sub(1);
    for (index, mut message) in messages.into_iter().enumerate() {
        if let Some(member) = settings.prefill.as_ref().filter(|_| index == last) {
            go_on(member, &mut message);
        }
        translated.push(if translated.is_empty() { '[' } else { ',' });
        translated.push_str(&one(message, settings, losses)?);
    }
    if translated.is_empty() {
        translated.push('[');
    }
    translated.push(']');
    Ok(translated)
}

fn one(mut message: Members, settings: &Settings, losses: &Losses) -> Result<String, Failure> {
    let role = message
        .get("role")
        .map(|role| role.get().trim_matches('"'))
        .unwrap_or_default();
    if let Some(other) = settings.roles.get(role) {
        message.set("role", Value::from(other.as_str()).to_string());
    }
    for name in &settings.drop_in_messages {
        if message.remove(name) {
            losses.name(format!("messages[].{name}"));
        }
    }
    if let Some(known) = &settings.parts {
        check_parts(known, &message)?;
    }
    if let Some(place) = settings.reasoning_field
        && role == "assistant"
    {
        put_reasoning(place, &mut message)?;
    }
    if let Some(CallIds::Nine) = settings.call_ids {
        rewrite_ids(&mut message)?;
    }
    if role == "assistant" {
        say_nothing(&mut message);
    }
    let role = settings.roles.get(role).map_or(role, String::as_str);
    known::keep_in_message(settings, role, &mut message, losses);
    Ok(message.into_json())
}

/// An assistant that neither said nor called anything, but thought: providers want a content then.
fn say_nothing(message: &mut Members) {
    let is_silent = message.get("content").is_some_and(|content| content.get() == "null");
    let others = ["tool_calls", "function_call", "refusal", "audio"];
    if is_silent && others.iter().all(|name| message.get(name).is_none()) {
        message.set("content", "\"\"".to_owned());
    }
}

/// A part that the provider does not take cannot be left out: it is what the message speaks of.
fn check_parts(known: &[String], message: &Members) -> Result<(), Failure> {
    let Some(raw) = message.get("content").filter(|raw| raw.get().starts_with('[')) else {
        return Ok(());
    };
    let parts: Vec<Value> = read(raw.get(), "messages[].content")?;
    let mut kinds = parts.iter().map(|part| part["type"].as_str().unwrap_or_default());
    match kinds.find(|kind| !known.iter().any(|known| known == kind)) {
        Some(kind) => Err(refuse(format!(
            "messages[].content[] is of type `{kind}`, which this provider does not take"
        ))),
        None => Ok(()),
    }
}

/// A conversation that ends with the assistant is one whose last message is to be gone on with; without a word of it the provider
/// refuses it.
fn go_on(member: &str, message: &mut Members) {
    let role = message.get("role").map(|role| role.get());
    let has_calls = message
        .get("tool_calls")
        .is_some_and(|calls| calls.get().starts_with('['));
    if role == Some("\"assistant\"") && !has_calls && message.get(member).is_none() {
        message.set(member, "true".to_owned());
    }
}

/// Clients send back what they were given, under one name or the other.
fn put_reasoning(place: ReasoningField, message: &mut Members) -> Result<(), Failure> {
    let content: Option<Text> = message.take("reasoning_content")?;
    let other: Option<Text> = message.take("reasoning")?;
    let Some(Text(text)) = content.or(other).filter(|text| !text.0.is_empty()) else {
        return Ok(());
    };
    let said = Value::from(text.as_ref()).to_string();
    match place {
        ReasoningField::None => {}
        ReasoningField::ReasoningContent => message.set("reasoning_content", said),
        ReasoningField::Reasoning => message.set("reasoning", said),
        ReasoningField::Parts => {
            let mut parts = vec![json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] })];
            match message.take::<Value>("content")? {
                Some(Value::String(content)) if !content.is_empty() => {
                    parts.push(json!({ "type": "text", "text": content }));
                }
                Some(Value::Array(content)) => parts.extend(content),
                _ => {}
            }
            message.set("content", Value::Array(parts).to_string());
        }
    }
    Ok(())
}

/// An id that the provider would refuse becomes another, the same in a call and in its result.
fn rewrite_ids(message: &mut Members) -> Result<(), Failure> {
    if let Some(id) = message.get("tool_call_id") {
        let Text(id) = read(id.get(), "tool_call_id")?;
        message.set("tool_call_id", nine(&id));
    }
    let Some(raw) = message.get("tool_calls").filter(|raw| raw.get().starts_with('[')) else {
        return Ok(());
    };
    let mut calls: Vec<Members> = read(raw.get(), "tool_calls")?;
    for call in &mut calls {
        if let Some(id) = call.get("id").filter(|id| id.get() != "null") {
            let Text(id) = read(id.get(), "tool_calls[].id")?;
            call.set("id", nine(&id));
        }
    }
    let calls: Vec<String> = calls.into_iter().map(Members::into_json).collect();
    message.set("tool_calls", format!("[{}]", calls.join(",")));
    Ok(())
}

fn nine(id: &str) -> String {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return format!("\"{id}\"");
    }
    let mut rest = digest(id.as_bytes());
    let letters = (0..9).map(|_| {
        let letter = LETTERS[(rest % 36) as usize];
        rest /= 36;
        letter as char
    });
    format!("\"{}\"", letters.collect::<String>())
}
