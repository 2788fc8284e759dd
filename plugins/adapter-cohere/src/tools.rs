//! Tools, and which of them are strict.

use crate::body::{self, NoProperties, Schema};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::Function;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// As much of a schema as strictness hangs on.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline {
    required: Option<Vec<IgnoredAny>>,
}

pub(crate) fn describe(function: Function) -> body::Tool {
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

/// Here strictness is of all tools or of none, and each needs a required parameter.
pub(crate) fn are_strict(tools: &[Function], settings: &Settings) -> Result<Option<bool>, Failure> {
    let is_strict = |tool: &Function| tool.strict == Some(true);
    let has_required = |tool: &Function| {
        let outline: Option<Outline> = tool.parameters.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let required = outline.unwrap_or_default().required;
        required.is_some_and(|required| !required.is_empty())
    };
    if !tools.iter().any(is_strict) {
        return Ok(None);
    }
    if tools.iter().all(|tool| is_strict(tool) && has_required(tool)) {
        return Ok(Some(true));
    }
    settings
        .losses
        .leave_out("tools[].function.strict (of some tools, or without required parameters)")?;
    Ok(None)
}
