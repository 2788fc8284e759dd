//! Plugins' files: read once when they have settled, and read again only when their stamps have moved.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{ComponentRef, Config};
use crate::generation::{Generation, Way};
use crate::plugins::Digest;

/// Files by their paths as the configuration gives them.
pub(super) type Contents = BTreeMap<PathBuf, Content>;

/// What a path holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A component, perhaps.
    Bytes {
        /// All of them.
        bytes: Arc<[u8]>,
        /// Of the bytes.
        digest: Digest,
    },
    /// Nothing that can be read.
    Unreadable(String),
}

impl Content {
    /// Whether every plugin of the running generation that comes from here has these bytes. Unused ones count as such.
    pub(super) fn is_in_service(&self, running: &Generation) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Bytes { digest, .. } => {
                let policies = running.policies.values().map(|policy| policy.policy.digest());
                let adapters = running.providers.values().filter_map(|provider| match &provider.way {
                    Way::Remote(remote) => Some(remote.adapter.digest()),
                    Way::Simulated(_) => None,
                });
                policies.chain(adapters).any(|known| known == *digest)
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { digest, .. } => write!(formatter, "{digest}"),
            Self::Unreadable(reason) => formatter.write_str(reason),
        }
    }
}

/// The paths that a configuration names.
pub(super) fn paths(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let adapters = config
        .providers
        .values()
        .filter_map(|provider| provider.adapter.as_ref());
    let components = config.policies.values().map(|policy| &policy.component).chain(adapters);
    components.filter_map(|component| match component {
        ComponentRef::File { path, .. } => Some(path),
        ComponentRef::BuiltIn(_) => None,
    })
}

/// What was read, and the stamps that it had.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<PathBuf, (Stamp, Content)>,
}

/// Larger files are not read at all.
const FILE_BYTES: u64 = 256 << 20;
/// How long a file must keep its stamp to count as written.
const SETTLED: Duration = Duration::from_millis(50);
/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(2);

impl Files {
    /// The content of every file that a configuration names. A file that is gone counts as what it held.
    pub(super) fn read(&mut self, config: &Config) -> Contents {
        let mut contents = Contents::new();
        for path in paths(config) {
            if !contents.contains_key(path) {
                let content = self.content(path);
                contents.insert(path.clone(), content);
            }
        }
        self.known.retain(|path, _| contents.contains_key(path));
        contents
    }

    fn content(&mut self, path: &Path) -> Content {
        let known = self.known.get(path);
        let stamp = match stamp(path) {
            Ok(stamp) => stamp,
            Err(reason) => return known.map_or(Content::Unreadable(reason), |(_, content)| content.clone()),
        };
        if let Some((_, content)) = known.filter(|(known, _)| *known == stamp) {
            return content.clone();
        }
        match settled(path, stamp) {
            Ok((stamp, bytes)) => {
                let digest = Digest::of(&bytes);
                let content = Content::Bytes {
                    bytes: bytes.into(),
                    digest,
                };
                self.known.insert(path.to_owned(), (stamp, content.clone()));
                content
            }
            Err(reason) => Content::Unreadable(reason),
        }
    }
}

/// What changes whenever a file's content may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    Ok(Stamp::of(&metadata))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file whose stamp stays the same before and after; one that is still being written is waited for.
fn settled(path: &Path, mut before: Stamp) -> Result<(Stamp, Vec<u8>), String> {
    let patience = Instant::now() + PATIENCE;
    loop {
        std::thread::sleep(SETTLED);
        let now = stamp(path)?;
        if now == before {
            if now.size > FILE_BYTES {
                return Err(format!(
                    "{} has {} bytes; {FILE_BYTES} is the most that is read",
                    path.display(),
                    now.size
                ));
            }
            let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if stamp(path)? == before {
                return Ok((before, bytes));
            }
        }
        if Instant::now() > patience {
            return Err(format!("{} is still being written", path.display()));
        }
        before = stamp(path)?;
    }
}
