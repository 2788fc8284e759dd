//! The functions of a plugin as they were compiled before. A component is compiled more than once with the same code: to be
//! configured, with its configuration in its memory, and again for every other configuration. Only its data differs, so
//! that all but the first time most of the work is to find what is there.
//!
//! Kept in one file for each component, which is read when a function is first looked for, and held no longer than the
//! component is being loaded.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::debug;
use wasmtime::CacheStore;

use super::digest::Digest;
use super::engine;

/// Files that are kept; the oldest go first.
const KEPT: usize = 32;

thread_local! {
    /// Of the component that this thread is loading: wasmtime compiles on the thread that asks for it.
    static OPEN: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// Where wasmtime looks functions up.
#[derive(Debug)]
pub(super) struct Functions;

/// The functions of one component.
struct Open {
    /// None where nothing is kept.
    path: Option<PathBuf>,
    /// None until the first is looked for.
    known: Option<HashMap<Vec<u8>, Vec<u8>>>,
    has_news: bool,
}

/// For as long as it lives, functions that this thread compiles are known again. Then what is new is kept.
pub(super) struct Loading(());

impl Functions {
    pub(super) fn of(dir: Option<&Path>, wasm: &wasmtime::Engine, component: &Digest) -> Loading {
        let key = |dir: &Path| {
            let key = Digest::of_parts(&[&engine::key(wasm), component.to_string().as_bytes()]);
            dir.join(key.to_string())
        };
        let open = Open {
            path: dir.map(key),
            known: None,
            has_news: false,
        };
        OPEN.set(Some(open));
        Loading(())
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        let Some(open) = OPEN.take() else { return };
        let (Some(path), Some(known)) = (open.path, open.known.filter(|_| open.has_news)) else {
            return;
        };
        if let Err(error) = write(&path, &known) {
            debug!("compiled functions cannot be kept in `{}`: {error}", path.display());
        }
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        OPEN.with_borrow_mut(|open| open.as_mut()?.known().get(key).cloned().map(Cow::Owned))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        OPEN.with_borrow_mut(|open| {
            let Some(open) = open else { return false };
            open.known().insert(key.to_vec(), value);
            open.has_news = true;
            true
        })
    }
}

impl Open {
    fn known(&mut self) -> &mut HashMap<Vec<u8>, Vec<u8>> {
        let path = self.path.as_deref();
        let read = || path.and_then(|path| parse(&fs::read(path).ok()?)).unwrap_or_default();
        self.known.get_or_insert_with(read)
    }
}

/// Keys and values in turn, each after its length. None for anything else.
fn parse(mut bytes: &[u8]) -> Option<HashMap<Vec<u8>, Vec<u8>>> {
    let mut next = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some((part.to_vec(), rest.is_empty()))
    };
    let mut known = HashMap::new();
    loop {
        let (key, _) = next()?;
        let (value, is_last) = next()?;
        known.insert(key, value);
        if is_last {
            return Some(known);
        }
    }
}

/// The opposite of `parse`.
fn joined(known: &HashMap<Vec<u8>, Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in known.iter().flat_map(|(key, value)| [key, value]) {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

fn write(path: &Path, known: &HashMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    engine::create_private(dir)?;
    engine::replace(path, &joined(known)?)?;
    engine::prune(dir, KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_half_of_it_is_nothing() {
        let known = HashMap::from([(vec![1, 2], vec![3; 300]), (vec![4], vec![])]);
        let bytes = joined(&known).unwrap();
        assert_eq!(parse(&bytes), Some(known));
        for end in 0..bytes.len() {
            let part = parse(&bytes[..end]);
            assert!(part.is_none_or(|part| part.len() == 1), "{end}");
        }
    }
}
