//! The caller's end of a reservation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Desk, Message, Wish};
use crate::money::{Nanodollars, Usage};
use crate::store::Line;

/// Money reserved for one attempt. Settled once: by its owner, or by being dropped, whoever drops it and why.
#[derive(Debug)]
pub struct Hold {
    desk: Option<Arc<Desk>>,
    id: u64,
    /// The most that the attempt may cost.
    pub granted: Nanodollars,
    /// For the client: budgets that are nearly or wholly used up.
    pub warnings: Vec<String>,
    /// A byte may have gone out.
    is_sent: AtomicBool,
    is_resolved: bool,
    /// Nothing is reserved for it: its line is booked without a hold, at this time.
    unreserved: Option<(Box<Wish>, u64)>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// `answered`, or why it was not.
    pub outcome: String,
    /// What was used.
    pub usage: Usage,
    /// What it cost; unknown without a price.
    pub cost: Option<Nanodollars>,
    /// What it would have cost at the reference model.
    pub reference: Option<Nanodollars>,
    /// Whether the figures are the gateway's own.
    pub is_estimated: bool,
}

impl Hold {
    pub(super) fn new(desk: Arc<Desk>, id: u64, granted: Nanodollars, warnings: Vec<String>) -> Self {
        Self {
            desk: Some(desk),
            id,
            granted,
            warnings,
            is_sent: AtomicBool::new(false),
            is_resolved: false,
            unreserved: None,
        }
    }

    /// Of a call without a budget, which need not wait for a store that does not answer.
    pub(super) fn unreserved(desk: Arc<Desk>, wish: Wish, now_ms: u64) -> Self {
        let mut hold = Self::new(desk, 0, wish.at_most, Vec::new());
        hold.unreserved = Some((Box::new(wish), now_ms));
        hold
    }

    /// Of a ledger that is off.
    pub(super) fn off(wish: Wish) -> Self {
        Self {
            desk: None,
            id: 0,
            granted: wish.at_most,
            warnings: Vec::new(),
            is_sent: AtomicBool::new(false),
            is_resolved: true,
            unreserved: None,
        }
    }

    /// From now on the provider may have got something: being dropped means that nobody knows what it came to.
    pub fn sending(&self) {
        self.is_sent.store(true, Ordering::Relaxed);
    }

    /// There was nobody to send anything to.
    pub fn unsent(&self) {
        self.is_sent.store(false, Ordering::Relaxed);
    }

    /// Whether the provider may have got something.
    pub fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }

    /// Books what the attempt came to. Where nothing was sent there is nothing to book, and the money is free again.
    pub fn settle(mut self, settlement: Settlement) {
        if !self.is_sent() {
            return;
        }
        match self.unreserved.take() {
            Some((wish, at_ms)) => self.resolve(|_| note(*wish, settlement, at_ms)),
            None => self.resolve(|id| Message::Settle(id, Box::new(settlement))),
        }
    }

    /// Leaves it as it is in the store: somebody else books it.
    pub fn leave(mut self) {
        self.is_resolved = true;
    }

    fn resolve(&mut self, message: impl FnOnce(u64) -> Message) {
        if let Some(desk) = self.desk.take().filter(|_| !self.is_resolved) {
            self.is_resolved = true;
            desk.post(message(self.id));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        match (self.is_sent(), self.unreserved.take()) {
            (false, Some(_)) => self.is_resolved = true,
            (false, None) => self.resolve(Message::Release),
            (true, None) => self.resolve(Message::GiveUp),
            (true, Some((wish, at_ms))) => {
                let cost = wish.price_version.is_some().then_some(wish.at_most);
                self.resolve(|_| note(*wish, Settlement::given_up(cost), at_ms));
            }
        }
    }
}

impl Settlement {
    /// Something was sent, and nobody knows what it came to: all that was reserved.
    pub(super) fn given_up(cost: Option<Nanodollars>) -> Self {
        Self {
            outcome: "unknown".to_owned(),
            usage: Usage::default(),
            cost,
            reference: cost,
            is_estimated: true,
        }
    }
}

/// A line without a hold.
fn note(wish: Wish, settlement: Settlement, at_ms: u64) -> Message {
    let line = Line {
        id: 0,
        at_ms,
        request: wish.request,
        tags: wish.tags,
        outcome: settlement.outcome,
        usage: settlement.usage,
        cost: settlement.cost,
        ceiling: wish.at_most,
        reference: settlement.reference,
        price_version: wish.price_version.unwrap_or_default(),
        is_estimated: settlement.is_estimated,
        is_recovered: false,
        corrects: None,
        metadata: wish.metadata,
    };
    Message::Note(Box::new(line), None)
}
