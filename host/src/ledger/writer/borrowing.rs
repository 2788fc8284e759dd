//! Where a fleet shares budgets: what does not fit into what this gateway was lent waits here, while the lender is asked. Nothing
//! else does.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::super::accounts::{Asks, Charge, Extent};
use super::super::lending::{self, Fleet, Lent, Order, Standing, State};
use super::super::reply::{Waiter, answer};
use super::super::{Desk, Refused, Wish};
use super::{Answer, Writer};
use crate::fleet::Entry;
use crate::store::StoreError;
use crate::store::memory::Memory;
use crate::telemetry::LedgerMeter;

/// How often the lender hears of this gateway, and this gateway of the others.
const BEAT: Duration = Duration::from_secs(1);
/// The same while everybody waits for everybody to be heard.
const SETTLING_BEAT: Duration = Duration::from_millis(250);
/// What is said comes one at a time; beside it there is only what begins anew, or ends.
const ORDERS: usize = 8;

/// The writer's end of what a fleet shares.
pub(super) struct Borrowing {
    orders: SyncSender<Order>,
    patience: Duration,
    standing: Arc<Standing>,
    waiting: Vec<Waiting>,
    /// What was said last, and its number, until that is answered.
    asked: Option<(u64, Vec<Charge>)>,
    said: u64,
    beats: u64,
    next_beat: Instant,
    meter: LedgerMeter,
}

/// Somebody who waits for something to be borrowed.
struct Waiting {
    wish: Box<Wish>,
    waiter: Waiter,
    until: Instant,
}

impl Borrowing {
    /// Starts the thread that speaks with the lender.
    pub(super) fn start(
        fleet: Fleet,
        desk: &Arc<Desk>,
        standing: Arc<Standing>,
        meter: &LedgerMeter,
    ) -> Result<Self, StoreError> {
        let (orders, taken) = sync_channel(ORDERS);
        let (lender, desk, counted) = (fleet.lender, desk.clone(), meter.clone());
        std::thread::Builder::new()
            .name("pointsman-fleet".to_owned())
            .spawn(move || lending::run(lender, &taken, &desk, &counted))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            orders,
            patience: fleet.patience,
            standing,
            waiting: Vec::new(),
            asked: None,
            said: 0,
            beats: 0,
            next_beat: Instant::now(),
            meter: meter.clone(),
        })
    }

    /// How long nothing has to be done.
    pub(super) fn patience(&self) -> Duration {
        let beat = self.is_free().then_some(self.next_beat);
        let waiting = self.waiting.iter().map(|waiting| waiting.until).min();
        let next = beat.into_iter().chain(waiting).min();
        next.map_or(BEAT, |next| next.saturating_duration_since(Instant::now()))
    }

    /// The lender is there, and is not asked anything.
    fn is_free(&self) -> bool {
        self.asked.is_none() && matches!(self.standing.state(), State::Lends | State::Settling)
    }

    /// Why it makes no sense to wait.
    fn closed(&self) -> Option<Refused> {
        let reason = match self.standing.state() {
            State::Joining | State::Lends => return None,
            State::Lost => {
                "the database that the fleet borrows from does not answer, and what it has lent this gateway is used up"
            }
            State::Settling => {
                "the database that the fleet borrows from was restarted: it lends again when it has heard every gateway, in some seconds"
            }
        };
        Some(Refused::Unavailable(reason.to_owned()))
    }

    fn say(&mut self, (charges, entries): (Vec<Charge>, Vec<Entry>)) {
        self.said += 1;
        let is_sent = self.orders.try_send(Order::Say(self.said, entries)).is_ok();
        self.asked = is_sent.then_some((self.said, charges));
    }

    fn stands(&self, state: State) {
        let before = self.standing.set(state);
        self.meter.fleet(state == State::Lost);
        if before == State::Lost && matches!(state, State::Lends | State::Settling) {
            tracing::info!("the fleet's database is back");
        }
    }
}

impl Writer {
    /// Reserves, or waits for something to be borrowed first. `until`: somebody who has waited before.
    pub(super) fn reserve(
        &mut self,
        wish: Box<Wish>,
        waiter: Waiter,
        until: Option<Instant>,
        now_ms: u64,
        answers: &mut Vec<Answer>,
    ) {
        if let (Some(fleet), Some(store)) = (&mut self.fleet, &self.store) {
            let closed = fleet.closed();
            let asks = match (&closed, until) {
                (Some(_), _) => Asks::Nobody,
                (None, Some(_)) => Asks::Again,
                (None, None) => Asks::Lender,
            };
            let refused = match self.book.must_borrow(&wish, asks, now_ms, store.as_ref()) {
                Err(refused) => Some(refused),
                Ok(false) => None,
                Ok(true) if closed.is_none() => {
                    let until = until.unwrap_or_else(|| Instant::now() + fleet.patience);
                    return fleet.waiting.push(Waiting { wish, waiter, until });
                }
                Ok(true) => closed,
            };
            if let Some(refused) = refused {
                return answer([(waiter, Err(refused))].into());
            }
        }
        let reserved = match &self.store {
            Some(store) => self.book.reserve(*wish, now_ms, store.as_ref()),
            None if !wish.budgets.is_empty() => Err(super::unavailable()),
            None if self.book.batch.lines.len() >= super::BACKLOG => Err(super::unavailable()),
            // Without a budget there is nothing to check. The line is written when that is possible again.
            None => self.book.reserve(*wish, now_ms, &Memory::default()),
        };
        match reserved {
            Ok(granted) => answers.push(Answer::Granted(granted, waiter)),
            Err(refused) => answer([(waiter, Err(refused))].into()),
        }
    }

    /// Something came of asking the lender.
    pub(super) fn lent(&mut self, lent: Lent, now_ms: u64, answers: &mut Vec<Answer>) {
        let Some(fleet) = &mut self.fleet else { return };
        match lent {
            Lent::Joined(found) => {
                fleet.stands(State::Lends);
                fleet.next_beat = Instant::now() + BEAT;
                let statement = self.book.joined(found, now_ms, self.store.as_deref());
                fleet.say(statement);
            }
            Lent::Lost(reason) => {
                if fleet.standing.state() != State::Lost {
                    tracing::warn!(
                        reason,
                        "the fleet's database is out: budgets go as far as what it has lent this gateway"
                    );
                }
                fleet.stands(State::Lost);
                fleet.asked = None;
                self.book.accounts.lost();
                let closed = fleet.closed();
                let waiting = std::mem::take(&mut fleet.waiting).into_iter();
                let refused = waiting.filter_map(|waiting| Some((waiting.waiter, Err(closed.clone()?))));
                answer(refused.collect());
            }
            Lent::Answered(number, said) => {
                // Of what was said before the lender was asked to begin anew: not of what waits for an answer now.
                let Some((_, charges)) = fleet.asked.take_if(|(asked, _)| *asked == number) else {
                    return;
                };
                let state = if said.is_settling {
                    State::Settling
                } else {
                    State::Lends
                };
                if fleet.standing.state() != state {
                    fleet.stands(state);
                    fleet.next_beat = Instant::now() + SETTLING_BEAT;
                }
                let waiting = std::mem::take(&mut fleet.waiting);
                self.book.answered(&charges, &said);
                for Waiting { wish, waiter, until } in waiting {
                    self.reserve(wish, waiter, Some(until), now_ms, answers);
                }
                // Those here go first.
                if self.book.accounts.yield_wanted()
                    && let Some(fleet) = &mut self.fleet
                {
                    fleet.next_beat = Instant::now();
                }
            }
        }
    }

    /// Asks the lender for what is needed, says what there is to say, and lets nobody wait any longer who has waited enough.
    pub(super) fn borrow(&mut self, now_ms: u64) {
        let Some(fleet) = &mut self.fleet else { return };
        let now = Instant::now();
        let is_over = |waiting: &mut Waiting| waiting.until <= now || waiting.waiter.is_closed();
        if fleet.waiting.iter().any(|waiting| waiting.until <= now) {
            let late = format!(
                "the database that the fleet borrows from did not answer within {} ms",
                fleet.patience.as_millis()
            );
            let over = fleet.waiting.extract_if(.., is_over);
            answer(
                over.map(|over| (over.waiter, Err(Refused::Unavailable(late.clone()))))
                    .collect(),
            );
        }
        if !fleet.is_free() {
            return;
        }
        if fleet.next_beat <= now {
            let pause = match fleet.standing.state() {
                State::Settling => SETTLING_BEAT,
                _ => BEAT,
            };
            fleet.next_beat = now + pause;
            fleet.beats += 1;
            self.book.accounts.give_back_idle(now_ms);
            fleet.say(self.book.accounts.statement(Extent::Beat(fleet.beats), now_ms));
        } else if self.book.accounts.asks() {
            fleet.say(self.book.accounts.statement(Extent::Asking, now_ms));
        }
    }

    /// The store was opened anew, and with it the accounts: what they were lent is given back.
    pub(super) fn borrow_anew(&mut self) {
        if let Some(fleet) = &mut self.fleet {
            let _ = fleet.orders.try_send(Order::Join);
        }
    }

    /// Gives back what is not spent.
    pub(super) fn leave(&mut self, now_ms: u64) {
        let Some(fleet) = self.fleet.take() else { return };
        if !matches!(fleet.standing.state(), State::Lends | State::Settling) {
            return;
        }
        self.book.accounts.give_back_all();
        let (_, entries) = self.book.accounts.statement(Extent::Full, now_ms);
        let (done, is_done) = sync_channel(1);
        if fleet.orders.try_send(Order::Leave(entries, done)).is_ok() {
            // What is under way comes first.
            let _ = is_done.recv_timeout(fleet.patience * 3);
        }
    }
}
