//! Whatever comes, nothing here may panic, and no stream without its end succeeds.

use adapter_bedrock::{Bedrock, Stream};
use pointsman_plugin::Operation;
use pointsman_plugin::testing::{check_bodies, check_streams};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

#[test]
fn no_request_and_no_answer_panics() {
    check_bodies::<Bedrock>(GOLDEN, &[Operation::Chat, Operation::Embedding]);
}

#[test]
fn a_stream_without_its_end_never_succeeds() {
    check_streams::<Stream>(GOLDEN, |event| event.name.as_deref() == Some("messageStop"));
}
