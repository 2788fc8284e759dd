//! One batch as the journal spells it: numbers little-endian, texts with their length before them, what is counted alike once.
//!
//! A journal that a process left behind may be read by a later release: a change of this spelling is another [`MARK`], and the
//! ones before it are still read.

use std::sync::Arc;

use crate::money::{Nanodollars, Usage};
use crate::store::{Batch, Correction, Hold, Line, Tags};

/// The first four bytes of a record, with the version of its spelling.
pub(super) const MARK: [u8; 4] = *b"PMJ1";

const ESTIMATED: u8 = 1;
const RECOVERED: u8 = 2;

/// Appends a batch, whose documents are none of the journal's.
pub(super) fn spell(batch: &Batch, into: &mut Vec<u8>) {
    let mut pen = Pen { into, tags: Vec::new() };
    // Few different ones: calls that end together are mostly alike.
    let holds: Vec<u32> = batch.holds.iter().map(|hold| pen.place(&hold.tags)).collect();
    let lines: Vec<u32> = batch.lines.iter().map(|line| pen.place(&line.tags)).collect();
    let all = std::mem::take(&mut pen.tags);
    pen.count(all.len());
    all.iter().for_each(|tags| pen.tags(tags));
    pen.count(batch.holds.len());
    for (hold, tags) in batch.holds.iter().zip(holds) {
        pen.hold(hold, tags);
    }
    pen.count(batch.released.len());
    batch.released.iter().for_each(|id| pen.number(*id));
    pen.count(batch.lines.len());
    for (line, tags) in batch.lines.iter().zip(lines) {
        pen.line(line, tags);
    }
}

/// What was spelled; nothing where it is not to be understood.
pub(super) fn read(text: &[u8]) -> Option<Batch> {
    let mut eye = Eye(text);
    let tags: Vec<Arc<Tags>> = eye.each(|eye| eye.tags().map(Arc::new))?;
    let batch = Batch {
        holds: eye.each(|eye| eye.hold(&tags))?,
        released: eye.each(Eye::number)?,
        lines: eye.each(|eye| eye.line(&tags))?,
        documents: Vec::new(),
    };
    eye.0.is_empty().then_some(batch)
}

struct Pen<'a> {
    into: &'a mut Vec<u8>,
    tags: Vec<Arc<Tags>>,
}

impl Pen<'_> {
    /// Where these stand in the record's list.
    fn place(&mut self, tags: &Arc<Tags>) -> u32 {
        let is_known = |known: &Arc<Tags>| Arc::ptr_eq(known, tags) || known == tags;
        let place = self.tags.iter().position(is_known).unwrap_or_else(|| {
            self.tags.push(tags.clone());
            self.tags.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn small(&mut self, number: u32) {
        self.into.extend_from_slice(&number.to_le_bytes());
    }

    fn number(&mut self, number: u64) {
        self.into.extend_from_slice(&number.to_le_bytes());
    }

    fn count(&mut self, many: usize) {
        self.small(u32::try_from(many).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.into.extend_from_slice(text.as_bytes());
    }

    fn maybe(&mut self, number: Option<u64>) {
        self.into.push(number.is_some().into());
        if let Some(number) = number {
            self.number(number);
        }
    }

    fn tags(&mut self, tags: &Tags) {
        let Tags {
            key,
            team,
            organisation,
            route,
            provider,
            model,
            labels,
        } = tags;
        for text in [key, team, organisation, route, provider, model] {
            self.text(text);
        }
        self.count(labels.len());
        for (label, value) in labels {
            self.text(label);
            self.text(value);
        }
    }

    fn hold(&mut self, hold: &Hold, tags: u32) {
        self.number(hold.id);
        self.number(hold.at_ms);
        self.number(hold.ceiling.0);
        self.text(&hold.request);
        self.small(tags);
        self.small(hold.price_version);
    }

    fn line(&mut self, line: &Line, tags: u32) {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        self.number(line.id);
        self.number(line.at_ms);
        self.text(&line.request);
        self.small(tags);
        self.text(&line.outcome);
        let used = line.usage.named().into_iter().filter(|(_, tokens)| *tokens > 0);
        self.count(used.clone().count());
        for (name, tokens) in used {
            self.text(name);
            self.number(tokens);
        }
        self.maybe(line.cost.map(|cost| cost.0));
        self.number(line.ceiling.0);
        self.maybe(line.reference.map(|cost| cost.0));
        self.small(line.price_version);
        let flags = flag(line.is_estimated, ESTIMATED) | flag(line.is_recovered, RECOVERED);
        self.into.push(flags);
        self.maybe(line.corrects.map(|correction| correction.line));
        if let Some(correction) = line.corrects {
            self.number(correction.by.cast_unsigned());
        }
        self.into.push(line.metadata.is_some().into());
        if let Some(metadata) = &line.metadata {
            self.text(metadata);
        }
    }
}

struct Eye<'a>(&'a [u8]);

impl<'a> Eye<'a> {
    fn bytes(&mut self, many: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(many)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn small(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let many = self.small()?;
        std::str::from_utf8(self.bytes(many as usize)?).ok()
    }

    fn shared(&mut self) -> Option<Arc<str>> {
        self.text().map(Arc::from)
    }

    fn is_there(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn maybe(&mut self) -> Option<Option<u64>> {
        match self.is_there()? {
            true => self.number().map(Some),
            false => Some(None),
        }
    }

    /// As many as are said to be there, of which each takes a byte at least.
    fn each<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let many = self.small()? as usize;
        if many > self.0.len() {
            return None;
        }
        (0..many).map(|_| read(self)).collect()
    }

    fn tags(&mut self) -> Option<Tags> {
        Some(Tags {
            key: self.shared()?,
            team: self.shared()?,
            organisation: self.shared()?,
            route: self.shared()?,
            provider: self.shared()?,
            model: self.shared()?,
            labels: self.each(|eye| Some((eye.text()?.to_owned(), eye.text()?.to_owned())))?,
        })
    }

    fn one_of(&mut self, tags: &[Arc<Tags>]) -> Option<Arc<Tags>> {
        tags.get(self.small()? as usize).cloned()
    }

    fn hold(&mut self, tags: &[Arc<Tags>]) -> Option<Hold> {
        Some(Hold {
            id: self.number()?,
            at_ms: self.number()?,
            ceiling: Nanodollars(self.number()?),
            request: self.shared()?,
            tags: self.one_of(tags)?,
            price_version: self.small()?,
        })
    }

    fn line(&mut self, tags: &[Arc<Tags>]) -> Option<Line> {
        let (id, at_ms, request) = (self.number()?, self.number()?, self.shared()?);
        let tags = self.one_of(tags)?;
        let outcome = self.text()?.to_owned();
        let used = self.each(|eye| Some((eye.text()?, eye.number()?)))?;
        let usage = Usage::from_named(used.into_iter())?;
        let cost = self.maybe()?.map(Nanodollars);
        let ceiling = Nanodollars(self.number()?);
        let reference = self.maybe()?.map(Nanodollars);
        let price_version = self.small()?;
        let flags = self.byte()?;
        let corrects = match self.maybe()? {
            Some(line) => Some(Correction {
                line,
                by: self.number()?.cast_signed(),
            }),
            None => None,
        };
        let metadata = match self.is_there()? {
            true => Some(self.shared()?),
            false => None,
        };
        Some(Line {
            id,
            at_ms,
            request,
            tags,
            outcome,
            usage,
            cost,
            ceiling,
            reference,
            price_version,
            is_estimated: flags & ESTIMATED != 0,
            is_recovered: flags & RECOVERED != 0,
            corrects,
            metadata,
        })
    }
}
