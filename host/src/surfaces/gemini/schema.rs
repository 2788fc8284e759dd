//! Schemas: Gemini's subset of OpenAPI becomes JSON Schema, which is what everybody else reads.

use super::super::chat::wrong_type;
use super::{camel, member};
use crate::error::ApiError;
use crate::json::{Kind, Value, Writer};

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
