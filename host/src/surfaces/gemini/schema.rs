//! Schemas: Gemini's subset of OpenAPI becomes JSON Schema, which is what everybody else reads.

use bytes::Bytes;

use super::super::chat::wrong_type;
use super::{LIMITS, camel, member};
use crate::error::ApiError;
use crate::json::{Document, Kind, Value, Writer};

/// Members that count, which the API writes as texts.
const COUNTS: [&str; 6] = [
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
];

/// The schema in JSON Schema's words. An object has no members but those that it names, as Gemini writes none.
pub(super) fn json(schema: Value<'_>, place: &str) -> Result<String, ApiError> {
    let mut to = Writer::with_capacity(schema.raw().len() + 64);
    write(&mut to, schema, place)?;
    Ok(String::from_utf8(to.finish()).unwrap_or_default())
}

fn write(to: &mut Writer, schema: Value<'_>, place: &str) -> Result<(), ApiError> {
    if schema.kind() != Kind::Object {
        return Err(wrong_type(place, "a schema"));
    }
    let is_nullable = schema.field("nullable").and_then(|is| is.as_bool()) == Some(true);
    to.open('{');
    for (name, value) in schema.members() {
        let name = camel(&name.as_str().unwrap_or_default());
        let place = || format!("{place}.{name}");
        match &*name {
            _ if value.is_null() => {}
            // What these say is said elsewhere, or guides Gemini alone.
            "nullable" | "propertyOrdering" | "example" => {}
            "type" => kind(to, value, is_nullable),
            "enum" if is_nullable => {
                to.key("enum");
                to.open('[');
                value.elements().for_each(|one| to.raw(one.raw()));
                to.raw("null");
                to.close(']');
            }
            "properties" => {
                to.key("properties");
                to.open('{');
                for (name, property) in value.members() {
                    to.raw(name.raw());
                    to.colon();
                    write(to, property, &place())?;
                }
                to.close('}');
                if member(schema, "additionalProperties").is_none() {
                    to.member("additionalProperties", "false");
                }
            }
            "items" | "additionalProperties" if value.kind() == Kind::Object => {
                to.key(&name);
                write(to, value, &place())?;
            }
            "anyOf" => {
                to.key("anyOf");
                to.open('[');
                for one in value.elements() {
                    write(to, one, &place())?;
                }
                if is_nullable && schema.field("type").is_none() {
                    to.raw(r#"{"type":"null"}"#);
                }
                to.close(']');
            }
            counted if COUNTS.contains(&counted) => match value.as_str() {
                Some(count) => to.number(counted, count.parse().map_err(|_| wrong_type(&place(), "a number"))?),
                None => to.member(counted, value.raw()),
            },
            _ => {
                to.string(&name);
                to.colon();
                to.raw(value.raw());
            }
        }
    }
    to.close('}');
    Ok(())
}

/// Types are written in capitals there.
fn kind(to: &mut Writer, value: Value<'_>, is_nullable: bool) {
    let Some(word) = value.as_str() else {
        return to.member("type", value.raw());
    };
    let word = word.to_ascii_lowercase();
    match (&*word, is_nullable) {
        ("type_unspecified", _) => {}
        (_, false) => to.text("type", &word),
        (_, true) => {
            to.key("type");
            to.open('[');
            to.string(&word);
            to.string("null");
            to.close(']');
        }
    }
}

/// Whether every object in a schema names all of its members and has no others, which is what OpenAI enforces.
pub(super) fn is_strict(schema: &str) -> bool {
    let schema = Document::parse(Bytes::copy_from_slice(schema.as_bytes()), LIMITS);
    schema.is_ok_and(|schema| is_closed(schema.root()))
}

fn is_closed(schema: Value<'_>) -> bool {
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
            .all(|(_, one)| is_closed(one))
        && schema.field("items").is_none_or(is_closed)
        && alternatives.into_iter().all(is_closed)
}
