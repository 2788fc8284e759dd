//! Whether a value is as a schema of a provider's specification says: the part of JSON Schema that those specifications use.
//! Two things are stricter than the standard: a member that the schema does not name is a mistake, since providers refuse it, and a
//! keyword that is not known here is a panic, since a check that is quietly left out is none.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::Value;

/// The schemas of one document, which refer to each other.
#[derive(Debug)]
pub struct Schemas {
    document: Value,
    is_open: bool,
}

/// What is wrong, and where. Of several ways that a value might be meant, the one that it follows furthest is complained of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The innermost first.
    place: Vec<String>,
    text: String,
    /// Whether the value is something else altogether than the schema speaks of.
    is_else: bool,
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.place.iter().rev().cloned().collect::<Vec<_>>().join(".");
        write!(out, "{place}: {}", self.text)
    }
}

type Checked = Result<(), Complaint>;

/// Words that say nothing of whether a value is right.
const SILENT: [&str; 10] = [
    "description",
    "title",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "enumDeprecated",
    "$recursiveAnchor",
    "id",
];

impl Schemas {
    /// The schemas of this document; references are pointers into it, or names of its `schemas`.
    pub fn new(document: Value) -> Schemas {
        Schemas {
            document,
            is_open: false,
        }
    }

    /// The same for a provider that passes over members that it does not know.
    pub fn open(self) -> Schemas {
        Schemas { is_open: true, ..self }
    }

    /// Whether the value is as this schema says.
    pub fn check(&self, schema: &Value, value: &Value) -> Checked {
        self.check_among(schema, value, &BTreeSet::new())
    }

    /// The same, where other parts of a schema have named these members.
    fn check_among(&self, schema: &Value, value: &Value, elsewhere: &BTreeSet<&str>) -> Checked {
        let mut parts = Vec::new();
        self.collect(schema, &mut parts);
        let named = parts
            .iter()
            .flat_map(|part| part["properties"].as_object().into_iter().flatten());
        let mut names: BTreeSet<&str> = named.map(|(name, _)| name.as_str()).collect();
        names.extend(elsewhere);
        for part in &parts {
            self.check_part(part, value, &names)?;
        }
        let is_open = |part: &&Value| {
            let more = &part["additionalProperties"];
            more == true
                || more.is_object()
                || ["anyOf", "oneOf", "$recursiveRef"]
                    .iter()
                    .any(|word| part.get(word).is_some())
        };
        let speaks_of_members = parts
            .iter()
            .any(|part| part["properties"].is_object() || part["additionalProperties"] == false);
        let unknown = value
            .as_object()
            .into_iter()
            .flatten()
            .find(|(name, _)| !names.contains(name.as_str()));
        match unknown {
            Some((name, _)) if speaks_of_members && !self.is_open && !parts.iter().any(is_open) => {
                fail(format!("`{name}` is not known"))
            }
            _ => Ok(()),
        }
    }

    /// A schema and all that hold beside it.
    fn collect<'s>(&'s self, schema: &'s Value, parts: &mut Vec<&'s Value>) {
        parts.push(schema);
        if let Some(reference) = schema["$ref"].as_str() {
            self.collect(self.resolve(reference), parts);
        }
        for schema in list(&schema["allOf"]) {
            self.collect(schema, parts);
        }
    }

    fn resolve(&self, reference: &str) -> &Value {
        let found = match reference.strip_prefix('#') {
            Some(pointer) => self.document.pointer(pointer),
            None => self.document["schemas"].get(reference),
        };
        found.unwrap_or_else(|| panic!("the specification has no {reference}"))
    }

    fn check_part(&self, part: &Value, value: &Value, names: &BTreeSet<&str>) -> Checked {
        // `true` says that everything is right.
        for (word, rule) in part.as_object().into_iter().flatten() {
            if value.is_null() && part["nullable"] == true {
                return Ok(());
            }
            match word.as_str() {
                "type" => check_type(rule, &part["format"], value)?,
                "enum" if !list(rule).contains(value) => return other(format!("{} is none of {rule}", shown(value))),
                "const" if rule != value => return other(format!("{} is not {rule}", shown(value))),
                "required" => check_required(rule, value)?,
                "properties" => self.check_members(rule, value)?,
                "additionalProperties" if rule.is_object() => self.check_others(rule, value, names)?,
                "items" => self.check_items(rule, value)?,
                "anyOf" | "oneOf" => self.check_choice(list(rule), value, names)?,
                "pattern" => check_pattern(rule, value)?,
                "format" => check_format(rule, value)?,
                "minimum" | "maximum" | "exclusiveMinimum" | "minLength" | "maxLength" | "minItems" | "maxItems"
                | "minProperties" | "maxProperties" => check_limit(word, rule, value)?,
                "additionalProperties"
                | "$ref"
                | "allOf"
                | "enum"
                | "const"
                | "nullable"
                | "discriminator"
                | "propertyNames"
                | "$recursiveRef" => {}
                silent if SILENT.contains(&silent) || silent.starts_with("x-") || silent == "enumDescriptions" => {}
                unknown => panic!("the specification says `{unknown}`, which is not known here: {part}"),
            }
        }
        Ok(())
    }

    fn check_members(&self, properties: &Value, value: &Value) -> Checked {
        let members = value.as_object().into_iter().flatten();
        let known = members.filter_map(|(name, member)| Some((name, member, properties.get(name)?)));
        known.into_iter().try_for_each(|(name, member, schema)| {
            self.check(schema, member).map_err(|complaint| complaint.within(name))
        })
    }

    fn check_others(&self, schema: &Value, value: &Value, names: &BTreeSet<&str>) -> Checked {
        let mut others = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !names.contains(name.as_str()));
        others.try_for_each(|(name, member)| self.check(schema, member).map_err(|complaint| complaint.within(name)))
    }

    fn check_items(&self, schema: &Value, value: &Value) -> Checked {
        let mut items = list(value).iter().enumerate();
        items.try_for_each(|(at, item)| {
            self.check(schema, item)
                .map_err(|complaint| complaint.within(&at.to_string()))
        })
    }

    fn check_choice(&self, choices: &[Value], value: &Value, names: &BTreeSet<&str>) -> Checked {
        let mut complaints = Vec::new();
        for choice in choices {
            match self.check_among(choice, value, names) {
                Ok(()) => return Ok(()),
                Err(complaint) => complaints.push(complaint),
            }
        }
        let depth = |complaint: &Complaint| (!complaint.is_else, complaint.place.len());
        complaints.into_iter().max_by_key(depth).map_or(Ok(()), Err)
    }
}

impl Complaint {
    /// A value says what it is meant to be in its members `type` and `role`.
    fn within(mut self, place: &str) -> Complaint {
        self.is_else &= ["type", "role"].contains(&place) && self.place.is_empty();
        self.place.push(place.to_owned());
        self
    }
}

fn check_type(rule: &Value, format: &Value, value: &Value) -> Checked {
    let is = |kind: &str| match kind {
        "string" if ["int64", "uint64"].contains(&format.as_str().unwrap_or_default()) => {
            value.is_u64() || value.is_i64() || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok())
        }
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        "any" => true,
        other => panic!("the specification has the type `{other}`, which is not known here"),
    };
    let is_right = match rule {
        Value::String(kind) => is(kind),
        kinds => list(kinds).iter().filter_map(Value::as_str).any(is),
    };
    if is_right {
        Ok(())
    } else {
        other(format!("{} is no {rule}", shown(value)))
    }
}

fn check_required(rule: &Value, value: &Value) -> Checked {
    // Google's descriptions say `required: true` of path members, in the member itself.
    let mut missing = list(rule)
        .iter()
        .filter_map(Value::as_str)
        .filter(|name| value.is_object() && value.get(name).is_none());
    missing
        .next()
        .map_or(Ok(()), |name| fail(format!("`{name}` is missing")))
}

fn check_pattern(rule: &Value, value: &Value) -> Checked {
    let (Some(pattern), Some(text)) = (rule.as_str(), value.as_str()) else {
        return Ok(());
    };
    let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("the specification's pattern {pattern}: {error}"));
    ensure(regex.is_match(text), || {
        format!("{} does not match {pattern}", shown(value))
    })
}

/// In either alphabet, padded or not.
fn check_format(rule: &Value, value: &Value) -> Checked {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    match (rule.as_str(), value.as_str()) {
        (Some("byte"), Some(text)) => ensure(text.bytes().all(is_letter), || {
            format!("{} is not Base64", shown(value))
        }),
        _ => Ok(()),
    }
}

fn check_limit(word: &str, rule: &Value, value: &Value) -> Checked {
    let size = match value {
        Value::Number(number) if !word.ends_with("s") && !word.ends_with("Length") => number.as_f64(),
        Value::String(text) if word.ends_with("Length") => Some(text.chars().count() as f64),
        Value::Array(items) if word.ends_with("Items") => Some(items.len() as f64),
        Value::Object(members) if word.ends_with("Properties") => Some(members.len() as f64),
        _ => None,
    };
    let (Some(size), Some(limit)) = (size, rule.as_f64()) else {
        return Ok(());
    };
    let is_right = match word {
        "exclusiveMinimum" => size > limit,
        word if word.starts_with("min") => size >= limit,
        _ => size <= limit,
    };
    ensure(is_right, || format!("{} is beyond the {word} of {limit}", shown(value)))
}

fn ensure(is_right: bool, text: impl FnOnce() -> String) -> Checked {
    if is_right { Ok(()) } else { fail(text()) }
}

fn fail(text: String) -> Checked {
    Err(Complaint {
        place: Vec::new(),
        text,
        is_else: false,
    })
}

fn other(text: String) -> Checked {
    Err(Complaint {
        place: Vec::new(),
        text,
        is_else: true,
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaint(schema: Value, value: Value) -> Option<String> {
        let named = json!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string", "maxLength": 3 } } });
        let schemas = Schemas::new(json!({ "schemas": { "Named": named } }));
        schemas
            .check(&schema, &value)
            .err()
            .map(|complaint| complaint.to_string())
    }

    #[test]
    fn a_value_is_held_to_every_word_of_its_schema() {
        let tool = json!({ "type": "object", "required": ["type"], "properties": { "type": { "const": "tool" }, "of": { "$ref": "Named" } } });
        let list = json!({ "type": "array", "minItems": 1, "items": { "anyOf": [tool, { "type": ["integer", "null"], "minimum": 3 }] } });
        for (value, expected) in [
            (json!([{ "type": "tool", "of": { "name": "abc" } }, 3, null]), None),
            (json!([]), Some(": [] is beyond the minItems of 1")),
            (
                json!([{ "type": "tool", "of": { "name": "abcd" } }]),
                Some("0.of.name: \"abcd\" is beyond the maxLength of 3"),
            ),
            (json!([{ "type": "tool", "of": {} }]), Some("0.of: `name` is missing")),
            (json!([{ "type": "tool", "if": 1 }]), Some("0: `if` is not known")),
        ] {
            assert_eq!(complaint(list.clone(), value).as_deref(), expected);
        }
        assert!(complaint(list, json!([2])).is_some());
    }

    #[test]
    fn parts_of_a_schema_know_each_others_members() {
        let both = json!({ "allOf": [{ "$ref": "Named" }, { "properties": { "age": { "type": "integer" } } }] });
        assert_eq!(complaint(both.clone(), json!({ "name": "a", "age": 3 })), None);
        assert_eq!(
            complaint(both.clone(), json!({ "name": "a", "size": 3 })).as_deref(),
            Some(": `size` is not known")
        );
        assert_eq!(
            complaint(both, json!({ "name": "a", "age": 0.5 })).as_deref(),
            Some("age: 0.5 is no \"integer\"")
        );
    }

    #[test]
    #[should_panic(expected = "`sometimes`")]
    fn a_word_that_is_not_known_is_no_check_that_passes() {
        complaint(json!({ "sometimes": true }), json!(1));
    }
}
