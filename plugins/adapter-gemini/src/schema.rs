//! JSON Schema in the words of the provider's older subset, for models that take nothing else: references are written
//! out, `const` is an `enum` of one, a type with `null` beside it is `nullable`, `oneOf` is `anyOf`, the order of
//! properties is said in `propertyOrdering`, and what the subset cannot say is left out.

use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Members, Raw, Text, read, refuse};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// References that refer to themselves have no end.
const DEEPEST: usize = 24;

/// References may be used many times over, each time written out.
const MOST: usize = 4000;

/// Members that mean the same in both.
const SAME: [&str; 5] = ["title", "description", "pattern", "minimum", "maximum"];

/// Counts, which the provider's JSON has as strings.
const COUNTS: [&str; 6] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

struct Writer<'a, 'w> {
    root: Raw<'a>,
    what: &'w dyn Fn() -> String,
    written: usize,
}

/// `what` names the schema in failures.
pub(crate) fn subset(root: Raw, what: &dyn Fn() -> String) -> Result<Value, Failure> {
    let mut writer = Writer { root, what, written: 0 };
    Ok(Value::Object(writer.write(root, 0)?))
}

impl<'a> Writer<'a, '_> {
    fn write(&mut self, schema: Raw<'a>, depth: usize) -> Result<Map<String, Value>, Failure> {
        self.written += 1;
        if depth > DEEPEST || self.written > MOST {
            return Err(refuse(format!(
                "{} refers to itself, or is too large for this model of Gemini; write it out, or use a newer model",
                (self.what)()
            )));
        }
        // `true` and `false` are schemas too, and say nothing that can be said here.
        if !schema.get().starts_with('{') {
            return Ok(Map::new());
        }
        let given: Members = self.read(schema)?;
        let mut written = self.write_bases(&given, depth)?;
        self.copy(&given, &mut written)?;
        self.write_type(&given, &mut written)?;
        self.write_choices(&given, &mut written, depth)?;
        self.write_properties(&given, &mut written, depth)?;
        self.write_items(&given, &mut written, depth)?;
        Ok(alone(written))
    }

    /// What the schema stands on: the one it refers to, and all of `allOf`.
    fn write_bases(&mut self, given: &Members<'a>, depth: usize) -> Result<Map<String, Value>, Failure> {
        let mut bases = Vec::new();
        if let Some(reference) = given.get("$ref") {
            let path: Text = self.read(reference)?;
            bases.push(self.resolve(&path.0)?);
        }
        if let Some(all) = given.get("allOf") {
            bases.extend(self.read::<Vec<Raw>>(all)?);
        }
        let mut written = Map::new();
        for base in bases {
            for (name, value) in self.write(base, depth + 1)? {
                join(&mut written, name, value);
            }
        }
        Ok(written)
    }

    fn copy(&self, given: &Members<'a>, written: &mut Map<String, Value>) -> Result<(), Failure> {
        for name in SAME {
            if let Some(raw) = given.get(name) {
                written.insert(name.to_owned(), self.read(raw)?);
            }
        }
        for name in COUNTS {
            if let Some(raw) = given.get(name) {
                written.insert(name.to_owned(), Value::from(raw.get().trim_matches('"')));
            }
        }
        if let Some(raw) = given.get("nullable") {
            written.insert("nullable".to_owned(), self.read(raw)?);
        }
        Ok(())
    }

    fn write_type(&self, given: &Members<'a>, written: &mut Map<String, Value>) -> Result<(), Failure> {
        let types: Vec<Text> = match given.get("type") {
            Some(raw) if raw.get().starts_with('[') => self.read(raw)?,
            Some(raw) => vec![self.read(raw)?],
            None if given.get("properties").is_some() => vec![Text("object".into())],
            None if given.get("items").is_some() => vec![Text("array".into())],
            None => Vec::new(),
        };
        let is_nullable = types.len() > 1 && types.iter().any(|kind| kind.0.eq_ignore_ascii_case("null"));
        if is_nullable {
            written.insert("nullable".to_owned(), Value::Bool(true));
        }
        let mut names: Vec<String> = types.iter().map(|kind| kind.0.to_ascii_uppercase()).collect();
        names.retain(|name| !(is_nullable && name == "NULL"));
        let is_object = given.get("properties").is_some() && names.iter().any(|name| name == "OBJECT");
        let is_list = given.get("items").is_some() && names.iter().any(|name| name == "ARRAY");
        match names.as_slice() {
            [] => {}
            _ if is_object => drop(written.insert("type".to_owned(), Value::from("OBJECT"))),
            _ if is_list => drop(written.insert("type".to_owned(), Value::from("ARRAY"))),
            [name] => drop(written.insert("type".to_owned(), Value::from(name.as_str()))),
            names => {
                let choice = |name: &String| match name.as_str() {
                    "ARRAY" => json!({ "type": name, "items": { "type": "STRING" } }),
                    name => json!({ "type": name }),
                };
                let choices: Vec<Value> = names.iter().map(choice).collect();
                written.insert("anyOf".to_owned(), choices.into());
            }
        }
        if let Some(format) = given.get("format") {
            let format: Text = self.read(format)?;
            let is_known = ["date-time", "float", "double", "int32", "int64"].contains(&format.0.as_ref());
            if is_known {
                written.insert("format".to_owned(), Value::from(format.0));
            }
        }
        self.write_enum(given, written)
    }

    /// Only texts can be listed; other values are told to the model in the description.
    fn write_enum(&self, given: &Members<'a>, written: &mut Map<String, Value>) -> Result<(), Failure> {
        let mut values: Vec<Value> = match (given.get("const"), given.get("enum")) {
            (Some(only), _) => vec![self.read(only)?],
            (None, Some(list)) => self.read(list)?,
            (None, None) => return Ok(()),
        };
        if values.len() > 1 && values.iter().any(Value::is_null) {
            written.insert("nullable".to_owned(), Value::Bool(true));
            values.retain(|value| !value.is_null());
        }
        if values.iter().all(Value::is_string) {
            written.insert("type".to_owned(), Value::from("STRING"));
            written.insert("enum".to_owned(), values.into());
            return Ok(());
        }
        let texts: Vec<String> = values.iter().map(Value::to_string).collect();
        let before = written.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = format!("{before} One of: {}.", texts.join(", "));
        written.insert("description".to_owned(), Value::from(description.trim_start()));
        Ok(())
    }

    fn write_choices(
        &mut self,
        given: &Members<'a>,
        written: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Failure> {
        let Some(raw) = given.get("anyOf").or_else(|| given.get("oneOf")) else {
            return Ok(());
        };
        let mut choices = Vec::new();
        for choice in self.read::<Vec<Raw>>(raw)? {
            let choice = self.write(choice, depth + 1)?;
            match choice.get("type").and_then(Value::as_str) {
                Some("NULL") => drop(written.insert("nullable".to_owned(), Value::Bool(true))),
                _ => choices.push(Value::Object(choice)),
            }
        }
        match choices.pop() {
            Some(Value::Object(only)) if choices.is_empty() => {
                for (name, value) in only {
                    written.entry(name).or_insert(value);
                }
            }
            Some(last) => {
                choices.push(last);
                written.insert("anyOf".to_owned(), choices.into());
            }
            None => {}
        }
        Ok(())
    }

    fn write_properties(
        &mut self,
        given: &Members<'a>,
        written: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Failure> {
        if let Some(raw) = given.get("properties") {
            let properties: Members = self.read(raw)?;
            for (name, schema) in properties.given() {
                let schema = self.write(schema, depth + 1)?;
                join(written, "properties".to_owned(), json!({ name: schema }));
                join(written, "propertyOrdering".to_owned(), json!([name]));
            }
        }
        if let Some(raw) = given.get("required") {
            let names: Vec<Value> = self.read(raw)?;
            let is_known = |name: &Value| {
                name.as_str()
                    .is_some_and(|name| written.get("properties").is_some_and(|all| all.get(name).is_some()))
            };
            let known: Vec<Value> = names.into_iter().filter(is_known).collect();
            if !known.is_empty() {
                join(written, "required".to_owned(), known.into());
            }
        }
        Ok(())
    }

    /// A list has to say of what; where the schema does not, of texts.
    fn write_items(
        &mut self,
        given: &Members<'a>,
        written: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Failure> {
        let items = match (given.get("items"), given.get("prefixItems")) {
            (Some(items), _) if items.get().starts_with('{') => Value::Object(self.write(items, depth + 1)?),
            (_, Some(several)) => {
                let several: Vec<Raw> = self.read(several)?;
                let written: Result<Vec<_>, _> = several.into_iter().map(|one| self.write(one, depth + 1)).collect();
                json!({ "anyOf": written? })
            }
            _ if written.get("type").is_some_and(|kind| kind == "ARRAY") && !written.contains_key("items") => {
                json!({ "type": "STRING" })
            }
            _ => return Ok(()),
        };
        written.insert("items".to_owned(), items);
        Ok(())
    }

    /// `#/$defs/Place`, and any other place in the same schema.
    fn resolve(&self, path: &str) -> Result<Raw<'a>, Failure> {
        let unknown = || refuse(format!("{} refers to `{path}`, which it does not have", (self.what)()));
        let names = path.strip_prefix('#').ok_or_else(unknown)?;
        names.split('/').skip(1).try_fold(self.root, |schema, name| {
            let name = name.replace("~1", "/").replace("~0", "~");
            let members: Members = serde_json::from_str(schema.get()).map_err(|_| unknown())?;
            members.get(&name).ok_or_else(unknown)
        })
    }

    fn read<T: Deserialize<'a>>(&self, raw: &'a RawValue) -> Result<T, Failure> {
        read(raw.get(), &(self.what)())
    }
}

/// Choices have to stand alone: what is said of all of them is said of each. Where there is more than can be, they go.
fn alone(mut schema: Map<String, Value>) -> Map<String, Value> {
    if schema.contains_key("properties") || schema.contains_key("items") {
        schema.remove("anyOf");
    }
    let Some(Value::Array(mut choices)) = schema.remove("anyOf") else {
        return schema;
    };
    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["description", "nullable"] {
            if let Some(value) = schema.get(name) {
                choice.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    Map::from_iter([("anyOf".to_owned(), choices.into())])
}

/// Adds to what is there: members to members, elements to elements; anything else takes its place.
fn join(written: &mut Map<String, Value>, name: String, value: Value) {
    match (written.get_mut(&name), value) {
        (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
        (Some(Value::Array(before)), Value::Array(more)) => {
            for element in more {
                if !before.contains(&element) {
                    before.push(element);
                }
            }
        }
        (_, value) => drop(written.insert(name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(schema: &str) -> Value {
        let raw: Raw = serde_json::from_str(schema).expect("a schema is JSON");
        subset(raw, &|| "the schema".to_owned()).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    #[test]
    fn properties_keep_their_order() {
        let schema = written(r#"{"properties": {"z": {"type": "string"}, "a": {"type": "string"}}}"#);
        assert_eq!(schema["propertyOrdering"], json!(["z", "a"]));
        assert_eq!(schema["type"], "OBJECT");
    }

    #[test]
    fn choices_stand_alone() {
        let schema =
            written(r#"{"description": "d", "anyOf": [{"type": "string"}, {"type": "null"}, {"const": "x"}]}"#);
        let text = json!({ "type": "STRING", "description": "d", "nullable": true });
        let only = json!({ "type": "STRING", "enum": ["x"], "description": "d", "nullable": true });
        assert_eq!(schema, json!({ "anyOf": [text, only] }));
        let list = written(r#"{"type": ["array", "string"]}"#);
        assert_eq!(
            list,
            json!({ "anyOf": [{ "type": "ARRAY", "items": { "type": "STRING" } }, { "type": "STRING" }] })
        );
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        for schema in [r##"{"$ref": "#/$defs/x"}"##, r#"{"$ref": "https://a.example/x"}"#] {
            let raw: Raw = serde_json::from_str(schema).expect("a schema is JSON");
            let failure = subset(raw, &|| "the schema".to_owned()).expect_err("there is no such place");
            assert!(
                failure.message.contains("which it does not have"),
                "{}",
                failure.message
            );
        }
    }
}
