//! Tools, the choice among them, and the ids that tie a call to its result.

use crate::chat::{Chat, Function, FunctionCall, NamedChoice, Raw, Text, Tool, read, refuse};
use crate::messages::{self, Input, NoProperties, Schema, ToolChoice};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An empty list is no list. The provider's own tools, which it runs itself, go out as they came.
pub(crate) fn translate<'a>(chat: &Chat<'a>, settings: &Settings) -> Result<Vec<messages::Tool<'a>>, Failure> {
    let Some(tools) = &chat.tools else {
        return Ok(Vec::new());
    };
    let translate = |(index, raw): (usize, &Raw<'a>)| {
        let tool: Tool = read(raw.get(), &format!("tools[{index}]"))?;
        let kind = tool.kind.as_ref().map_or("function", |kind| &kind.0);
        match tool.function {
            Some(function) => Ok(describe(function, tool.cache_control, settings)),
            None if is_own(kind) => Ok(messages::Tool::Own(raw)),
            None => Err(refuse(format!(
                "tools[{index}] is of type `{kind}`; this provider takes functions and its own tools"
            ))),
        }
    };
    tools.iter().enumerate().map(translate).collect()
}

/// The types of the provider's own tools end in a date: `web_search_20250305`.
fn is_own(kind: &str) -> bool {
    let date = kind.rsplit_once('_').map(|(_, date)| date.as_bytes());
    kind == "mcp_toolset" || date.is_some_and(|date| date.len() == 8 && date.iter().all(u8::is_ascii_digit))
}

fn describe<'a>(function: Function<'a>, mark: Option<Raw<'a>>, settings: &Settings) -> messages::Tool<'a> {
    let no_parameters = || Schema::NoParameters {
        kind: "object",
        properties: NoProperties {},
    };
    messages::Tool::Function {
        name: function.name.0,
        description: function.description.map(|text| text.0),
        input_schema: function
            .parameters
            .filter(|raw| raw.get() != "{}")
            .map_or_else(no_parameters, Schema::Given),
        strict: function
            .strict
            .filter(|is_strict| *is_strict && settings.structured_output),
        cache_control: mark.or(function.cache_control),
    }
}

/// `None` where the provider's default, `auto`, is what the client wants.
pub(crate) fn choose<'a>(chat: &Chat<'a>) -> Result<Option<ToolChoice<'a>>, Failure> {
    if chat.tools.as_ref().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let mut choice = match chat.tool_choice {
        Some(raw) => Some(read_choice(raw)?),
        None => None,
    };
    if chat.parallel_tool_calls == Some(false) {
        let choice = choice.get_or_insert(bare("auto"));
        choice.disable_parallel_tool_use = (choice.kind != "none").then_some(true);
    }
    Ok(choice)
}

fn read_choice(raw: Raw<'_>) -> Result<ToolChoice<'_>, Failure> {
    if raw.get().starts_with('"') {
        let word: Text = read(raw.get(), "tool_choice")?;
        return match word.0.as_ref() {
            "auto" => Ok(bare("auto")),
            "none" => Ok(bare("none")),
            "required" | "any" => Ok(bare("any")),
            other => Err(refuse(format!(
                "tool_choice is `{other}`, but must be auto, none, required or a function"
            ))),
        };
    }
    let named: NamedChoice = read(raw.get(), "tool_choice")?;
    match (named.kind.0.as_ref(), named.function) {
        ("function", Some(function)) => Ok(ToolChoice {
            name: Some(function.name.0),
            ..bare("tool")
        }),
        (kind, _) => Err(refuse(format!(
            "tool_choice of type `{kind}` is not known to this provider; name a function instead"
        ))),
    }
}

fn bare(kind: &'static str) -> ToolChoice<'static> {
    ToolChoice {
        kind,
        name: None,
        disable_parallel_tool_use: None,
    }
}

/// Whether the model is left no choice but to call a tool.
pub(crate) fn is_forced(choice: &Option<ToolChoice>) -> bool {
    choice
        .as_ref()
        .is_some_and(|choice| matches!(choice.kind, "any" | "tool"))
}

/// The arguments of a call in the client's history as an object: the client's own text where it is one.
pub(crate) fn input<'a>(call: &mut FunctionCall<'a>) -> Input<'a> {
    let Some(Text(text)) = call.arguments.take() else {
        return Input::Empty {};
    };
    match text.trim_ascii() {
        "" | "{}" => Input::Empty {},
        trimmed if trimmed.starts_with('{') => match RawValue::from_string(trimmed.to_owned()) {
            Ok(object) => Input::Object(object),
            Err(_) => Input::Unreadable { arguments: text },
        },
        _ => Input::Unreadable { arguments: text },
    }
}

/// The provider takes letters, digits, `_` and `-` in ids. Another provider's id is rewritten, the same way in a call and
/// in its result; a digest of the whole keeps two ids apart that would otherwise become one.
pub(crate) fn id(given: Cow<'_, str>) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !given.is_empty() && given.bytes().all(is_plain) {
        return given;
    }
    let plain: String = given
        .bytes()
        .map(|byte| if is_plain(byte) { byte as char } else { '_' })
        .collect();
    Cow::Owned(format!("{plain}_{:08x}", digest(given.as_bytes())))
}

/// FNV-1a: the same in every build, so that a rewritten id does not disturb the provider's prompt cache.
fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |digest, byte| {
        (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
