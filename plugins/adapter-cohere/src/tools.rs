//! Tools, the choice among them, and the arguments of calls.

use crate::body::{self, NoProperties, Schema};
use crate::chat::{Function, Raw, Text, Tool, read, refuse};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the model may do with the tools.
#[derive(Default)]
pub(crate) struct Choice<'a> {
    mode: Mode,
    /// The only tools that may be called. The provider has no word for this: the others are not offered to it.
    among: Option<Vec<Cow<'a, str>>>,
}

#[derive(Default, Clone, Copy)]
enum Mode {
    /// The provider's default.
    #[default]
    Auto,
    None,
    Required,
}

/// A choice that is an object.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<Name<'a>>,
    #[serde(borrow)]
    allowed_tools: Option<Allowed<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Allowed<'a> {
    #[serde(borrow)]
    mode: Text<'a>,
    #[serde(borrow)]
    tools: Vec<AllowedTool<'a>>,
}

#[derive(Deserialize)]
struct AllowedTool<'a> {
    #[serde(borrow)]
    function: Name<'a>,
}

/// As much of a schema as strictness hangs on.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline {
    required: Option<Vec<IgnoredAny>>,
}

impl<'a> Choice<'a> {
    pub(crate) fn read(raw: Raw<'a>) -> Result<Self, Failure> {
        if raw.get().starts_with('"') {
            let word: Text = read(raw.get(), "tool_choice")?;
            return Ok(Choice {
                mode: Mode::read(&word.0)?,
                among: None,
            });
        }
        let named: Named = read(raw.get(), "tool_choice")?;
        match (named.kind.0.as_ref(), named.function, named.allowed_tools) {
            ("function", Some(function), _) => Ok(Choice {
                mode: Mode::Required,
                among: Some(vec![function.name.0]),
            }),
            ("allowed_tools", _, Some(allowed)) if allowed.tools.is_empty() => Err(refuse(
                "tool_choice.allowed_tools.tools is empty; name a tool, or choose `none`",
            )),
            ("allowed_tools", _, Some(allowed)) => Ok(Choice {
                mode: Mode::read(&allowed.mode.0)?,
                among: Some(allowed.tools.into_iter().map(|tool| tool.function.name.0).collect()),
            }),
            (kind, ..) => Err(refuse(format!(
                "tool_choice of type `{kind}` is not known to Cohere; name a function instead"
            ))),
        }
    }

    pub(crate) fn word(&self) -> Option<&'static str> {
        match self.mode {
            Mode::Auto => None,
            Mode::None => Some("NONE"),
            Mode::Required => Some("REQUIRED"),
        }
    }

    fn offers(&self, name: &str) -> bool {
        self.among
            .as_ref()
            .is_none_or(|among| among.iter().any(|known| known == name))
    }
}

impl Mode {
    fn read(word: &str) -> Result<Self, Failure> {
        match word {
            "auto" => Ok(Mode::Auto),
            "none" => Ok(Mode::None),
            "required" | "any" => Ok(Mode::Required),
            other => Err(refuse(format!(
                "tool_choice is `{other}`, but must be auto, none, required or a function"
            ))),
        }
    }
}

/// The tools that the choice leaves. An empty list is no list.
pub(crate) fn translate<'a>(tools: Vec<Tool<'a>>, choice: &Choice) -> Result<Vec<body::Tool<'a>>, Failure> {
    let mut offered = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let function = function(tool, index)?;
        if choice.offers(&function.name.0) {
            offered.push(describe(function));
        }
    }
    let is_offered = |name: &&Cow<str>| offered.iter().any(|tool| tool.function.name == **name);
    match choice.among.iter().flatten().find(|name| !is_offered(name)) {
        Some(name) => Err(refuse(format!(
            "tool_choice names `{name}`, which is not among the tools"
        ))),
        None => Ok(offered),
    }
}

fn function<'a>(tool: Tool<'a>, index: usize) -> Result<Function<'a>, Failure> {
    tool.function.ok_or_else(|| {
        let kind = tool.kind.as_ref().map_or("nothing known", |kind| &kind.0);
        refuse(format!(
            "tools[{index}] is of type `{kind}`; Cohere takes functions only"
        ))
    })
}

fn describe(function: Function) -> body::Tool {
    let no_parameters = || Schema::NoParameters {
        kind: "object",
        properties: NoProperties {},
    };
    body::Tool {
        kind: "function",
        function: body::Function {
            name: function.name.0,
            description: function.description.map(|text| text.0),
            parameters: function
                .parameters
                .filter(|raw| raw.get() != "{}")
                .map_or_else(no_parameters, Schema::Given),
        },
    }
}

/// Here strictness is of all tools or of none, and each needs a required parameter. What cannot be had is left out, or
/// refused where the settings say so.
pub(crate) fn are_strict(tools: &[Tool], settings: &Settings) -> Result<Option<bool>, Failure> {
    let is_strict = |tool: &Tool| tool.function.as_ref().and_then(|function| function.strict) == Some(true);
    let has_required = |tool: &Tool| {
        let parameters = tool.function.as_ref().and_then(|function| function.parameters);
        let outline: Outline = parameters
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        outline.required.is_some_and(|required| !required.is_empty())
    };
    if !tools.iter().any(is_strict) {
        return Ok(None);
    }
    let can_be = tools.iter().all(|tool| is_strict(tool) && has_required(tool));
    match can_be {
        true => Ok(Some(true)),
        false if settings.refuses() => Err(refuse(
            "tools[].function.strict can be asked of Cohere for all tools alone, each with a required parameter; \
             leave it out",
        )),
        false => Ok(None),
    }
}

/// The arguments of a call in the client's history as the text of an object: the client's own where it is one. What is not
/// an object is shown to the model inside of one.
pub(crate) fn arguments(given: Option<Text<'_>>) -> Cow<'_, str> {
    let Some(Text(text)) = given else {
        return Cow::Borrowed("{}");
    };
    match text.trim_ascii() {
        "" | "null" => Cow::Borrowed("{}"),
        trimmed if trimmed.starts_with('{') && serde_json::from_str::<&RawValue>(trimmed).is_ok() => text,
        trimmed => Cow::Owned(serde_json::json!({ "arguments": trimmed }).to_string()),
    }
}
