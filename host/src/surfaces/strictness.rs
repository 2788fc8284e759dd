//! Which schemas OpenAI can hold an answer to strictly. Anthropic and Gemini take others, too, and hold to them.

use crate::json::Value;

/// Whether every object in a schema names all of its members and has no others, which is what OpenAI enforces.
pub(super) fn is_strict(schema: Value<'_>) -> bool {
    let required = schema.field("required");
    let is_required = |name: Value<'_>| {
        name.as_str()
            .is_some_and(|name| required.is_some_and(|all| all.elements().any(|one| one.is(&name))))
    };
    let properties = schema.field("properties");
    let names_all = properties.is_some_and(|properties| properties.members().all(|(name, _)| is_required(name)));
    let has_no_others = schema
        .field("additionalProperties")
        .is_some_and(|others| others.as_bool() == Some(false));
    let is_object = schema.field("type").is_some_and(|kind| kind.is("object")) || properties.is_some();
    let inside = |group: &str| schema.field(group).into_iter().flat_map(|group| group.members());
    let alternatives = schema.field("anyOf").into_iter().flat_map(|all| all.elements());
    (!is_object || names_all && has_no_others)
        && inside("properties")
            .chain(inside("$defs"))
            .all(|(_, one)| is_strict(one))
        && schema.field("items").is_none_or(is_strict)
        && alternatives.into_iter().all(is_strict)
}
