//! Whatever comes, no adapter may panic: a panic is a trap, and a trap costs an answer. The golden files are where odd requests,
//! answers and streams begin: bytes are changed, cut off and put together anew, in the same way in every run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use serde_json::Value;

use super::target;
use crate::{Adapter, AdapterStream, Event, Operation, Target};

/// So many of each.
const CASES: u64 = 2_048;

/// Requests, answers and errors that are spoilt: nothing panics, and what goes out is JSON at a path. `folder` holds golden files.
pub fn check_bodies<A: Adapter>(folder: impl AsRef<Path>, operations: &[Operation]) {
    let cases = golden(folder.as_ref());
    check(|draw| {
        let case = draw.one_of(&cases);
        for kind in ["encode", "decode", "explain"] {
            let given = &case[kind];
            for body in draw.spoilt(&given["body"]) {
                for operation in operations {
                    if let Ok(outgoing) = A::encode(*operation, &of(given), draw.next() % 2 == 0, &body) {
                        assert!(serde_json::from_slice::<Value>(&outgoing.body).is_ok(), "no JSON");
                        assert!(outgoing.path.starts_with('/'), "no path: {}", outgoing.path);
                    }
                    let _ = A::decode(*operation, &of(given), &body);
                }
                let status = (draw.next() % 600) as u16;
                let _ = A::explain(status, &[("retry-after".to_owned(), "1e400".to_owned())], &body);
            }
        }
    });
}

/// Streams of events of all golden files, some of them spoilt, without one that ends a stream: none succeeds.
pub fn check_streams<S: AdapterStream>(folder: impl AsRef<Path>, is_end: impl Fn(&Event) -> bool) {
    let cases = golden(folder.as_ref());
    let streams = cases
        .iter()
        .filter_map(|case| case.pointer("/stream/events")?.as_array());
    let streams: Vec<&Vec<Value>> = streams.filter(|events| !events.is_empty()).collect();
    check(|draw| {
        let pieces = draw.next() % 8;
        let events = (0..pieces).map(|_| {
            let events = *draw.one_of(&streams);
            let event = draw.one_of(events);
            let data = match draw.next() % 2 {
                0 => bytes(&event["data"]),
                _ => draw.spoilt(&event["data"])[(draw.next() % 2) as usize].clone(),
            };
            let name = event["name"].as_str().map(str::to_owned);
            Event { name, data }
        });
        let events: Vec<Event> = events.filter(|event| !is_end(event)).collect();
        check_unended::<S>(&events);
    });
}

/// Events without the one that ends a stream: their chunks are lines of JSON, and the stream fails. What follows an event that is
/// refused is heard all the same.
pub fn check_unended<S: AdapterStream>(events: &[Event]) {
    let mut stream = S::begin(Operation::Chat, &target("m")).expect("a stream begins");
    let mut has_failed = false;
    for event in events {
        match stream.push(std::slice::from_ref(event)) {
            Ok(chunks) => {
                for chunk in chunks {
                    assert!(serde_json::from_slice::<Value>(&chunk.data).is_ok(), "a chunk is JSON");
                    assert!(!chunk.data.contains(&b'\n'), "a chunk is one line");
                }
            }
            Err(_) => has_failed = true,
        }
    }
    assert!(
        stream.finish().is_err() || has_failed,
        "the closing event was never sent"
    );
}

/// Says which case it was that failed.
fn check(mut case: impl FnMut(&mut Draw)) {
    for number in 0..CASES {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            case(&mut Draw(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        }));
        if let Err(panic) = outcome {
            eprintln!("case {number} of {CASES}");
            resume_unwind(panic);
        }
    }
}

/// Numbers that look like chance (SplitMix64), the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        assert!(!values.is_empty(), "the golden files hold nothing of this kind");
        &values[self.below(values.len())]
    }

    /// One byte is another, and what comes behind a place is gone.
    fn spoilt(&mut self, value: &Value) -> [Vec<u8>; 2] {
        let mut changed = bytes(value);
        let mut short = changed.clone();
        if !changed.is_empty() {
            let place = self.below(changed.len());
            changed[place] = self.next() as u8;
        }
        short.truncate(self.below(short.len() + 1));
        [changed, short]
    }
}

/// All cases, in the same order whatever order the files come in.
fn golden(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder).expect("there are golden files");
    let read = |file: std::fs::DirEntry| std::fs::read(file.path()).expect("a golden file can be read");
    let mut texts: Vec<Vec<u8>> = files.map(|file| read(file.expect("a file"))).collect();
    texts.sort();
    let cases = texts
        .iter()
        .map(|text| serde_json::from_slice::<Vec<Value>>(text).expect("a file is a list"));
    cases.flatten().collect()
}

/// As a case has it.
fn of(given: &Value) -> Target {
    let settings = &given["target"]["settings"];
    Target {
        settings: if settings.is_null() {
            "{}".to_owned()
        } else {
            settings.to_string()
        },
        max_output_tokens: Some(4_000),
        ..target(given["target"]["model"].as_str().unwrap_or("m"))
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.into_bytes()
}
