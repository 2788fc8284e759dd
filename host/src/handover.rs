//! From one process to the next, without a moment in which nobody listens: the listening sockets, and the store with
//! everything that is booked in it. Two processes never write to one store: the one that hands over says all that it has to
//! say from then on to its successor, which books it. `offer` is the end of the process that serves, `taken` that of its
//! successor.
//!
//! A successor that ends before it serves has taken nothing: the process before it keeps its listeners, and what it has said, until
//! it hears that it may forget them, and takes the store back where it does not.
//!
//! What an attempt has come to that began before and ends after, the successor learns from here; the hold that it finds in
//! the store it has booked by then, at the most that the attempt can cost, and so it corrects that line.

mod offer;
mod taken;
mod words;

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use offer::{Offer, Sockets};
pub use taken::{Open, Said, Taken};
use tokio::sync::oneshot;
use words::{Held, SERVING, Word};

use crate::ledger::{Hold, Ledger, Refused, Settlement, Wish};
use crate::money::{Nanodollars, Usage};
use crate::store::{Document, Line, StoreError, Tags};

/// The name of the socket in the folder of the store.
pub const SOCKET: &str = "handover.sock";

/// The ledger of a process that serves, and whom it tells instead once another one writes. A process hands over once; should
/// it get the store back, it opens another ledger, and what is still under way with this one is told to that.
#[derive(Debug, Clone)]
pub struct Books {
    ledger: Ledger,
    successor: Arc<OnceLock<Link>>,
}

impl From<Ledger> for Books {
    fn from(ledger: Ledger) -> Self {
        Self {
            ledger,
            successor: Arc::default(),
        }
    }
}

impl Deref for Books {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

/// A line to the successor. What is said is short, and it reads all the time.
#[derive(Debug)]
pub struct Link(Mutex<Wire>);

#[derive(Debug)]
struct Wire {
    stream: UnixStream,
    /// What was said, until the successor serves: should it not come to that, somebody else has to hear it.
    kept: Option<Vec<u8>>,
}

impl Link {
    fn new(stream: UnixStream) -> Self {
        let kept = Some(Vec::new());
        Self(Mutex::new(Wire { stream, kept }))
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &Word) {
        let Ok(mut line) = serde_json::to_vec(word) else {
            return;
        };
        line.push(b'\n');
        let mut wire = self.wire();
        if let Some(kept) = &mut wire.kept {
            kept.extend_from_slice(&line);
        }
        if let Err(error) = wire.stream.write_all(&line) {
            // Half a line would spoil the next one.
            let _ = wire.stream.shutdown(Shutdown::Both);
            if wire.kept.is_none() {
                tracing::warn!(%error, "the gateway that took over cannot be told what became of a request");
            }
        }
    }
}

impl Books {
    /// From now on nothing is written to the store by this process.
    pub fn begin(&self, link: Link) {
        let _ = self.successor.set(link);
    }

    /// The store is free: nobody holds its lock any more.
    pub fn released(&self) {
        if let Some(successor) = self.successor.get() {
            successor.say(&Word::Released);
        }
    }

    /// Until the successor serves; `false` where it has ended before that.
    pub async fn confirmed(&self) -> bool {
        let Some(successor) = self.successor.get() else {
            return false;
        };
        let (say, heard) = oneshot::channel();
        let stream = successor.wire().stream.try_clone();
        // A thread that the end of the process does not wait for.
        std::thread::spawn(move || {
            let mut line = String::new();
            let is_said = stream.and_then(|stream| {
                stream.set_read_timeout(None)?;
                BufReader::new(stream).read_line(&mut line)
            });
            let _ = say.send(is_said.is_ok() && line == SERVING);
        });
        let is_served = heard.await.unwrap_or_default();
        if is_served {
            successor.wire().kept = None;
        }
        is_served
    }

    /// What this process has said to a successor that has ended, and all that it will say: for its own next ledger.
    pub fn take_back(&self) -> io::Result<Said> {
        let (own, other) = UnixStream::pair()?;
        let said = Said::of(other)?;
        if let Some(successor) = self.successor.get() {
            let mut wire = successor.wire();
            wire.stream = own;
            let kept = wire.kept.take().unwrap_or_default();
            wire.stream.write_all(&kept)?;
        }
        Ok(said)
    }

    /// Nothing more will be said.
    pub fn end(&self) {
        if let Some(successor) = self.successor.get() {
            let _ = successor.wire().stream.shutdown(Shutdown::Both);
        }
    }
}

/// Writes documents some time soon, through whoever writes.
pub fn keep(books: &Books, documents: Vec<Document>) {
    match books.successor.get() {
        Some(successor) => successor.say(&Word::documents(&documents)),
        None => books.ledger.keep(documents),
    }
}

/// Writes documents; they are on disk when this returns, or on their way to the successor.
pub async fn keep_now(books: &Books, documents: Vec<Document>) -> Result<(), StoreError> {
    match books.successor.get() {
        Some(successor) => {
            successor.say(&Word::documents(&documents));
            Ok(())
        }
        None => books.ledger.keep_now(documents).await,
    }
}

/// Books a line that nothing was reserved for.
pub fn note(books: &Books, line: Line) {
    match books.successor.get() {
        Some(successor) => successor.say(&Word::line(&line, Held::Not)),
        None => books.ledger.note(line),
    }
}

/// A hold, with what its line is to say should another process have to write it.
#[derive(Debug)]
pub struct Claim {
    /// Until it is settled.
    hold: Option<Hold>,
    books: Books,
    request: Arc<str>,
    tags: Arc<Tags>,
    price_version: Option<u32>,
    metadata: Option<Arc<str>>,
}

impl Claim {
    /// Reserves money for one attempt. What comes back is on disk.
    pub async fn reserve(books: &Books, wish: Wish) -> Result<Self, Refused> {
        let (request, tags) = (wish.request.clone(), wish.tags.clone());
        let (price_version, metadata) = (wish.price_version, wish.metadata.clone());
        let hold = books.ledger.reserve(wish).await?;
        Ok(Self {
            hold: Some(hold),
            books: books.clone(),
            request,
            tags,
            price_version,
            metadata,
        })
    }

    /// The most that the attempt may cost.
    pub fn granted(&self) -> Nanodollars {
        self.hold.as_ref().map_or(Nanodollars(0), |hold| hold.granted)
    }

    /// For the client: budgets that are nearly or wholly used up.
    pub fn warnings(&self) -> &[String] {
        self.hold.as_ref().map_or(&[], |hold| &hold.warnings)
    }

    /// From now on the provider may have got something.
    pub fn sending(&self) {
        self.hold.iter().for_each(Hold::sending);
    }

    /// There was nobody to send anything to.
    pub fn unsent(&self) {
        self.hold.iter().for_each(Hold::unsent);
    }

    /// Books what the attempt came to, through whoever writes.
    pub fn settle(mut self, settlement: Settlement) {
        let Some(hold) = self.hold.take() else { return };
        match self.books.successor.get() {
            None => hold.settle(settlement),
            Some(successor) => self.tell(successor, hold, settlement),
        }
    }

    fn tell(&self, successor: &Link, hold: Hold, settlement: Settlement) {
        let (held, cost) = match hold.is_sent() {
            true => (Held::Sent, settlement.cost),
            false => (Held::Unsent, Some(Nanodollars(0))),
        };
        let line = Line {
            id: 0,
            at_ms: 0,
            request: self.request.clone(),
            tags: self.tags.clone(),
            outcome: settlement.outcome,
            usage: settlement.usage,
            cost,
            ceiling: hold.granted,
            reference: settlement.reference,
            price_version: self.price_version.unwrap_or_default(),
            is_estimated: settlement.is_estimated,
            is_recovered: false,
            corrects: None,
            metadata: self.metadata.clone(),
        };
        successor.say(&Word::line(&line, held));
        // The ledger of this process may still be open, and must not book it as well.
        hold.leave();
    }
}

impl Drop for Claim {
    /// Nobody knows what it came to: all that was held, where anything was sent.
    fn drop(&mut self) {
        let Some(successor) = self.books.successor.get() else {
            return;
        };
        let Some(hold) = self.hold.take() else { return };
        let cost = self.price_version.is_some().then_some(hold.granted);
        let unknown = Settlement {
            outcome: "unknown".to_owned(),
            usage: Usage::default(),
            cost,
            reference: cost,
            is_estimated: true,
        };
        self.tell(successor, hold, unknown);
    }
}
