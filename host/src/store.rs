//! What must survive: the ledger with its open holds and sums, and documents (keys, cached answers and the like).
//!
//! One interface, owned by one writer ([`crate::ledger`]), which hands it batches: all of a batch is kept, or nothing, and
//! it is durable when `commit` returns. [`sqlite`] is the embedded store; [`memory`] keeps the same promises for as long as
//! the process lives. What a fleet shares is no store: each gateway has its own, and borrows what its budgets may spend
//! ([`crate::fleet`]).

mod labels;
pub mod memory;
pub mod sqlite;
#[cfg(test)]
mod suite;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::money::{Nanodollars, Usage};

/// A store. Every answer of it has been checked against the digests that were written with it.
pub trait Store: Send {
    /// Keeps a batch, all of it or nothing. Lines and holds that are kept already are left as they are, so that a batch whose
    /// outcome is unknown may be offered again.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Keeps a batch, too, though it need not wait for the disk: the process may end at once, and it is kept. The machine
    /// may not, until the next `commit` has returned, or where it is one of documents alone, the next `publish`.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.commit(batch)
    }

    /// Returns when all that was kept is on disk, and seen through every door. Documents are seen when they are kept.
    fn publish(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Holds that nobody has resolved, and the first number that neither a hold nor a line has had.
    fn open_holds(&self) -> Result<(Vec<Hold>, u64), StoreError>;

    /// Sums of lines, kept as lines are written, by these of their properties.
    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError>;

    /// What lines of a span of time cost, by what they are counted under.
    fn costs(&self, span: Span) -> Result<Costs, StoreError>;

    /// Lines in the order of their numbers, those of a span of time.
    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError>;

    /// The line of a number.
    fn line(&self, id: u64) -> Result<Option<Line>, StoreError>;

    /// A document that has not expired.
    fn document(&self, kind: &str, id: &str, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// All documents of a kind that have not expired, by id.
    fn documents(&self, kind: &str, now_ms: u64) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// A number that changes when another process has written.
    fn foreign_changes(&self) -> Result<u64, StoreError>;

    /// Frees what has expired. Lines that are older than this are forgotten; what they sum up to is not.
    fn prune(&mut self, now_ms: u64, lines_before_ms: u64) -> Result<Pruned, StoreError>;

    /// Takes away documents of a kind, those that expire first before others, until the rest has at most so many bytes.
    fn trim(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError>;

    /// Everything that does not hold, in sentences: structure, digests, sums, and whatever else was promised.
    fn check(&self) -> Result<Vec<String>, StoreError>;

    /// A second door to the same store, for questions that take their time.
    fn reader(&self) -> Result<Box<dyn Store>, StoreError>;
}

/// What is to be kept together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Money reserved.
    pub holds: Vec<Hold>,
    /// Holds of which nothing was sent.
    pub released: Vec<u64>,
    /// What attempts came to; each resolves the hold of its number.
    pub lines: Vec<Line>,
    /// Documents that are written or taken away.
    pub documents: Vec<Document>,
}

impl Batch {
    /// What was collected; as much room is left for what follows.
    pub fn take(&mut self) -> Self {
        let room = Self {
            holds: Vec::with_capacity(self.holds.len()),
            released: Vec::with_capacity(self.released.len()),
            lines: Vec::with_capacity(self.lines.len()),
            documents: Vec::new(),
        };
        std::mem::replace(self, room)
    }

    /// Whether nothing is in it that is money.
    fn is_of_documents(&self) -> bool {
        self.holds.is_empty() && self.released.is_empty() && self.lines.is_empty()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.is_of_documents() && self.documents.is_empty()
    }
}

/// Money reserved for one attempt, before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Never used again.
    pub id: u64,
    /// When it was made, in milliseconds since 1970. The windows that it counts in are those of this moment.
    pub at_ms: u64,
    /// The most that the attempt can cost; nothing is known of a model without a price.
    pub ceiling: Nanodollars,
    /// The request's id.
    pub request: Arc<str>,
    /// What it is counted under.
    pub tags: Arc<Tags>,
    /// Of the price that the ceiling was computed with.
    pub price_version: u32,
}

/// What a line is counted under. Empty where there is nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Tags {
    /// The key's public id; `anonymous` where no key is required.
    pub key: Arc<str>,
    /// The key's team.
    pub team: Arc<str>,
    /// The team's organisation.
    pub organisation: Arc<str>,
    /// The name that the client asked for.
    pub route: Arc<str>,
    /// Who was asked.
    pub provider: Arc<str>,
    /// For which model.
    pub model: Arc<str>,
    /// As policies set them, sorted.
    pub labels: Vec<(String, String)>,
}

/// What one attempt came to. Lines are appended and never changed; a correction is a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The number of its hold; of a correction, its own.
    pub id: u64,
    /// See [`Hold::at_ms`].
    pub at_ms: u64,
    /// The request's id.
    pub request: Arc<str>,
    /// What it is counted under.
    pub tags: Arc<Tags>,
    /// `answered`, or why it was not, in the words of the metrics.
    pub outcome: String,
    /// What was used, as billed.
    pub usage: Usage,
    /// What it cost; unknown where the model has no price.
    pub cost: Option<Nanodollars>,
    /// What was reserved for it.
    pub ceiling: Nanodollars,
    /// What the answer would have cost at the reference model; equal to the cost where there is none.
    pub reference: Option<Nanodollars>,
    /// Of the price that the cost was computed with.
    pub price_version: u32,
    /// Nobody said what was used: counted, or taken to be the ceiling.
    pub is_estimated: bool,
    /// The process that made the hold did not resolve it; the next one did.
    pub is_recovered: bool,
    /// The line that this one corrects: its figures are added to that one's, and may be taken away from it.
    pub corrects: Option<Correction>,
    /// The key's own data, as JSON.
    pub metadata: Option<Arc<str>>,
}

/// What a correction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Which line.
    pub line: u64,
    /// Added to its cost.
    pub by: i64,
}

/// A document to be written, or to be taken away where it has no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is: `key`, `answer`, …
    pub kind: &'static str,
    /// Its name among those.
    pub id: String,
    /// Its bytes.
    pub content: Option<Arc<[u8]>>,
    /// When it is of no more use, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// A span of time in milliseconds since 1970; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From here on.
    pub from_ms: u64,
    /// Up to here.
    pub to_ms: u64,
}

impl Span {
    /// All of time.
    pub const EVER: Self = Self {
        from_ms: 0,
        to_ms: i64::MAX as u64,
    };
}

/// By what sums are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of `Tags`")]
pub enum By {
    Key,
    Team,
    Organisation,
    Route,
    Provider,
    Model,
    /// Each label with its value; a line with two labels counts under both.
    Label,
    /// Days in UTC, as `2026-11-21`.
    Day,
}

impl By {
    /// All of them, by the names that users write.
    pub const ALL: [(&'static str, Self); 8] = [
        ("key", Self::Key),
        ("team", Self::Team),
        ("organisation", Self::Organisation),
        ("route", Self::Route),
        ("provider", Self::Provider),
        ("model", Self::Model),
        ("label", Self::Label),
        ("day", Self::Day),
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, by)| *by)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, by)| *by == self);
        found.map_or("", |(name, _)| name)
    }
}

/// What is asked of the sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of this time.
    pub span: Span,
    /// Grouped by these; all of it together where there are none.
    pub by: Vec<By>,
    /// Only lines that have these values.
    pub only: Vec<(By, String)>,
}

/// Sums of the lines of one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spent {
    /// The group: a value for each of the question's properties.
    pub group: Vec<String>,
    /// The sums.
    pub sums: Sums,
}

/// Nano-dollars by what lines are counted under.
pub type Costs = HashMap<Arc<Tags>, i128>;

/// What lines add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Lines, corrections apart.
    pub calls: u64,
    /// Those of them that nobody knows the usage of.
    pub estimated: u64,
    /// Those without a price, whose cost is not in the sums.
    pub unpriced: u64,
    /// What was used.
    pub usage: Usage,
    /// What it cost, in nano-dollars. Corrections may take away.
    pub cost: i128,
    /// What it would have cost at the reference model.
    pub reference: i128,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Lines.
    pub lines: u64,
    /// Documents.
    pub documents: u64,
}

/// Why a store did not do as it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The disk, or the library, failed: what was to be kept may be kept or not.
    #[error("the store failed: {0}")]
    Failed(String),
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// It cannot be used as it is.
    #[error("{0}")]
    Refused(String),
}

impl Question {
    /// Whether the day of a line decides where it counts.
    fn asks_for_days(&self) -> bool {
        self.by.contains(&By::Day) || self.only.iter().any(|(by, _)| *by == By::Day)
    }

    /// Whether more than the moment of a line decides where it counts.
    fn asks_for_tags(&self) -> bool {
        self.by
            .iter()
            .chain(self.only.iter().map(|(by, _)| by))
            .any(|by| *by != By::Day)
    }

    /// The question, but for days.
    fn without_days(&self) -> Self {
        Self {
            span: self.span,
            by: self.by.iter().filter(|by| **by != By::Day).copied().collect(),
            only: self.only.iter().filter(|(by, _)| *by != By::Day).cloned().collect(),
        }
    }

    /// The group of this question that a group of it without days is on a day; none where the question leaves the day out.
    fn on_day(&self, group: &[String], at_ms: u64) -> Option<Vec<String>> {
        if !self.asks_for_days() {
            return Some(group.to_vec());
        }
        let day = day(at_ms);
        let is_wanted = self.only.iter().all(|(by, wanted)| *by != By::Day || *wanted == day);
        let mut others = group.iter().cloned();
        let name = |by: &By| {
            if *by == By::Day {
                Some(day.clone())
            } else {
                others.next()
            }
        };
        is_wanted.then(|| self.by.iter().filter_map(name).collect())
    }

    /// The groups that a line counts in: none where the question leaves it out.
    fn groups(&self, tags: &Tags, at_ms: u64) -> Vec<Vec<String>> {
        let is_wanted = |(by, wanted): &(By, String)| tags.values(*by, at_ms).contains(wanted);
        if !self.only.iter().all(is_wanted) {
            return Vec::new();
        }
        let with = |group: &Vec<String>, value: &String| [&group[..], std::slice::from_ref(value)].concat();
        self.by.iter().fold(vec![Vec::new()], |groups, by| {
            let values = tags.values(*by, at_ms);
            let all = groups
                .iter()
                .flat_map(|group| values.iter().map(move |value| with(group, value)));
            all.collect()
        })
    }
}

impl Line {
    /// What it adds to what was spent; a correction may take away.
    pub fn counts(&self) -> i128 {
        match self.corrects {
            Some(correction) => correction.by.into(),
            None => self.cost.map_or(0, |cost| cost.0.into()),
        }
    }
}

impl Sums {
    /// What is saved: what the reference model would have cost beyond the true cost; less than nothing where it is cheaper.
    pub fn savings(&self) -> i128 {
        self.reference.saturating_sub(self.cost)
    }

    /// Whether these are what was kept of the same lines. Of what has reached the most that is kept, nobody knows more than that.
    fn are(&self, kept: &Self, most: i128) -> bool {
        let known = |kept: i128, found: i128| if kept >= most { kept } else { found };
        *kept
            == Self {
                cost: known(kept.cost, self.cost),
                reference: known(kept.reference, self.reference),
                ..*self
            }
    }

    /// Adds a line.
    pub fn add(&mut self, line: &Line) {
        let cost = line.counts();
        if line.corrects.is_some() {
            self.cost = self.cost.saturating_add(cost);
            return;
        }
        self.calls += 1;
        self.estimated += u64::from(line.is_estimated);
        self.unpriced += u64::from(line.cost.is_none());
        self.usage = self.usage.plus(&line.usage);
        self.cost = self.cost.saturating_add(cost);
        self.reference = self
            .reference
            .saturating_add(line.reference.map_or(cost, |cost| i128::from(cost.0)));
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.estimated += other.estimated;
        self.unpriced += other.unpriced;
        self.usage = self.usage.plus(&other.usage);
        self.cost = self.cost.saturating_add(other.cost);
        self.reference = self.reference.saturating_add(other.reference);
    }
}

impl Tags {
    /// The values that a line is counted under by one property: one, or one for each label.
    pub fn values(&self, by: By, at_ms: u64) -> Vec<String> {
        let one = |value: &Arc<str>| vec![value.to_string()];
        match by {
            By::Key => one(&self.key),
            By::Team => one(&self.team),
            By::Organisation => one(&self.organisation),
            By::Route => one(&self.route),
            By::Provider => one(&self.provider),
            By::Model => one(&self.model),
            By::Label if self.labels.is_empty() => vec![String::new()],
            By::Label => self
                .labels
                .iter()
                .map(|(label, value)| format!("{label}={value}"))
                .collect(),
            By::Day => vec![day(at_ms)],
        }
    }
}

/// The day of a moment in UTC, as people write it.
pub fn day(at_ms: u64) -> String {
    let at = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(at).map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// This moment, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
