//! Budgets that are taken out and put back, and stores that come back: what was spent meanwhile is known, once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tests::{Bench, budget, key, settle, settlement, wish};
use super::*;
use crate::budget::Period;
use crate::money::Usage;
use crate::store::Correction;

#[tokio::test]
async fn a_budget_that_is_taken_out_and_put_back_knows_what_was_spent_meanwhile() {
    let bench = Bench::new();
    let team = Scope::Team("t".into());
    let both = [
        budget(key(), 1_000, Period::Month),
        budget(team.clone(), 1_000, Period::Day),
    ];
    settle(bench.reserve(300, &both).await.unwrap(), 200);
    // Neither is asked for; then one of them again.
    settle(bench.reserve(300, &[]).await.unwrap(), 100);
    let open = bench.reserve(50, &[]).await.unwrap();
    settle(bench.reserve(300, &both[..1]).await.unwrap(), 10);
    assert_eq!(bench.balance(&key()).await, (310, 50));
    assert_eq!(bench.balance(&team).await, (310, 50));
    drop(open);
    assert!(bench.reserve(691, &both).await.is_err());
    drop(bench.reserve(690, &both).await.unwrap());
}

#[tokio::test]
async fn what_is_booked_without_a_hold_counts_for_budgets_that_are_in_use() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    drop(bench.reserve(1, &budgets).await.unwrap());
    let hold = Hold::unreserved(bench.ledger.0.clone().unwrap(), wish(300, &[]), bench.now());
    settle(hold, 250);
    assert_eq!(bench.balance(&key()).await, (250, 0));
}

/// A store that has just been found to fail.
async fn out() -> Bench {
    let bench = Bench::new();
    bench.store.is_out.store(true, Ordering::Relaxed);
    while !bench.ledger.has_failed() {
        let _ = bench.reserve(1, &[]).await;
    }
    bench
}

async fn back(bench: &Bench) {
    bench.store.is_out.store(false, Ordering::Relaxed);
    while bench.ledger.has_failed() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.ledger.flush().await;
}

#[tokio::test]
async fn a_call_that_began_while_the_store_was_out_is_on_disk_when_that_is_back() {
    let bench = out().await;
    let hold = bench.reserve(5, &[]).await.unwrap();
    hold.sending();
    back(&bench).await;
    let open = bench.store.open_holds().unwrap().0;
    assert_eq!(
        open.iter().map(|hold| hold.ceiling).collect::<Vec<_>>(),
        [Nanodollars(5)]
    );
    hold.settle(settlement(4));
    bench.ledger.flush().await;
    assert_eq!(bench.store.open_holds().unwrap().0, []);
    assert_eq!(bench.lines().len(), 1);
}

#[tokio::test]
async fn a_correction_that_was_refused_is_not_booked_later() {
    let bench = Bench::new();
    settle(bench.reserve(300, &[]).await.unwrap(), 200);
    bench.ledger.flush().await;
    let correction = Line::correcting(&bench.lines()[0], -50, "refunded");
    assert_eq!(correction.usage, Usage::default());
    bench.store.is_out.store(true, Ordering::Relaxed);
    assert!(bench.ledger.note_now(correction.clone()).await.is_err());
    back(&bench).await;
    assert_eq!(bench.lines().len(), 1);
    let booked = bench.ledger.note_now(correction).await.unwrap();
    let lines = bench.lines();
    let corrected = lines.iter().find(|line| line.id == booked).unwrap().corrects;
    assert_eq!((lines.len(), corrected), (2, Some(Correction { line: 1, by: -50 })));
}

#[tokio::test]
async fn a_hold_that_is_left_to_somebody_else_stays_as_it_is() {
    let bench = Bench::new();
    let hold = bench.reserve(300, &[]).await.unwrap();
    hold.sending();
    hold.leave();
    bench.ledger.flush().await;
    assert_eq!(bench.lines(), []);
    assert_eq!(bench.store.open_holds().unwrap().0.len(), 1);
}
