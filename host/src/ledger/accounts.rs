//! Balances: what is booked and what is held, for each budget that was met, in the window that it is in.

mod lease;

use std::collections::HashMap;
use std::sync::Arc;

use lease::Lease;
pub use lease::Shared;
use lease::shared;
pub(super) use lease::{Asks, Extent, given_back, known};

use super::events::Event;
use super::{Exceeded, Refused};
use crate::budget::{Budget, Period, Scope, Scoped, Window, Zone};
use crate::fleet;
use crate::money::Nanodollars;

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_scope: HashMap<Scope, Vec<Account>>,
    /// Whether there is a fleet.
    is_shared: bool,
    /// Whether something is to be borrowed that somebody waits for, or will soon.
    asks: bool,
    /// What was opened, and is not written down yet.
    opened: Vec<fleet::Account>,
}

/// What was spent by somebody, in windows of one kind.
#[derive(Debug)]
struct Account {
    period: Period,
    zone: Zone,
    window: Window,
    spent: i128,
    held: u128,
    /// The highest share of the limit, in percent, that was told of in this window.
    told: u8,
    was_exceeded: bool,
    /// As it was asked for last, for those who want to look.
    budget: Budget,
    /// In a fleet.
    lease: Option<Lease>,
}

/// What a hold is charged to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) scope: Scope,
    period: Period,
    zone: Zone,
    /// When its window began. Booked later, it counts there and nowhere else.
    start_ms: u64,
}

/// A budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub scope: Scope,
    /// As it was asked for last.
    pub budget: Budget,
    /// Booked in this window.
    pub spent: i128,
    /// Reserved for attempts under way.
    pub held: u128,
    /// When the next window begins.
    pub resets_ms: Option<u64>,
    /// In a fleet.
    pub shared: Option<Shared>,
}

/// What there was before an account was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) spent: i128,
    pub(super) held: u128,
}

impl Accounts {
    /// Brings a budget's account into the window of this moment, and opens it where there is none, with what `find` says
    /// was spent and is held in that window.
    pub(super) fn open(
        &mut self,
        scoped: &Scoped,
        now_ms: u64,
        find: impl FnOnce(Window, &Charge) -> Result<Found, Refused>,
        events: &mut Vec<Event>,
    ) -> Result<(), Refused> {
        let Budget { period, zone, .. } = &scoped.budget;
        let known = self.find(&scoped.scope, *period, zone);
        // Windows never go back, whatever the clock does.
        if known.as_ref().is_some_and(|account| now_ms < account.window.end_ms) {
            return Ok(());
        }
        let window = Window::around(now_ms, *period, zone);
        let charge = Charge {
            scope: scoped.scope.clone(),
            period: *period,
            zone: zone.clone(),
            start_ms: window.start_ms,
        };
        if known.as_ref().is_some_and(|account| account.was_exceeded) {
            events.push(Event::Reset {
                scope: scoped.scope.clone(),
                period: period.name(),
            });
        }
        let found = find(window, &charge)?;
        if self.is_shared {
            self.opened.push(shared(&charge, window.end_ms));
        }
        let account = Account {
            period: *period,
            zone: zone.clone(),
            window,
            spent: found.spent,
            held: found.held,
            told: 0,
            was_exceeded: false,
            budget: scoped.budget.clone(),
            lease: self.is_shared.then(Lease::default),
        };
        match self.find(&scoped.scope, *period, zone) {
            Some(known) => *known = account,
            None => self.by_scope.entry(scoped.scope.clone()).or_default().push(account),
        }
        Ok(())
    }

    /// Reserves as much as all budgets have, between these bounds, or nothing. All of their accounts are open.
    pub(super) fn reserve(
        &mut self,
        budgets: &[Arc<Scoped>],
        at_least: Nanodollars,
        at_most: Nanodollars,
        events: &mut Vec<Event>,
    ) -> Result<Nanodollars, Refused> {
        let mut granted = i128::from(at_most.0);
        for scoped in budgets {
            let Some(account) = self.find(&scoped.scope, scoped.budget.period, &scoped.budget.zone) else {
                continue;
            };
            account.follow(&scoped.budget);
            let left = account.left();
            if left < i128::from(at_least.0) {
                account.exceeded(&scoped.scope, events);
                if scoped.budget.is_hard {
                    return Err(Refused::Exceeded(Exceeded {
                        scope: scoped.scope.clone(),
                        budget: scoped.budget.clone(),
                        spent: account.all_spent(),
                        held: account.all_held(),
                        resets_ms: account.resets_ms(),
                    }));
                }
            }
            if scoped.budget.is_hard {
                granted = granted.min(left);
            }
        }
        let granted = Nanodollars(u64::try_from(granted).unwrap_or(0));
        let mut asks = false;
        for scoped in budgets {
            if let Some(account) = self.find(&scoped.scope, scoped.budget.period, &scoped.budget.zone) {
                account.held = account.held.saturating_add(granted.0.into());
                asks |= account.has_changed(granted);
            }
        }
        self.asks |= asks;
        Ok(granted)
    }

    /// What a hold on these budgets is charged to.
    pub(super) fn charges(&mut self, budgets: &[Arc<Scoped>]) -> Vec<Charge> {
        let charge = |scoped: &Arc<Scoped>| {
            let account = self.find(&scoped.scope, scoped.budget.period, &scoped.budget.zone)?;
            Some(account.charge(&scoped.scope))
        };
        budgets.iter().filter_map(charge).collect()
    }

    /// Holds this much in accounts of these scopes that the hold is not charged to yet, and charges it to them: nobody asks for
    /// their budgets at the moment, but somebody may again while their window lasts.
    pub(super) fn charge_others(
        &mut self,
        scopes: impl Iterator<Item = Scope>,
        at_ms: u64,
        held: Nanodollars,
        charges: &mut Vec<Charge>,
    ) {
        if self.by_scope.is_empty() {
            return;
        }
        for scope in scopes {
            for account in self.by_scope.get_mut(&scope).into_iter().flatten() {
                let charge = account.charge(&scope);
                if account.window.holds(at_ms) && !charges.contains(&charge) {
                    account.held = account.held.saturating_add(held.0.into());
                    account.has_changed(Nanodollars(0));
                    charges.push(charge);
                }
            }
        }
    }

    /// Frees what was held, and books what it came to.
    pub(super) fn settle(&mut self, charges: &[Charge], held: Nanodollars, spent: i128, events: &mut Vec<Event>) {
        for charge in charges {
            let account = self
                .find(&charge.scope, charge.period, &charge.zone)
                .filter(|account| account.window.start_ms == charge.start_ms);
            if let Some(account) = account {
                account.held = account.held.saturating_sub(held.0.into());
                account.spent = account.spent.saturating_add(spent);
                account.has_changed(Nanodollars(0));
                account.tell(&charge.scope, events);
            }
        }
    }

    /// A line of these scopes, booked at this moment without a hold, has come to so much, or an earlier one to more or to less.
    pub(super) fn add(&mut self, is_charged: impl Fn(&Scope) -> bool, at_ms: u64, by: i128, events: &mut Vec<Event>) {
        for (scope, accounts) in self.by_scope.iter_mut().filter(|(scope, _)| is_charged(scope)) {
            for account in accounts {
                if account.window.holds(at_ms) {
                    account.spent = account.spent.saturating_add(by);
                    account.has_changed(Nanodollars(0));
                    account.tell(scope, events);
                }
            }
        }
    }

    /// For the client: budgets of its own that are nearly used up, or wholly.
    pub(super) fn warnings(&mut self, budgets: &[Arc<Scoped>]) -> Vec<String> {
        let warning = |scoped: &Arc<Scoped>| {
            let account = self.find(&scoped.scope, scoped.budget.period, &scoped.budget.zone)?;
            let taken = account.all_spent().saturating_add(account.all_held() as i128);
            let share = account.share(taken);
            let lowest = scoped.budget.warn.iter().min()?;
            let is_near = scoped.scope.is_the_callers() && share >= u128::from(*lowest);
            is_near.then(|| format!("{} {} {share}%", scoped.scope, scoped.budget.period.name()))
        };
        budgets.iter().filter_map(warning).collect()
    }

    /// All of them, in order.
    pub(super) fn balances(&self) -> Vec<Balance> {
        let of = |(scope, accounts): (&Scope, &Vec<Account>)| {
            let balance = |account: &Account| Balance {
                scope: scope.clone(),
                budget: account.budget.clone(),
                spent: account.spent,
                held: account.held,
                resets_ms: account.resets_ms(),
                shared: account.lease.as_ref().map(Lease::shared),
            };
            accounts.iter().map(balance).collect::<Vec<_>>()
        };
        let mut balances: Vec<Balance> = self.by_scope.iter().flat_map(of).collect();
        balances.sort_by(|a, b| (&a.scope, a.budget.period).cmp(&(&b.scope, b.budget.period)));
        balances
    }

    /// All are opened anew when they are met again.
    pub(super) fn clear(&mut self) {
        self.by_scope.clear();
    }

    fn find(&mut self, scope: &Scope, period: Period, zone: &Zone) -> Option<&mut Account> {
        let accounts = self.by_scope.get_mut(scope)?;
        accounts
            .iter_mut()
            .find(|account| account.period == period && account.zone == *zone)
    }
}

impl Account {
    fn left(&self) -> i128 {
        let taken = self.taken();
        let left = i128::from(self.budget.limit.0).saturating_sub(taken);
        match &self.lease {
            None => left,
            Some(lease) if self.budget.is_hard => left.min(lease.lent().saturating_sub(taken).max(0)),
            Some(lease) => left.saturating_sub(lease.others()),
        }
    }

    /// By everybody, as far as is known.
    fn all_spent(&self) -> i128 {
        let others = self.lease.as_ref().map_or(0, Lease::others_spent);
        self.spent.saturating_add(others)
    }

    /// By everybody, as far as is known.
    fn all_held(&self) -> u128 {
        let others = self.lease.as_ref().map_or(0, Lease::others_held);
        self.held.saturating_add(u128::try_from(others).unwrap_or(0))
    }

    /// So much was reserved, or something else was booked: whether a lender is to be asked for more.
    fn has_changed(&mut self, reserved: Nanodollars) -> bool {
        if self.lease.is_none() {
            return false;
        }
        let (left, is_hard) = (self.left(), self.budget.is_hard);
        let Some(lease) = &mut self.lease else { return false };
        lease.changed();
        is_hard && reserved.0 > 0 && lease.look_ahead(reserved.0.into(), left)
    }

    fn charge(&self, scope: &Scope) -> Charge {
        Charge {
            scope: scope.clone(),
            period: self.period,
            zone: self.zone.clone(),
            start_ms: self.window.start_ms,
        }
    }

    fn resets_ms(&self) -> Option<u64> {
        Some(self.window.end_ms).filter(|end| *end < u64::MAX)
    }

    /// Of the limit, in percent.
    fn share(&self, amount: i128) -> u128 {
        let amount = u128::try_from(amount).unwrap_or(0);
        match u128::from(self.budget.limit.0) {
            0 => 100,
            limit => amount.saturating_mul(100) / limit,
        }
    }

    /// Keeps to a budget that may have changed: of another limit everything is told anew that is not reached yet.
    fn follow(&mut self, budget: &Budget) {
        let is_other = self.budget.limit != budget.limit || self.budget.warn != budget.warn;
        self.budget.clone_from(budget);
        if is_other {
            let share = self.share(self.all_spent());
            let reached = budget.warn.iter().filter(|percent| share >= u128::from(**percent));
            self.told = self.told.min(reached.max().copied().unwrap_or_default());
            self.was_exceeded &= share >= 100;
        }
    }

    fn exceeded(&mut self, scope: &Scope, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.was_exceeded, true) {
            events.push(Event::Exceeded {
                scope: scope.clone(),
                period: self.period.name(),
                limit: self.budget.limit,
                resets: self.window.end(),
            });
        }
    }

    /// Tells of every share that is reached and was not told of, the lowest first: whoever waits for one of them hears of it,
    /// though a single call went past several.
    fn tell(&mut self, scope: &Scope, events: &mut Vec<Event>) {
        let spent = self.all_spent();
        let share = self.share(spent);
        let is_news = |percent: &&u8| **percent > self.told && share >= u128::from(**percent);
        let mut reached: Vec<u8> = self.budget.warn.iter().filter(is_news).copied().collect();
        reached.sort_unstable();
        reached.dedup();
        let Some(highest) = reached.last() else { return };
        self.told = *highest;
        events.extend(reached.into_iter().map(|percent| Event::Threshold {
            scope: scope.clone(),
            period: self.period.name(),
            percent,
            spent: Nanodollars(u64::try_from(spent).unwrap_or(u64::MAX)),
            limit: self.budget.limit,
        }));
    }
}
