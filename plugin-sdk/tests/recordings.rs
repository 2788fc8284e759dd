//! Who reads which of the recorded answers, so that none is forgotten: every file belongs to an answer, and the answers of each kind are
//! all read by a test, which knows how many there are. The recordings are not part of this repository; without them this test says
//! so and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Kinds of answers, how many there are, and the tests that read every one of them.
const READ: [(&str, usize, &str); 16] = [
    (
        "anthropic-count-tokens",
        5,
        "plugins/adapter-anthropic/tests/recorded.rs",
    ),
    ("anthropic-messages", 100, "plugins/adapter-anthropic/tests/recorded.rs"),
    ("bedrock-converse", 86, "plugins/adapter-bedrock/tests/recorded.rs"),
    ("bedrock-count-tokens", 3, "tests/it/recorded.rs"),
    ("cohere-embeddings", 2, "plugins/adapter-cohere/tests/recorded.rs"),
    ("cohere-rerank", 2, "plugins/adapter-cohere/tests/recorded.rs"),
    ("cohere-v2-chat", 41, "plugins/adapter-cohere/tests/recorded.rs"),
    ("gemini-count-tokens", 2, "plugins/adapter-gemini/tests/recorded.rs"),
    ("gemini-embeddings", 2, "plugins/adapter-gemini/tests/recorded.rs"),
    ("gemini-generate", 116, "plugins/adapter-gemini/tests/recorded.rs"),
    ("gemini-models", 1, "plugins/adapter-gemini/tests/recorded.rs"),
    ("ollama-chat", 8, "plugins/adapter-ollama/tests/recorded.rs"),
    ("ollama-embeddings", 1, "plugins/adapter-ollama/tests/recorded.rs"),
    ("openai-chat", 346, "plugins/adapter-openai/tests/recorded.rs"),
    ("openai-embeddings", 7, "tests/it/recorded.rs"),
    ("openai-responses", 44, "tests/it/recorded.rs"),
];

#[test]
fn every_recorded_file_is_read_by_a_test() {
    let Some(folder) = recordings() else { return };
    let index = fs::read_to_string(folder.join("index.json")).expect("there is an index");
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    let (mut counts, mut unread) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let mut files = BTreeSet::from([folder.join("index.json"), folder.join("README.md")]);
    for entry in index["cases"].as_array().expect("the index lists cases") {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        files.extend([folder.join(text("case")), folder.join(text("body"))]);
        *counts.entry(text("wire")).or_default() += 1;
        if !READ.iter().any(|(wire, ..)| *wire == text("wire")) {
            unread.push(format!("{} ({})", text("id"), text("wire")));
        }
    }
    unread.extend(
        files_under(&folder)
            .iter()
            .filter(|file| !files.contains(*file))
            .map(|file| file.display().to_string()),
    );
    assert!(
        unread.is_empty(),
        "nobody reads {} of them:\n{}",
        unread.len(),
        unread.join("\n")
    );
    for (wire, count, tests) in READ {
        let text = fs::read_to_string(workspace().join(tests)).expect("the tests can be read");
        let reads = format!("Recording::of(\"{wire}\", {count})");
        assert!(text.contains(&reads), "{tests} does not read all of {wire}: {reads}");
        assert_eq!(counts.get(wire), Some(&count), "{wire}");
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry can be read").path());
    let files = paths.map(|path| if path.is_dir() { files_under(&path) } else { vec![path] });
    files.flatten().collect()
}

fn workspace() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().expect("the crate is in a workspace")
}

fn recordings() -> Option<PathBuf> {
    let shared = std::env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join("wire/fixtures");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: there are no recordings at {}; set POINTSMAN_SHARED",
        folder.display()
    );
    None
}
