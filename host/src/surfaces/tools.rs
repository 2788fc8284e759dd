//! Tools that a provider runs by itself, in the words of any surface.

use crate::json::{Kind, Value};

/// Types of tools that begin so are run by the client, which sends what came of them in its next request.
const RUN_BY_CLIENTS: [&str; 9] = [
    "function",
    "custom",
    "bash",
    "text_editor",
    "computer",
    "memory",
    "local_shell",
    "shell",
    "apply_patch",
];

/// Searches that one tool of a provider's makes for a request at most, as far as it is known, where the request names no number.
const MOST_SEARCHES: u64 = 32;

/// How much of a request lets its provider read what does not stand in it: tools that it runs by itself, as a search is, in the
/// words of any surface.
pub(super) fn open(body: Value<'_>) -> u32 {
    u32::try_from(run_by_provider(body).count() + beside(body)).unwrap_or(u32::MAX)
}

/// The most searches that these tools make, which some providers bill each: what the request names as the most, or an estimate.
pub(super) fn searches(body: Value<'_>) -> u64 {
    let number = |value: Option<Value<'_>>| value.and_then(|value| value.as_u64());
    let all = number(body.field("max_tool_calls"));
    let each = run_by_provider(body).map(|tool| number(tool.field("max_uses")).or(all).unwrap_or(MOST_SEARCHES));
    let beside = MOST_SEARCHES * beside(body) as u64;
    each.fold(beside, u64::saturating_add)
}

fn run_by_provider(body: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    let tools = body.field("tools").filter(|tools| tools.kind() == Kind::Array);
    let tools = tools.into_iter().flat_map(|tools| tools.elements());
    tools.filter(|tool| is_run_by_provider(*tool))
}

fn is_run_by_provider(tool: Value<'_>) -> bool {
    match tool.get("type").and_then(|kind| kind.as_str()) {
        // OpenAI runs a shell in a container of its own where the tool says so.
        Some(kind) if kind == "shell" => {
            let place = tool.field("environment").and_then(|place| place.get("type")?.as_str());
            place.is_some_and(|place| place != "local")
        }
        Some(kind) => !RUN_BY_CLIENTS.iter().any(|known| kind.starts_with(known)),
        // Gemini's are told apart by what they have; Anthropic's functions by their names.
        None => {
            let is_function = |name: &str| matches!(name, "functionDeclarations" | "function_declarations");
            tool.field("name").is_none()
                && tool
                    .members()
                    .any(|(name, value)| !value.is_null() && !name.as_str().is_some_and(|name| is_function(&name)))
        }
    }
}

/// Members beside the tools that have the provider search: OpenAI's, Anthropic's, OpenRouter's, xAI's, Qwen's.
fn beside(body: Value<'_>) -> usize {
    let members = [
        "web_search_options",
        "mcp_servers",
        "plugins",
        "search_parameters",
        "enable_search",
    ];
    let is_asked = |value: Value<'_>| !value.is_null() && value.raw() != "false";
    let asked = members.iter().filter(|name| body.field(name).is_some_and(is_asked));
    asked.count()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::json::{Document, Limits};

    #[test]
    fn what_a_provider_runs_is_told_from_what_clients_run_and_has_a_most() {
        for (body, tools, most) in [
            (
                r#"{"tools":[{"type":"function","function":{}},{"name":"f","input_schema":{}}]}"#,
                0,
                0,
            ),
            (
                r#"{"tools":[{"type":"web_search"},{"type":"web_search_20250305","max_uses":5}]}"#,
                2,
                37,
            ),
            (r#"{"tools":[{"type":"web_search"}],"max_tool_calls":3}"#, 1, 3),
            (
                r#"{"tools":[{"type":"shell"},{"type":"local_shell"},{"type":"shell","environment":{"type":"local"}}]}"#,
                0,
                0,
            ),
            (
                r#"{"tools":[{"type":"shell","environment":{"type":"container_auto"}}]}"#,
                1,
                32,
            ),
            (r#"{"tools":[{"googleSearch":{}},{"functionDeclarations":[]}]}"#, 1, 32),
            (
                r#"{"plugins":[{"id":"web"}],"search_parameters":{"mode":"on"},"enable_search":true}"#,
                3,
                96,
            ),
            (r#"{"enable_search":false,"web_search_options":null}"#, 0, 0),
        ] {
            let document = Document::parse(Bytes::from_static(body.as_bytes()), Limits::default()).unwrap();
            assert_eq!(
                (open(document.root()), searches(document.root())),
                (tools, most),
                "{body}"
            );
        }
    }
}
