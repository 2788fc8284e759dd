//! What was spent in a span of time, from as few rows as will do. Rows of single tags are added up before anybody asks which
//! groups they count in; where nobody asks for tags, the totals of all tags are enough.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::super::spans::{self, ALL, DAY, HOUR, MONTH, Part, SPANS, beginning, ending, parts};
use super::super::{Costs, Line, Question, Span, Spent, StoreError, Sums, Tags};
use super::{MOST, TagReader, each_sums, failed, fits, lines, positive, sums, totals};

const HOUR_MS: u64 = HOUR as u64 * 1000;

/// Whole months, days and hours come from the sums, what is left at both ends from the lines.
pub(in super::super) fn spent(connection: &Connection, question: &Question) -> Result<Vec<Spent>, StoreError> {
    let mut groups: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    let (has_days, has_tags) = (question.asks_for_days(), question.asks_for_tags());
    let found = Found::read(connection, question.span, has_days, has_tags, |line| {
        for group in question.groups(&line.tags, line.at_ms) {
            groups.entry(group).or_default().add(line);
        }
    })?;
    let by_tags = question.without_days();
    let mut kinds = Kinds::default();
    let kinds_of_tags = found.tags(connection)?.into_iter().map(|tags| {
        let kinds_of = by_tags.groups(&tags, 0).into_iter();
        kinds_of.map(|kind| kinds.number(kind)).collect::<Vec<_>>()
    });
    let kinds_of_tags: Vec<Vec<usize>> = kinds_of_tags.collect();
    for (day, sums) in &found.days {
        let at_ms = positive(*day)? * 1000;
        let mut of_kinds: Vec<Option<Sums>> = vec![None; kinds.names.len()];
        for (sums, kinds) in sums.iter().zip(&kinds_of_tags) {
            let Some(sums) = sums else { continue };
            for kind in kinds {
                of_kinds[*kind].get_or_insert_default().merge(sums);
            }
        }
        for (kind, sums) in kinds.names.iter().zip(of_kinds) {
            let group = sums.and_then(|sums| Some((question.on_day(kind, at_ms)?, sums)));
            if let Some((group, sums)) = group {
                groups.entry(group).or_default().merge(&sums);
            }
        }
    }
    let said = groups.into_iter().map(|(group, sums)| Spent {
        group,
        sums: Sums {
            cost: sums.cost.min(MOST),
            reference: sums.reference.min(MOST),
            ..sums
        },
    });
    Ok(said.collect())
}

pub(in super::super) fn costs(connection: &Connection, span: Span) -> Result<Costs, StoreError> {
    let mut costs = Costs::new();
    let found = Found::read(connection, span, false, true, |line| {
        *costs.entry(line.tags.clone()).or_default() += line.counts();
    })?;
    let tags = found.tags(connection)?;
    for sums in found.days.values() {
        for (sums, tags) in sums.iter().zip(&tags) {
            if let Some(sums) = sums {
                let cost = costs.entry(tags.clone()).or_default();
                *cost = cost.saturating_add(sums.cost).min(MOST);
            }
        }
    }
    Ok(costs)
}

/// The groups of a question, days apart, each with a number.
#[derive(Default)]
struct Kinds {
    numbers: HashMap<Vec<String>, usize>,
    names: Vec<Vec<String>>,
}

impl Kinds {
    fn number(&mut self, kind: Vec<String>) -> usize {
        if let Some(number) = self.numbers.get(&kind) {
            return *number;
        }
        self.names.push(kind.clone());
        self.numbers.insert(kind, self.names.len() - 1);
        self.names.len() - 1
    }
}

/// The sums of a span by the beginning of the day, where days matter, and by tags.
#[derive(Default)]
struct Found {
    /// Of each day: the sums of the tags that are at the same place of `tags`.
    days: BTreeMap<i64, Vec<Option<Sums>>>,
    /// The numbers of the tags that were met.
    tags: Vec<i64>,
    places: HashMap<i64, usize>,
}

impl Found {
    /// Reads sums; lines beside them go to `each`. What is read has to add up to what is kept of all tags, and that to what is
    /// kept of larger spans, up to that of everything, so that a row that has gone is no money that was never spent.
    fn read(
        connection: &Connection,
        span: Span,
        has_days: bool,
        has_tags: bool,
        mut each: impl FnMut(&Line),
    ) -> Result<Self, StoreError> {
        let mut this = Self::default();
        everything_adds_up(connection)?;
        for part in parts(span, if has_days { DAY } else { MONTH }) {
            match part {
                Part::Sums(seconds, from, to) => {
                    let mut found = Sums::default();
                    let rows = if has_tags {
                        seconds
                    } else {
                        spans::total(seconds, from).0
                    };
                    each_sums(connection, rows, from, to, |(_, start, tags), sums| {
                        found.merge(sums);
                        let day = if has_days { beginning(DAY, start) } else { 0 };
                        this.add(day, tags, sums);
                    })?;
                    if has_tags {
                        let wanted = totals(connection, seconds, from, to)?;
                        fits(found.are(&wanted, MOST), || {
                            format!("what the sums from {from} to {to} add up to")
                        })?;
                    }
                    longer_ones_fit(connection, seconds, from, to)?;
                }
                Part::Lines(span) => each_line(connection, span, &mut each)?,
            }
        }
        Ok(this)
    }

    fn add(&mut self, day: i64, tags: i64, sums: &Sums) {
        let place = *self.places.entry(tags).or_insert_with(|| {
            self.tags.push(tags);
            self.tags.len() - 1
        });
        let of_day = self.days.entry(day).or_default();
        if of_day.len() <= place {
            of_day.resize(place + 1, None);
        }
        of_day[place].get_or_insert_default().merge(sums);
    }

    /// The tags that were met, in their places.
    fn tags(&self, connection: &Connection) -> Result<Vec<Arc<Tags>>, StoreError> {
        let mut known = TagReader::for_so_many(connection, self.tags.len())?;
        // The totals of all tags are under a number that no tags have.
        let tags = self.tags.iter().map(|tags| match *tags {
            0 => Ok(Arc::default()),
            tags => known.get(tags),
        });
        tags.collect()
    }
}

fn each_line(connection: &Connection, span: Span, each: &mut impl FnMut(&Line)) -> Result<(), StoreError> {
    let hours = Span {
        from_ms: span.from_ms / HOUR_MS * HOUR_MS,
        to_ms: span.to_ms.div_ceil(HOUR_MS).saturating_mul(HOUR_MS),
    };
    lines(connection, hours, &mut |line| {
        if span.from_ms <= line.at_ms && line.at_ms < span.to_ms {
            each(&line);
        }
        true
    })
}

/// Whether what is kept of all tags adds up to what is kept of the longer spans that it lies in.
fn longer_ones_fit(connection: &Connection, seconds: i64, mut from: i64, mut to: i64) -> Result<(), StoreError> {
    for pair in SPANS.windows(2).filter(|pair| pair[0] >= seconds) {
        let (shorter, longer) = (pair[0], pair[1]);
        (from, to) = (beginning(longer, from), ending(longer, to));
        let parts = totals(connection, shorter, from, to)?;
        fits(parts.are(&totals(connection, longer, from, to)?, MOST), || {
            format!("what the sums of {shorter} seconds from {from} to {to} add up to")
        })?;
    }
    Ok(())
}

/// Whether the months add up to the sum of everything, and there is one where there are lines.
fn everything_adds_up(connection: &Connection) -> Result<(), StoreError> {
    let everything = sums(connection, ALL)?.unwrap_or_default();
    let months = totals(connection, MONTH, 0, i64::MAX)?;
    fits(months.are(&everything, MOST), || "what the months add up to".to_owned())?;
    if everything == Sums::default() {
        let has_lines: bool = connection
            .query_row("SELECT EXISTS (SELECT 1 FROM lines)", [], |row| row.get(0))
            .map_err(failed)?;
        fits(!has_lines, || "the sum of everything".to_owned())?;
    }
    Ok(())
}
