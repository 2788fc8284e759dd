//! Tools, the choice among them, and what goes into a call and comes back from it.

use crate::PROVIDER;
use crate::schema;
use crate::settings::{SchemaStyle, Settings};
use crate::wire::{CallingConfig, Declaration, Empty, Object, Tool, ToolConfig};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Chat, Function, Mode, Raw, Text, TurnFunction, read, refuse};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The provider's own tools: each is an object with one of these members, and goes out as it came.
const OWN: [&str; 14] = [
    "google_search",
    "googleSearch",
    "google_search_retrieval",
    "googleSearchRetrieval",
    "code_execution",
    "codeExecution",
    "url_context",
    "urlContext",
    "file_search",
    "fileSearch",
    "google_maps",
    "googleMaps",
    "computer_use",
    "computerUse",
];

/// All functions in one tool; then the provider's own, and its search where the client asked for a search of the web.
pub(crate) fn translate<'a>(chat: &Chat<'a>, settings: &Settings) -> Result<Vec<Tool<'a>>, Failure> {
    let (mut function_declarations, mut own) = (Vec::new(), Vec::new());
    for (index, raw) in chat.tools.iter().enumerate() {
        let place = || format!("tools[{index}]");
        let tool: translate::Tool = read(raw.get(), &place())?;
        if tool.cache_control.is_some() {
            settings.losses.leave_out(format!("{}.cache_control", place()))?;
        }
        match tool.function {
            Some(function) => function_declarations.push(declare(function, settings, &place)?),
            None if is_own(raw) => own.push(Tool::Own(raw)),
            None => {
                let kind = tool.kind.as_ref().map_or("unknown", |kind| &kind.0);
                return Err(refuse(format!(
                    "{} is of type `{kind}`; Gemini takes functions and its own tools",
                    place()
                )));
            }
        }
    }
    let mut tools = Vec::new();
    if !function_declarations.is_empty() {
        tools.push(Tool::Functions { function_declarations });
    }
    tools.extend(own);
    if chat.web_search_options.is_some() {
        tools.push(Tool::Search {
            google_search: Empty {},
        });
    }
    Ok(tools)
}

fn is_own(raw: Raw) -> bool {
    let members: Result<std::collections::BTreeMap<Cow<str>, IgnoredAny>, _> = serde_json::from_str(raw.get());
    members.is_ok_and(|members| members.len() == 1 && members.keys().all(|name| OWN.contains(&name.as_ref())))
}

fn declare<'a>(
    function: Function<'a>,
    settings: &Settings,
    place: &dyn Fn() -> String,
) -> Result<Declaration<'a>, Failure> {
    let what = || format!("{}.function.parameters", place());
    let (parameters, parameters_json_schema) = match (settings.schema, function.parameters) {
        // An object without properties is refused where the subset is spoken.
        (SchemaStyle::Subset, Some(raw)) => {
            let schema = schema::subset(raw, &what)?;
            (Some(schema).filter(|schema| schema.get("properties").is_some()), None)
        }
        (_, raw) => (None, raw.filter(|raw| raw.get() != "{}")),
    };
    Ok(Declaration {
        name: function.name.0,
        description: function.description.map(|text| text.0).unwrap_or_default(),
        parameters,
        parameters_json_schema,
    })
}

/// `None` where the provider's default, to let the model choose, is what the client wants.
pub(crate) fn choose<'a>(
    chat: &Chat<'a>,
    tools: &[Tool],
    settings: &Settings,
) -> Result<Option<ToolConfig<'a>>, Failure> {
    if !tools.iter().any(|tool| matches!(tool, Tool::Functions { .. })) {
        return Ok(None);
    }
    if chat.parallel_tool_calls == Some(false) {
        settings.losses.leave_out("parallel_tool_calls")?;
    }
    let choice = chat.choice(PROVIDER)?;
    let mode = match (choice.mode, &choice.among) {
        (Mode::Auto, None) => return Ok(None),
        // `AUTO` takes no list of names; `VALIDATED` is the same with one.
        (Mode::Auto, Some(_)) => "VALIDATED",
        (Mode::None, _) => "NONE",
        (Mode::Required, _) => "ANY",
    };
    let function_calling_config = CallingConfig {
        mode,
        allowed_function_names: choice.among.unwrap_or_default(),
    };
    Ok(Some(ToolConfig {
        function_calling_config,
    }))
}

/// The arguments of a call in the client's history as an object: the client's own text where it is one.
pub(crate) fn arguments<'a>(call: &mut TurnFunction<'a>) -> Object<'a> {
    let Some(Text(text)) = call.arguments.take() else {
        return Object::Empty {};
    };
    match text.trim_ascii() {
        "" | "{}" => Object::Empty {},
        trimmed => match given(trimmed).filter(|_| trimmed.starts_with('{')) {
            Some(object) => Object::Given(object),
            None => Object::Unreadable { arguments: text },
        },
    }
}

/// A result as an object: as it is where it is one, under `result` where it is anything else.
pub(crate) fn result(text: Cow<'_, str>) -> Object<'_> {
    let trimmed = text.trim_ascii();
    match given(trimmed) {
        Some(object) if trimmed.starts_with('{') => Object::Given(object),
        Some(result) => Object::List { result },
        None => Object::Text { result: text },
    }
}

/// An object or a list, as it is written.
fn given(text: &str) -> Option<Box<RawValue>> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    RawValue::from_string(text.to_owned()).ok()
}
