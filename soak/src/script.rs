//! What is written into stores that are tried: batch after batch, each known from its number alone, so that whoever finds a
//! store afterwards knows what has to be in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pointsman::money::{Nanodollars, Usage};
use pointsman::store::memory::Memory;
use pointsman::store::{Batch, By, Document, Hold, Line, Question, Span, Spent, Store, StoreError, Tags};

use crate::chance::Chance;

/// The first moment: a minute before the end of a day.
pub(crate) const START_MS: u64 = 1_789_084_740_000;
/// Holds of each batch.
const HOLDS: u64 = 4;

/// Every so manieth batch has documents.
const DOCUMENTS: u64 = 4;

fn tags(id: u64) -> Arc<Tags> {
    let name = |prefix: &str, most: u64| -> Arc<str> { format!("{prefix}{}", id % most).into() };
    Arc::new(Tags {
        key: name("key-", 7),
        team: name("team-", 3),
        organisation: "all".into(),
        route: "auto".into(),
        provider: name("provider-", 2),
        model: name("model-", 5),
        labels: vec![("task".to_owned(), format!("t{}", id % 4))],
    })
}

fn at_ms(id: u64) -> u64 {
    START_MS + id * 1_500
}

fn hold(id: u64) -> Hold {
    Hold {
        id,
        at_ms: at_ms(id),
        ceiling: Nanodollars(1_000 + id),
        request: format!("request-{id}").into(),
        tags: tags(id),
        price_version: 7,
    }
}

fn line(id: u64) -> Line {
    let cost = Chance::of(id).below(1_000 + id);
    Line {
        id,
        at_ms: at_ms(id),
        request: format!("request-{id}").into(),
        tags: tags(id),
        outcome: "answered".to_owned(),
        usage: Usage {
            input: id,
            output: cost / 3,
            ..Usage::default()
        },
        cost: Some(Nanodollars(cost)),
        ceiling: Nanodollars(1_000 + id),
        reference: Some(Nanodollars(cost * 2)),
        price_version: 7,
        is_estimated: id.is_multiple_of(11),
        is_recovered: false,
        corrects: None,
        metadata: None,
    }
}

/// The batch of a number, from 1: new holds, and what became of those of the batch before.
pub(crate) fn batch(number: u64) -> Batch {
    let ids = |number: u64| (number * HOLDS - HOLDS + 1)..=(number * HOLDS);
    let before = ids(number.saturating_sub(1).max(1)).filter(|_| number > 1);
    let is_released = |id: &u64| id.is_multiple_of(5);
    // One of them stays open for ever.
    let is_left = |id: &u64| id.is_multiple_of(37);
    let note = || Document {
        kind: "note",
        id: format!("n{}", number % 20),
        content: Some(vec![number as u8; 300].into()),
        expires_ms: None,
    };
    Batch {
        holds: ids(number).map(hold).collect(),
        released: before.clone().filter(|id| is_released(id) && !is_left(id)).collect(),
        lines: before.filter(|id| !is_released(id) && !is_left(id)).map(line).collect(),
        documents: number.is_multiple_of(DOCUMENTS).then(note).into_iter().collect(),
    }
}

/// How far the script has come, by the numbers that were given out.
pub(crate) fn reached(store: &dyn Store) -> Result<u64, StoreError> {
    Ok((store.open_holds()?.1 - 1) / HOLDS)
}

/// All that is asked of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    holds: Vec<Hold>,
    spent: Vec<Vec<Spent>>,
    lines: Vec<Line>,
    notes: Vec<(String, Vec<u8>)>,
}

impl Answers {
    /// Each part by its name and its digest.
    pub(crate) fn digests(&self) -> [(&'static str, u64); 4] {
        let digest = |said: String| {
            let mut hasher = DefaultHasher::new();
            said.hash(&mut hasher);
            hasher.finish()
        };
        [
            ("holds", digest(format!("{:?}", self.holds))),
            ("sums", digest(format!("{:?}", self.spent))),
            ("lines", digest(format!("{:?}", self.lines))),
            ("documents", digest(format!("{:?}", self.notes))),
        ]
    }

    /// What a store says. An error is its way of saying that it is damaged.
    pub(crate) fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let day = 86_400_000;
        let midnight = START_MS + 60_000;
        let spans = [
            Span::EVER,
            Span {
                from_ms: midnight - day,
                to_ms: midnight,
            },
            Span {
                from_ms: midnight,
                to_ms: midnight + day,
            },
            // An hour that is none of the clock's.
            Span {
                from_ms: midnight - 1_800_000,
                to_ms: midnight + 1_800_000,
            },
        ];
        let mut spent = Vec::new();
        for span in spans {
            for by in [vec![By::Key], vec![By::Model, By::Day], vec![]] {
                spent.push(store.spent(&Question {
                    span,
                    by,
                    only: Vec::new(),
                })?);
            }
        }
        let mut lines = Vec::new();
        let mut keep = |line| {
            lines.push(line);
            true
        };
        store.lines(Span::EVER, &mut keep)?;
        Ok(Self {
            holds: store.open_holds()?.0,
            spent,
            lines,
            notes: store.documents("note", 0)?,
        })
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.lines.len()
    }
}

/// What has to be in a store after each number of batches.
pub(crate) struct Expected {
    answers: Vec<Answers>,
}

impl Expected {
    /// Up to so many batches.
    pub(crate) fn up_to(batches: u64) -> Result<Self> {
        let mut store = Memory::default();
        let mut answers = vec![Answers::of(&store)?];
        for number in 1..=batches {
            store.commit(&batch(number))?;
            answers.push(Answers::of(&store)?);
        }
        Ok(Self { answers })
    }

    /// Whether a store has the first batches and nothing else, and at least so many of them. Gives their number.
    pub(crate) fn check(&self, store: &dyn Store, at_least: u64) -> Result<u64> {
        let found = reached(store)?;
        ensure!(
            found >= at_least,
            "{at_least} batches were acknowledged, and there are {found}"
        );
        let expected = self
            .answers
            .get(found as usize)
            .context("more batches than there were")?;
        ensure!(
            Answers::of(store)? == *expected,
            "batch {found} is not what was written"
        );
        let findings = store.check()?;
        ensure!(findings.is_empty(), "the check says {findings:?}");
        Ok(found)
    }
}
