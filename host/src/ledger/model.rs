//! The ledger's state against a model of it that is too simple to be wrong: whatever is reserved, settled, dropped, failed to
//! be written or lost with the process, and whatever the clock does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::book::Book;
use super::tests::settlement;
use super::*;
use crate::budget::{Period, Window, Zone};
use crate::money::Usage;
use crate::store::memory::Memory;
use crate::store::{Batch, Question, Span};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// With some of the key's budgets: the others are out of the configuration at the moment.
    Reserve {
        key: usize,
        in_use: u8,
        at_least: u64,
        at_most: u64,
    },
    /// A line without a hold.
    Note {
        key: usize,
        cost: u64,
    },
    Settle {
        which: usize,
        cost: u64,
    },
    Release(usize),
    GiveUp(usize),
    /// The batch is on disk.
    Commit,
    /// It is not, and nobody knows how much of it is; the store is opened anew.
    Fail {
        is_kept: bool,
    },
    /// The process ends, and another one begins.
    Crash,
    /// The clock goes on, or back, by so many milliseconds.
    Clock(i64),
}

/// What is known of one hold.
#[derive(Debug, Clone, Copy)]
struct Known {
    key: usize,
    at_ms: u64,
    amount: u64,
    state: State,
    /// Nothing was held for it.
    is_noted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Not answered yet.
    New,
    Open,
    /// Resolved, with what it cost, and whether that is on disk.
    Ended(Option<u64>, bool),
}

struct World {
    store: Memory,
    book: Book,
    holds: BTreeMap<u64, Known>,
    now_ms: u64,
    latest_ms: u64,
}

const KEYS: usize = 3;
const LIMITS: [u64; KEYS] = [1_000, 5_000, u64::MAX];
const MODEL_LIMIT: u64 = 7_000;
/// All of a key's budgets.
const ALL: u8 = 7;

fn scoped(scope: Scope, limit: u64, period: Period) -> Arc<Scoped> {
    Arc::new(Scoped {
        scope,
        budget: Budget {
            limit: Nanodollars(limit),
            period,
            zone: Zone::default(),
            is_hard: true,
            warn: Vec::new(),
        },
    })
}

fn name(key: usize) -> Arc<str> {
    format!("k{key}").into()
}

/// Every key has a budget for each hour; the first two share one for each day, and one for good. Those of them that are in use, by
/// bits.
fn budgets(key: usize, in_use: u8) -> Vec<Arc<Scoped>> {
    let mut budgets = vec![scoped(Scope::Key(name(key)), LIMITS[key], Period::Hour)];
    if key < 2 {
        budgets.push(scoped(Scope::Team("t".into()), MODEL_LIMIT, Period::Day));
        budgets.push(scoped(Scope::Organisation("o".into()), MODEL_LIMIT * 2, Period::Total));
    }
    let all = budgets.into_iter().enumerate();
    all.filter(|(place, _)| in_use >> place & 1 == 1)
        .map(|(_, budget)| budget)
        .collect()
}

fn tags(key: usize) -> Arc<Tags> {
    let group = |name: &str| if key < 2 { name.into() } else { Arc::default() };
    Arc::new(Tags {
        key: name(key),
        team: group("t"),
        organisation: group("o"),
        ..Tags::default()
    })
}

fn wish(key: usize, in_use: u8, at_least: u64, at_most: u64) -> Wish {
    Wish {
        tags: tags(key),
        at_least: Nanodollars(at_least),
        ..tests::wish(at_most, &budgets(key, in_use))
    }
}

impl World {
    fn new() -> Self {
        let now_ms = 1_700_000_000_000;
        Self {
            store: Memory::default(),
            book: Book::new(1),
            holds: BTreeMap::new(),
            now_ms,
            latest_ms: 0,
        }
    }

    fn counts(known: &Known, scope: &Scope) -> bool {
        match scope {
            Scope::Key(key) => name(known.key) == *key,
            _ => known.key < 2,
        }
    }

    /// Booked and held for somebody in the window around a moment.
    fn truth(&self, scope: &Scope, period: Period, at_ms: u64) -> (i128, u128) {
        let window = Window::around(at_ms, period, &Zone::default());
        let (mut spent, mut held) = (0, 0);
        let counted = self.holds.values().filter(|known| Self::counts(known, scope));
        for known in counted.filter(|known| window.start_ms <= known.at_ms && known.at_ms < window.end_ms) {
            match known.state {
                State::New | State::Open => held += u128::from(known.amount),
                State::Ended(cost, _) => spent += cost.map_or(0, i128::from),
            }
        }
        (spent, held)
    }

    fn open(&self, which: usize) -> Option<u64> {
        let open = self.holds.iter().filter(|(_, known)| known.state == State::Open);
        let open: Vec<u64> = open.map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[which % open.len()])
    }

    fn end(&mut self, which: usize, cost: impl Fn(&Known) -> Option<u64>) -> Option<u64> {
        let id = self.open(which)?;
        let known = self.holds.get_mut(&id)?;
        known.state = State::Ended(cost(known), false);
        Some(id)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Reserve {
                key,
                in_use,
                at_least,
                at_most,
            } => self.reserve(key, in_use, at_least.min(at_most), at_most),
            Step::Note { key, cost } => self.note(key, cost),
            Step::Settle { which, cost } => {
                if let Some(id) = self.end(which, |_| Some(cost)) {
                    self.book.settle(id, settlement(cost));
                    // Nothing is resolved twice.
                    self.book.settle(id, settlement(1));
                    self.book.give_up(id);
                    self.book.release(id);
                }
            }
            Step::Release(which) => {
                if let Some(id) = self.end(which, |_| None) {
                    self.book.release(id);
                }
            }
            Step::GiveUp(which) => {
                if let Some(id) = self.end(which, |known| Some(known.amount)) {
                    self.book.give_up(id);
                }
            }
            Step::Commit => {
                self.store.commit(&std::mem::take(&mut self.book.batch)).unwrap();
                self.committed();
            }
            Step::Fail { is_kept } => {
                let batch = std::mem::take(&mut self.book.batch);
                if is_kept {
                    self.store.commit(&batch).unwrap();
                }
                self.book.undo(batch);
                self.holds.retain(|_, known| known.state != State::New);
                let (holds, next) = self.store.open_holds().unwrap();
                let unknown = self.book.reconcile(&holds, next);
                self.book.batch.holds.extend(unknown);
                self.store.commit(&std::mem::take(&mut self.book.batch)).unwrap();
                self.committed();
            }
            Step::Crash => {
                let (holds, next) = self.store.open_holds().unwrap();
                self.book = Book::new(next);
                self.book.recover(holds);
                self.store.commit(&std::mem::take(&mut self.book.batch)).unwrap();
                let is_lost = |known: &Known| known.is_noted && matches!(known.state, State::Ended(_, false));
                self.holds
                    .retain(|_, known| known.state != State::New && !is_lost(known));
                for known in self.holds.values_mut() {
                    if matches!(known.state, State::Open | State::Ended(_, false)) {
                        known.state = State::Ended(Some(known.amount), true);
                    }
                }
                self.latest_ms = 0;
            }
            Step::Clock(by) => self.now_ms = self.now_ms.saturating_add_signed(by),
        }
    }

    fn committed(&mut self) {
        for known in self.holds.values_mut() {
            known.state = match known.state {
                State::New | State::Open => State::Open,
                State::Ended(cost, _) => State::Ended(cost, true),
            };
        }
    }

    fn note(&mut self, key: usize, cost: u64) {
        let line = Line {
            id: 0,
            at_ms: 0,
            request: "r".into(),
            tags: tags(key),
            outcome: "answered".to_owned(),
            usage: Usage::default(),
            cost: Some(Nanodollars(cost)),
            ceiling: Nanodollars(0),
            reference: None,
            price_version: 1,
            is_estimated: false,
            is_recovered: false,
            corrects: None,
            metadata: None,
        };
        let id = self.book.note(line, self.now_ms);
        let known = Known {
            key,
            at_ms: self.now_ms,
            amount: 0,
            state: State::Ended(Some(cost), false),
            is_noted: true,
        };
        self.holds.insert(id, known);
    }

    fn reserve(&mut self, key: usize, in_use: u8, at_least: u64, at_most: u64) {
        let at_ms = self.now_ms.max(self.latest_ms);
        let left = |scoped: &Arc<Scoped>| {
            let (spent, held) = self.truth(&scoped.scope, scoped.budget.period, at_ms);
            i128::from(scoped.budget.limit.0) - spent - held as i128
        };
        let left = budgets(key, in_use).iter().map(left).min().unwrap_or(i128::MAX);
        let wish = wish(key, in_use, at_least, at_most);
        let granted = self.book.reserve(wish, self.now_ms, &self.store);
        self.latest_ms = at_ms;
        match granted {
            Ok(granted) => {
                // As much as there is, and no more than was asked for.
                assert!(left >= i128::from(at_least), "{left} left, and {at_least} granted");
                assert_eq!(i128::from(granted.amount.0), left.min(at_most.into()));
                let known = Known {
                    key,
                    at_ms,
                    amount: granted.amount.0,
                    state: State::New,
                    is_noted: false,
                };
                assert!(
                    self.holds.insert(granted.id, known).is_none(),
                    "a number was used twice"
                );
            }
            Err(refused) => {
                assert!(matches!(refused, Refused::Exceeded(_)), "{refused:?}");
                assert!(left < i128::from(at_least), "{left} left, and {at_least} refused");
            }
        }
    }

    /// What has to hold after every step.
    fn check(&self) {
        for balance in self.book.balances() {
            let at_ms = balance.resets_ms.map_or(self.now_ms, |end| end - 1);
            let truth = self.truth(&balance.scope, balance.budget.period, at_ms);
            assert_eq!((balance.spent, balance.held), truth, "{:?}", balance.scope);
        }
        let open = self
            .holds
            .values()
            .filter(|known| !matches!(known.state, State::Ended(..)));
        let held: u128 = open.clone().map(|known| u128::from(known.amount)).sum();
        assert_eq!(self.book.held(), (open.count(), held));
    }

    /// What has to hold when all is over: nothing is held, and the sums are those of the lines.
    fn rest(&mut self) {
        self.take(&Step::Commit);
        while self.open(0).is_some() {
            self.take(&Step::GiveUp(0));
        }
        self.take(&Step::Commit);
        self.check();
        assert_eq!(self.store.open_holds().unwrap().0, []);
        let question = Question {
            span: Span::EVER,
            by: Vec::new(),
            only: Vec::new(),
        };
        let spent = self.store.spent(&question).unwrap();
        let kept: i128 = spent.iter().map(|spent| spent.sums.cost).sum();
        let ended = self.holds.values().filter_map(|known| match known.state {
            State::Ended(cost, _) => cost,
            _ => None,
        });
        assert_eq!(kept, ended.map(i128::from).sum());
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
    }
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..2_000u64,
        2 => Just(1),
        1 => prop_oneof![Just(1 << 63), Just(u64::MAX)],
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS, prop_oneof![2 => Just(ALL), 1 => 0..ALL], amount(), amount())
            .prop_map(|(key, in_use, at_least, at_most)| Step::Reserve { key, in_use, at_least, at_most }),
        1 => (0..KEYS, 0..2_000u64).prop_map(|(key, cost)| Step::Note { key, cost }),
        4 => (any::<usize>(), amount()).prop_map(|(which, cost)| Step::Settle { which, cost }),
        2 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::GiveUp),
        5 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|is_kept| Step::Fail { is_kept }),
        1 => Just(Step::Crash),
        2 => prop_oneof![-7_200_000..7_200_000i64, Just(86_400_000), Just(2 * 86_400_000)].prop_map(Step::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(500) as u32))]

    #[test]
    fn balances_are_the_sum_of_the_lines_whatever_happens(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.rest();
    }
}

/// How often, unless the environment says otherwise: `cargo xtask soak schedules` does.
pub(super) fn times(usual: usize) -> usize {
    let named = std::env::var("POINTSMAN_SOAK_TIMES").ok();
    named.map_or(usual, |times| times.parse().expect("POINTSMAN_SOAK_TIMES is a number"))
}

#[test]
fn many_settles_of_a_nano_dollar_add_up_to_the_last_one() {
    let mut world = World::new();
    let settles = times(10_000).max(10_000) as u64;
    for _ in 0..settles {
        let granted = world
            .book
            .reserve(wish(2, ALL, 1, 1), world.now_ms, &world.store)
            .unwrap();
        world.book.settle(granted.id, settlement(1));
        if world.book.batch.lines.len() >= 1_000 {
            world.book.batch = Batch::default();
        }
    }
    let balance = &world.book.balances()[0];
    assert_eq!((balance.spent, balance.held), (i128::from(settles), 0));
}
