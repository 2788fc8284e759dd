//! Gateways that share budgets, whatever happens to them and to who lends: their ledgers' states over a lender in memory, against a sum.

use proptest::prelude::*;

use super::accounts::{Asks, Extent};
use super::book::Book;
use super::model::times;
use super::tests::{budget, key, settlement, wish};
use super::*;
use crate::budget::Period;
use crate::fleet::Lender;
use crate::fleet::memory::{Bank, Teller, Trouble};
use crate::store::memory::Memory;

const GATEWAYS: usize = 2;
const LIMITS: [u64; 2] = [10_000, 12_000];

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Reserve {
        who: usize,
        at_least: u64,
        at_most: u64,
    },
    /// At a part of what was held, in percent.
    Settle {
        who: usize,
        which: usize,
        percent: u64,
    },
    Release {
        who: usize,
        which: usize,
    },
    /// What is always going on.
    Beat(usize),
    /// The same, after a while in which nobody called.
    Idle(usize),
    /// The process ends, and another one begins.
    Crash(usize),
    /// Its store was opened anew.
    Reopen(usize),
    Trouble(Trouble),
    /// The lender's replica hears of everything until now.
    Copy,
    FallBack,
    Forget,
    /// Everybody was heard.
    Heard,
}

struct Gateway {
    name: String,
    store: Memory,
    book: Book,
    teller: Teller,
    is_joined: bool,
    is_settling: bool,
    /// What is open, with how much of it is held.
    holds: Vec<(u64, u64)>,
    spent: u64,
}

struct World {
    bank: Bank,
    gateways: Vec<Gateway>,
    now_ms: u64,
}

fn budgets() -> [Arc<Scoped>; 2] {
    [
        budget(key(), LIMITS[0], Period::Total),
        budget(Scope::Team("t".into()), LIMITS[1], Period::Month),
    ]
}

fn between(at_least: u64, at_most: u64) -> Wish {
    Wish {
        at_least: Nanodollars(at_least),
        ..wish(at_most, &budgets())
    }
}

impl Gateway {
    fn new(bank: &Bank, name: String, now_ms: u64) -> Self {
        let store = Memory::default();
        let mut book = Book::new(1);
        book.share(&store, now_ms).unwrap();
        Self {
            teller: bank.teller(&name),
            name,
            store,
            book,
            is_joined: false,
            is_settling: false,
            holds: Vec::new(),
            spent: 0,
        }
    }

    fn commit(&mut self) {
        self.store.commit(&std::mem::take(&mut self.book.batch)).unwrap();
    }

    /// What the writer's thread does with what comes of asking.
    fn exchange(&mut self, extent: Extent, now_ms: u64) {
        let statement = match self.is_joined {
            true => self.book.accounts.statement(extent, now_ms),
            false => match self.teller.join() {
                Ok(found) => self.book.joined(found, now_ms, Some(&self.store)),
                Err(_) => return,
            },
        };
        let (charges, entries) = statement;
        match self.teller.exchange(&entries) {
            Ok(answer) => {
                self.is_joined = true;
                self.is_settling = answer.is_settling;
                self.book.answered(&charges, &answer);
            }
            Err(_) => {
                self.is_joined = false;
                self.book.accounts.lost();
            }
        }
    }

    fn reserve(&mut self, wish: &Wish, now_ms: u64) -> Result<u64, Refused> {
        let first = match self.is_joined && !self.is_settling {
            true => Asks::Lender,
            false => Asks::Nobody,
        };
        for asks in [first, Asks::Again] {
            if !self.book.must_borrow(wish, asks, now_ms, &self.store)? {
                break;
            }
            if asks != Asks::Lender {
                return Err(Refused::Unavailable(String::new()));
            }
            self.exchange(Extent::Asking, now_ms);
        }
        let granted = self.book.reserve(wish.clone(), now_ms, &self.store)?;
        self.holds.push((granted.id, granted.amount.0));
        Ok(granted.amount.0)
    }

    fn taken(&self) -> u64 {
        self.spent + self.holds.iter().map(|(_, amount)| amount).sum::<u64>()
    }
}

impl World {
    fn new() -> Self {
        let (bank, now_ms) = (Bank::default(), 1_700_000_000_000);
        let gateways = (0..GATEWAYS).map(|number| Gateway::new(&bank, number.to_string(), now_ms));
        Self {
            gateways: gateways.collect(),
            bank,
            now_ms,
        }
    }

    fn take(&mut self, step: &Step) {
        let now_ms = self.now_ms;
        match *step {
            Step::Reserve { who, at_least, at_most } => {
                let at_least = at_least.min(at_most);
                let gateway = &mut self.gateways[who];
                if let Ok(amount) = gateway.reserve(&between(at_least, at_most), now_ms) {
                    assert!((at_least..=at_most).contains(&amount));
                }
                gateway.book.accounts.yield_wanted();
            }
            Step::Settle { who, which, percent } => {
                let gateway = &mut self.gateways[who];
                if gateway.holds.is_empty() {
                    return;
                }
                let (id, amount) = gateway.holds.swap_remove(which % gateway.holds.len());
                let cost = amount * percent / 100;
                gateway.spent += cost;
                gateway.book.settle(id, settlement(cost));
            }
            Step::Release { who, which } => {
                let gateway = &mut self.gateways[who];
                if gateway.holds.is_empty() {
                    return;
                }
                let (id, _) = gateway.holds.swap_remove(which % gateway.holds.len());
                gateway.book.release(id);
            }
            Step::Beat(who) => {
                let gateway = &mut self.gateways[who];
                gateway.exchange(Extent::Beat(1), now_ms);
                gateway.book.accounts.yield_wanted();
            }
            Step::Idle(who) => {
                self.now_ms += 60_000;
                let gateway = &mut self.gateways[who];
                gateway.book.accounts.give_back_idle(self.now_ms);
                gateway.exchange(Extent::Beat(2), self.now_ms);
            }
            Step::Crash(who) => {
                let gateway = &mut self.gateways[who];
                let (holds, next) = gateway.store.open_holds().unwrap();
                gateway.book = Book::new(next);
                gateway.book.share(&gateway.store, now_ms).unwrap();
                gateway.book.recover(holds);
                gateway.spent = gateway.taken();
                gateway.holds.clear();
                gateway.teller = self.bank.teller(&gateway.name);
                gateway.is_joined = false;
            }
            Step::Reopen(who) => {
                let gateway = &mut self.gateways[who];
                let (holds, next) = gateway.store.open_holds().unwrap();
                assert_eq!(gateway.book.reconcile(&holds, next), []);
                gateway.is_joined = false;
            }
            Step::Trouble(trouble) => self.bank.trouble(trouble),
            Step::Copy => self.bank.copy(),
            Step::FallBack => self.bank.fall_back(),
            Step::Forget => self.bank.forget(),
            Step::Heard => self.heard(),
        }
        self.gateways.iter_mut().for_each(Gateway::commit);
    }

    /// Whatever was wrong is over, and everybody says what there is to say.
    fn heard(&mut self) {
        self.bank.trouble(Trouble::None);
        for gateway in &mut self.gateways {
            // What another session knew is of no use to one that the lender has forgotten.
            gateway.is_joined = false;
            gateway.exchange(Extent::Full, self.now_ms);
            assert!(gateway.is_joined);
        }
        self.bank.settle();
        for gateway in &mut self.gateways {
            gateway.exchange(Extent::Full, self.now_ms);
        }
    }

    fn taken(&self) -> u64 {
        self.gateways.iter().map(Gateway::taken).sum()
    }

    /// All that is left can be spent by anybody, and nothing is lent that is not spent.
    fn rest(&mut self) {
        while let Some(who) = self.gateways.iter().position(|gateway| !gateway.holds.is_empty()) {
            self.take(&Step::Settle {
                who,
                which: 0,
                percent: 50,
            });
        }
        self.heard();
        for who in 0..GATEWAYS {
            self.gateways[who].book.accounts.give_back_all();
        }
        self.heard();
        let taken = self.taken();
        assert_eq!(self.bank.lent(), (2 * i128::from(taken), 0));
        let left = LIMITS[0] - taken;
        let who = self.gateways.len() - 1;
        let now_ms = self.now_ms;
        assert_eq!(self.gateways[who].reserve(&between(left, left), now_ms), Ok(left));
        assert!(self.gateways[0].reserve(&between(1, 1), now_ms).is_err());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..GATEWAYS;
    let amount = || prop_oneof![4 => 0..600u64, 1 => 0..12_000u64];
    prop_oneof![
        10 => (who.clone(), amount(), amount()).prop_map(|(who, at_least, at_most)| Step::Reserve { who, at_least, at_most }),
        5 => (who.clone(), any::<usize>(), 0..=100u64).prop_map(|(who, which, percent)| Step::Settle { who, which, percent }),
        2 => (who.clone(), any::<usize>()).prop_map(|(who, which)| Step::Release { who, which }),
        5 => who.clone().prop_map(Step::Beat),
        1 => who.clone().prop_map(Step::Idle),
        1 => who.clone().prop_map(Step::Crash),
        1 => who.prop_map(Step::Reopen),
        1 => prop_oneof![Just(Trouble::None), Just(Trouble::Out), Just(Trouble::Mute)].prop_map(Step::Trouble),
        1 => Just(Step::Copy),
        1 => Just(Step::FallBack),
        1 => Just(Step::Forget),
        3 => Just(Step::Heard),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(500) as u32))]

    #[test]
    fn gateways_together_keep_to_a_budget_whatever_happens(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            assert!(world.taken() <= LIMITS[0], "{} of {}", world.taken(), LIMITS[0]);
        }
        world.rest();
    }
}
