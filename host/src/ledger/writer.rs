//! The thread that writes: it takes what has come, decides, writes it in one batch, and answers when that is on disk.

mod borrowing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use borrowing::Borrowing;
use tokio::sync::oneshot;

use super::book::{Book, Granted};
use super::events::{Event, Listener};
use super::hold::Hold;
use super::inbox::Rest;
use super::reply::{Waiter, answer};
use super::{Desk, Message, Opened, Opener, Refused, Setup};
use crate::store::{Batch, Pruned, Store, StoreError};
use crate::telemetry::LedgerMeter;

/// How often a store that failed is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How long what an attempt came to may be missing after a loss of power: it would be booked at what was held.
const SYNC: Duration = Duration::from_millis(50);
/// How long those who read the store may not see what was kept, while more comes all the time. Making rows takes some milliseconds,
/// for which others wait: seldom enough that one call in a hundred does not meet it.
const PUBLISH: Duration = Duration::from_secs(1);
/// How often what is old is looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// Where so many came while one batch was being written, the next one waits for more of them: what a batch costs is shared by
/// those in it, and on a processor that has nothing to spare that is worth more than the fraction of a millisecond.
const CROWD: usize = 3;
/// Lines that wait for a store that failed. Beyond them, nothing more is spent.
const BACKLOG: usize = 100_000;

pub(super) struct Writer {
    desk: Arc<Desk>,
    open: Opener,
    clock: Box<dyn Fn() -> u64 + Send>,
    listener: Listener,
    meter: LedgerMeter,
    keep_lines: Duration,
    /// How many bytes documents of a kind may have.
    bounds: BTreeMap<&'static str, Bound>,
    /// None while it has failed.
    store: Option<Box<dyn Store>>,
    tried: Instant,
    /// When is looked for what is old.
    sweep_at: Instant,
    /// Since when something is kept that is not on disk.
    unsynced: Option<Instant>,
    /// Since when something is kept that others do not see.
    unseen: Option<Instant>,
    book: Book,
    /// Where budgets are shared.
    fleet: Option<Borrowing>,
    /// How many waited for the last batch.
    crowd: usize,
    /// The last time that somebody waited, it was not many.
    is_quiet: bool,
}

/// How many bytes documents of a kind may have.
struct Bound {
    most_bytes: u64,
    /// Whether there may be more, as far as anybody knows.
    is_due: bool,
}

/// What is answered when the batch is on disk.
enum Answer {
    Granted(Granted, Waiter),
    Kept(oneshot::Sender<Result<(), StoreError>>),
    Noted(u64, oneshot::Sender<Result<u64, StoreError>>),
    Done(oneshot::Sender<()>),
}

impl Answer {
    /// Whether somebody wants to hear that it is on disk.
    fn waits(&self) -> bool {
        matches!(self, Self::Kept(_) | Self::Noted(..) | Self::Done(_))
    }
}

impl Writer {
    /// Opens the store and resolves what the process before this one left.
    pub(super) fn open(desk: &Arc<Desk>, setup: Setup) -> Result<Self, StoreError> {
        let mut store = (setup.open)()?;
        let (holds, next) = store.open_holds()?;
        let mut book = Book::new(next);
        if !holds.is_empty() {
            tracing::warn!(
                holds = holds.len(),
                "the process before this one ended in the middle of calls: each is booked at the most that it can have cost"
            );
            book.recover(holds);
            store.commit(&std::mem::take(&mut book.batch))?;
            store.publish()?;
        }
        let shares = setup.fleet.zip(desk.fleet.clone());
        if shares.is_some() {
            book.share(store.as_ref(), (setup.clock)())?;
        }
        let fleet = shares.map(|(fleet, standing)| Borrowing::start(fleet, desk, standing, &setup.meter));
        Ok(Self {
            desk: desk.clone(),
            open: setup.open,
            clock: setup.clock,
            listener: setup.listener,
            meter: setup.meter,
            keep_lines: setup.keep_lines,
            bounds: BTreeMap::new(),
            store: Some(store),
            tried: Instant::now(),
            sweep_at: Instant::now() + SWEEP,
            unsynced: None,
            unseen: None,
            book,
            fleet: fleet.transpose()?,
            crowd: 0,
            is_quiet: true,
        })
    }

    pub(super) fn run(mut self) {
        step_back();
        self.desk.inbox.listen();
        let mut has_ended = false;
        while !has_ended {
            if self.crowd >= CROWD {
                self.desk.inbox.gather();
            }
            let messages = self.desk.inbox.take(&self.rest());
            let mut answers = Vec::with_capacity(self.crowd);
            let now_ms = (self.clock)();
            for message in messages {
                has_ended |= matches!(message, Message::Close(_));
                self.take(message, now_ms, &mut answers);
            }
            self.borrow(now_ms);
            if has_ended {
                self.leave(now_ms);
            }
            self.crowd = answers.len();
            if !answers.is_empty() {
                self.is_quiet = self.crowd < CROWD;
            }
            self.write(answers);
            self.sweep(now_ms);
            let (open, held) = self.book.held();
            self.meter.holds(open, held);
            for event in std::mem::take(&mut self.book.events) {
                self.meter.event(event.name());
                (self.listener)(&event);
            }
        }
        self.desk.inbox.close();
    }

    /// How it waits for something to come.
    fn rest(&self) -> Rest {
        let left = |since: Option<Instant>, most: Duration| Some(most.saturating_sub(since?.elapsed()));
        let soon = [left(self.unsynced, SYNC), left(self.unseen, PUBLISH)];
        let (at_most, looks_soon) = match soon.into_iter().flatten().min() {
            _ if self.store.is_none() => (RETRY, true),
            // What came to nothing yet but the sight of others is no reason to leave what comes next lying.
            Some(left) => (left, self.unsynced.is_some()),
            None => (SWEEP, false),
        };
        let fleet = self.fleet.as_ref().map(Borrowing::patience);
        Rest {
            at_most: fleet.map_or(at_most, |fleet| fleet.min(at_most)),
            looks_soon,
            is_quiet: self.is_quiet,
        }
    }

    fn take(&mut self, message: Message, now_ms: u64, answers: &mut Vec<Answer>) {
        match message {
            Message::Reserve(wish, waiter) => self.reserve(wish, waiter, None, now_ms, answers),
            Message::Lent(lent) => self.lent(lent, now_ms, answers),
            Message::Settle(id, settlement) => self.book.settle(id, *settlement),
            Message::GiveUp(id) => self.book.give_up(id),
            Message::Release(id) => self.book.release(id),
            Message::Note(_, Some(reply)) if self.store.is_none() => {
                drop(reply.send(Err(StoreError::Failed(FAILED.to_owned()))));
            }
            Message::Note(line, reply) => {
                let id = self.book.note(*line, now_ms);
                answers.extend(reply.map(|reply| Answer::Noted(id, reply)));
            }
            // What nobody waits for would pile up while the store is out.
            Message::Keep(..) if self.store.is_none() => drop(message),
            Message::Keep(documents, reply) => {
                for document in &documents {
                    if let Some(bound) = self.bounds.get_mut(document.kind) {
                        bound.is_due = true;
                    }
                }
                self.book.keep(documents);
                answers.extend(reply.map(Answer::Kept));
            }
            Message::Bound(kind, most_bytes) => {
                let bound = Bound {
                    most_bytes,
                    is_due: true,
                };
                self.bounds.insert(kind, bound);
                // Whoever says less than before wants it soon.
                self.sweep_at = Instant::now();
            }
            Message::Empty(kind, reply) => {
                self.book.batch.documents.retain(|document| document.kind != kind);
                let emptied = match &mut self.store {
                    Some(store) => store.trim(kind, 0),
                    None => Err(StoreError::Failed(FAILED.to_owned())),
                };
                let _ = reply.send(emptied);
            }
            Message::Balances(reply) => drop(reply.send(self.book.balances())),
            Message::Flush(reply) | Message::Close(reply) => answers.push(Answer::Done(reply)),
        }
    }

    /// Writes the batch, and answers those who wait for it. Where few wait for their holds, what other calls came to is written
    /// after them: it would be their wait. Where many do, one batch costs less than two. Documents that nobody waits for are
    /// nobody's wait.
    fn write(&mut self, answers: Vec<Answer>) {
        if self.store.is_none() && self.tried.elapsed() >= RETRY {
            self.reopen();
        }
        if answers.iter().any(Answer::waits) {
            self.keep(answers, Batch::take);
        } else {
            let documents = std::mem::take(&mut self.book.batch.documents);
            if answers.len() < CROWD && !self.book.batch.holds.is_empty() {
                self.keep(answers, |batch| Batch {
                    holds: std::mem::take(&mut batch.holds),
                    ..Batch::default()
                });
                // Whoever was answered goes first, where both are on one processor.
                std::thread::yield_now();
                self.keep(Vec::new(), Batch::take);
            } else {
                self.keep(answers, Batch::take);
            }
            if !documents.is_empty() {
                self.book.keep(documents);
                self.keep(Vec::new(), Batch::take);
            }
        }
        let is_over = |since: Option<Instant>, most: Duration| since.is_some_and(|since| since.elapsed() >= most);
        if is_over(self.unsynced, SYNC) || is_over(self.unseen, PUBLISH) {
            self.keep_and_publish(Batch::default(), Vec::new());
        }
    }

    /// Writes this part of what was collected, and answers those who wait for it.
    fn keep(&mut self, answers: Vec<Answer>, part: fn(&mut Batch) -> Batch) {
        let Some(store) = &mut self.store else {
            return self.answer(answers, false);
        };
        let batch = part(&mut self.book.batch);
        // Whoever does not ask for money alone looks for it afterwards, or says to somebody else that it is there.
        if answers.iter().any(Answer::waits) {
            return self.keep_and_publish(batch, answers);
        }
        if batch.is_empty() {
            return self.answer(answers, true);
        }
        // What an attempt came to need not wait for the disk: its hold is there. Documents that nobody waits for wait least.
        let waits = !batch.holds.is_empty();
        let began = Instant::now();
        let kept = match waits {
            true => store.commit(&batch),
            false => store.append(&batch),
        };
        self.unsynced = if waits { None } else { self.unsynced.or(Some(began)) };
        self.unseen = self.unseen.or(Some(began));
        self.kept(kept, began, batch, answers);
    }

    /// The same, and all that was kept before is on disk and in everybody's sight.
    fn keep_and_publish(&mut self, batch: Batch, answers: Vec<Answer>) {
        let Some(store) = &mut self.store else {
            return self.answer(answers, false);
        };
        let began = Instant::now();
        let kept = if batch.is_empty() { Ok(()) } else { store.commit(&batch) };
        let kept = kept.and_then(|()| store.publish());
        (self.unsynced, self.unseen) = (None, None);
        self.kept(kept, began, batch, answers);
    }

    fn kept(&mut self, kept: Result<(), StoreError>, began: Instant, batch: Batch, answers: Vec<Answer>) {
        match kept {
            Ok(()) => {
                if !batch.is_empty() {
                    let estimated = batch.lines.iter().filter(|line| line.is_estimated).count();
                    self.meter.committed(began.elapsed(), batch.lines.len(), estimated);
                }
                self.answer(answers, true);
            }
            Err(error) => {
                self.fail(batch, &error);
                self.refuse(answers, &error);
            }
        }
    }

    fn answer(&mut self, answers: Vec<Answer>, is_on_disk: bool) {
        let mut granted = Vec::with_capacity(answers.len());
        let mut others = Vec::new();
        for answer in answers {
            match answer {
                Answer::Granted(Granted { id, amount, warnings }, waiter) => {
                    granted.push((waiter, Ok(Hold::new(self.desk.clone(), id, amount, warnings))));
                }
                other => others.push(other),
            }
        }
        // Whoever is told that all before is done finds released what nobody waited for.
        answer(granted);
        for answer in others {
            match answer {
                Answer::Granted(..) => {}
                Answer::Kept(reply) if is_on_disk => drop(reply.send(Ok(()))),
                Answer::Kept(reply) => drop(reply.send(Err(StoreError::Failed(FAILED.to_owned())))),
                Answer::Noted(id, reply) if is_on_disk => drop(reply.send(Ok(id))),
                Answer::Noted(_, reply) => drop(reply.send(Err(StoreError::Failed(FAILED.to_owned())))),
                Answer::Done(reply) => drop(reply.send(())),
            }
        }
        if !is_on_disk {
            // There is nothing that they could be written before.
            self.book.batch.holds.clear();
        }
    }

    /// What the store has of this batch, nobody knows: it is opened anew before it is believed again.
    fn fail(&mut self, batch: Batch, error: &StoreError) {
        self.store = None;
        (self.unsynced, self.unseen) = (None, None);
        self.tried = Instant::now();
        self.book.undo(batch);
        self.desk.has_failed.store(true, Ordering::Relaxed);
        self.meter.store(true);
        tracing::error!(%error, "the ledger cannot be written: calls with a budget are refused until it can");
        self.book.events.push(Event::StoreFailed {
            reason: error.to_string(),
        });
    }

    fn refuse(&mut self, answers: Vec<Answer>, error: &StoreError) {
        let mut refused = Vec::new();
        for answer in answers {
            match answer {
                Answer::Granted(_, waiter) => refused.push((waiter, Err(Refused::Unavailable(error.to_string())))),
                Answer::Kept(reply) => drop(reply.send(Err(error.clone()))),
                // Who hears that it failed says it again.
                Answer::Noted(id, reply) => {
                    self.book.batch.lines.retain(|line| line.id != id);
                    let _ = reply.send(Err(error.clone()));
                }
                Answer::Done(reply) => drop(reply.send(())),
            }
        }
        answer(refused);
    }

    fn reopen(&mut self) {
        self.tried = Instant::now();
        match self.recovered() {
            Ok(store) => {
                self.store = Some(store);
                self.desk.has_failed.store(false, Ordering::Relaxed);
                self.meter.store(false);
                tracing::info!("the ledger can be written again");
                self.borrow_anew();
                self.book.events.push(Event::StoreRecovered);
            }
            Err(error) => tracing::debug!(%error, "the ledger still cannot be written"),
        }
    }

    /// A store that has proved that it writes: what waited is in it.
    fn recovered(&mut self) -> Opened {
        let mut store = (self.open)()?;
        let (holds, next) = store.open_holds()?;
        // Those who wait for their reservations have not been answered yet; these go with the next batch.
        let mut batch = Batch {
            holds: self.book.reconcile(&holds, next),
            ..Batch::default()
        };
        batch.released.clone_from(&self.book.batch.released);
        batch.lines.clone_from(&self.book.batch.lines);
        batch.documents.clone_from(&self.book.batch.documents);
        store.commit(&batch)?;
        store.publish()?;
        self.book.batch = Batch {
            holds: std::mem::take(&mut self.book.batch.holds),
            ..Batch::default()
        };
        Ok(store)
    }

    fn sweep(&mut self, now_ms: u64) {
        if Instant::now() < self.sweep_at {
            return;
        }
        self.sweep_at = Instant::now() + SWEEP;
        let Some(store) = &mut self.store else { return };
        let before = now_ms.saturating_sub(u64::try_from(self.keep_lines.as_millis()).unwrap_or(u64::MAX));
        // Documents are counted only where some were written: that takes a while where there are many.
        let due = self.bounds.iter_mut();
        let due =
            due.filter_map(|(kind, bound)| std::mem::take(&mut bound.is_due).then_some((*kind, bound.most_bytes)));
        let pruned = store.prune(now_ms, before);
        let trimmed = due
            .map(|(kind, most)| store.trim(kind, most))
            .sum::<Result<u64, StoreError>>();
        match pruned.and_then(|pruned| Ok((pruned, trimmed?))) {
            Ok((Pruned { lines: 0, documents: 0 }, 0)) => {}
            Ok((pruned, trimmed)) => {
                let documents = pruned.documents + trimmed;
                tracing::info!(lines = pruned.lines, documents, "what was old was forgotten");
            }
            Err(error) => tracing::warn!(%error, "what is old could not be forgotten"),
        }
    }
}

/// Tells the scheduler that this thread, when it wakes, need not interrupt the one that serves on the same processor: it runs as
/// soon as that one has nothing to do, and finds everything that came until then. Its share of the processor stays the same.
/// Where that is refused, batches are smaller.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "a third more requests a second (bench/README.md), and no safe library does it alone"
)]
fn step_back() {
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: this thread names itself, and what is pointed to lives as long as the call.
    let refused = unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_BATCH, &raw const ordinary) };
    if refused != 0 {
        let error = std::io::Error::from_raw_os_error(refused);
        tracing::debug!(%error, "the ledger's thread keeps the scheduler's policy that it has");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

const FAILED: &str = "the store has failed, and is tried again";

fn unavailable() -> Refused {
    Refused::Unavailable(FAILED.to_owned())
}
