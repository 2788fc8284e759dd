//! File events. The parent directories are watched, never the files: editors, builds and Kubernetes replace files by
//! renames, which a watch on a file does not survive. Where events cannot be had, the sweep alone has to do.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::reports::{Handle, Trigger};

/// The directories that are watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    /// Those that could not be watched, so that it is said once.
    unwatched: BTreeSet<PathBuf>,
    names: Arc<Mutex<BTreeSet<OsString>>>,
}

impl Watch {
    pub(super) fn start(handle: Handle) -> Self {
        let names: Arc<Mutex<BTreeSet<OsString>>> = Arc::default();
        let known = names.clone();
        let tell = move |event: notify::Result<Event>| {
            let is_relevant = event.is_ok_and(|event| {
                let names = known.lock().unwrap_or_else(PoisonError::into_inner);
                event.need_rescan() || (may_change(event.kind) && event.paths.iter().any(|path| concerns(path, &names)))
            });
            if is_relevant {
                handle.ask(Trigger::Files);
            }
        };
        let watcher = notify::recommended_watcher(tell);
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "no file events; changes are found by the sweep"));
        Self {
            watcher: watcher.ok(),
            directories: BTreeSet::new(),
            unwatched: BTreeSet::new(),
            names,
        }
    }

    /// Watches the directories of these files, and of what they are links to.
    pub(super) fn set(&mut self, files: Vec<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut directories = BTreeSet::new();
        let mut names = BTreeSet::new();
        for file in files {
            let target = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            for path in [file, target] {
                names.extend(path.file_name().map(ToOwned::to_owned));
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty())
                    .unwrap_or(Path::new("."));
                directories.insert(parent.to_owned());
            }
        }
        for gone in self.directories.difference(&directories) {
            let _ = watcher.unwatch(gone);
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let (mut watched, mut unwatched) = (BTreeSet::new(), BTreeSet::new());
        for directory in directories {
            // Watched anew each time: a directory that was replaced has the same name and another inode.
            let _ = watcher.unwatch(&directory);
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(directory);
                }
                Err(error) => {
                    if !self.unwatched.contains(&directory) {
                        let directory = directory.display();
                        tracing::warn!(%directory, %error, "no file events here; the sweep finds changes");
                    }
                    unwatched.insert(directory);
                }
            }
        }
        self.directories = watched;
        self.unwatched = unwatched;
    }
}

/// Reading a file is an event too, and would have the watcher wake itself.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// A file that is watched, or the link by which Kubernetes swaps a whole directory.
fn concerns(path: &Path, names: &BTreeSet<OsString>) -> bool {
    path.file_name()
        .is_none_or(|name| name == "..data" || names.contains(name))
}
