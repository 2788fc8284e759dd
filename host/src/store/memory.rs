//! A store that keeps its promises for as long as the process lives: for tests, and for gateways that keep nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, Costs, Document, Hold, Line, Pruned, Question, Span, Spent, Store, StoreError, Sums, Tags};

/// A store in memory; clones are doors to the same.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    holds: BTreeMap<u64, Hold>,
    lines: BTreeMap<u64, Line>,
    /// Of lines that were forgotten, by hour.
    forgotten: BTreeMap<(u64, Arc<Tags>), Sums>,
    documents: BTreeMap<(&'static str, String), Document>,
    last: u64,
}

impl Memory {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HOUR_MS: u64 = 3_600_000;

impl Store for Memory {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut contents = self.contents();
        for hold in &batch.holds {
            contents.last = contents.last.max(hold.id);
            if !contents.lines.contains_key(&hold.id) {
                contents.holds.entry(hold.id).or_insert_with(|| hold.clone());
            }
        }
        for id in &batch.released {
            contents.holds.remove(id);
        }
        for line in &batch.lines {
            contents.last = contents.last.max(line.id);
            contents.holds.remove(&line.id);
            contents.lines.entry(line.id).or_insert_with(|| line.clone());
        }
        for document in &batch.documents {
            let place = (document.kind, document.id.clone());
            match document.content {
                Some(_) => contents.documents.insert(place, document.clone()),
                None => contents.documents.remove(&place),
            };
        }
        Ok(())
    }

    fn open_holds(&self) -> Result<(Vec<Hold>, u64), StoreError> {
        let contents = self.contents();
        Ok((contents.holds.values().cloned().collect(), contents.last + 1))
    }

    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError> {
        let contents = self.contents();
        let mut groups: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
        let within = |at_ms: u64| question.span.from_ms <= at_ms && at_ms < question.span.to_ms;
        for line in contents.lines.values().filter(|line| within(line.at_ms)) {
            for group in question.groups(&line.tags, line.at_ms) {
                groups.entry(group).or_default().add(line);
            }
        }
        for ((at_ms, tags), sums) in contents.forgotten.iter().filter(|((at_ms, _), _)| within(*at_ms)) {
            for group in question.groups(tags, *at_ms) {
                groups.entry(group).or_default().merge(sums);
            }
        }
        Ok(groups.into_iter().map(|(group, sums)| Spent { group, sums }).collect())
    }

    fn costs(&self, span: Span) -> Result<Costs, StoreError> {
        let contents = self.contents();
        let within = |at_ms: u64| span.from_ms <= at_ms && at_ms < span.to_ms;
        let mut costs = Costs::new();
        for line in contents.lines.values().filter(|line| within(line.at_ms)) {
            *costs.entry(line.tags.clone()).or_default() += line.counts();
        }
        for ((_, tags), sums) in contents.forgotten.iter().filter(|((at_ms, _), _)| within(*at_ms)) {
            *costs.entry(tags.clone()).or_default() += sums.cost;
        }
        Ok(costs)
    }

    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
        let mut lines: Vec<Line> = self
            .contents()
            .lines
            .values()
            .filter(|line| span.from_ms <= line.at_ms && line.at_ms < span.to_ms)
            .cloned()
            .collect();
        lines.sort_by_key(|line| (line.at_ms, line.id));
        for line in lines {
            if !each(line) {
                break;
            }
        }
        Ok(())
    }

    fn line(&self, id: u64) -> Result<Option<Line>, StoreError> {
        Ok(self.contents().lines.get(&id).cloned())
    }

    fn document(&self, kind: &str, id: &str, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let documents = self.documents(kind, now_ms)?;
        Ok(documents
            .into_iter()
            .find(|(known, _)| known == id)
            .map(|(_, content)| content))
    }

    fn documents(&self, kind: &str, now_ms: u64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let contents = self.contents();
        let live = contents.documents.iter().filter(|((known, _), document)| {
            *known == kind && document.expires_ms.is_none_or(|expires| expires > now_ms)
        });
        Ok(live
            .filter_map(|((_, id), document)| Some((id.clone(), document.content.as_deref()?.to_vec())))
            .collect())
    }

    fn foreign_changes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn prune(&mut self, now_ms: u64, lines_before_ms: u64) -> Result<Pruned, StoreError> {
        let mut contents = self.contents();
        // The last one stays, however old: the next number is the one after it.
        let last = contents.lines.keys().max().copied().unwrap_or_default();
        let is_old = |line: &&Line| line.at_ms < lines_before_ms && line.id < last;
        let old: Vec<u64> = contents.lines.values().filter(is_old).map(|line| line.id).collect();
        for id in &old {
            if let Some(line) = contents.lines.remove(id) {
                let place = (line.at_ms - line.at_ms % HOUR_MS, line.tags.clone());
                contents.forgotten.entry(place).or_default().add(&line);
            }
        }
        let before = contents.documents.len();
        contents
            .documents
            .retain(|_, document| document.expires_ms.is_none_or(|expires| expires > now_ms));
        Ok(Pruned {
            lines: old.len() as u64,
            documents: (before - contents.documents.len()) as u64,
        })
    }

    fn trim(&mut self, kind: &str, most_bytes: u64) -> Result<u64, StoreError> {
        let mut contents = self.contents();
        let size = |document: &Document| {
            let content = document.content.as_ref().map_or(0, |content| content.len());
            (content + document.id.len() + 64) as u64
        };
        let mut all: Vec<(Option<u64>, String, u64)> = contents
            .documents
            .values()
            .filter(|document| document.kind == kind)
            .map(|document| (document.expires_ms, document.id.clone(), size(document)))
            .collect();
        if all.iter().map(|(.., size)| size).sum::<u64>() <= most_bytes {
            return Ok(0);
        }
        all.sort_by(|(a, a_id, _), (b, b_id, _)| b.cmp(a).then_with(|| a_id.cmp(b_id)));
        let (mut so_far, mut removed) = (0, 0);
        for (_, id, size) in all {
            so_far += size;
            if so_far > most_bytes / 10 * 9 {
                contents
                    .documents
                    .retain(|(known, other), _| *known != kind || *other != id);
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        let contents = self.contents();
        let lines: HashSet<&u64> = contents.lines.keys().collect();
        let both = contents.holds.keys().filter(|id| lines.contains(id));
        Ok(both
            .map(|id| format!("hold {id} has a line and is still open"))
            .collect())
    }

    fn reader(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}
