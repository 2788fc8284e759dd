//! From one process to the next, without a moment in which nobody listens: the listening sockets, and the store with
//! everything that is booked in it. Two processes never write to one store: the one that hands over says all that it has to
//! say from then on to its successor, which books it. `offer` is the end of the process that serves, `taken` that of its
//! successor.
//!
//! What an attempt has come to that began before and ends after, the successor learns from here; the hold that it finds in
//! the store it has booked by then, at the most that the attempt can cost, and so it corrects that line.

mod offer;
mod taken;
mod words;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use offer::{Offer, Sockets};
pub use taken::{Open, Said, Taken};
use words::{Held, Word};

use crate::ledger::{Hold, Ledger, Refused, Settlement, Wish};
use crate::money::{Nanodollars, Usage};
use crate::store::{Document, Line, StoreError, Tags};

/// The name of the socket in the folder of the store.
pub const SOCKET: &str = "handover.sock";

/// To the successor, once there is one. A process hands over once, and for good.
static SUCCESSOR: OnceLock<Link> = OnceLock::new();

/// A line to the successor. What is said is short, and it reads all the time.
#[derive(Debug)]
pub struct Link(Mutex<UnixStream>);

impl Link {
    fn say(&self, word: &Word) {
        let said = serde_json::to_vec(word)
            .map_err(std::io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                stream.write_all(&line)
            });
        if let Err(error) = said {
            // Half a line would spoil the next one.
            let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            tracing::warn!(%error, "the gateway that took over cannot be told what became of a request");
        }
    }
}

/// From now on nothing is written to the store by this process.
pub fn begin(link: Link) {
    let _ = SUCCESSOR.set(link);
}

/// The store is free: nobody holds its lock any more.
pub fn released() {
    if let Some(successor) = SUCCESSOR.get() {
        successor.say(&Word::Released);
    }
}

/// Writes documents some time soon, through whoever writes.
pub fn keep(ledger: &Ledger, documents: Vec<Document>) {
    match SUCCESSOR.get() {
        Some(successor) => successor.say(&Word::documents(&documents)),
        None => ledger.keep(documents),
    }
}

/// Writes documents; they are on disk when this returns, or on their way to the successor.
pub async fn keep_now(ledger: &Ledger, documents: Vec<Document>) -> Result<(), StoreError> {
    match SUCCESSOR.get() {
        Some(successor) => {
            successor.say(&Word::documents(&documents));
            Ok(())
        }
        None => ledger.keep_now(documents).await,
    }
}

/// Books a line that nothing was reserved for.
pub fn note(ledger: &Ledger, line: Line) {
    match SUCCESSOR.get() {
        Some(successor) => successor.say(&Word::line(&line, Held::Not)),
        None => ledger.note(line),
    }
}

/// A hold, with what its line is to say should another process have to write it.
#[derive(Debug)]
pub struct Claim {
    /// Until it is settled.
    hold: Option<Hold>,
    request: Arc<str>,
    tags: Arc<Tags>,
    price_version: Option<u32>,
    metadata: Option<Arc<str>>,
}

impl Claim {
    /// Reserves money for one attempt. What comes back is on disk.
    pub async fn reserve(ledger: &Ledger, wish: Wish) -> Result<Self, Refused> {
        let (request, tags) = (wish.request.clone(), wish.tags.clone());
        let (price_version, metadata) = (wish.price_version, wish.metadata.clone());
        let hold = ledger.reserve(wish).await?;
        Ok(Self {
            hold: Some(hold),
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
        match SUCCESSOR.get() {
            None => hold.settle(settlement),
            Some(successor) => self.tell(successor, &hold, settlement),
        }
    }

    fn tell(&self, successor: &Link, hold: &Hold, settlement: Settlement) {
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
    }
}

impl Drop for Claim {
    /// Nobody knows what it came to: all that was held, where anything was sent.
    fn drop(&mut self) {
        let (Some(hold), Some(successor)) = (self.hold.take(), SUCCESSOR.get()) else {
            return;
        };
        let cost = self.price_version.is_some().then_some(hold.granted);
        let unknown = Settlement {
            outcome: "unknown".to_owned(),
            usage: Usage::default(),
            cost,
            reference: cost,
            is_estimated: true,
        };
        self.tell(successor, &hold, unknown);
    }
}
