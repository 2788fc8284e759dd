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

/// How much of a request lets its provider read what does not stand in it: tools that it runs by itself, as a search is, in the
/// words of any surface.
pub(super) fn open(body: Value<'_>) -> u32 {
    let is_open = |tool: Value<'_>| match tool.get("type").and_then(|kind| kind.as_str()) {
        Some(kind) => !RUN_BY_CLIENTS.iter().any(|known| kind.starts_with(known)),
        // Gemini's are told apart by what they have; Anthropic's functions by their names.
        None => {
            let is_function = |name: &str| matches!(name, "functionDeclarations" | "function_declarations");
            tool.field("name").is_none()
                && tool
                    .members()
                    .any(|(name, value)| !value.is_null() && !name.as_str().is_some_and(|name| is_function(&name)))
        }
    };
    let tools = body.field("tools").filter(|tools| tools.kind() == Kind::Array);
    let tools = tools
        .into_iter()
        .flat_map(|tools| tools.elements())
        .filter(|tool| is_open(*tool));
    let beside = ["web_search_options", "mcp_servers"];
    let beside = beside
        .iter()
        .filter(|name| body.field(name).is_some_and(|value| !value.is_null()));
    u32::try_from(tools.count() + beside.count()).unwrap_or(u32::MAX)
}
