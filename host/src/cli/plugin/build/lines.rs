//! What `plugin build` says of the component that it made, and the lines that put it into service, to be copied as they stand:
//! with the configuration and the candidates of the first golden file that the plugin is to accept.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::plugin::manifest::{Kind, Project};
use crate::plugins::{Grant, Inspection};

pub(super) fn told(project: &Project, output: &Path, inspection: &Inspection) -> String {
    let name = &project.manifest.name;
    let output = output.display();
    let grants: Vec<String> = inspection.grants.iter().map(|grant| format!("\"{grant}\"")).collect();
    let imports: Vec<&str> = inspection.imports.iter().map(|import| import.name.as_str()).collect();
    let or = |list: String, none: &str| if list.is_empty() { none.to_owned() } else { list };
    let mut text = format!(
        "{output}\n  digest   sha256:{}\n  size     {} bytes\n  imports  {}\n  grants   {}\n\nIn the configuration:\n\n",
        inspection.digest,
        inspection.size,
        or(imports.join(", "), "none"),
        or(grants.join(", "), "none needed"),
    );
    match project.manifest.kind {
        Kind::Policy => {
            let (config, candidates) = example(&project.dir).unwrap_or_default();
            text.push_str(&format!("[policies.{name}]\ncomponent = \"{output}\"\n"));
            if !grants.is_empty() {
                text.push_str(&format!("grants = [{}]\n", grants.join(", ")));
            }
            if inspection.grants.contains(&Grant::Models) {
                text.push_str("models = [\"*\"]    # those that it may ask: all, or name them\n");
            }
            if let Some(config) = toml(&config) {
                text.push_str(&format!("config = {config}\n"));
            }
            let candidates = toml(&candidates).unwrap_or_else(|| "[]".to_owned());
            text.push_str(&format!(
                "\n[routes.auto]\ncandidates = {candidates}    # those of golden/: name models of your own\npolicies = [\"{name}\"]\n"
            ));
        }
        Kind::Adapter => text.push_str(&format!(
            "[providers.{name}]\nadapter = \"{output}\"\nbase_url = \"https://…\"    # the provider's\n"
        )),
    }
    text
}

/// A configuration that golden files expect to be accepted, and the ids of the candidates that go with it.
fn example(dir: &Path) -> Option<(Value, Value)> {
    let mut files: Vec<_> = fs::read_dir(dir.join("golden")).ok()?.flatten().collect();
    files.sort_by_key(fs::DirEntry::file_name);
    files.iter().find_map(|file| {
        let golden: Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        let candidates = golden["cases"].as_array()?.iter().find_map(|case| {
            let ids: Vec<Value> = case["candidates"]
                .as_array()?
                .iter()
                .map(|one| one["id"].clone())
                .collect();
            (!ids.is_empty()).then_some(ids)
        })?;
        golden["error"]
            .is_null()
            .then(|| (golden["config"].clone(), candidates.into()))
    })
}

/// JSON as TOML in one line; `null`, which TOML does not have, is left out.
fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Array(list) => format!("[{}]", list.iter().filter_map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| Some(format!("{} = {}", bare_or_quoted(key), toml(value)?));
            format!(
                "{{ {} }}",
                fields.iter().filter_map(field).collect::<Vec<_>>().join(", ")
            )
        }
        // JSON's way of writing a text is one of TOML's.
        other => other.to_string(),
    })
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_becomes_toml_that_says_the_same() {
        let value = json!({
            "words": ["a \"b\"", "ü\n\u{1}"], "odd key": { "x": 1.5, "none": null }, "is": true, "n": -3, "e": {}, "l": []
        });
        let line = format!("config = {}", toml(&value).unwrap());
        let read: toml::Table = line.parse().unwrap();
        let mut expected = value;
        expected["odd key"].as_object_mut().unwrap().remove("none");
        assert_eq!(serde_json::to_value(&read["config"]).unwrap(), expected);
    }
}
