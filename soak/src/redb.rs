//! The same promises over redb, as far as the trials ask for them: every row has a digest, sums are kept as lines are
//! written, and one transaction is one batch. It is here to be compared with SQLite, and serves no gateway; questions are
//! answered from the lines.

mod rows;

use std::path::{Path, PathBuf};

use pointsman::store::memory::Memory;
use pointsman::store::{Batch, Costs, Document, Hold, Line, Pruned, Question, Span, Spent, Store, StoreError};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

/// Rows by number: the digest, then the text.
type Numbered = TableDefinition<'static, u64, &'static [u8]>;
/// Rows by name.
type Named = TableDefinition<'static, &'static str, &'static [u8]>;

const HOLDS: Numbered = TableDefinition::new("holds");
const LINES: Numbered = TableDefinition::new("lines");
const SUMS: Named = TableDefinition::new("sums");
const DOCUMENTS: Named = TableDefinition::new("documents");
/// How many of each there are, so that rows which have gone are missed.
const COUNTS: Named = TableDefinition::new("counts");

/// An open store.
pub(crate) struct Redb {
    database: Database,
    folder: PathBuf,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Redb {
    /// Opens the store of a folder, and makes it where there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(failed)?;
        let database = Database::create(folder.join("pointsman.redb")).map_err(failed)?;
        let store = Self {
            database,
            folder: folder.to_owned(),
        };
        store.write(Durability::Immediate, |_| Ok(()))?;
        Ok(store)
    }

    fn write(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(durability).map_err(failed)?;
        for table in [HOLDS, LINES] {
            transaction.open_table(table).map_err(failed)?;
        }
        for table in [SUMS, DOCUMENTS, COUNTS] {
            transaction.open_table(table).map_err(failed)?;
        }
        work(&transaction)?;
        transaction.commit().map_err(failed)
    }

    fn keep(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.write(durability, |transaction| {
            let mut holds = transaction.open_table(HOLDS).map_err(failed)?;
            let mut lines = transaction.open_table(LINES).map_err(failed)?;
            let mut sums = transaction.open_table(SUMS).map_err(failed)?;
            let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
            for hold in &batch.holds {
                let row = rows::sealed("holds", &hold.id.to_string(), &rows::hold(hold));
                holds.insert(hold.id, &row[..]).map_err(failed)?;
            }
            for id in batch
                .released
                .iter()
                .copied()
                .chain(batch.lines.iter().map(|line| line.id))
            {
                holds.remove(id).map_err(failed)?;
            }
            for line in &batch.lines {
                if lines.get(line.id).map_err(failed)?.is_some() {
                    continue;
                }
                let row = rows::sealed("lines", &line.id.to_string(), &rows::line(line));
                lines.insert(line.id, &row[..]).map_err(failed)?;
                for bucket in rows::buckets(line) {
                    add(&mut sums, &bucket, line)?;
                }
            }
            for document in &batch.documents {
                keep_document(&mut documents, document)?;
            }
            let counts = [holds.len(), lines.len(), sums.len(), documents.len()].map(|count| count.map_err(failed));
            let [holds, lines, sums, documents] = counts;
            let text = format!("{} {} {} {}", holds?, lines?, sums?, documents?);
            let row = rows::sealed("counts", "all", &text);
            let mut counts = transaction.open_table(COUNTS).map_err(failed)?;
            counts.insert("all", &row[..]).map_err(failed)?;
            Ok(())
        })
    }

    /// Every row of a table, its digest checked, and as many of them as there have to be.
    fn numbered(&self, table: Numbered, name: &str) -> Result<Vec<(u64, String)>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(table).map_err(failed)?;
        let mut found = Vec::new();
        for row in table.iter().map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            let text = rows::opened(name, &key.value().to_string(), value.value())?;
            found.push((key.value(), text));
        }
        self.must_be(name, found.len())?;
        Ok(found)
    }

    fn named(&self, table: Named, name: &str) -> Result<Vec<(String, String)>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(table).map_err(failed)?;
        let mut found = Vec::new();
        for row in table.iter().map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            let text = rows::opened(name, key.value(), value.value())?;
            found.push((key.value().to_owned(), text));
        }
        self.must_be(name, found.len())?;
        Ok(found)
    }

    fn must_be(&self, name: &str, found: usize) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(COUNTS).map_err(failed)?;
        let Some(row) = table.get("all").map_err(failed)? else {
            return Ok(());
        };
        let text = rows::opened("counts", "all", row.value())?;
        let place = ["holds", "lines", "sums", "documents"]
            .iter()
            .position(|known| *known == name);
        let wanted = place.and_then(|place| text.split(' ').nth(place)?.parse().ok());
        if wanted == Some(found) {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "{found} rows of {name}, and not {wanted:?}"
        )))
    }

    /// The same contents where questions can be asked of them.
    fn in_memory(&self) -> Result<Memory, StoreError> {
        let lines = self.numbered(LINES, "lines")?;
        let lines: Result<Vec<Line>, StoreError> = lines.iter().map(|(_, text)| rows::read_line(text)).collect();
        let holds = self.numbered(HOLDS, "holds")?;
        let holds: Result<Vec<Hold>, StoreError> = holds.iter().map(|(_, text)| rows::read_hold(text)).collect();
        let mut memory = Memory::default();
        memory.commit(&Batch {
            holds: holds?,
            lines: lines?,
            ..Batch::default()
        })?;
        Ok(memory)
    }
}

fn add(sums: &mut Table<'_, &str, &[u8]>, bucket: &str, line: &Line) -> Result<(), StoreError> {
    let kept = match sums.get(bucket).map_err(failed)? {
        Some(row) => rows::read_sums(&rows::opened("sums", bucket, row.value())?)?,
        None => (0, 0),
    };
    let added = rows::added(kept, line);
    let row = rows::sealed("sums", bucket, &rows::sums(added));
    sums.insert(bucket, &row[..]).map(drop).map_err(failed)
}

fn keep_document(documents: &mut Table<'_, &str, &[u8]>, document: &Document) -> Result<(), StoreError> {
    let name = format!("{}/{}", document.kind, document.id);
    match &document.content {
        Some(content) => {
            let row = rows::sealed("documents", &name, &rows::bytes(content));
            documents.insert(name.as_str(), &row[..]).map(drop).map_err(failed)
        }
        None => documents.remove(name.as_str()).map(drop).map_err(failed),
    }
}

impl Store for Redb {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep(batch, Durability::Immediate)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep(batch, Durability::None)
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |_| Ok(()))
    }

    fn open_holds(&self) -> Result<(Vec<Hold>, u64), StoreError> {
        self.in_memory()?.open_holds()
    }

    fn spent(&self, question: &Question) -> Result<Vec<Spent>, StoreError> {
        self.in_memory()?.spent(question)
    }

    fn costs(&self, span: Span) -> Result<Costs, StoreError> {
        self.in_memory()?.costs(span)
    }

    fn lines(&self, span: Span, each: &mut dyn FnMut(Line) -> bool) -> Result<(), StoreError> {
        self.in_memory()?.lines(span, each)
    }

    fn line(&self, id: u64) -> Result<Option<Line>, StoreError> {
        self.in_memory()?.line(id)
    }

    fn document(&self, kind: &str, id: &str, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let documents = self.documents(kind, now_ms)?;
        let found = documents.into_iter().find(|(known, _)| known == id);
        Ok(found.map(|(_, content)| content))
    }

    fn documents(&self, kind: &str, _now_ms: u64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = format!("{kind}/");
        let documents = self.named(DOCUMENTS, "documents")?;
        let of_kind = documents.into_iter().filter_map(|(name, text)| {
            let id = name.strip_prefix(&prefix)?.to_owned();
            Some(rows::read_bytes(&text).map(|content| (id, content)))
        });
        of_kind.collect()
    }

    fn foreign_changes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn prune(&mut self, _now_ms: u64, _lines_before_ms: u64) -> Result<Pruned, StoreError> {
        Ok(Pruned::default())
    }

    fn trim(&mut self, _kind: &str, _bytes: u64) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut wanted = std::collections::BTreeMap::new();
        for (_, text) in self.numbered(LINES, "lines")? {
            let line = rows::read_line(&text)?;
            for bucket in rows::buckets(&line) {
                let sums = wanted.entry(bucket).or_insert((0, 0));
                *sums = rows::added(*sums, &line);
            }
        }
        self.numbered(HOLDS, "holds")?;
        self.named(DOCUMENTS, "documents")?;
        let mut findings = Vec::new();
        for (bucket, text) in self.named(SUMS, "sums")? {
            if wanted.remove(&bucket) != Some(rows::read_sums(&text)?) {
                findings.push(format!("the sums of {bucket} are not those of its lines"));
            }
        }
        findings.extend(wanted.keys().map(|bucket| format!("there are no sums of {bucket}")));
        Ok(findings)
    }

    fn reader(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Self::open(&self.folder)?))
    }
}
