//! The corpora of the fuzz targets, each file put to the same function that the fuzzer calls: what was once found stays
//! found, on every machine and without a fuzzer.

#[path = "../../fuzz/checks/adapter.rs"]
mod adapter;
#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/eventstream.rs"]
mod eventstream;
#[path = "../../fuzz/checks/json.rs"]
mod json;
#[path = "../../fuzz/checks/prices.rs"]
mod prices;
#[path = "../../fuzz/checks/sse.rs"]
mod sse;

use std::fs;
use std::panic::catch_unwind;

use xtask::workspace;

/// What must hold of any bytes.
type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 6] = [
    ("adapter", adapter::check),
    ("config", config::check),
    ("eventstream", eventstream::check),
    ("json", json::check),
    ("prices", prices::check),
    ("sse", sse::check),
];

#[test]
fn no_file_of_a_fuzzing_corpus_breaks_what_reads_it() {
    let mut broken = Vec::new();
    for (target, check) in TARGETS {
        let folder = workspace().join("fuzz/corpus").join(target);
        let files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert!(files.len() >= 10, "{} has few files", folder.display());
        for file in files {
            let data = fs::read(&file).unwrap();
            if catch_unwind(|| check(&data)).is_err() {
                broken.push(file.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_beginning_of_a_configuration_is_one_or_has_mistakes_with_their_places() {
    let mut tried = 0;
    for name in ["whole", "policies", "keys", "amounts"] {
        let text = fs::read(workspace().join("fuzz/corpus/config").join(name)).unwrap();
        for end in 0..=text.len() {
            config::check(&text[..end]);
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn every_fuzz_target_has_its_check_and_the_check_its_target() {
    let known: Vec<_> = TARGETS.iter().map(|(target, _)| target.to_string()).collect();
    for folder in ["checks", "fuzz_targets", "corpus"] {
        let entries = fs::read_dir(workspace().join("fuzz").join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        assert_eq!(names, known, "fuzz/{folder}");
    }
}
