//! Who reads which of the recorded answers. The adapters' own tests read them; here they are counted, so that none is forgotten:
//! a kind of answer that is new has to be read by somebody, or its reason given here. The recordings are not part of this
//! repository; without them this test says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Kinds of answers, the adapters whose tests decode every one of them, and how many there are.
const READ: [(&str, &str, usize); 5] = [
    ("anthropic-messages", "adapter-anthropic", 100),
    ("cohere-v2-chat", "adapter-cohere", 41),
    ("gemini-generate", "adapter-gemini", 116),
    ("gemini-count-tokens", "adapter-gemini", 2),
    ("openai-chat", "adapter-openai", 346),
];

/// Kinds that nobody reads, how many there are, and why.
const UNREAD: [(&str, usize, &str); 11] = [
    ("anthropic-count-tokens", 5, "the adapter passes counts on as they came"),
    ("bedrock-converse", 86, "there is no adapter for Bedrock"),
    ("bedrock-count-tokens", 3, "there is no adapter for Bedrock"),
    ("cohere-embeddings", 2, "the adapter speaks of conversations only"),
    ("cohere-rerank", 2, "the adapter speaks of conversations only"),
    ("gemini-embeddings", 2, "the adapter speaks of conversations only"),
    ("gemini-models", 1, "models are listed from the catalog"),
    ("ollama-chat", 8, "Ollama is reached by its OpenAI endpoint"),
    ("ollama-embeddings", 1, "Ollama is reached by its OpenAI endpoint"),
    (
        "openai-embeddings",
        7,
        "embeddings of this dialect pass without the adapter",
    ),
    ("openai-responses", 44, "the gateway has no endpoint for responses"),
];

#[test]
fn every_recorded_answer_is_read_by_an_adapters_tests_or_has_a_reason() {
    let Some(folder) = shared() else { return };
    let index = std::fs::read_to_string(folder.join("wire/fixtures/index.json")).expect("there is an index");
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for case in index["cases"].as_array().expect("the index lists cases") {
        *counted
            .entry(case["wire"].as_str().expect("a case has a wire"))
            .or_default() += 1;
    }
    let read = READ.iter().map(|(wire, _, count)| (*wire, *count));
    let unread = UNREAD.iter().map(|(wire, count, _)| (*wire, *count));
    let known: BTreeMap<&str, usize> = read.chain(unread).collect();
    assert_eq!(
        counted, known,
        "other answers than somebody reads, or has a reason not to"
    );
    for (wire, adapter, _) in READ {
        let tests = workspace().join("plugins").join(adapter).join("tests/recorded.rs");
        let text = std::fs::read_to_string(&tests).expect("the adapter's tests can be read");
        assert!(
            text.contains(&format!("\"{wire}\"")),
            "{} does not read {wire}",
            tests.display()
        );
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in a workspace")
}

fn shared() -> Option<PathBuf> {
    let beside = workspace().join("../shared");
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
