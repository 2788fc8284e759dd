//! Tools, the choice among them, and the ids that tie a call to its result.

use crate::PROVIDER;
use crate::messages::{self, Input, NoProperties, Schema, ToolChoice};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Function, Mode, Raw, Text, Tool, TurnFunction, digest, read, refuse};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the model may do with the tools.
pub(crate) struct Choice<'a> {
    /// `None` where the provider's default, `auto`, is what the client wants.
    pub(crate) word: Option<ToolChoice<'a>>,
    /// The only functions that are offered, where the client allows some alone: the provider has no word for that.
    among: Option<Vec<Cow<'a, str>>>,
}

/// The provider's own tools, which it runs itself, go out as they came.
pub(crate) fn translate<'a>(
    chat: &Chat<'a>,
    choice: &Choice,
    settings: &Settings,
) -> Result<Vec<messages::Tool<'a>>, Failure> {
    let mut tools = Vec::with_capacity(chat.tools.len());
    for (index, raw) in chat.tools.iter().enumerate() {
        let tool: Tool = read(raw.get(), &format!("tools[{index}]"))?;
        let kind = tool.kind.as_ref().map_or("function", |kind| &kind.0);
        match tool.function {
            Some(function) if choice.offers(&function.name.0) => {
                tools.push(describe(function, tool.cache_control, settings)?);
            }
            Some(_) => {}
            None if is_own(kind) => tools.push(messages::Tool::Own(raw)),
            None => {
                return Err(refuse(format!(
                    "tools[{index}] is of type `{kind}`; {PROVIDER} takes functions and its own tools"
                )));
            }
        }
    }
    Ok(tools)
}

/// The types of the provider's own tools end in a date: `web_search_20250305`.
fn is_own(kind: &str) -> bool {
    let date = kind.rsplit_once('_').map(|(_, date)| date.as_bytes());
    kind == "mcp_toolset" || date.is_some_and(|date| date.len() == 8 && date.iter().all(u8::is_ascii_digit))
}

fn describe<'a>(
    function: Function<'a>,
    mark: Option<Raw<'a>>,
    settings: &Settings,
) -> Result<messages::Tool<'a>, Failure> {
    let strict = function.strict.filter(|is_strict| *is_strict);
    if strict.is_some() && !settings.structured_output {
        settings.losses.leave_out("tools[].function.strict")?;
    }
    let no_parameters = || Schema::NoParameters {
        kind: "object",
        properties: NoProperties {},
    };
    Ok(messages::Tool::Function {
        name: function.name.0,
        description: function.description.map(|text| text.0),
        input_schema: function
            .parameters
            .filter(|raw| raw.get() != "{}")
            .map_or_else(no_parameters, Schema::Given),
        strict: strict.filter(|_| settings.structured_output),
        cache_control: mark.or(function.cache_control),
    })
}

pub(crate) fn choose<'a>(chat: &Chat<'a>) -> Result<Choice<'a>, Failure> {
    let choice = chat.choice(PROVIDER)?;
    let (mut word, mut among) = (None, choice.among);
    match (choice.mode, among.as_deref_mut()) {
        (Mode::Auto, _) => {}
        (Mode::None, _) => word = Some(bare("none")),
        (Mode::Required, Some([name])) => {
            let name = Some(std::mem::take(name));
            word = Some(ToolChoice { name, ..bare("tool") });
            // The other tools are offered all the same: they are part of what the provider's cache knows.
            among = None;
        }
        (Mode::Required, _) => word = Some(bare("any")),
    }
    if chat.parallel_tool_calls == Some(false) && !chat.tools.is_empty() {
        let choice = word.get_or_insert(bare("auto"));
        choice.disable_parallel_tool_use = (choice.kind != "none").then_some(true);
    }
    Ok(Choice { word, among })
}

impl Choice<'_> {
    fn offers(&self, name: &str) -> bool {
        self.among
            .as_ref()
            .is_none_or(|among| among.iter().any(|known| known == name))
    }

    /// Whether the model is left no choice but to call a tool.
    pub(crate) fn is_forced(&self) -> bool {
        self.word
            .as_ref()
            .is_some_and(|choice| matches!(choice.kind, "any" | "tool"))
    }
}

fn bare(kind: &'static str) -> ToolChoice<'static> {
    ToolChoice {
        kind,
        name: None,
        disable_parallel_tool_use: None,
    }
}

/// The arguments of a call in the client's history as an object: the client's own text where it is one.
pub(crate) fn input<'a>(call: &mut TurnFunction<'a>) -> Input<'a> {
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
    Cow::Owned(format!("{plain}_{:08x}", digest(given.as_bytes()) as u32))
}
