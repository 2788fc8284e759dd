//! Where the recordings are, and how they are read.

use pointsman_plugin::Target;
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) struct Recording {
    pub(crate) id: String,
    pub(crate) is_streamed: bool,
    pub(crate) status: u16,
    pub(crate) case: Value,
    pub(crate) body: String,
}

/// `None`, and a line that says so, where there are none.
pub(crate) fn recordings_of(wire: &str) -> Option<Vec<Recording>> {
    let root = shared()?.join("wire/fixtures");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let index: Value = serde_json::from_str(&read("index.json")).expect("the index is JSON");
    let entries = index["cases"].as_array().expect("the index lists cases");
    let wanted = entries.iter().filter(|entry| entry["wire"] == wire);
    let recording = |entry: &Value| Recording {
        id: string(&entry["id"]),
        is_streamed: entry["streamed"] == true,
        status: entry["status"].as_u64().expect("an entry has a status") as u16,
        case: serde_json::from_str(&read(&string(&entry["case"]))).expect("a case is JSON"),
        body: read(&string(&entry["body"])),
    };
    Some(wanted.map(recording).collect())
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("POINTSMAN_SHARED").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: there are no recordings at {}; set POINTSMAN_SHARED",
        folder.display()
    );
    None
}

pub(crate) fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
        request_id: "request".to_owned(),
        now_ms: 1_750_000_000_000,
    }
}

pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
