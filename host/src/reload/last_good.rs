//! The bytes that were last in service, kept on disk, so that a restart survives a plugin's file that is broken or gone.
//! What lies here is WebAssembly and the files that policies' configurations name, never native code, and goes through all
//! the checks of a load again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::build::ServedFile;
use super::files;
use super::files::{Content, Contents};
use crate::config::Config;
use crate::plugins::Digest;
use crate::reports::Problem;

/// The directory, and which digest each path had.
#[derive(Debug)]
pub(super) struct LastGood {
    directory: PathBuf,
    digests: BTreeMap<PathBuf, String>,
}

const INDEX: &str = "index.json";

impl LastGood {
    pub(super) fn open(store: &Path) -> Self {
        let directory = store.join("last-good");
        let index = std::fs::read(directory.join(INDEX)).ok();
        let digests = index
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self { directory, digests }
    }

    /// Keeps what is in service now, and nothing else.
    pub(super) fn keep(&mut self, files: &[ServedFile]) {
        let digests: BTreeMap<PathBuf, String> = files
            .iter()
            .map(|file| (file.path.clone(), file.digest.to_string()))
            .collect();
        if digests == self.digests {
            return;
        }
        match self.write(files, &digests) {
            Ok(()) => self.digests = digests,
            // The next reload tries again.
            Err(error) => {
                let directory = self.directory.display();
                tracing::warn!(%error, %directory, "the plugins in service could not be kept for the next start");
            }
        }
    }

    fn write(&self, files: &[ServedFile], digests: &BTreeMap<PathBuf, String>) -> std::io::Result<()> {
        crate::plugins::create_private(&self.directory)?;
        for file in files {
            let path = self.path(&file.path, &file.digest.to_string());
            let is_whole = std::fs::metadata(&path).is_ok_and(|kept| kept.len() == file.bytes.len() as u64);
            if !is_whole {
                replace(&path, &file.bytes)?;
            }
        }
        replace(&self.directory.join(INDEX), &serde_json::to_vec_pretty(digests)?)?;
        let kept: Vec<PathBuf> = digests.iter().map(|(path, digest)| self.path(path, digest)).collect();
        for entry in std::fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            if path.is_file() && entry.file_name() != INDEX && !kept.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The contents with the last good version of every file that has a problem; `None` where that mends nothing.
    pub(super) fn substitute(&self, config: &Config, contents: &Contents, problems: &[Problem]) -> Option<Contents> {
        let mut substituted = contents.clone();
        let mut has_changed = false;
        for path in files::named(config).into_keys() {
            let current = contents.get(path)?;
            let is_bad = match current {
                Content::Unreadable(_) | Content::TooLarge { .. } => true,
                Content::Bytes { digest, .. } => problems.iter().any(|problem| problem.digest == Some(*digest)),
            };
            let Some(bytes) = is_bad.then(|| self.read(path)).flatten() else {
                continue;
            };
            let digest = Digest::of(&bytes);
            has_changed = true;
            substituted.insert(
                path.clone(),
                Content::Bytes {
                    bytes: bytes.into(),
                    digest,
                },
            );
        }
        has_changed.then_some(substituted)
    }

    /// The kept bytes of a path, if they are still what they were.
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let digest = self.digests.get(path)?;
        let bytes = std::fs::read(self.path(path, digest)).ok()?;
        (Digest::of(&bytes).to_string() == *digest).then_some(bytes)
    }

    /// Named by what it holds, with the extension that it has where it comes from.
    fn path(&self, original: &Path, digest: &str) -> PathBuf {
        let extension = original.extension().unwrap_or(OsStr::new("kept"));
        self.directory.join(digest).with_extension(extension)
    }
}

/// Written beside and renamed, so that a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    // Otherwise the name may be on disk before what it names.
    file.sync_all()?;
    std::fs::rename(beside, path)
}
