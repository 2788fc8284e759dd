//! The ledger: money is reserved before the first byte of an attempt goes out, and booked once on every way it can end.
//!
//! One thread writes (`writer`). It decides on reservations with its balances in memory (`accounts`), collects what came
//! meanwhile into one batch, and answers when the store has it on disk. A [`Hold`] is the caller's end of a reservation: it
//! is settled with what was used, or settles itself when it is dropped.

mod accounts;
mod book;
#[cfg(test)]
mod borrowed;
mod correct;
mod events;
mod hold;
mod inbox;
#[cfg(test)]
mod late;
mod lending;
#[cfg(test)]
mod model;
mod reply;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

pub use accounts::{Balance, Shared};
pub use correct::{Change, correction};
pub use events::{Event, Listener};
pub use hold::{Hold, Settlement};
use inbox::Inbox;
pub use lending::{Fleet, Standing, State};

use crate::budget::{Budget, Scope, Scoped};
use crate::money::Nanodollars;
use crate::store::{Document, Line, Store, StoreError, Tags};
use crate::telemetry::LedgerMeter;

/// A handle to the ledger; cheap to clone. One that is off reserves nothing and books nothing.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Option<Arc<Desk>>);

/// What handles, holds and the writer share.
pub(crate) struct Desk {
    inbox: Inbox,
    /// Whether calls are booked; documents are kept either way.
    books: bool,
    /// The store could not be written to, and nobody knows yet whether it can again.
    has_failed: AtomicBool,
    reader: Opener,
    timeout: Duration,
    /// Where budgets are shared.
    fleet: Option<Arc<Standing>>,
}

/// What came of opening a store.
pub type Opened = Result<Box<dyn Store>, StoreError>;

/// Opens a store, from whatever thread.
pub type Opener = Arc<dyn Fn() -> Opened + Send + Sync>;

/// How a ledger is run.
pub struct Setup {
    /// Opens the store: at the start, and again after it failed.
    pub open: Opener,
    /// Opens it once more, for questions.
    pub reader: Opener,
    /// Whether calls are reserved for and booked; documents are kept either way.
    pub books: bool,
    /// How long a reservation may take; after that it is refused.
    pub timeout: Duration,
    /// How long lines are kept; their sums stay.
    pub keep_lines: Duration,
    /// Milliseconds since 1970.
    pub clock: Box<dyn Fn() -> u64 + Send>,
    /// Where commits and holds are counted.
    pub meter: LedgerMeter,
    /// Hears of budgets that are used up and the like, on the writer's thread.
    pub listener: Listener,
    /// With whom budgets are shared, if with anybody.
    pub fleet: Option<Fleet>,
}

/// What is to be reserved for one attempt.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The request's id.
    pub request: Arc<str>,
    /// What it is counted under.
    pub tags: Arc<Tags>,
    /// Budgets that it has to fit into: all of them or none.
    pub budgets: Vec<Arc<Scoped>>,
    /// As much as the attempt can cost, if it can be had.
    pub at_most: Nanodollars,
    /// With less than this it is not worth trying.
    pub at_least: Nanodollars,
    /// Of the price; nothing where there is none.
    pub price_version: Option<u32>,
    /// The key's own data, kept with the line.
    pub metadata: Option<Arc<str>>,
}

/// Why nothing was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It does not fit into a budget.
    Exceeded(Exceeded),
    /// There is a budget, and nobody knows what the model costs.
    Unpriced(Scope),
    /// The store cannot say, or cannot keep it.
    Unavailable(String),
}

/// A budget that has not enough left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub budget: Budget,
    /// Booked in this window.
    pub spent: i128,
    /// Reserved for attempts under way.
    pub held: u128,
    /// When the next window begins, in milliseconds since 1970; never for a total.
    pub resets_ms: Option<u64>,
}

/// What the writer is told.
pub(crate) enum Message {
    Reserve(Box<Wish>, reply::Waiter),
    Settle(u64, Box<Settlement>),
    Release(u64),
    /// Something was sent, and nobody knows what it came to.
    GiveUp(u64),
    /// A line without a hold; the writer gives it a number, which it says when that is on disk.
    Note(Box<Line>, Option<oneshot::Sender<Result<u64, StoreError>>>),
    Keep(Vec<Document>, Option<oneshot::Sender<Result<(), StoreError>>>),
    /// Documents of a kind have so many bytes from now on.
    Bound(&'static str, u64),
    /// All documents of a kind go, and how many there were is answered.
    Empty(&'static str, oneshot::Sender<Result<u64, StoreError>>),
    /// Something came of asking the lender.
    Lent(lending::Lent),
    Balances(oneshot::Sender<Vec<Balance>>),
    /// Answered when all that was said before is on disk.
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

impl Ledger {
    /// A ledger that is kept nowhere.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the store, resolves what the last process left open, and starts the thread that writes.
    pub fn start(setup: Setup) -> Result<Self, StoreError> {
        let desk = Arc::new(Desk {
            inbox: Inbox::default(),
            books: setup.books,
            has_failed: AtomicBool::new(false),
            reader: setup.reader.clone(),
            timeout: setup.timeout,
            fleet: setup.fleet.as_ref().map(|fleet| Standing::new(fleet.name.clone())),
        });
        let writer = writer::Writer::open(&desk, setup)?;
        std::thread::Builder::new()
            .name("pointsman-ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self(Some(desk)))
    }

    /// Whether calls are booked.
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_some_and(|desk| desk.books)
    }

    /// Whether the store could not be written to.
    pub fn has_failed(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|desk| desk.has_failed.load(Ordering::Relaxed))
    }

    /// How it stands with the lender, where budgets are shared.
    pub fn fleet(&self) -> Option<&Standing> {
        self.0.as_ref()?.fleet.as_deref()
    }

    /// Reserves money for one attempt. What comes back is on disk.
    pub async fn reserve(&self, wish: Wish) -> Result<Hold, Refused> {
        let Some(desk) = self.0.as_ref().filter(|desk| desk.books) else {
            // Of a key that was made with one: the configuration has none then.
            return match wish.budgets.is_empty() {
                true => Ok(Hold::off(wish)),
                false => Err(Refused::Unavailable(
                    "the ledger is off, which would keep it".to_owned(),
                )),
            };
        };
        // There is nothing to check: whatever the store does, such a call goes on.
        let free = wish.budgets.is_empty().then(|| wish.clone());
        let mut reserved = desk.ask(wish).await;
        if let (Some(Err(Refused::Unavailable(_))), Some(wish)) = (&reserved, &free) {
            // The batch that it was in was not written, and the writer knows by now that the store is out.
            reserved = desk.ask(wish.clone()).await;
        }
        match (reserved, free) {
            (Some(reserved), _) => reserved,
            // What was asked for is released when it is answered after all.
            (None, Some(wish)) if desk.inbox.has_room() => Ok(Hold::unreserved(desk.clone(), wish, now_ms())),
            (None, _) => Err(late(desk)),
        }
    }

    /// Books a line that nothing was reserved for: an answer that cost nothing.
    pub fn note(&self, line: Line) {
        if let Some(desk) = self.0.as_ref().filter(|desk| desk.books) {
            desk.post(Message::Note(Box::new(line), None));
        }
    }

    /// As [`Self::note`]; gives the line's number once it is on disk.
    pub async fn note_now(&self, line: Line) -> Result<u64, StoreError> {
        let Some(desk) = self.0.as_ref().filter(|desk| desk.books) else {
            return Err(StoreError::Refused("the ledger is off".to_owned()));
        };
        let (reply, answer) = oneshot::channel();
        desk.post(Message::Note(Box::new(line), Some(reply)));
        answer
            .await
            .map_err(|_| StoreError::Failed("the ledger is closed".to_owned()))?
    }

    /// Writes documents, some time soon.
    pub fn keep(&self, documents: Vec<Document>) {
        if let Some(desk) = &self.0 {
            desk.post(Message::Keep(documents, None));
        }
    }

    /// Writes documents; they are on disk when this returns.
    pub async fn keep_now(&self, documents: Vec<Document>) -> Result<(), StoreError> {
        let Some(desk) = &self.0 else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        desk.post(Message::Keep(documents, Some(reply)));
        answer
            .await
            .map_err(|_| StoreError::Failed("the ledger is closed".to_owned()))?
    }

    /// Documents of a kind have so many bytes from now on; those that expire first make room.
    pub fn bound(&self, kind: &'static str, most_bytes: u64) {
        if let Some(desk) = &self.0 {
            desk.post(Message::Bound(kind, most_bytes));
        }
    }

    /// Takes away all documents of a kind; those that are said to be kept after this call stay.
    pub fn empty(&self, kind: &'static str) -> impl Future<Output = Result<u64, StoreError>> + use<> {
        let (reply, answer) = oneshot::channel();
        match &self.0 {
            Some(desk) => desk.post(Message::Empty(kind, reply)),
            None => drop(reply.send(Ok(0))),
        }
        async {
            answer
                .await
                .unwrap_or_else(|_| Err(StoreError::Failed("the ledger is closed".to_owned())))
        }
    }

    /// What is left of the budgets that were met since the start.
    pub async fn balances(&self) -> Vec<Balance> {
        let Some(desk) = &self.0 else { return Vec::new() };
        let (reply, answer) = oneshot::channel();
        desk.post(Message::Balances(reply));
        answer.await.unwrap_or_default()
    }

    /// Waits until all that was booked is on disk.
    pub async fn flush(&self) {
        if let Some(desk) = &self.0 {
            let (reply, answer) = oneshot::channel();
            desk.post(Message::Flush(reply));
            let _ = answer.await;
        }
    }

    /// The same, for a thread outside any runtime.
    pub fn flush_blocking(&self) {
        if let Some(desk) = &self.0 {
            let (reply, answer) = oneshot::channel();
            desk.post(Message::Flush(reply));
            let _ = answer.blocking_recv();
        }
    }

    /// Ends the thread that writes, once all that was booked is on disk. Called on the way out, outside any runtime.
    pub fn close(&self) {
        if let Some(desk) = &self.0 {
            let (reply, answer) = oneshot::channel();
            desk.post(Message::Close(reply));
            let _ = answer.blocking_recv();
        }
    }

    /// A door to the store for questions, which take as long as they take: not for a thread that serves.
    pub fn reader(&self) -> Opened {
        let Some(desk) = &self.0 else {
            return Err(StoreError::Refused("the ledger is off".to_owned()));
        };
        (desk.reader)()
    }
}

impl Desk {
    /// What the writer says; nothing where it does not in time.
    async fn ask(&self, wish: Wish) -> Option<Result<Hold, Refused>> {
        let (reply, answer) = oneshot::channel();
        self.post(Message::Reserve(Box::new(wish), reply));
        let answer = tokio::time::timeout(self.timeout, answer).await.ok()?;
        Some(match answer {
            Ok(reply) => reply.open(),
            Err(_) => Err(Refused::Unavailable("the ledger is closed".to_owned())),
        })
    }

    /// Never blocks: a hold that is dropped must be able to say so.
    pub(crate) fn post(&self, message: Message) {
        // After the end nobody listens; what a hold would say then is found by the next start.
        self.inbox.post(message);
    }
}

fn late(desk: &Desk) -> Refused {
    Refused::Unavailable(format!(
        "the store did not answer within {} ms",
        desk.timeout.as_millis()
    ))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Desk")
    }
}
