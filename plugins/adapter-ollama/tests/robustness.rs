//! Whatever comes, nothing here may panic, and no stream without its end succeeds.

use adapter_ollama::{Ollama, Stream};
use pointsman_plugin::Operation;
use pointsman_plugin::testing::{check_bodies, check_streams};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

#[test]
fn no_request_and_no_answer_panics() {
    check_bodies::<Ollama>(GOLDEN, &[Operation::Chat, Operation::Embedding]);
}

#[test]
fn a_stream_without_its_end_never_succeeds() {
    check_streams::<Stream>(GOLDEN, |event| {
        String::from_utf8_lossy(&event.data).contains("\"done\":true")
    });
}
