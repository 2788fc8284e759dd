//! A lender in memory, for tests: it forgets, falls back, fails and hangs when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Account, Answer, Entry, Fault, Lender, SHARE, Terms};

/// What a lender knows; gateways have [`Teller`]s of it.
#[derive(Debug, Clone, Default)]
pub struct Bank(Arc<Mutex<State>>);

/// What is wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Nothing arrives.
    Out,
    /// What is said arrives; its answer does not.
    Mute,
    /// Nothing comes for so long.
    Hangs(Duration),
}

#[derive(Debug, Default)]
struct State {
    trouble: Trouble,
    is_settling: bool,
    /// A number for each time that somebody joined.
    sessions: u64,
    books: Books,
    copy: Books,
}

/// What can be lost.
#[derive(Debug, Clone, Default)]
struct Books {
    sessions: HashMap<String, u64>,
    rows: BTreeMap<Account, BTreeMap<String, Row>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    lent: i64,
    spent: i64,
    held: i64,
    need: i64,
}

impl Row {
    fn taken(&self) -> i128 {
        i128::from(self.lent).max(i128::from(self.spent) + i128::from(self.held))
    }
}

impl Bank {
    /// For a gateway.
    pub fn teller(&self, name: &str) -> Teller {
        Teller {
            bank: self.clone(),
            name: name.to_owned(),
            session: 0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// Remembers how things are.
    pub fn copy(&self) {
        let mut state = self.state();
        state.copy = state.books.clone();
    }

    /// It is as it was at the last copy, and waits to hear everybody.
    pub fn fall_back(&self) {
        let mut state = self.state();
        state.books = state.copy.clone();
        state.books.sessions.clear();
        state.is_settling = true;
    }

    /// It knows nothing, and waits to hear everybody.
    pub fn forget(&self) {
        let mut state = self.state();
        state.books = Books::default();
        state.is_settling = true;
    }

    /// It has heard everybody.
    pub fn settle(&self) {
        self.state().is_settling = false;
    }

    /// What is lent of all accounts together, and how much of it is neither spent nor held.
    pub fn lent(&self) -> (i128, i128) {
        let state = self.state();
        let rows = state.books.rows.values().flat_map(BTreeMap::values);
        rows.fold((0, 0), |(lent, idle), row| {
            let taken = i128::from(row.spent) + i128::from(row.held);
            (lent + row.taken(), idle + row.taken() - taken)
        })
    }
}

/// A gateway's way to it.
#[derive(Debug)]
pub struct Teller {
    bank: Bank,
    name: String,
    session: u64,
}

impl Teller {
    fn open(&self) -> Result<MutexGuard<'_, State>, Fault> {
        let state = self.bank.state();
        match state.trouble {
            Trouble::Out => Err(Fault("the bank is closed".to_owned())),
            Trouble::Hangs(time) => {
                drop(state);
                std::thread::sleep(time);
                Err(Fault("the bank did not answer".to_owned()))
            }
            Trouble::None | Trouble::Mute => Ok(state),
        }
    }
}

impl Lender for Teller {
    fn join(&mut self) -> Result<Vec<Account>, Fault> {
        let mut state = self.open()?;
        state.sessions += 1;
        let session = state.sessions;
        state.books.sessions.insert(self.name.clone(), session);
        let rows = state.books.rows.iter();
        let own = rows.filter(|(_, rows)| rows.contains_key(&self.name));
        let own = own.map(|(account, _)| account.clone()).collect();
        drop(state);
        self.session = session;
        Ok(own)
    }

    fn exchange(&mut self, entries: &[Entry]) -> Result<Answer, Fault> {
        let mut state = self.open()?;
        if state.books.sessions.get(&self.name) != Some(&self.session) {
            return Err(Fault("the bank does not know this session".to_owned()));
        }
        let is_settling = state.is_settling;
        let terms = entries
            .iter()
            .map(|entry| state.books.take(&self.name, entry, is_settling));
        let terms = terms.collect();
        if state.trouble == Trouble::Mute {
            return Err(Fault("the bank's answer was lost".to_owned()));
        }
        Ok(Answer { is_settling, terms })
    }
}

impl Books {
    fn take(&mut self, name: &str, entry: &Entry, is_settling: bool) -> Terms {
        let rows = self.rows.entry(entry.account.clone()).or_default();
        let own = Row {
            lent: entry.lent,
            spent: entry.spent,
            held: entry.held,
            need: entry.need,
        };
        rows.insert(name.to_owned(), own);
        let unlent =
            |rows: &BTreeMap<String, Row>| i128::from(entry.limit) - rows.values().map(Row::taken).sum::<i128>();
        let left = i64::try_from(unlent(rows)).unwrap_or(i64::MIN);
        if !is_settling && entry.want > 0 && left > 0 && left >= entry.need {
            let lent = left.min(entry.want.max(left / SHARE));
            if let Some(own) = rows.get_mut(name) {
                own.lent = i64::try_from(own.taken()).unwrap_or(i64::MAX).saturating_add(lent);
                own.need = 0;
            }
        }
        let unlent = i64::try_from(unlent(rows)).unwrap_or(i64::MIN);
        let others = || rows.iter().filter(|(other, _)| *other != name).map(|(_, row)| row);
        Terms {
            lent: rows.get(name).map_or(0, |row| row.lent),
            unlent,
            spent: others().map(|row| row.spent).sum(),
            held: others().map(|row| row.held).sum(),
            is_wanted: others().any(|row| row.need > unlent),
        }
    }
}
