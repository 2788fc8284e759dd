//! Whatever comes, nothing here may panic: a panic is a trap, and a trap costs an answer. The golden files are where odd requests,
//! answers and streams begin: bytes are changed, cut off and put together anew.

use adapter_bedrock::{Bedrock, Stream};
use pointsman_plugin::{Adapter, AdapterStream, Event, Operation, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = std::fs::read_dir(folder).expect("there are golden files");
    let read = |file: std::fs::DirEntry| std::fs::read(file.path()).expect("a golden file can be read");
    let mut texts: Vec<Vec<u8>> = files.map(|file| read(file.expect("a file"))).collect();
    // The same cases in every run, whatever order the files come in.
    texts.sort();
    let cases = texts
        .iter()
        .map(|text| serde_json::from_slice::<Vec<Value>>(text).expect("a file is a list"));
    cases.flatten().collect()
});

fn target(given: &Value) -> Target {
    let settings = &given["target"]["settings"];
    Target {
        model: given["target"]["model"].as_str().unwrap_or("m").to_owned(),
        settings: if settings.is_null() {
            "{}".to_owned()
        } else {
            settings.to_string()
        },
        max_output_tokens: Some(4000),
        request_id: "r".to_owned(),
        now_ms: 0,
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
        .into_bytes()
}

/// One byte is another, and what comes behind a place is gone.
fn spoilt(value: &Value, at: Index, byte: u8, cut: Index) -> [Vec<u8>; 2] {
    let mut changed = bytes(value);
    if !changed.is_empty() {
        let place = at.index(changed.len());
        changed[place] = byte;
    }
    let mut short = bytes(value);
    short.truncate(cut.index(short.len() + 1));
    [changed, short]
}

fn run(events: &[Event]) -> bool {
    let mut stream = Stream::begin(Operation::Chat, &target(&Value::Null)).expect("a stream begins");
    for event in events {
        match stream.push(std::slice::from_ref(event)) {
            Ok(chunks) => {
                for chunk in chunks {
                    assert!(serde_json::from_slice::<Value>(&chunk.data).is_ok());
                    assert!(!chunk.data.contains(&b'\n'), "a chunk is one line");
                }
            }
            Err(_) => return false,
        }
    }
    stream.finish().is_ok()
}

proptest! {
    // The same cases in every run, and nothing written beside the sources.
    #![proptest_config(ProptestConfig {
        cases: 2048,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_request_and_no_answer_panics(which in any::<Index>(), at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let case = which.get(&CASES);
        for kind in ["encode", "decode", "explain"] {
            for body in spoilt(&case[kind]["body"], at, byte, cut) {
                for operation in [Operation::Chat, Operation::Embedding] {
                    if let Ok(outgoing) = Bedrock::encode(operation, &target(&case[kind]), byte % 2 == 0, &body) {
                        prop_assert!(serde_json::from_slice::<Value>(&outgoing.body).is_ok());
                        prop_assert!(outgoing.path.starts_with('/'));
                    }
                    let _ = Bedrock::decode(operation, &target(&case[kind]), &body);
                }
                let _ = Bedrock::explain(400, &[("retry-after".to_owned(), "1e400".to_owned())], &body);
            }
        }
    }

    #[test]
    fn a_stream_without_its_end_never_succeeds(
        pieces in prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>(), any::<u8>(), any::<bool>()), 0..8),
    ) {
        let streams: Vec<&Value> = CASES.iter().filter_map(|case| case.pointer("/stream/events")).collect();
        let events: Vec<Event> = pieces
            .into_iter()
            .filter_map(|(which, event, at, byte, is_spoilt)| {
                let events = which.get(&streams).as_array()?;
                let event = events.get(event.index(events.len().max(1)))?;
                let data = match is_spoilt {
                    true => spoilt(&event["data"], at, byte, at)[usize::from(byte % 2)].clone(),
                    false => bytes(&event["data"]),
                };
                let name = event["name"].as_str().map(str::to_owned);
                Some(Event { name, data })
            })
            .filter(|event| !is_end(event))
            .collect();
        prop_assert!(!run(&events), "the closing event was never sent");
    }
}

fn is_end(event: &Event) -> bool {
    event.name.as_deref() == Some("messageStop")
}
