//! Tools, the choice among them, and ids and arguments of calls.

use crate::PROVIDER;
use crate::content::cache_point;
use crate::settings::Settings;
use crate::wire::{InputSchema, Nothing, Schema, Tool, ToolChoice, ToolConfig, ToolSpec};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Function, Mode, Raw, Text, Tool as Given, digest, read};
use std::borrow::Cow;

/// The longest id that the provider takes.
const ID_LETTERS: usize = 64;

/// `called` are the names in the history: where there are any the provider wants tools, whether one may be called or not.
pub(crate) fn config<'a>(
    chat: &Chat<'a>,
    called: Vec<Cow<'a, str>>,
    settings: &Settings,
) -> Result<Option<ToolConfig<'a>>, Failure> {
    let choice = chat.choice(PROVIDER)?;
    let given = choice.offered(chat.functions(PROVIDER)?)?;
    if choice.mode == Mode::None && called.is_empty() {
        return Ok(None);
    }
    let marks = marks(&chat.tools)?;
    let mut tools = Vec::with_capacity(given.len());
    for function in given {
        let mark = marks.iter().find(|(name, _)| *name == function.name.0);
        let mark = function.cache_control.or(mark.map(|(_, raw)| *raw));
        tools.push(Tool::ToolSpec(described(function)));
        tools.extend(mark.map(|raw| Tool::CachePoint(cache_point(raw))));
    }
    if tools.is_empty() {
        tools.extend(called.into_iter().map(|name| Tool::ToolSpec(stub(name))));
    }
    if tools.is_empty() {
        return Ok(None);
    }
    let tool_choice = match (choice.mode, choice.among) {
        (Mode::Auto, _) => None,
        (Mode::None, _) => {
            settings
                .losses
                .leave_out("tool_choice (none, in a conversation with calls)")?;
            None
        }
        (Mode::Required, Some(among)) if among.len() == 1 => {
            among.into_iter().next().map(|name| ToolChoice::Tool { name })
        }
        (Mode::Required, _) => Some(ToolChoice::Any(Nothing {})),
    };
    Ok(Some(ToolConfig { tools, tool_choice }))
}

/// The marks for the prompt's cache that stand beside a function, not in it.
fn marks<'a>(tools: &[Raw<'a>]) -> Result<Vec<(Cow<'a, str>, Raw<'a>)>, Failure> {
    let mut marks = Vec::new();
    for raw in tools.iter().filter(|raw| raw.get().contains("cache_control")) {
        let tool: Given = read(raw.get(), "tools")?;
        marks.extend(
            tool.function
                .zip(tool.cache_control)
                .map(|(function, mark)| (function.name.0, mark)),
        );
    }
    Ok(marks)
}

fn described(function: Function) -> ToolSpec {
    let parameters = function.parameters.filter(|raw| raw.get() != "{}");
    ToolSpec {
        name: function.name.0,
        description: function.description.map(|text| text.0).filter(|text| !text.is_empty()),
        input_schema: parameters.map_or_else(no_parameters, |raw| InputSchema {
            json: Schema::Given(raw),
        }),
        strict: function.strict.filter(|is_strict| *is_strict),
    }
}

fn stub(name: Cow<'_, str>) -> ToolSpec<'_> {
    ToolSpec {
        name,
        description: None,
        input_schema: no_parameters(),
        strict: None,
    }
}

fn no_parameters<'a>() -> InputSchema<'a> {
    InputSchema {
        json: Schema::NoParameters {
            kind: "object",
            properties: Nothing {},
        },
    }
}

/// An id that the provider would refuse is rewritten, the same way in a call and in its result.
pub(crate) fn id(Text(given): Text<'_>) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if (1..=ID_LETTERS).contains(&given.len()) && given.bytes().all(is_plain) {
        return given;
    }
    let plain = given
        .bytes()
        .map(|byte| if is_plain(byte) { byte as char } else { '_' })
        .take(ID_LETTERS - 17);
    Cow::Owned(format!(
        "{}_{:016x}",
        plain.collect::<String>(),
        digest(given.as_bytes())
    ))
}
