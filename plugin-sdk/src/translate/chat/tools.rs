//! Tools, the choice among them, and the arguments of calls.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{Raw, Text, read, refuse};
use crate::Failure;

/// One of the tools that the client offers.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub function: Option<Function<'a>>,
    #[serde(borrow)]
    pub cache_control: Option<Raw<'a>>,
}

/// A function that the model may call.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub description: Option<Text<'a>>,
    #[serde(borrow)]
    pub parameters: Option<Raw<'a>>,
    pub strict: Option<bool>,
    #[serde(borrow)]
    pub cache_control: Option<Raw<'a>>,
}

/// What the model may do with the tools.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToolChoice<'a> {
    /// Whether it may, must or must not call one.
    pub mode: Mode,
    /// The only tools that may be called.
    pub among: Option<Vec<Cow<'a, str>>>,
}

/// `tool_choice` as a word.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the canonical words")]
pub enum Mode {
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

impl<'a> ToolChoice<'a> {
    /// A word, a function, or a list of those allowed.
    pub fn read(raw: Raw<'a>, provider: &str) -> Result<Self, Failure> {
        if raw.get().starts_with('"') {
            let word: Text = read(raw.get(), "tool_choice")?;
            let mode = Mode::read(&word.0)?;
            return Ok(ToolChoice { mode, among: None });
        }
        let named: Named = read(raw.get(), "tool_choice")?;
        match (named.kind.0.as_ref(), named.function, named.allowed_tools) {
            ("function", Some(function), _) => Ok(ToolChoice {
                mode: Mode::Required,
                among: Some(vec![function.name.0]),
            }),
            ("allowed_tools", _, Some(allowed)) if allowed.tools.is_empty() => Err(refuse(
                "tool_choice.allowed_tools.tools is empty; name a tool, or choose `none`",
            )),
            ("allowed_tools", _, Some(allowed)) => Ok(ToolChoice {
                mode: Mode::read(&allowed.mode.0)?,
                among: Some(allowed.tools.into_iter().map(|tool| tool.function.name.0).collect()),
            }),
            (kind, ..) => Err(refuse(format!(
                "tool_choice of type `{kind}` is not known to {provider}; name a function instead"
            ))),
        }
    }

    /// Whether a tool may be called.
    pub fn offers(&self, name: &str) -> bool {
        let among = self.among.as_ref();
        among.is_none_or(|among| among.iter().any(|known| known == name))
    }

    /// For providers that know no such list: only the tools that may be called are offered.
    pub fn offered(&self, tools: Vec<Function<'a>>) -> Result<Vec<Function<'a>>, Failure> {
        let missing = self.among.iter().flatten();
        let mut missing = missing.filter(|name| !tools.iter().any(|tool| tool.name.0 == **name));
        if let Some(name) = missing.next() {
            return Err(refuse(format!(
                "tool_choice names `{name}`, which is not among the tools"
            )));
        }
        Ok(tools.into_iter().filter(|tool| self.offers(&tool.name.0)).collect())
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

/// The arguments of a call in the client's history as the text of an object: the client's own where it is one. What is not
/// an object is shown to the model inside of one.
pub fn spelt_arguments(given: Option<Text<'_>>) -> Cow<'_, str> {
    let Some(Text(text)) = given else {
        return Cow::Borrowed("{}");
    };
    match text.trim_ascii() {
        "" | "null" => Cow::Borrowed("{}"),
        trimmed if trimmed.starts_with('{') && serde_json::from_str::<&RawValue>(trimmed).is_ok() => text,
        trimmed => Cow::Owned(serde_json::json!({ "arguments": trimmed }).to_string()),
    }
}
