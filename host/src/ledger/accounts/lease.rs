//! What of a budget is this gateway's to spend, where a fleet shares it: lent by a lender that is asked ahead, given back where it
//! lies idle or others need it.

use std::sync::Arc;

use super::super::Refused;
use super::super::events::Event;
use super::{Account, Accounts, Charge};
use crate::budget::{Period, Scope, Scoped, Window, Zone};
use crate::fleet::{self, Answer, Entry, Terms};
use crate::money::Nanodollars;

/// What was not asked for for so long is given back.
const IDLE_MS: u64 = 10_000;
/// What was asked for in this time is spoken of with every beat; the rest in turns of so many.
const BUSY_MS: u64 = 20_000;
const TURNS: u64 = 16;
/// More than this of anything is as much as this.
const MOST: i128 = i64::MAX as i128 / 2;

/// An account's lease.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// What this gateway may spend in the account's window: what it has spent and holds is part of it.
    lent: i128,
    /// What nobody had been lent, as of the last answer.
    unlent: Option<i128>,
    /// What others had booked and reserved, as of the last answer.
    others_spent: i128,
    others_held: i128,
    /// To be asked for: at least, and as much as that.
    need: i128,
    want: i128,
    /// So much was lent last.
    slice: i128,
    /// It was asked for, and not answered yet.
    is_asked: bool,
    /// Others need what is idle here.
    is_wanted: bool,
    /// Something is to be said of it that the lender does not know.
    is_news: bool,
    /// When somebody reserved from it last.
    used_ms: u64,
}

/// Which entries a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Extent {
    /// Those that ask for something.
    Asking,
    /// Those, what has changed, and some of the rest: which, the number of the beat says.
    Beat(u64),
    /// All.
    Full,
}

/// Who is asked for what is to be borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Asks {
    /// The lender; what there is to ask for is noted.
    Lender,
    /// The same, for a wish that it was asked for before: it takes what there is.
    Again,
    /// It does not answer.
    Nobody,
}

/// What a fleet knows of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// What this gateway may spend; what it has spent and holds is part of it.
    pub lent: i128,
    /// What other gateways have booked, as last heard.
    pub spent: i128,
    /// What they have reserved.
    pub held: i128,
}

impl Lease {
    pub(super) fn others(&self) -> i128 {
        self.others_spent.saturating_add(self.others_held)
    }

    pub(super) fn others_spent(&self) -> i128 {
        self.others_spent
    }

    pub(super) fn others_held(&self) -> i128 {
        self.others_held
    }

    pub(super) fn shared(&self) -> Shared {
        Shared {
            lent: self.lent,
            spent: self.others_spent,
            held: self.others_held,
        }
    }

    pub(super) fn lent(&self) -> i128 {
        self.lent
    }

    /// Something was booked or reserved.
    pub(super) fn changed(&mut self) {
        self.is_news = true;
    }

    fn ask(&mut self, need: i128, want: i128) {
        self.need = if self.want > 0 { self.need.min(need) } else { need };
        self.want = self.want.saturating_add(want);
    }

    /// So much was reserved from it, and so much is left: more is asked for before somebody has to wait for it.
    pub(super) fn look_ahead(&mut self, reserved: i128, left: i128) -> bool {
        let is_low = left < self.slice / 2 && self.unlent.is_some_and(|unlent| unlent > 0);
        let asks = is_low && !self.is_asked && self.want == 0;
        if asks {
            self.ask(0, reserved.max(1));
        }
        asks
    }
}

impl Account {
    /// Booked and reserved by this gateway.
    pub(super) fn taken(&self) -> i128 {
        self.spent
            .saturating_add(i128::try_from(self.held).unwrap_or(i128::MAX))
    }

    fn entry(&mut self, scope: &Scope) -> Option<Entry> {
        let taken = self.taken();
        let clamp = |amount: i128| amount.clamp(-MOST, MOST) as i64;
        let (spent, held) = (self.spent, i128::try_from(self.held).unwrap_or(MOST));
        let account = shared(&self.charge(scope), self.window.end_ms);
        let lease = self.lease.as_mut()?;
        lease.lent = match self.budget.is_hard {
            true => lease.lent.max(taken),
            false => taken.max(0),
        };
        let (need, want) = (std::mem::take(&mut lease.need), std::mem::take(&mut lease.want));
        lease.is_asked = want > 0;
        lease.is_news = false;
        Some(Entry {
            account,
            lent: clamp(lease.lent),
            spent: clamp(spent),
            held: clamp(held),
            limit: clamp(self.budget.limit.0.into()),
            need: clamp(need),
            want: clamp(want.max(need)),
        })
    }

    fn take_terms(&mut self, terms: Terms, is_settling: bool) {
        let is_hard = self.budget.is_hard;
        let Some(lease) = &mut self.lease else { return };
        lease.is_asked = false;
        if is_hard {
            let lent = i128::from(terms.lent);
            // What was given back meanwhile is the gateway's again, since the lender does not know of it.
            lease.slice = if lent > lease.lent {
                lent - lease.lent
            } else {
                lease.slice
            };
            lease.lent = lent;
        }
        lease.unlent = (!is_settling).then_some(terms.unlent.into());
        lease.others_spent = terms.spent.into();
        lease.others_held = terms.held.into();
        lease.is_wanted = terms.is_wanted || terms.unlent < 0;
    }

    /// What is idle goes back.
    fn give_back(&mut self) -> bool {
        let taken = self.taken();
        let Some(lease) = self.lease.as_mut().filter(|_| self.budget.is_hard) else {
            return false;
        };
        let gives = lease.lent > taken.max(0);
        if gives {
            lease.lent = taken.max(0);
            lease.is_news = true;
        }
        gives
    }
}

impl Accounts {
    /// Budgets are shared from now on.
    pub(in crate::ledger) fn share(&mut self) {
        self.is_shared = true;
    }

    /// Whether something is to be borrowed first.
    pub(in crate::ledger) fn must_borrow(
        &mut self,
        budgets: &[Arc<Scoped>],
        (at_least, at_most): (Nanodollars, Nanodollars),
        asks: Asks,
        now_ms: u64,
    ) -> bool {
        let (at_least, at_most) = (i128::from(at_least.0), i128::from(at_most.0));
        let mut must = false;
        for scoped in budgets.iter().filter(|scoped| scoped.budget.is_hard) {
            let Some(account) = self.find(&scoped.scope, scoped.budget.period, &scoped.budget.zone) else {
                continue;
            };
            account.follow(&scoped.budget);
            let left = i128::from(account.budget.limit.0).saturating_sub(account.taken());
            let taken = account.taken();
            let Some(lease) = &mut account.lease else { continue };
            lease.used_ms = now_ms;
            let idle = lease.lent.saturating_sub(taken).max(0);
            // Of what this gateway itself has spent there is too little left: nobody need be asked.
            if left < at_least || idle >= at_most.min(left) {
                continue;
            }
            let need = at_least.saturating_sub(idle).max(0);
            let is_enough = need == 0;
            match lease.unlent {
                Some(unlent) if is_enough && (asks == Asks::Again || unlent <= 0) => {}
                // There is not as much; asked for with the next beat, so that others hear of it.
                Some(unlent) if unlent < need => {
                    lease.need = need;
                    lease.want = need;
                }
                Some(_) | None => {
                    if asks != Asks::Nobody {
                        lease.ask(need, at_most.min(left).max(1));
                    }
                    must = true;
                }
            }
        }
        self.asks |= must && asks != Asks::Nobody;
        must
    }

    /// Whether a lender is to be asked for something at once.
    pub(in crate::ledger) fn asks(&self) -> bool {
        self.asks
    }

    /// What there is to say to the lender, and of which accounts.
    pub(in crate::ledger) fn statement(&mut self, extent: Extent, now_ms: u64) -> (Vec<Charge>, Vec<Entry>) {
        self.asks = false;
        let (mut charges, mut entries) = (Vec::new(), Vec::new());
        let mut turn = 0;
        for (scope, accounts) in &mut self.by_scope {
            for account in accounts {
                let Some(lease) = &account.lease else { continue };
                turn += 1;
                let is_due = match extent {
                    Extent::Full => true,
                    Extent::Asking => lease.want > 0,
                    Extent::Beat(number) => {
                        let is_busy = lease.used_ms.saturating_add(BUSY_MS) > now_ms;
                        lease.want > 0 || lease.is_news || is_busy || turn % TURNS == number % TURNS
                    }
                };
                let is_over = account.window.end_ms <= now_ms;
                let entry = Some(account).filter(|_| is_due && !is_over);
                let Some((account, entry)) =
                    entry.and_then(|account| Some((account.charge(scope), account.entry(scope)?)))
                else {
                    continue;
                };
                charges.push(account);
                entries.push(entry);
            }
        }
        (charges, entries)
    }

    /// How the accounts stand that a statement was of.
    pub(in crate::ledger) fn answered(&mut self, charges: &[Charge], answer: &Answer, events: &mut Vec<Event>) {
        for (charge, terms) in charges.iter().zip(&answer.terms) {
            if let Some(account) = self.of(charge) {
                account.take_terms(*terms, answer.is_settling);
                account.tell(&charge.scope, events);
            }
        }
    }

    /// Others need what is idle here: they get it. Whether there was any.
    pub(in crate::ledger) fn yield_wanted(&mut self) -> bool {
        self.give_back_where(|account| {
            account
                .lease
                .as_mut()
                .is_some_and(|lease| std::mem::take(&mut lease.is_wanted))
        })
    }

    /// What nobody asked for for a while goes back.
    pub(in crate::ledger) fn give_back_idle(&mut self, now_ms: u64) {
        self.give_back_where(|account| {
            let lease = account.lease.as_ref();
            lease.is_some_and(|lease| !lease.is_asked && lease.used_ms.saturating_add(IDLE_MS) <= now_ms)
        });
    }

    /// Nothing will be spent any more.
    pub(in crate::ledger) fn give_back_all(&mut self) {
        self.give_back_where(|_| true);
    }

    fn give_back_where(&mut self, which: impl Fn(&mut Account) -> bool) -> bool {
        let mut has_given = false;
        for account in self.by_scope.values_mut().flatten() {
            has_given |= which(account) && account.give_back();
        }
        has_given
    }

    /// The lender is out: what it said last need not be so any more. What was lent stays lent.
    pub(in crate::ledger) fn lost(&mut self) {
        for account in self.by_scope.values_mut().flatten() {
            if let Some(lease) = &mut account.lease {
                (lease.unlent, lease.is_asked) = (None, false);
                (lease.need, lease.want) = (0, 0);
            }
        }
        self.asks = false;
    }

    /// What was opened since this was called last.
    pub(in crate::ledger) fn take_opened(&mut self) -> Vec<fleet::Account> {
        std::mem::take(&mut self.opened)
    }

    /// Whether there is an account of this window.
    pub(in crate::ledger) fn has(&mut self, charge: &Charge) -> bool {
        self.of(charge).is_some()
    }

    fn of(&mut self, charge: &Charge) -> Option<&mut Account> {
        self.find(&charge.scope, charge.period, &charge.zone)
            .filter(|account| account.window.start_ms == charge.start_ms)
    }
}

/// What others know an account by.
pub(super) fn shared(charge: &Charge, end_ms: u64) -> fleet::Account {
    fleet::Account {
        scope: charge.scope.to_string(),
        period: charge.period.name().to_owned(),
        zone: charge.zone.name().to_owned(),
        start_ms: charge.start_ms,
        end_ms,
    }
}

/// What a lender knows an account by, as this ledger does.
pub(in crate::ledger) fn known(account: &fleet::Account) -> Result<(Charge, Window), Refused> {
    let unknown = || Refused::Unavailable(format!("the fleet knows {}, and this gateway does not", account.scope));
    let charge = Charge {
        scope: Scope::parse(&account.scope).ok_or_else(unknown)?,
        period: Period::named(&account.period).ok_or_else(unknown)?,
        zone: Zone::named(&account.zone).map_err(|_| unknown())?,
        start_ms: account.start_ms,
    };
    let window = Window {
        start_ms: account.start_ms,
        end_ms: account.end_ms,
    };
    Ok((charge, window))
}

/// What is said of an account that is not open here: what was taken from it, and that the rest is given back.
pub(in crate::ledger) fn given_back(account: fleet::Account, spent: i128, held: i128) -> Entry {
    let clamp = |amount: i128| amount.clamp(-MOST, MOST) as i64;
    Entry {
        account,
        lent: clamp(spent.saturating_add(held).max(0)),
        spent: clamp(spent),
        held: clamp(held),
        limit: 0,
        need: 0,
        want: 0,
    }
}
