//! The specifications that providers publish, which requests to them are held to: OpenAPI in YAML, Amazon's models of its services, and
//! Google's discovery documents. They are not part of this repository; `POINTSMAN_SHARED` names the folder that has them.

use std::path::PathBuf;
use std::{env, fs};

use regex_lite::Regex;
use serde_json::{Map, Value, json};
use xtask::workspace;
use yaml_rust2::{Yaml, YamlLoader};

use crate::absent::not_tested;
use crate::provider::Received;
use crate::schema::Schemas;

/// What a provider says of the bodies that are posted to it.
#[derive(Debug)]
pub struct Specification {
    schemas: Schemas,
    operations: Vec<Operation>,
    /// Azure and Vertex have others' dialects at addresses of their own: there, where it is specified, and what is said otherwise.
    elsewhere: Option<Elsewhere>,
}

/// The addresses, the one that they stand for, and what is otherwise in a body that is sent there.
type Elsewhere = (Regex, String, fn(&mut Value));

#[derive(Debug)]
struct Operation {
    path: Regex,
    body: Value,
}

/// The folder of what is shared, if it is there; says so if it is not.
pub fn shared(name: &str) -> Option<PathBuf> {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    not_tested(
        &format!("there is nothing at {}", folder.display()),
        "set POINTSMAN_SHARED",
    );
    None
}

impl Specification {
    /// An OpenAPI file among the specifications.
    pub fn openapi(file: &str) -> Option<Specification> {
        let documents = YamlLoader::load_from_str(&read(file)?).unwrap_or_else(|error| panic!("{file}: {error}"));
        let document = json_of(documents.into_iter().next().expect("a document"));
        let server = document["servers"][0]["url"].as_str().unwrap_or_default();
        let (_, server) = server.split_once("://").unwrap_or_default();
        let base = server.find('/').map_or("", |at| server[at..].trim_end_matches('/'));
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            let body = &methods["post"]["requestBody"]["content"]["application/json"]["schema"];
            if body.is_object() {
                operations.push(Operation::new(&format!("{base}{path}"), body.clone()));
            }
        }
        Some(Specification::new(document, operations))
    }

    /// Amazon's model of a service. Its shapes become schemas: a union has one member, a document is anything.
    pub fn smithy(file: &str) -> Option<Specification> {
        let model: Value = serde_json::from_str(&read(file)?).unwrap_or_else(|error| panic!("{file}: {error}"));
        let shapes = model["shapes"].as_object().expect("a model has shapes");
        let schemas: Map<String, Value> = shapes
            .iter()
            .map(|(name, shape)| (name.clone(), schema_of(shape)))
            .collect();
        let operations = model["operations"]
            .as_object()
            .expect("a model has operations")
            .values();
        let posted = operations
            .filter(|operation| operation["http"]["method"] == "POST")
            .map(|operation| {
                let path = operation["http"]["requestUri"].as_str().unwrap_or_default();
                Operation::new(path, json!({ "$ref": operation["input"]["shape"] }))
            });
        let operations = posted.collect();
        Some(Specification::new(json!({ "schemas": schemas }), operations))
    }

    /// A discovery document of Google's.
    pub fn discovery(file: &str) -> Option<Specification> {
        let document: Value = serde_json::from_str(&read(file)?).unwrap_or_else(|error| panic!("{file}: {error}"));
        let methods = document["methods"]
            .as_object()
            .expect("a document has methods")
            .values();
        let posted = methods.filter(|method| method["httpMethod"] == "POST").map(|method| {
            let path = format!("/{}", method["flatPath"].as_str().unwrap_or_default());
            Operation::new(&path, method["request"].clone())
        });
        let operations = posted.collect();
        Some(Specification::new(document, operations))
    }

    fn new(document: Value, operations: Vec<Operation>) -> Specification {
        assert!(!operations.is_empty(), "a specification of nothing");
        Specification {
            schemas: Schemas::new(document),
            operations,
            elsewhere: None,
        }
    }

    /// The same of a provider that passes over members that it does not know.
    pub fn open(self) -> Specification {
        Specification {
            schemas: self.schemas.open(),
            ..self
        }
    }

    /// The same at another's address, where some of a body is said in other ways, which this undoes.
    pub fn at(self, place: &str, own_path: &str, undo: fn(&mut Value)) -> Specification {
        Specification {
            elsewhere: Some((pattern(place), own_path.to_owned(), undo)),
            ..self
        }
    }

    /// What is wrong with a request, if anything is.
    pub fn complaint(&self, received: &Received) -> Option<String> {
        let kind = received.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Some(format!("the type of the body is `{kind}`"));
        }
        let path = received.path.split('?').next().unwrap_or_default();
        let mut body = match serde_json::from_slice(&received.body) {
            Ok(body) => body,
            Err(error) => return Some(format!("the body is not JSON: {error}")),
        };
        match &self.elsewhere {
            Some((place, own_path, undo)) if place.is_match(path) => {
                undo(&mut body);
                self.complaint_at(own_path, &body)
            }
            Some(_) => Some(format!("there is no POST {path}")),
            None => self.complaint_at(path, &body),
        }
    }

    /// What is wrong with a body that is posted there, if anything is.
    pub fn complaint_at(&self, path: &str, body: &Value) -> Option<String> {
        let mut served = self.operations.iter();
        let Some(operation) = served.find(|operation| operation.path.is_match(path)) else {
            return Some(format!("there is no POST {path}"));
        };
        self.schemas
            .check(&operation.body, body)
            .err()
            .map(|complaint| complaint.to_string())
    }
}

impl Operation {
    fn new(path: &str, body: Value) -> Operation {
        let path = pattern(path);
        Operation { path, body }
    }
}

/// A path with names in braces, each of which is one segment or, as `{name+}`, several.
fn pattern(path: &str) -> Regex {
    let mut pattern = String::from("^");
    for (at, part) in path.split(['{', '}']).enumerate() {
        match at % 2 {
            0 => pattern += &regex_lite::escape(part),
            _ if part.ends_with('+') => pattern += ".+",
            _ => pattern += "[^/]+",
        }
    }
    Regex::new(&(pattern + "$")).expect("a path is a pattern")
}

/// A shape as a schema. Members that are said in the path or a header are none of the body's.
fn schema_of(shape: &Value) -> Value {
    let reference = |of: &Value| json!({ "$ref": of["shape"] });
    let is_elsewhere = |member: &Value| member["location"].is_string();
    let limits = |least: &str, most: &str| {
        let found = [(least, &shape["min"]), (most, &shape["max"])];
        let found = found.into_iter().filter(|(_, limit)| limit.is_number());
        found
            .map(|(word, limit)| (word.to_owned(), limit.clone()))
            .collect::<Map<_, _>>()
    };
    let with = |mut schema: Map<String, Value>, rules: Value| {
        schema.extend(
            rules
                .as_object()
                .into_iter()
                .flatten()
                .map(|(word, rule)| (word.clone(), rule.clone())),
        );
        Value::Object(schema)
    };
    match shape["type"].as_str().unwrap_or_default() {
        _ if shape["document"] == true => json!({}),
        "structure" => {
            let members = shape["members"].as_object().into_iter().flatten();
            let members: Map<String, Value> = members
                .filter(|(_, member)| !is_elsewhere(member))
                .map(|(name, member)| (name.clone(), reference(member)))
                .collect();
            let required = shape["required"].as_array().into_iter().flatten();
            let required: Vec<&Value> = required
                .filter(|name| members.contains_key(name.as_str().unwrap_or_default()))
                .collect();
            let rules =
                json!({ "type": "object", "additionalProperties": false, "required": required, "properties": members });
            let one = json!({ "minProperties": 1, "maxProperties": 1 });
            with(
                if shape["union"] == true {
                    one.as_object().cloned().unwrap_or_default()
                } else {
                    Map::new()
                },
                rules,
            )
        }
        "list" => with(
            limits("minItems", "maxItems"),
            json!({ "type": "array", "items": reference(&shape["member"]) }),
        ),
        "map" => {
            let rules = json!({ "type": "object", "additionalProperties": reference(&shape["value"]) });
            with(limits("minProperties", "maxProperties"), rules)
        }
        "string" => {
            let words = ["enum", "pattern"].into_iter().filter(|word| !shape[*word].is_null());
            let rules: Map<String, Value> = words.map(|word| (word.to_owned(), shape[word].clone())).collect();
            let mut schema = with(limits("minLength", "maxLength"), Value::Object(rules));
            schema["type"] = "string".into();
            schema
        }
        // What is limited are the bytes, which are Base64 in JSON.
        "blob" => json!({ "type": "string", "format": "byte" }),
        "integer" | "long" => with(limits("minimum", "maximum"), json!({ "type": "integer" })),
        "float" | "double" => with(limits("minimum", "maximum"), json!({ "type": "number" })),
        "boolean" => json!({ "type": "boolean" }),
        "timestamp" => json!({ "type": "number" }),
        other => panic!("the model has shapes of the type `{other}`, which is not known here"),
    }
}

fn json_of(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Hash(members) => {
            let name = |name: Yaml| name.clone().into_string().unwrap_or_else(|| json_of(name).to_string());
            members
                .into_iter()
                .map(|(own, value)| (name(own), json_of(value)))
                .collect()
        }
        Yaml::Array(items) => items.into_iter().map(json_of).collect(),
        Yaml::String(text) => text.into(),
        Yaml::Boolean(flag) => flag.into(),
        Yaml::Integer(number) => number.into(),
        Yaml::Real(number) => number.parse::<f64>().expect("a number").into(),
        Yaml::Null => Value::Null,
        other => panic!("{other:?} is not known here"),
    }
}

fn read(file: &str) -> Option<String> {
    let file = shared("wire/specs")?.join(file);
    Some(fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_held_to_as_a_schema() {
        let shapes = json!({
            "Ask": { "type": "structure", "required": ["modelId", "parts"], "members": {
                "modelId": { "shape": "Name", "location": "uri" }, "parts": { "shape": "Parts" } } },
            "Parts": { "type": "list", "member": { "shape": "Part" }, "min": 1 },
            "Part": { "type": "structure", "union": true, "members": { "text": { "shape": "Name" }, "bytes": { "shape": "Bytes" } } },
            "Name": { "type": "string", "pattern": "^[a-z]+$" },
            "Bytes": { "type": "blob", "min": 1 },
        });
        let schemas: Map<String, Value> = shapes
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, shape)| (name.clone(), schema_of(shape)))
            .collect();
        let operations = vec![Operation::new("/ask/{modelId}", json!({ "$ref": "Ask" }))];
        let specification = Specification::new(json!({ "schemas": schemas }), operations);
        let complaint = |body: Value| specification.complaint_at("/ask/me", &body);
        assert_eq!(
            complaint(json!({ "parts": [{ "text": "a" }, { "bytes": "AA==" }] })),
            None
        );
        for (body, expected) in [
            (json!({}), ": `parts` is missing"),
            (
                json!({ "parts": [{ "text": "a", "bytes": "" }] }),
                "parts.0: {\"bytes\":\"\",\"text\":\"a\"} is beyond the maxProperties of 1",
            ),
            (
                json!({ "parts": [{ "bytes": "!" }] }),
                "parts.0.bytes: \"!\" is not Base64",
            ),
            (
                json!({ "parts": [{ "text": "A" }] }),
                "parts.0.text: \"A\" does not match ^[a-z]+$",
            ),
            (json!({ "parts": [{ "image": "A" }] }), "parts.0: `image` is not known"),
        ] {
            assert_eq!(complaint(body).as_deref(), Some(expected));
        }
        assert_eq!(
            specification.complaint_at("/ask", &json!({})).as_deref(),
            Some("there is no POST /ask")
        );
    }
}
