//! The caller's end of a reservation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Desk, Message, Wish};
use crate::money::{Nanodollars, Usage};

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
        }
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
        if self.is_sent() {
            self.resolve(|id| Message::Settle(id, Box::new(settlement)));
        }
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
        if self.is_sent() {
            self.resolve(Message::GiveUp);
        } else {
            self.resolve(Message::Release);
        }
    }
}
