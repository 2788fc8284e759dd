//! The bytes that were last in service, kept in the store, so that a restart survives a plugin's file that is broken or gone.
//! What lies there is WebAssembly and the files that policies' configurations name, never native code, and goes through all
//! the checks of a load again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::ServedFile;
use super::files;
use super::files::{Content, Contents};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::plugins::Digest;
use crate::reports::Problem;
use crate::store::{Document, StoreError};

/// The documents' kind. Their ids are paths.
const KIND: &str = "last-good";

/// Where it is kept, and which digest each path has there.
#[derive(Debug)]
pub(super) struct LastGood {
    ledger: Ledger,
    digests: BTreeMap<PathBuf, Digest>,
}

impl LastGood {
    pub(super) fn open(ledger: Ledger) -> Self {
        let digests = match kept(&ledger) {
            Ok(kept) => kept
                .into_iter()
                .map(|(path, bytes)| (path, Digest::of(&bytes)))
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "the plugins that were last in service cannot be read");
                BTreeMap::new()
            }
        };
        Self { ledger, digests }
    }

    /// Keeps what is in service now, and nothing else.
    pub(super) fn keep(&mut self, files: &[ServedFile]) {
        let digests: BTreeMap<PathBuf, Digest> = files.iter().map(|file| (file.path.clone(), file.digest)).collect();
        if digests == self.digests {
            return;
        }
        let document = |path: &Path, content| Document {
            kind: KIND,
            id: path.to_string_lossy().into_owned(),
            content,
            expires_ms: None,
        };
        let is_new = |file: &&ServedFile| self.digests.get(&file.path) != Some(&file.digest);
        let new = files.iter().filter(is_new);
        let new = new.map(|file| document(&file.path, Some(Arc::from(&file.bytes[..]))));
        let gone = self.digests.keys().filter(|path| !digests.contains_key(*path));
        let gone = gone.map(|path| document(path, None));
        self.ledger.keep(new.chain(gone).collect());
        self.digests = digests;
    }

    /// The contents with the last good version of every file that has a problem; `None` where that mends nothing.
    pub(super) fn substitute(&self, config: &Config, contents: &Contents, problems: &[Problem]) -> Option<Contents> {
        let kept = kept(&self.ledger).ok()?;
        let mut substituted = contents.clone();
        let mut has_changed = false;
        for path in files::named(config).into_keys() {
            let current = contents.get(path)?;
            let is_bad = match current {
                Content::Unreadable(_) | Content::TooLarge { .. } => true,
                Content::Bytes { digest, .. } => problems.iter().any(|problem| problem.digest == Some(*digest)),
            };
            let Some(bytes) = kept.get(path).filter(|_| is_bad) else {
                continue;
            };
            has_changed = true;
            substituted.insert(
                path.clone(),
                Content::Bytes {
                    digest: Digest::of(bytes),
                    bytes: bytes.clone().into(),
                },
            );
        }
        has_changed.then_some(substituted)
    }
}

/// All that is kept. A path that is no text is kept under one that it is not found by.
fn kept(ledger: &Ledger) -> Result<BTreeMap<PathBuf, Vec<u8>>, StoreError> {
    let documents = ledger.reader()?.documents(KIND, 0)?;
    Ok(documents
        .into_iter()
        .map(|(path, bytes)| (path.into(), bytes))
        .collect())
}
