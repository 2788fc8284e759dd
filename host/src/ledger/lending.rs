//! The thread that speaks with the lender, so that the one that writes never waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::{Desk, Message};
use crate::fleet::{Account, Answer, Entry, Lender};
use crate::telemetry::LedgerMeter;

/// How soon a lender that is out is asked again, at first and at last.
const RETRY: Duration = Duration::from_millis(250);
const MOST_RETRY: Duration = Duration::from_secs(1);

/// With whom budgets are shared.
pub struct Fleet {
    /// Who lends.
    pub lender: Box<dyn Lender>,
    /// How long a call waits for it.
    pub patience: Duration,
    /// By which name this gateway borrows.
    pub name: String,
}

/// How it stands with the lender.
#[derive(Debug)]
pub struct Standing {
    /// By which name this gateway borrows.
    pub name: String,
    state: AtomicU8,
}

/// Whether there is anybody to borrow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nobody knows yet.
    Joining,
    /// There is.
    Lends,
    /// It waits until it has heard everybody.
    Settling,
    /// It does not answer.
    Lost,
}

impl State {
    const ALL: [Self; 4] = [Self::Joining, Self::Lends, Self::Settling, Self::Lost];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Lends => "lends",
            Self::Settling => "settling",
            Self::Lost => "lost",
        }
    }
}

impl Standing {
    pub(super) fn new(name: String) -> Arc<Self> {
        let state = AtomicU8::new(State::Joining as u8);
        Arc::new(Self { name, state })
    }

    /// As of now.
    pub fn state(&self) -> State {
        let state = self.state.load(Ordering::Relaxed);
        State::ALL.get(usize::from(state)).copied().unwrap_or(State::Lost)
    }

    pub(super) fn set(&self, state: State) -> State {
        let before = self.state();
        self.state.store(state as u8, Ordering::Relaxed);
        before
    }
}

/// What it is told.
pub(super) enum Order {
    /// With its number.
    Say(u64, Vec<Entry>),
    /// Begin anew.
    Join,
    /// The last that is said; whoever waits hears when it was.
    Leave(Vec<Entry>, SyncSender<()>),
}

/// What came of it.
pub(crate) enum Lent {
    /// The lender is there, and knows of these.
    Joined(Vec<Account>),
    /// What was said by this number.
    Answered(u64, Answer),
    Lost(String),
}

pub(super) fn run(mut lender: Box<dyn Lender>, orders: &Receiver<Order>, desk: &Desk, meter: &LedgerMeter) {
    let mut retry = RETRY;
    loop {
        match lender.join() {
            Ok(found) => {
                retry = RETRY;
                desk.post(Message::Lent(Lent::Joined(found)));
                if !serve(lender.as_mut(), orders, desk, meter) {
                    return;
                }
            }
            Err(fault) => {
                desk.post(Message::Lent(Lent::Lost(fault.to_string())));
                if !rest(orders, retry) {
                    return;
                }
                retry = (retry * 2).min(MOST_RETRY);
            }
        }
    }
}

/// Until the lender is lost, which is `true`, or the ledger closes.
fn serve(lender: &mut dyn Lender, orders: &Receiver<Order>, desk: &Desk, meter: &LedgerMeter) -> bool {
    loop {
        let (number, entries) = match orders.recv() {
            Ok(Order::Say(number, entries)) => (number, entries),
            Ok(Order::Join) => return true,
            Ok(Order::Leave(entries, done)) => {
                if let Err(fault) = lender.exchange(&entries) {
                    tracing::warn!(%fault, "what was borrowed stays borrowed: the fleet's database does not hear that it is given back");
                }
                let _ = done.send(());
                return false;
            }
            Err(_) => return false,
        };
        let began = Instant::now();
        match lender.exchange(&entries) {
            Ok(answer) => {
                meter.exchanged(began.elapsed());
                desk.post(Message::Lent(Lent::Answered(number, answer)));
            }
            Err(fault) => {
                desk.post(Message::Lent(Lent::Lost(fault.to_string())));
                return true;
            }
        }
    }
}

/// Waits, and drops what is said meanwhile: it is said anew. `false` where the ledger closes.
fn rest(orders: &Receiver<Order>, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        match orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Order::Say(..) | Order::Join) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Order::Leave(..)) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}
