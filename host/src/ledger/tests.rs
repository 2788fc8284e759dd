//! The ledger as its callers see it, over a store in memory and over one that fails.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::budget::{Period, Zone};
use crate::money::Usage;
use crate::store::memory::Memory;
use crate::store::{Batch, Costs, Hold as Reserved, Pruned, Question, Span, Spent};

/// A store in memory that can be told to fail.
#[derive(Clone, Default)]
pub(super) struct Flaky {
    memory: Memory,
    pub(super) is_out: Arc<AtomicBool>,
    /// The disk does not answer.
    hangs: Arc<AtomicBool>,
    /// Of each batch, how many holds and how many lines were in it.
    batches: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Store for Flaky {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.is_out.load(Ordering::Relaxed) {
            return Err(StoreError::Failed("the disk is full".to_owned()));
        }
        while self.hangs.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let counts = (batch.holds.len(), batch.lines.len());
        self.batches.lock().unwrap().push(counts);
        self.memory.commit(batch)
    }
    fn open_holds(&self) -> Result<(Vec<Reserved>, u64), StoreError> {
        self.memory.open_holds()
    }
    fn line(&self, id: u64) -> Result<Option<Line>, StoreError> {
        self.memory.line(id)
    }
    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError> {
        self.memory.spent(question)
    }
    fn costs(&self, span: Span) -> Result<Costs, StoreError> {
        self.memory.costs(span)
    }
    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
        self.memory.lines(span, each)
    }
    fn document(&self, kind: &str, id: &str, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.document(kind, id, now_ms)
    }
    fn documents(&self, kind: &str, now_ms: u64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memory.documents(kind, now_ms)
    }
    fn foreign_changes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn prune(&mut self, now_ms: u64, before_ms: u64) -> Result<Pruned, StoreError> {
        self.memory.prune(now_ms, before_ms)
    }
    fn trim(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError> {
        self.memory.trim(kind, most_bytes)
    }
    fn check(&self) -> Result<Vec<String>, StoreError> {
        self.memory.check()
    }
    fn reader(&self) -> Opened {
        Ok(Box::new(self.clone()))
    }
}

/// A ledger with a clock that the test sets, and all that it told.
pub(super) struct Bench {
    pub(super) ledger: Ledger,
    pub(super) store: Flaky,
    now_ms: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::over(Flaky::default())
    }

    fn over(store: Flaky) -> Self {
        Self::patient(store, Duration::from_secs(20))
    }

    fn patient(store: Flaky, timeout: Duration) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (opened, clock, heard) = (store.clone(), now_ms.clone(), told.clone());
        let open: Opener = Arc::new(move || {
            let opened = opened.clone();
            let is_out = opened.is_out.load(Ordering::Relaxed);
            if is_out {
                Err(StoreError::Failed("still".to_owned()))
            } else {
                Ok(Box::new(opened) as Box<dyn Store>)
            }
        });
        let ledger = Ledger::start(Setup {
            reader: open.clone(),
            open,
            books: true,
            timeout,
            keep_lines: Duration::from_secs(1 << 30),
            clock: Box::new(move || clock.load(Ordering::Relaxed)),
            fleet: None,
            meter: crate::telemetry::Meter::default().ledger.clone(),
            listener: Box::new(move |event| heard.lock().unwrap().push(event.clone())),
        });
        Self {
            ledger: ledger.unwrap(),
            store,
            now_ms,
            told,
        }
    }

    pub(super) async fn reserve(&self, amount: u64, budgets: &[Arc<Scoped>]) -> Result<Hold, Refused> {
        self.ledger.reserve(wish(amount, budgets)).await
    }

    pub(super) fn now(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(super) async fn balance(&self, scope: &Scope) -> (i128, u128) {
        let balances = self.ledger.balances().await;
        let found = balances.into_iter().find(|balance| balance.scope == *scope).unwrap();
        (found.spent, found.held)
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut keep = |line| {
            lines.push(line);
            true
        };
        self.store.lines(Span::EVER, &mut keep).unwrap();
        lines
    }

    async fn events(&self) -> Vec<&'static str> {
        // Events are told after the batch that brought them.
        self.ledger.flush().await;
        self.ledger.flush().await;
        self.told.lock().unwrap().iter().map(Event::name).collect()
    }
}

pub(super) fn budget(scope: Scope, limit: u64, period: Period) -> Arc<Scoped> {
    Arc::new(Scoped {
        scope,
        budget: Budget {
            limit: Nanodollars(limit),
            period,
            zone: Zone::default(),
            is_hard: true,
            warn: vec![50, 100],
        },
    })
}

pub(super) fn key() -> Scope {
    Scope::Key("k".into())
}

pub(super) fn wish(amount: u64, budgets: &[Arc<Scoped>]) -> Wish {
    Wish {
        request: "r".into(),
        tags: Arc::new(Tags {
            key: "k".into(),
            team: "t".into(),
            model: "m".into(),
            ..Tags::default()
        }),
        budgets: budgets.to_vec(),
        at_most: Nanodollars(amount),
        at_least: Nanodollars(amount),
        price_version: Some(7),
        metadata: None,
    }
}

pub(super) fn settlement(cost: u64) -> Settlement {
    Settlement {
        outcome: "answered".to_owned(),
        usage: Usage::default(),
        cost: Some(Nanodollars(cost)),
        reference: None,
        is_estimated: false,
    }
}

pub(super) fn settle(hold: Hold, cost: u64) {
    hold.sending();
    hold.settle(settlement(cost));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_are_admitted_as_far_as_all_budgets_reach() {
    let bench = Bench::new();
    let budgets = [
        budget(key(), 1_000, Period::Month),
        budget(Scope::Team("t".into()), 10_000, Period::Day),
        budget(Scope::Model("m".into()), 5_000, Period::Total),
    ];
    let all = futures_util::future::join_all((0..200).map(|_| bench.reserve(100, &budgets))).await;
    let admitted: Vec<Hold> = all.into_iter().filter_map(Result::ok).collect();
    assert_eq!(admitted.len(), 10);
    for scoped in &budgets {
        assert_eq!(bench.balance(&scoped.scope).await, (0, 1_000));
    }
    for hold in admitted {
        settle(hold, 70);
    }
    for scoped in &budgets {
        assert_eq!(bench.balance(&scoped.scope).await, (700, 0));
    }
    assert!(bench.reserve(301, &budgets).await.is_err());
    assert!(bench.reserve(300, &budgets).await.is_ok());
}

#[tokio::test]
async fn a_hold_that_is_dropped_is_free_again_or_costs_all_of_it_once_something_was_sent() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    drop(bench.reserve(400, &budgets).await.unwrap());
    assert_eq!(bench.balance(&key()).await, (0, 0));
    let hold = bench.reserve(400, &budgets).await.unwrap();
    hold.sending();
    drop(hold);
    assert_eq!(bench.balance(&key()).await, (400, 0));
    bench.ledger.flush().await;
    let lines = bench.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].cost, lines[0].is_estimated, &*lines[0].outcome),
        (Some(Nanodollars(400)), true, "unknown")
    );
    assert_eq!(bench.store.open_holds().unwrap().0, []);
}

#[tokio::test]
async fn a_reservation_that_nobody_waits_for_any_more_is_free_again() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    for _ in 0..50 {
        let reserving = bench.ledger.reserve(wish(400, &budgets));
        // Told, and not waited for.
        let _ = futures_util::FutureExt::now_or_never(reserving);
    }
    bench.ledger.flush().await;
    assert_eq!(bench.balance(&key()).await, (0, 0));
}

#[tokio::test]
async fn what_costs_more_than_was_reserved_is_booked_in_full() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    settle(bench.reserve(200, &budgets).await.unwrap(), 2_000);
    assert_eq!(bench.balance(&key()).await, (2_000, 0));
    let refused = bench.reserve(0, &budgets).await.unwrap_err();
    assert!(
        matches!(refused, Refused::Exceeded(Exceeded { spent: 2_000, .. })),
        "{refused:?}"
    );
    assert_eq!(
        bench.events().await,
        [
            "budget.overrun",
            "budget.threshold",
            "budget.threshold",
            "budget.exceeded"
        ]
    );
}

#[tokio::test]
async fn a_window_begins_anew_and_never_goes_back() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Hour)];
    settle(bench.reserve(1_000, &budgets).await.unwrap(), 1_000);
    let late = {
        assert!(bench.reserve(1, &budgets).await.is_err());
        bench.now_ms.fetch_add(3_600_000, Ordering::Relaxed);
        bench.reserve(600, &budgets).await.unwrap()
    };
    assert_eq!(bench.balance(&key()).await, (0, 600));
    // Back again: the window that has begun stays.
    bench.now_ms.fetch_sub(3_600_000, Ordering::Relaxed);
    assert!(bench.reserve(401, &budgets).await.is_err());
    settle(late, 500);
    assert_eq!(bench.balance(&key()).await, (500, 0));
    assert!(bench.events().await.contains(&"budget.reset"));
}

#[tokio::test]
async fn a_hold_of_the_window_before_counts_there() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Hour)];
    let early = bench.reserve(1_000, &budgets).await.unwrap();
    bench.now_ms.fetch_add(3_600_000, Ordering::Relaxed);
    let hold = bench.reserve(1_000, &budgets).await.unwrap();
    settle(early, 900);
    assert_eq!(bench.balance(&key()).await, (0, 1_000));
    drop(hold);
}

#[tokio::test]
async fn a_budget_that_is_set_later_knows_what_was_spent_and_is_held() {
    let bench = Bench::new();
    settle(bench.reserve(300, &[]).await.unwrap(), 250);
    let open = bench.reserve(300, &[]).await.unwrap();
    let budgets = [budget(key(), 1_000, Period::Month)];
    assert!(bench.reserve(451, &budgets).await.is_err());
    let fits = bench.reserve(450, &budgets).await.unwrap();
    settle(open, 100);
    assert_eq!(bench.balance(&key()).await, (350, 450));
    drop(fits);
}

#[tokio::test]
async fn a_call_without_a_limit_gets_what_the_budget_affords() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    let wish = Wish {
        at_least: Nanodollars(100),
        ..wish(10_000, &budgets)
    };
    let all = bench.ledger.reserve(wish.clone()).await.unwrap();
    assert_eq!(all.granted, Nanodollars(1_000));
    assert!(bench.ledger.reserve(wish).await.is_err());
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_where_there_is_a_budget() {
    let bench = Bench::new();
    let unpriced = |budgets: &[Arc<Scoped>]| Wish {
        price_version: None,
        ..wish(0, budgets)
    };
    // Whoever it is of: of one that only tells nobody would be told.
    let scopes = [
        key(),
        Scope::Route("auto".into()),
        Scope::Provider("p".into()),
        Scope::Model("m".into()),
        Scope::Label("task".into(), "coding".into()),
    ];
    for scope in scopes {
        let mut soft = (*budget(scope.clone(), 1, Period::Total)).clone();
        soft.budget.is_hard = false;
        for budget in [budget(scope.clone(), 1, Period::Total), Arc::new(soft)] {
            let refused = bench.ledger.reserve(unpriced(&[budget])).await;
            assert_eq!(refused.unwrap_err(), Refused::Unpriced(scope.clone()));
        }
    }
    settle(bench.ledger.reserve(unpriced(&[])).await.unwrap(), 0);
    assert_eq!(bench.events().await, ["model.unpriced"]);
}

#[tokio::test]
async fn a_soft_budget_warns_and_lets_pass() {
    let bench = Bench::new();
    let mut soft = (*budget(key(), 1_000, Period::Month)).clone();
    soft.budget.is_hard = false;
    let soft = [Arc::new(soft)];
    settle(bench.reserve(900, &soft).await.unwrap(), 900);
    let hold = bench.reserve(900, &soft).await.unwrap();
    assert_eq!(hold.warnings, ["key:k month 180%"]);
    assert_eq!(bench.events().await, ["budget.threshold", "budget.exceeded"]);
}

#[tokio::test]
async fn of_a_limit_that_was_raised_everything_is_told_anew() {
    let bench = Bench::new();
    let soft = |limit| {
        let mut soft = (*budget(key(), limit, Period::Total)).clone();
        soft.budget.is_hard = false;
        [Arc::new(soft)]
    };
    settle(bench.reserve(1_100, &soft(1_000)).await.unwrap(), 1_100);
    settle(bench.reserve(1, &soft(1_000)).await.unwrap(), 1);
    // One call has gone past both shares.
    let first = ["budget.exceeded", "budget.threshold", "budget.threshold"];
    let mut told = bench.events().await;
    told.sort_unstable();
    assert_eq!(told, first);
    settle(bench.reserve(1_000, &soft(10_000)).await.unwrap(), 1_000);
    assert_eq!(bench.events().await.len(), 3);
    settle(bench.reserve(8_000, &soft(10_000)).await.unwrap(), 8_000);
    settle(bench.reserve(1, &soft(10_000)).await.unwrap(), 1);
    let mut told = bench.events().await.split_off(3);
    told.sort_unstable();
    assert_eq!(told, first);
}

#[tokio::test]
async fn while_the_store_is_out_budgets_refuse_and_nothing_is_lost() {
    let bench = Bench::new();
    let budgets = [budget(key(), 1_000, Period::Month)];
    let before = bench.reserve(300, &budgets).await.unwrap();
    bench.store.is_out.store(true, Ordering::Relaxed);
    settle(before, 200);
    let free = bench.reserve(5, &[]).await;
    // The first may be the one whose batch fails.
    let free = match free {
        Ok(hold) => hold,
        Err(_) => bench.reserve(5, &[]).await.unwrap(),
    };
    assert!(matches!(bench.reserve(1, &budgets).await, Err(Refused::Unavailable(_))));
    assert!(bench.ledger.has_failed());
    settle(free, 4);
    bench.store.is_out.store(false, Ordering::Relaxed);
    while bench.ledger.has_failed() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let hold = bench.reserve(796, &budgets).await.unwrap();
    assert_eq!(bench.balance(&key()).await, (204, 796));
    assert!(bench.reserve(1, &budgets).await.is_err());
    drop(hold);
    bench.ledger.flush().await;
    assert_eq!(bench.lines().len(), 2);
    assert_eq!(bench.store.open_holds().unwrap().0, []);
    assert!(bench.events().await.contains(&"store.recovered"));
}

#[tokio::test]
async fn who_waits_alone_does_not_wait_for_what_other_calls_came_to() {
    let bench = Bench::new();
    for _ in 0..20 {
        settle(bench.reserve(5, &[]).await.unwrap(), 4);
    }
    bench.ledger.flush().await;
    let batches = bench.store.batches.lock().unwrap().clone();
    assert_eq!(batches.iter().map(|(holds, _)| holds).sum::<usize>(), 20);
    assert_eq!(batches.iter().map(|(_, lines)| lines).sum::<usize>(), 20);
    assert!(
        batches.iter().all(|(holds, lines)| *holds == 0 || *lines == 0),
        "{batches:?}"
    );
}

#[tokio::test]
async fn a_disk_that_does_not_answer_stops_those_who_have_a_budget_and_nobody_else() {
    let bench = Bench::patient(Flaky::default(), Duration::from_millis(50));
    bench.store.hangs.store(true, Ordering::Relaxed);
    let budgets = [budget(key(), 1_000, Period::Month)];
    assert!(matches!(bench.reserve(1, &budgets).await, Err(Refused::Unavailable(_))));
    settle(bench.reserve(5, &[]).await.unwrap(), 4);
    let unknown = bench.reserve(6, &[]).await.unwrap();
    unknown.sending();
    drop(unknown);
    drop(bench.reserve(7, &[]).await.unwrap());
    bench.store.hangs.store(false, Ordering::Relaxed);
    bench.ledger.flush().await;
    let lines: Vec<_> = bench
        .lines()
        .iter()
        .map(|line| (line.cost, line.is_estimated))
        .collect();
    assert_eq!(lines, [(Some(Nanodollars(4)), false), (Some(Nanodollars(6)), true)]);
    // What had been asked for before is released.
    bench.ledger.flush().await;
    assert_eq!(bench.store.open_holds().unwrap().0, []);
}

#[tokio::test]
async fn what_a_process_left_open_is_booked_by_the_next_at_what_was_reserved() {
    let store = Flaky::default();
    let first = Bench::over(store.clone());
    let budgets = [budget(key(), 1_000, Period::Month)];
    let hold = first.reserve(300, &budgets).await.unwrap();
    hold.sending();
    std::mem::forget(hold);
    let second = Bench::over(store);
    let lines = second.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_recovered && lines[0].is_estimated);
    assert!(second.reserve(701, &budgets).await.is_err());
    assert!(second.reserve(700, &budgets).await.is_ok());
}

#[tokio::test]
async fn a_closed_ledger_has_everything_on_disk() {
    let bench = Bench::new();
    settle(bench.reserve(300, &[]).await.unwrap(), 250);
    let ledger = bench.ledger.clone();
    tokio::task::spawn_blocking(move || ledger.close()).await.unwrap();
    assert_eq!(bench.lines().len(), 1);
    assert!(matches!(bench.reserve(1, &[]).await, Err(Refused::Unavailable(_))));
}
