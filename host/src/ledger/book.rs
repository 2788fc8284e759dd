//! What the writer knows between two batches: holds that are open, balances, and the batch that is being collected. It does
//! no I/O of its own but for questions to the store about budgets that it meets for the first time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::accounts::{Accounts, Asks, Balance, Charge, Extent, Found, given_back, known};
use super::events::Event;
use super::hold::Settlement;
use super::{Refused, Wish};
use crate::budget::{Scope, Scoped, Window};
use crate::fleet::{self, Account, Answer};
use crate::money::Nanodollars;
use crate::store::{Batch, Costs, Document, Hold, Line, Span, Store, StoreError, Tags};

/// The state of the ledger.
#[derive(Debug)]
pub(super) struct Book {
    next: u64,
    open: HashMap<u64, Open>,
    pub(super) accounts: Accounts,
    /// What has not been written yet.
    pub(super) batch: Batch,
    /// What has not been told yet.
    pub(super) events: Vec<Event>,
    told_unpriced: HashSet<Arc<str>>,
    /// The sum of what is open.
    held: u128,
    /// What was booked in windows in which an account was opened: one that is opened later need not ask the store again.
    booked: HashMap<Window, Costs>,
    /// In a fleet: of which accounts something may have been spent in windows that have not ended, though nobody asks for them now.
    shared: BTreeSet<fleet::Account>,
    /// The latest moment at which something was reserved. Nothing is reserved before it, whatever the clock does, so that a
    /// line is in the window that it was charged to.
    latest_ms: u64,
}

/// A hold that nobody has resolved.
#[derive(Debug)]
struct Open {
    hold: Hold,
    charges: Vec<Charge>,
    metadata: Option<Arc<str>>,
    is_priced: bool,
}

/// What was reserved.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) id: u64,
    pub(super) amount: Nanodollars,
    pub(super) warnings: Vec<String>,
}

/// Told of one model after another, not of clients' inventions without end.
const TOLD: usize = 10_000;

impl Book {
    /// A book whose first number is this.
    pub(super) fn new(next: u64) -> Self {
        Self {
            next,
            open: HashMap::new(),
            accounts: Accounts::default(),
            batch: Batch::default(),
            events: Vec::new(),
            told_unpriced: HashSet::new(),
            held: 0,
            booked: HashMap::new(),
            shared: BTreeSet::new(),
            latest_ms: 0,
        }
    }

    /// What a process before this one left open is taken to have cost all that was reserved.
    pub(super) fn recover(&mut self, holds: Vec<Hold>) {
        let lines = holds.into_iter().map(|hold| {
            let cost = (hold.price_version != UNPRICED).then_some(hold.ceiling);
            Line {
                is_recovered: true,
                ..line(&hold, Settlement::given_up(cost), None)
            }
        });
        self.batch.lines.extend(lines);
    }

    /// Reserves for an attempt, on all of its budgets or on none.
    pub(super) fn reserve(&mut self, wish: Wish, now_ms: u64, store: &dyn Store) -> Result<Granted, Refused> {
        if wish.price_version.is_none() {
            self.unpriced(&wish)?;
        }
        let now_ms = now_ms.max(self.latest_ms);
        self.latest_ms = now_ms;
        for scoped in &wish.budgets {
            self.open_account(scoped, now_ms, store)?;
        }
        let Wish { at_least, at_most, .. } = wish;
        let amount = self
            .accounts
            .reserve(&wish.budgets, at_least, at_most, &mut self.events)?;
        let id = self.next;
        self.next += 1;
        let hold = Hold {
            id,
            at_ms: now_ms,
            ceiling: amount,
            request: wish.request,
            tags: wish.tags,
            price_version: wish.price_version.unwrap_or(UNPRICED),
        };
        let mut charges = self.accounts.charges(&wish.budgets);
        self.accounts
            .charge_others(scopes(&hold.tags), now_ms, amount, &mut charges);
        self.batch.holds.push(hold.clone());
        self.held = self.held.saturating_add(amount.0.into());
        self.open.insert(
            id,
            Open {
                hold,
                charges,
                metadata: wish.metadata,
                is_priced: wish.price_version.is_some(),
            },
        );
        let warnings = self.accounts.warnings(&wish.budgets);
        Ok(Granted { id, amount, warnings })
    }

    /// Whether something is to be borrowed before a wish can be decided on.
    pub(super) fn must_borrow(
        &mut self,
        wish: &Wish,
        asks: Asks,
        now_ms: u64,
        store: &dyn Store,
    ) -> Result<bool, Refused> {
        if wish.price_version.is_none() || wish.budgets.is_empty() {
            return Ok(false);
        }
        let now_ms = now_ms.max(self.latest_ms);
        for scoped in &wish.budgets {
            self.open_account(scoped, now_ms, store)?;
        }
        let amounts = (wish.at_least, wish.at_most);
        Ok(self.accounts.must_borrow(&wish.budgets, amounts, asks, now_ms))
    }

    /// There is a lender, which knows of these accounts: everything that there is to say. What was lent to a process before this
    /// one, and what for nobody asks now, is given back.
    pub(super) fn joined(
        &mut self,
        found: Vec<Account>,
        now_ms: u64,
        store: Option<&dyn Store>,
    ) -> (Vec<Charge>, Vec<fleet::Entry>) {
        self.accounts.lost();
        let (mut charges, mut entries) = self.accounts.statement(Extent::Full, now_ms);
        self.shared.extend(found);
        self.shared.retain(|account| account.end_ms > now_ms);
        // Without the store nobody knows what was spent; there is more to say once it is back.
        let Some(store) = store else {
            return (charges, entries);
        };
        for account in self.shared.clone() {
            let stands = known(&account).and_then(|(charge, window)| {
                if self.accounts.has(&charge) {
                    return Ok(None);
                }
                Ok(Some((self.taken(&charge.scope, window, store)?, charge)))
            });
            match stands {
                Ok(None) => {}
                Ok(Some(((spent, held), charge))) => {
                    charges.push(charge);
                    entries.push(given_back(account, spent, held));
                }
                Err(reason) => tracing::warn!(?reason, "what this gateway was lent stays with it"),
            }
        }
        (charges, entries)
    }

    /// How the accounts stand with the lender.
    pub(super) fn answered(&mut self, charges: &[Charge], answer: &Answer) {
        self.accounts.answered(charges, answer, &mut self.events);
    }

    /// What was booked and is held for somebody in a window.
    fn taken(&mut self, scope: &Scope, window: Window, store: &dyn Store) -> Result<(i128, i128), Refused> {
        let spent = spent(scope, window, &self.batch, &mut self.booked, store)?;
        let open = self.open.values();
        let open = open.filter(|open| window.holds(open.hold.at_ms) && counts(&open.hold.tags, scope));
        let held = open.map(|open| i128::from(open.hold.ceiling.0)).sum();
        Ok((spent, held))
    }

    /// No budget can be kept, nor can anybody be told of one in time, with a model of which nobody knows what it costs.
    fn unpriced(&mut self, wish: &Wish) -> Result<(), Refused> {
        let model = &wish.tags.model;
        if self.told_unpriced.len() < TOLD && self.told_unpriced.insert(model.clone()) {
            self.events.push(Event::Unpriced {
                model: model.to_string(),
            });
        }
        match wish.budgets.first() {
            Some(scoped) => Err(Refused::Unpriced(scoped.scope.clone())),
            None => Ok(()),
        }
    }

    fn open_account(&mut self, scoped: &Scoped, now_ms: u64, store: &dyn Store) -> Result<(), Refused> {
        let (open, batch, booked) = (&mut self.open, &self.batch, &mut self.booked);
        booked.retain(|window, _| window.end_ms > now_ms);
        let find = |window: Window, charge: &Charge| {
            let spent = spent(&scoped.scope, window, batch, booked, store)?;
            let mut held = 0u128;
            // What was reserved before anybody set the budget counts as well.
            for open in open.values_mut() {
                if window.holds(open.hold.at_ms) && counts(&open.hold.tags, &scoped.scope) {
                    held = held.saturating_add(open.hold.ceiling.0.into());
                    if !open.charges.contains(charge) {
                        open.charges.push(charge.clone());
                    }
                }
            }
            Ok(Found { spent, held })
        };
        self.accounts.open(scoped, now_ms, find, &mut self.events)?;
        for account in self.accounts.take_opened() {
            // A lender that has forgotten everything must hear of it, from the next process as well.
            self.batch.documents.extend(document(&account));
            self.shared.insert(account);
        }
        Ok(())
    }

    /// Budgets are shared; those that a process before this one has written down are known.
    pub(super) fn share(&mut self, store: &dyn Store, now_ms: u64) -> Result<(), StoreError> {
        self.accounts.share();
        let known = store.documents(SHARED, now_ms)?;
        let known = known.iter().filter_map(|(id, _)| serde_json::from_str(id).ok());
        self.shared.extend(known);
        Ok(())
    }

    /// Books what an attempt came to.
    pub(super) fn settle(&mut self, id: u64, settlement: Settlement) {
        let Some(open) = self.close(id) else { return };
        let cost = settlement.cost.unwrap_or_default();
        if cost > open.hold.ceiling && open.is_priced {
            self.events.push(Event::Overrun {
                request: open.hold.request.to_string(),
                model: open.hold.tags.model.to_string(),
                ceiling: open.hold.ceiling,
                cost,
            });
        }
        let (charges, ceiling) = (&open.charges, open.hold.ceiling);
        self.accounts.settle(charges, ceiling, cost.0.into(), &mut self.events);
        self.book_line(line(&open.hold, settlement, open.metadata));
    }

    /// Something was sent, and nobody knows what it came to: all that was reserved.
    pub(super) fn give_up(&mut self, id: u64) {
        let Some(open) = self.open.get(&id) else { return };
        let cost = open.is_priced.then_some(open.hold.ceiling);
        self.settle(id, Settlement::given_up(cost));
    }

    /// Nothing was sent.
    pub(super) fn release(&mut self, id: u64) {
        if self.forget(id) {
            self.batch.released.push(id);
        }
    }

    /// A line that nothing was reserved for; gives its number.
    pub(super) fn note(&mut self, line: Line, now_ms: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        let at_ms = if line.at_ms == 0 { now_ms } else { line.at_ms };
        let is_charged = |scope: &Scope| counts(&line.tags, scope);
        self.accounts.add(is_charged, at_ms, line.counts(), &mut self.events);
        self.book_line(Line { id, at_ms, ..line });
        id
    }

    fn book_line(&mut self, line: Line) {
        for (_, costs) in self.booked.iter_mut().filter(|(window, _)| window.holds(line.at_ms)) {
            let cost = costs.entry(line.tags.clone()).or_default();
            *cost = cost.saturating_add(line.counts());
        }
        self.batch.lines.push(line);
    }

    pub(super) fn keep(&mut self, documents: Vec<Document>) {
        self.batch.documents.extend(documents);
    }

    /// The batch could not be written. Nothing has been sent for its holds, and nothing will be; the rest of it stays to be
    /// written, but for what nobody waits for.
    pub(super) fn undo(&mut self, mut batch: Batch) {
        for hold in std::mem::take(&mut batch.holds) {
            self.forget(hold.id);
        }
        // What came meanwhile follows what came before.
        batch.lines.append(&mut self.batch.lines);
        batch.released.append(&mut self.batch.released);
        batch.documents.append(&mut self.batch.documents);
        self.batch = batch;
    }

    /// The store was opened anew. Holds that it knows and this book does not were never answered for. Gives those that it does
    /// not know, though somebody goes on with them: they were answered without it.
    pub(super) fn reconcile(&mut self, holds: &[Hold], next: u64) -> Vec<Hold> {
        self.next = self.next.max(next);
        let lines: HashSet<u64> = self.batch.lines.iter().map(|line| line.id).collect();
        let strange = holds
            .iter()
            .map(|hold| hold.id)
            .filter(|id| !self.open.contains_key(id) && !lines.contains(id));
        self.batch.released.extend(strange);
        self.accounts.clear();
        self.booked.clear();
        for open in self.open.values_mut() {
            open.charges.clear();
        }
        let waiting = self.batch.holds.iter().chain(holds);
        let known: HashSet<u64> = waiting.map(|hold| hold.id).collect();
        let unknown = self.open.values().filter(|open| !known.contains(&open.hold.id));
        unknown.map(|open| open.hold.clone()).collect()
    }

    pub(super) fn balances(&self) -> Vec<Balance> {
        self.accounts.balances()
    }

    /// How many holds are open, and how much is held.
    pub(super) fn held(&self) -> (usize, u128) {
        (self.open.len(), self.held)
    }

    fn close(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.held = self.held.saturating_sub(open.hold.ceiling.0.into());
        Some(open)
    }

    fn forget(&mut self, id: u64) -> bool {
        let Some(open) = self.close(id) else { return false };
        self.accounts
            .settle(&open.charges, open.hold.ceiling, 0, &mut self.events);
        true
    }
}

/// The kind of documents that have the name of an account that is shared, and nothing else.
const SHARED: &str = "shared";

fn document(account: &fleet::Account) -> Option<Document> {
    Some(Document {
        kind: SHARED,
        id: serde_json::to_string(account).ok()?,
        content: Some(Arc::from([])),
        expires_ms: Some(account.end_ms).filter(|end| *end < u64::MAX),
    })
}

/// The version of a price that there is not.
const UNPRICED: u32 = 0;

fn line(hold: &Hold, settlement: Settlement, metadata: Option<Arc<str>>) -> Line {
    Line {
        id: hold.id,
        at_ms: hold.at_ms,
        request: hold.request.clone(),
        tags: hold.tags.clone(),
        outcome: settlement.outcome,
        usage: settlement.usage,
        cost: settlement.cost,
        ceiling: hold.ceiling,
        reference: settlement.reference,
        price_version: hold.price_version,
        is_estimated: settlement.is_estimated,
        is_recovered: false,
        corrects: None,
        metadata,
    }
}

/// What was booked for somebody in a window. The store is asked once for all that share it.
fn spent(
    scope: &Scope,
    window: Window,
    batch: &Batch,
    booked: &mut HashMap<Window, Costs>,
    store: &dyn Store,
) -> Result<i128, Refused> {
    let costs = match booked.entry(window) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(costs(window, batch, store)?),
    };
    let counted = costs.iter().filter(|(tags, _)| counts(tags, scope));
    Ok(counted.fold(0, |sum: i128, (_, cost)| sum.saturating_add(*cost)))
}

/// What was booked in a window: what the store knows, and what it does not know yet.
fn costs(window: Window, batch: &Batch, store: &dyn Store) -> Result<Costs, Refused> {
    let span = Span {
        from_ms: window.start_ms,
        to_ms: window.end_ms.min(Span::EVER.to_ms),
    };
    let unavailable = |error: StoreError| Refused::Unavailable(error.to_string());
    let mut costs = store.costs(span).map_err(unavailable)?;
    let is_pending = |line: &&Line| span.from_ms <= line.at_ms && line.at_ms < span.to_ms;
    for line in batch.lines.iter().filter(is_pending) {
        let cost = costs.entry(line.tags.clone()).or_default();
        *cost = cost.saturating_add(line.counts());
    }
    Ok(costs)
}

/// Everybody for whom what is counted under these tags counts.
fn scopes(tags: &Tags) -> impl Iterator<Item = Scope> {
    let own = [
        Scope::Key(tags.key.clone()),
        Scope::Team(tags.team.clone()),
        Scope::Organisation(tags.organisation.clone()),
        Scope::Provider(tags.provider.clone()),
        Scope::Model(tags.model.clone()),
        Scope::Route(tags.route.clone()),
    ];
    let labels = tags.labels.iter();
    let labels = labels.map(|(label, value)| Scope::Label(label.as_str().into(), value.as_str().into()));
    own.into_iter().chain(labels)
}

/// Whether what is counted under these tags counts for somebody.
fn counts(tags: &Tags, scope: &Scope) -> bool {
    match scope {
        Scope::Key(name) => tags.key == *name,
        Scope::Team(name) => tags.team == *name,
        Scope::Organisation(name) => tags.organisation == *name,
        Scope::Provider(name) => tags.provider == *name,
        Scope::Model(name) => tags.model == *name,
        Scope::Route(name) => tags.route == *name,
        Scope::Label(label, value) => tags.labels.iter().any(|(l, v)| **l == **label && **v == **value),
    }
}
