//! A request in the words of a provider whose dialect differs. What is not named in the settings keeps its bytes.

use crate::known;
use crate::messages;
use crate::settings::Settings;
use pointsman_plugin::translate::{Effort, Losses, Members, Text, read, refuse};
use pointsman_plugin::{Adapter, Failure, Operation, Outgoing, Passthrough, Target};
use serde_json::Value;

/// What no answer differs by.
const HINTS: [&str; 6] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "safety_identifier",
];

pub(crate) fn encode(
    settings: &Settings,
    operation: Operation,
    target: &Target,
    is_stream: bool,
    body: &[u8],
) -> Result<Outgoing, Failure> {
    let profile = crate::OpenAi::describe();
    // How a provider's conversations differ says nothing of what it does beside them.
    if operation != Operation::Chat {
        let mut outgoing = Passthrough::encode(&profile, operation, target, is_stream, body)?;
        outgoing.path = settings
            .path(operation, &outgoing.path, target)
            .unwrap_or(outgoing.path);
        return Ok(outgoing);
    }
    let losses = settings.losses();
    let kept = known::inside(settings, body, &losses)?;
    let body = kept.as_deref().map_or(body, str::as_bytes);
    let mut members = Members::of(body)?;
    refuse_some(settings, &members)?;
    leave_out(settings, &mut members, &losses)?;
    let mut is_thinking_wished = members.get("enable_thinking").is_some_and(|raw| raw.get() == "true");
    if let Some(style) = settings.effort
        && let Some(word) = members.take::<Text>("reasoning_effort")?
    {
        let effort = Effort::read(&word.0)?;
        is_thinking_wished |= effort != Effort::None;
        for (name, json) in style.members(effort) {
            if members.get(name).is_none() {
                members.set(name, json);
            }
        }
    }
    if !is_stream && settings.think_streamed_only.contains(&target.model) {
        // It refuses everything else.
        members.set("enable_thinking", "false".to_owned());
        members.remove("thinking_budget");
        if is_thinking_wished {
            losses.leave_out("reasoning_effort (this model thinks in streams only)")?;
        }
    }
    keep_choice(settings, &mut members, &losses)?;
    keep_format(settings, &mut members, &losses)?;
    keep_ranges(settings, &mut members, &losses)?;
    if settings.parameters {
        fill_parameters(&mut members)?;
    }
    for (name, other) in &settings.rename {
        members.rename(name, other);
    }
    if settings.stream_options == Some(false) {
        members.remove("stream_options");
    }
    known::keep(settings, &mut members, &losses);
    if settings.changes_messages()
        && let Some(raw) = members.get("messages")
    {
        members.set("messages", messages::translate(raw, settings, &losses)?);
    }
    let body = members.into_json();
    let mut outgoing = Passthrough::encode(&profile, operation, target, is_stream, body.as_bytes())?;
    if settings.stream_options == Some(false) {
        let mut members = Members::of(&outgoing.body)?;
        members.remove("stream_options");
        let body = members.into_json().into_bytes();
        outgoing.body = body;
    }
    if let Some(path) = settings.path(operation, &outgoing.path, target) {
        outgoing.path = path;
    }
    Ok(losses.tell(outgoing))
}

fn refuse_some(settings: &Settings, members: &Members) -> Result<(), Failure> {
    let is_asked = |name: &&String| members.get(name).is_some_and(|raw| !changes_nothing(name, raw.get()));
    match settings.refuse.iter().find(is_asked) {
        Some(name) => Err(refuse(format!("{name} cannot be asked of this provider; leave it out"))),
        None => Ok(()),
    }
}

fn leave_out(settings: &Settings, members: &mut Members, losses: &Losses) -> Result<(), Failure> {
    for name in &settings.drop {
        let is_lost = members.get(name).is_some_and(|raw| !changes_nothing(name, raw.get()));
        members.remove(name);
        match is_lost {
            true if HINTS.contains(&name.as_str()) => losses.name(name),
            true => losses.leave_out(name)?,
            false => {}
        }
    }
    Ok(())
}

/// What a provider does by itself.
fn changes_nothing(name: &str, json: &str) -> bool {
    match (name, json) {
        ("parallel_tool_calls", _) => json != "false",
        ("n", _) => matches!(json, "1" | "null"),
        ("modalities", _) => matches!(json, r#"["text"]"# | "null" | "[]"),
        ("service_tier", _) => matches!(json, r#""auto""# | r#""default""# | "null"),
        ("seed", _) => json == "null",
        ("tool_choice", _) => matches!(json, r#""auto""# | r#""none""# | "null"),
        _ => matches!(json, "null" | "false" | "0" | "0.0" | "[]" | "{}" | "\"\""),
    }
}

fn keep_choice(settings: &Settings, members: &mut Members, losses: &Losses) -> Result<(), Failure> {
    let (Some(known), Some(raw)) = (&settings.tool_choice, members.get("tool_choice")) else {
        return Ok(());
    };
    let choice: Value = read(raw.get(), "tool_choice")?;
    let word = choice["type"].as_str().or(choice.as_str()).unwrap_or_default();
    if choice.is_null() || known.iter().any(|known| known == word) {
        return Ok(());
    }
    members.remove("tool_choice");
    losses.leave_out("tool_choice")
}

/// A function without parameters takes none.
fn fill_parameters(members: &mut Members) -> Result<(), Failure> {
    let Some(raw) = members.get("tools").filter(|raw| raw.get().starts_with('[')) else {
        return Ok(());
    };
    let mut tools: Vec<Members> = read(raw.get(), "tools")?;
    for tool in &mut tools {
        let Some(raw) = tool.get("function").filter(|raw| raw.get().starts_with('{')) else {
            continue;
        };
        let mut function: Members = read(raw.get(), "tools[].function")?;
        if function.get("parameters").is_none_or(|raw| raw.get() == "null") {
            function.set("parameters", r#"{"type":"object","properties":{}}"#.to_owned());
            tool.set("function", function.into_json());
        }
    }
    let tools: Vec<String> = tools.into_iter().map(Members::into_json).collect();
    members.set("tools", format!("[{}]", tools.join(",")));
    Ok(())
}

fn keep_format(settings: &Settings, members: &mut Members, losses: &Losses) -> Result<(), Failure> {
    let Some(raw) = members
        .get("response_format")
        .filter(|_| settings.json_schema == Some(false))
    else {
        return Ok(());
    };
    let format: Value = read(raw.get(), "response_format")?;
    if format["type"] != "json_schema" {
        return Ok(());
    }
    members.set("response_format", r#"{"type":"json_object"}"#.to_owned());
    losses.leave_out("response_format `json_schema`")
}

fn keep_ranges(settings: &Settings, members: &mut Members, losses: &Losses) -> Result<(), Failure> {
    for (name, (least, most)) in &settings.range {
        let Some(number) = members.get(name).and_then(|raw| raw.get().parse::<f64>().ok()) else {
            continue;
        };
        let (nearest, beyond) = match number {
            number if number < *least => (least, "below"),
            number if number > *most => (most, "above"),
            _ => continue,
        };
        members.set(name, nearest.to_string());
        losses.leave_out(format!("{name} {beyond} {nearest}"))?;
    }
    Ok(())
}
