//! The files of plugins and of their configurations: read once when they have settled, and read again only when their stamps have moved.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{ComponentRef, Config, PolicyFile};
use crate::plugins::Digest;

/// Files by their paths as the configuration gives them.
pub(super) type Contents = BTreeMap<PathBuf, Content>;

/// What a path holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A component, perhaps, or a policy's own file.
    Bytes {
        /// All of them.
        bytes: Arc<[u8]>,
        /// Of the bytes.
        digest: Digest,
    },
    /// More bytes than it may have. They are not kept.
    TooLarge {
        /// How many.
        size: u64,
        /// How many may be.
        limit: u64,
        /// Of the bytes.
        digest: Digest,
    },
    /// Nothing that can be read.
    Unreadable(String),
}

impl Content {
    /// Whether another limit would make nothing else of it.
    fn holds_under(&self, wanted: u64) -> bool {
        !matches!(self, Self::TooLarge { limit, .. } if *limit != wanted)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { digest, .. } | Self::TooLarge { digest, .. } => write!(formatter, "{digest}"),
            Self::Unreadable(reason) => formatter.write_str(reason),
        }
    }
}

/// What the paths hold, in a form that is small and can be compared.
pub(super) fn digests(contents: &Contents) -> BTreeMap<PathBuf, String> {
    contents
        .iter()
        .map(|(path, content)| (path.clone(), content.to_string()))
        .collect()
}

/// The paths that a configuration names, each with the most bytes that somebody who uses it may have.
pub(super) fn named(config: &Config) -> BTreeMap<&PathBuf, u64> {
    let policies = config
        .policies
        .values()
        .map(|policy| (&policy.component, &policy.limits));
    let adapters = config
        .providers
        .values()
        .filter_map(|provider| provider.adapter.as_ref());
    let adapters = adapters.map(|component| (component, &config.plugins.adapter_limits));
    let mut named = BTreeMap::new();
    for (component, limits) in policies.chain(adapters) {
        if let ComponentRef::File { path, .. } = component {
            let most = named.entry(path).or_default();
            *most = limits.component_bytes.try_into().unwrap_or(u64::MAX).max(*most);
        }
    }
    for file in config.policies.values().filter_map(|policy| policy.file.as_ref()) {
        let most = named.entry(&file.path).or_default();
        *most = PolicyFile::MOST_BYTES.max(*most);
    }
    named
}

/// What was read, and the stamps that it had.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<PathBuf, (Stamp, Content)>,
}

/// Of larger files not even the digest is taken.
const FILE_BYTES: u64 = 1 << 30;
/// How long a file must keep its stamp to count as written.
pub(super) const SETTLED: Duration = Duration::from_millis(50);
/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(2);

impl Files {
    /// The content of every file that a configuration names. A file that is gone counts as what it held.
    pub(super) fn read(&mut self, config: &Config) -> Contents {
        let mut contents = Contents::new();
        for (path, limit) in named(config) {
            contents.insert(path.clone(), self.content(path, limit));
        }
        self.known.retain(|path, _| contents.contains_key(path));
        contents
    }

    fn content(&mut self, path: &Path, limit: u64) -> Content {
        let known = self.known.get(path);
        let stamp = match stamp(path) {
            Ok(stamp) => stamp,
            Err(reason) => return known.map_or(Content::Unreadable(reason), |(_, content)| content.clone()),
        };
        if let Some((_, content)) = known.filter(|(known, content)| *known == stamp && content.holds_under(limit)) {
            return content.clone();
        }
        match settled(path, stamp, limit) {
            Ok((stamp, content)) => {
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
fn settled(path: &Path, mut before: Stamp, limit: u64) -> Result<(Stamp, Content), String> {
    let patience = Instant::now() + PATIENCE;
    loop {
        std::thread::sleep(SETTLED);
        if stamp(path)? == before {
            let content = read(path, before.size, limit)?;
            if stamp(path)? == before {
                return Ok((before, content));
            }
        }
        if Instant::now() > patience {
            return Err(format!("{} is still being written", path.display()));
        }
        before = stamp(path)?;
    }
}

/// What a file of this size holds.
fn read(path: &Path, size: u64, limit: u64) -> Result<Content, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    if size > FILE_BYTES {
        return Err(format!(
            "{} has {size} bytes; {FILE_BYTES} is the most that is read",
            path.display()
        ));
    }
    if size > limit {
        let digest = File::open(path).and_then(Digest::of_reader).map_err(unreadable)?;
        return Ok(Content::TooLarge { size, limit, digest });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Ok(Content::Bytes {
        digest: Digest::of(&bytes),
        bytes: bytes.into(),
    })
}
