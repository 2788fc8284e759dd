//! A ledger whose lender fails, hangs and comes back, as its callers see it.

use std::time::Instant;

use super::tests::{budget, key, settle, wish};
use super::*;
use crate::budget::Period;
use crate::fleet::memory::{Bank, Trouble};
use crate::store::memory::Memory;

const LIMIT: u64 = 16_000;

fn ledger(bank: &Bank, name: &str) -> Ledger {
    let store = Memory::default();
    let open: Opener = Arc::new(move || Ok(Box::new(store.clone()) as Box<dyn Store>));
    let ledger = Ledger::start(Setup {
        reader: open.clone(),
        open,
        books: true,
        timeout: Duration::from_secs(20),
        keep_lines: Duration::from_secs(1 << 30),
        clock: Box::new(now_ms),
        meter: crate::telemetry::Meter::default().ledger.clone(),
        listener: Box::new(|_| {}),
        fleet: Some(Fleet {
            lender: Box::new(bank.teller(name)),
            patience: Duration::from_millis(200),
            name: name.to_owned(),
        }),
    });
    ledger.unwrap()
}

async fn until(ledger: &Ledger, state: State) {
    let began = Instant::now();
    while ledger.fleet().unwrap().state() != state {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_was_lent_is_spent_without_the_lender_and_nothing_beyond_it() {
    for trouble in [Trouble::Hangs(Duration::from_secs(1)), Trouble::Out, Trouble::Mute] {
        let bank = Bank::default();
        let (ledger, other) = (ledger(&bank, "a"), ledger(&bank, "b"));
        let budgets = [budget(key(), LIMIT, Period::Month)];
        settle(ledger.reserve(wish(100, &budgets)).await.unwrap(), 100);
        bank.trouble(trouble);
        // A sixteenth was lent, or a little more.
        let refused = ledger.reserve(wish(8_000, &budgets)).await.unwrap_err();
        assert!(matches!(&refused, Refused::Unavailable(_)), "{refused:?}");
        settle(ledger.reserve(wish(100, &budgets)).await.unwrap(), 0);
        settle(ledger.reserve(wish(1 << 40, &[])).await.unwrap(), 0);
        bank.trouble(Trouble::None);
        served(&ledger, 8_000, &budgets).await;
        // What is idle is the other's, once it needs it.
        let hold = served(&other, 15_000, &budgets).await;
        let refused = ledger.reserve(wish(8_000, &budgets)).await.unwrap_err();
        assert!(matches!(&refused, Refused::Exceeded(_)), "{refused:?}");
        drop(hold);
    }
}

/// Reserved, at last.
async fn served(ledger: &Ledger, amount: u64, budgets: &[Arc<Scoped>]) -> Hold {
    let began = Instant::now();
    loop {
        match ledger.reserve(wish(amount, budgets)).await {
            Ok(hold) => return hold,
            Err(refused) => assert!(began.elapsed() < Duration::from_secs(20), "{refused:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_lender_that_has_forgotten_everything_lends_when_it_has_heard_everybody() {
    let bank = Bank::default();
    let (a, b) = (ledger(&bank, "a"), ledger(&bank, "b"));
    let budgets = [budget(key(), LIMIT, Period::Month)];
    let hold = a.reserve(wish(10_000, &budgets)).await.unwrap();
    bank.forget();
    until(&a, State::Settling).await;
    until(&b, State::Settling).await;
    let refused = b.reserve(wish(100, &budgets)).await.unwrap_err();
    assert!(matches!(&refused, Refused::Unavailable(_)), "{refused:?}");
    bank.settle();
    until(&b, State::Lends).await;
    let refused = b.reserve(wish(6_001, &budgets)).await.unwrap_err();
    assert!(matches!(&refused, Refused::Exceeded(_)), "{refused:?}");
    settle(hold, 10_000);
    drop(served(&b, 6_000, &budgets).await);
    let leaving = a.clone();
    tokio::task::spawn_blocking(move || leaving.close()).await.unwrap();
    // Whoever leaves keeps nothing but what was spent.
    let began = Instant::now();
    while bank.lent().1 > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", bank.lent());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
