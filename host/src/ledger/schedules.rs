//! Callers and the writer in every order that a random scheduler comes upon: callers that settle, give up, or leave before
//! they are answered, and a writer that may end in the middle of it. The state is the real one; the thread that writes is
//! the loop of `writer.rs` over channels that the scheduler knows.

use std::collections::HashMap;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use super::book::Book;
use super::tests::{budget, key, settlement};
use super::*;
use crate::budget::Period;
use crate::store::memory::Memory;
use crate::store::{Batch, Span};

const CALLERS: u64 = 3;
const CALLS: u64 = 2;
/// Each call reserves so much; the budget is for two at a time.
const CEILING: u64 = 100;
const LIMIT: u64 = 250;

enum Said {
    Reserve(u64, Sender<Option<u64>>),
    Settle(u64, u64),
    Release(u64),
    GiveUp(u64),
}

/// What a caller did, as its provider would know it: by the request, what it cost, where that is known.
type Journal = HashMap<u64, Option<u64>>;

fn budgets() -> [Arc<Scoped>; 2] {
    [
        budget(key(), LIMIT, Period::Total),
        budget(Scope::Team("t".into()), LIMIT + 1, Period::Total),
    ]
}

fn wish(request: u64) -> Wish {
    Wish {
        request: request.to_string().into(),
        ..tests::wish(CEILING, &budgets())
    }
}

fn call(request: u64, desk: &Sender<Said>, journal: &mut Journal) {
    let (reply, answer) = channel();
    let _ = desk.send(Said::Reserve(request, reply));
    if thread_rng().gen_bool(0.1) {
        // Gone before it is answered: what was reserved comes back by being dropped.
        drop(answer);
        return;
    }
    let Ok(Some(hold)) = answer.recv() else { return };
    match thread_rng().gen_range(0..4) {
        0 => drop(desk.send(Said::Release(hold))),
        1 => {
            journal.insert(request, None);
            let _ = desk.send(Said::GiveUp(hold));
        }
        _ => {
            let cost = thread_rng().gen_range(0..=CEILING);
            journal.insert(request, Some(cost));
            thread::yield_now();
            let _ = desk.send(Said::Settle(hold, cost));
        }
    }
}

/// As `Writer::run`: what has come is decided on, written in one batch, and answered then. It may end before any of that.
fn write(inbox: &Receiver<Said>, mut store: Memory, ends: bool) {
    let (_, next) = store.open_holds().unwrap();
    let mut book = Book::new(next);
    while let Ok(first) = inbox.recv() {
        let mut answers = Vec::new();
        let more = std::iter::from_fn(|| inbox.try_recv().ok());
        for said in std::iter::once(first).chain(more) {
            match said {
                Said::Reserve(request, reply) => match book.reserve(wish(request), 1_000, &store) {
                    Ok(granted) => answers.push((granted.id, reply)),
                    Err(_) => drop(reply.send(None)),
                },
                Said::Settle(id, cost) => book.settle(id, settlement(cost)),
                Said::Release(id) => book.release(id),
                Said::GiveUp(id) => book.give_up(id),
            }
        }
        keeps_within(&book);
        if ends && thread_rng().gen_bool(0.1) {
            return ended(inbox, answers);
        }
        store.commit(&std::mem::take(&mut book.batch)).unwrap();
        thread::yield_now();
        if ends && thread_rng().gen_bool(0.1) {
            return ended(inbox, answers);
        }
        for (id, reply) in answers {
            if reply.send(Some(id)).is_err() {
                book.release(id);
            }
        }
    }
    store.commit(&std::mem::take(&mut book.batch)).unwrap();
    assert_eq!(book.held(), (0, 0));
    assert!(book.balances().iter().all(|balance| balance.held == 0));
}

/// Whatever is said to a process that has ended, nobody hears it, and nobody answers.
fn ended(inbox: &Receiver<Said>, waiting: Vec<(u64, Sender<Option<u64>>)>) {
    drop(waiting);
    while let Ok(said) = inbox.recv() {
        drop(said);
    }
}

/// What is booked and what is held never exceed a budget together.
fn keeps_within(book: &Book) {
    for balance in book.balances() {
        let taken = balance.spent + balance.held as i128;
        assert!(taken <= i128::from(balance.budget.limit.0), "{balance:?}");
    }
}

fn one_schedule(ends: bool) {
    let store = Memory::default();
    let (desk, inbox) = channel();
    let kept = store.clone();
    let writer = thread::spawn(move || write(&inbox, kept, ends));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let desk = desk.clone();
            thread::spawn(move || {
                let mut journal = Journal::new();
                (0..CALLS).for_each(|number| call(caller * CALLS + number, &desk, &mut journal));
                journal
            })
        })
        .collect();
    drop(desk);
    let mut journal = Journal::new();
    callers
        .into_iter()
        .for_each(|caller| journal.extend(caller.join().unwrap()));
    writer.join().unwrap();
    recovered(store, &journal);
}

/// The next process books what this one left open; then every attempt that was made has one line.
fn recovered(mut store: Memory, journal: &Journal) {
    let (holds, next) = store.open_holds().unwrap();
    let mut book = Book::new(next);
    book.recover(holds);
    let recovered: Batch = std::mem::take(&mut book.batch);
    store.commit(&recovered).unwrap();
    let mut lines: HashMap<u64, Line> = HashMap::new();
    let mut total = 0;
    let mut each = |line: Line| {
        total += line.cost.unwrap().0;
        assert!(lines.insert(line.request.parse().unwrap(), line).is_none());
        true
    };
    store.lines(Span::EVER, &mut each).unwrap();
    for (request, cost) in journal {
        let line = lines.remove(request).expect("an attempt without a line");
        let said = cost.filter(|_| !line.is_recovered).unwrap_or(CEILING);
        assert_eq!(
            (line.cost, line.ceiling),
            (Some(Nanodollars(said)), Nanodollars(CEILING))
        );
    }
    // Of the others nothing was sent; the process that knew has ended.
    assert!(lines.values().all(|line| line.is_recovered));
    assert!(total <= LIMIT);
    assert_eq!(store.open_holds().unwrap().0, []);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn callers_and_the_writer_agree_in_whatever_order_they_run() {
    shuttle::check_random(|| one_schedule(false), super::model::times(500));
}

#[test]
fn nothing_is_lost_or_booked_twice_where_the_writer_ends_in_the_middle() {
    shuttle::check_random(|| one_schedule(true), super::model::times(500));
}
