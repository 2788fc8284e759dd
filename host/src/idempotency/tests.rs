//! Keys by themselves, over a store in memory that outlives its process.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::ledger::{Ledger, Setup};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::telemetry::Metrics;

const CONFIG: IdempotencyConfig = IdempotencyConfig {
    keep: Duration::from_secs(60),
    answer_bytes: 100,
};

/// A process over a store that others may have written to.
fn process(store: &Memory) -> Arc<Idempotency> {
    let (open, reader) = (store.clone(), store.clone());
    let setup = Setup {
        fleet: None,
        books: true,
        open: Arc::new(move || Ok(Box::new(open.clone()) as Box<dyn Store>)),
        reader: Arc::new(move || Ok(Box::new(reader.clone()) as Box<dyn Store>)),
        timeout: Duration::from_secs(60),
        keep_lines: Duration::from_secs(60),
        clock: Box::new(now_ms),
        meter: Metrics::default().ledger.clone(),
        listener: Box::new(|_| {}),
    };
    Idempotency::new(Documents::new(Ledger::start(setup).unwrap()))
}

fn request(text: &str) -> Key {
    Key::of(&[text])
}

async fn claim(idempotency: &Arc<Idempotency>, owner: &str, text: &str, sent: &Arc<AtomicU32>) -> Claimed {
    let claimed = idempotency.claim(owner, "key", request(text), &CONFIG, sent);
    claimed.await.unwrap()
}

fn answer() -> Outcome {
    Outcome::Answered(vec![("a".into(), "b".into())], Bytes::from_static(b"body"))
}

#[tokio::test]
async fn of_requests_at_one_time_one_is_served_and_then_answers_for_all() {
    let (idempotency, sent) = (process(&Memory::default()), Arc::default());
    let Claimed::First(first) = claim(&idempotency, "me", "a", &sent).await else {
        panic!("nobody came before");
    };
    assert!(matches!(claim(&idempotency, "me", "a", &sent).await, Claimed::UnderWay));
    assert!(matches!(claim(&idempotency, "me", "b", &sent).await, Claimed::Mismatch));
    // A key belongs to whoever sent it.
    assert!(matches!(
        claim(&idempotency, "you", "b", &sent).await,
        Claimed::First(_)
    ));
    first.settle(Some(answer())).await;
    let again = claim(&idempotency, "me", "a", &sent).await;
    assert!(matches!(again, Claimed::Again(outcome) if outcome == answer()));
    assert!(matches!(claim(&idempotency, "me", "b", &sent).await, Claimed::Mismatch));
}

#[tokio::test]
async fn what_a_process_left_unsaid_is_not_known_to_the_next() {
    let (store, sent) = (Memory::default(), Arc::new(AtomicU32::new(1)));
    let before = process(&store);
    let Claimed::First(unsaid) = claim(&before, "me", "a", &sent).await else {
        panic!("nobody came before");
    };
    let after = process(&store);
    assert!(matches!(claim(&after, "me", "a", &sent).await, Claimed::Unknown));
    assert!(matches!(claim(&after, "me", "b", &sent).await, Claimed::Mismatch));
    // The same where the process goes on and the request does not.
    drop(unsaid);
    assert!(matches!(claim(&before, "me", "a", &sent).await, Claimed::Unknown));
}

#[tokio::test]
async fn a_key_of_which_nothing_was_sent_is_free_again() {
    let (idempotency, sent) = (process(&Memory::default()), Arc::default());
    for is_dropped in [false, true] {
        let Claimed::First(first) = claim(&idempotency, "me", "a", &sent).await else {
            panic!("the key was not free");
        };
        if is_dropped {
            drop(first);
        } else {
            first.release().await;
        }
    }
    // Dropping cannot wait until the store knows.
    while !matches!(claim(&idempotency, "me", "b", &sent).await, Claimed::First(_)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_known_to_have_been_given() {
    let (idempotency, sent) = (process(&Memory::default()), Arc::default());
    let Claimed::First(first) = claim(&idempotency, "me", "a", &sent).await else {
        panic!("nobody came before");
    };
    first.settle(None).await;
    assert!(matches!(claim(&idempotency, "me", "a", &sent).await, Claimed::TooLarge));
}
