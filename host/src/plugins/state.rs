//! The small store behind the grant `state`: one bounded space per plugin name, shared by its instances and kept over
//! reloads. It lives in memory and knows nothing of guests; time is whatever the call says it is, so that a replayed
//! decision sees what the recorded one saw.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 64 << 10;
const SPACE_KEYS: usize = 10_000;
const SPACE_BYTES: usize = 16 << 20;

/// All plugins' state. Owned by the application, so that it outlives generations; cheap to clone.
#[derive(Clone, Default)]
pub struct StateStore {
    spaces: Arc<Mutex<HashMap<String, Arc<Space>>>>,
}

/// How much one plugin has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateUse {
    /// Keys, expired ones that nobody has met since included.
    pub keys: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// A key that has changed since this was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub plugin: String,
    /// Which.
    pub key: String,
    /// Its value now, and when that is of no more use; nothing where it is gone.
    pub value: Option<(Vec<u8>, Option<u64>)>,
}

impl StateStore {
    /// What has changed since this was asked last, so that it can be kept elsewhere.
    pub fn take_changes(&self) -> Vec<StateChange> {
        let spaces: Vec<(String, Arc<Space>)> = {
            let spaces = lock(&self.spaces);
            spaces
                .iter()
                .map(|(plugin, space)| (plugin.clone(), space.clone()))
                .collect()
        };
        let changes = |(plugin, space): (String, Arc<Space>)| lock(&space.0).take_changes(&plugin);
        spaces.into_iter().flat_map(changes).collect()
    }

    /// Puts back what was kept.
    pub fn restore(&self, plugin: &str, key: &str, value: Vec<u8>, expires_ms: Option<u64>) {
        let space = self.space(plugin);
        let mut entries = lock(&space.0);
        entries.put(key, value, expires_ms);
        entries.changed.clear();
    }

    /// How much a plugin has stored.
    pub fn used_by(&self, plugin: &str) -> StateUse {
        lock(&self.spaces)
            .get(plugin)
            .map_or_else(StateUse::default, |space| space.used())
    }

    /// Replaces all that a plugin has stored, as a test wants it.
    pub fn fill<'a>(&self, plugin: &str, entries: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Result<(), String> {
        let space = self.space(plugin);
        *lock(&space.0) = Entries::default();
        entries
            .into_iter()
            .try_for_each(|(key, value)| space.set(key, value, None, 0))
            .map_err(|misuse| misuse.to_string())
    }

    /// What a plugin has stored under a key at this time.
    pub fn read(&self, plugin: &str, key: &str, now_ms: u64) -> Option<Vec<u8>> {
        self.space(plugin).get(key, now_ms)
    }

    pub(super) fn space(&self, plugin: &str) -> Arc<Space> {
        lock(&self.spaces).entry(plugin.to_owned()).or_default().clone()
    }
}

/// One plugin's keys. When it is full, what has not been touched for longest makes room.
#[derive(Default)]
pub(super) struct Space(Mutex<Entries>);

/// What a plugin may not do with its state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misuse {
    #[error("a state key has {0} bytes; the limit is {KEY_BYTES}")]
    Key(usize),
    #[error("the value of state key `{0}` has {1} bytes; the limit is {VALUE_BYTES}")]
    Value(String, usize),
    #[error("state key `{0}` does not hold a counter")]
    NotACounter(String),
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    by_touch: BTreeMap<u64, String>,
    touches: u64,
    bytes: usize,
    /// Since somebody asked last.
    changed: BTreeSet<String>,
}

struct Entry {
    value: Vec<u8>,
    expires_ms: Option<u64>,
    touch: u64,
}

impl Space {
    pub(super) fn get(&self, key: &str, now_ms: u64) -> Option<Vec<u8>> {
        lock(&self.0).live(key, now_ms).map(|entry| entry.value.clone())
    }

    pub(super) fn set(&self, key: &str, value: Vec<u8>, ttl_ms: Option<u64>, now_ms: u64) -> Result<(), Misuse> {
        check(key, &value)?;
        lock(&self.0).put(key, value, expiry(now_ms, ttl_ms));
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) {
        lock(&self.0).remove(key);
    }

    /// Adds to a counter, which begins at nought. A time to live counts from the counter's beginning: it makes windows.
    /// A counter reads as its decimal digits.
    pub(super) fn add(&self, key: &str, delta: i64, ttl_ms: Option<u64>, now_ms: u64) -> Result<i64, Misuse> {
        check(key, &[])?;
        let mut entries = lock(&self.0);
        let (count, expires_ms) = match entries.live(key, now_ms) {
            Some(entry) => (
                counter(&entry.value).ok_or_else(|| Misuse::NotACounter(key.into()))?,
                entry.expires_ms,
            ),
            None => (0, expiry(now_ms, ttl_ms)),
        };
        let count = count.saturating_add(delta);
        entries.put(key, count.to_string().into_bytes(), expires_ms);
        Ok(count)
    }

    fn used(&self) -> StateUse {
        let entries = lock(&self.0);
        StateUse {
            keys: entries.by_key.len(),
            bytes: entries.bytes,
        }
    }
}

impl Entries {
    fn take_changes(&mut self, plugin: &str) -> Vec<StateChange> {
        let changed = std::mem::take(&mut self.changed);
        let change = |key: String| StateChange {
            plugin: plugin.to_owned(),
            value: self
                .by_key
                .get(&key)
                .map(|entry| (entry.value.clone(), entry.expires_ms)),
            key,
        };
        changed.into_iter().map(change).collect()
    }

    fn live(&mut self, key: &str, now_ms: u64) -> Option<&Entry> {
        let expires_ms = self.by_key.get(key)?.expires_ms;
        if expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            self.remove(key);
            return None;
        }
        self.touches += 1;
        let entry = self.by_key.get_mut(key)?;
        if let Some(key) = self.by_touch.remove(&entry.touch) {
            self.by_touch.insert(self.touches, key);
        }
        entry.touch = self.touches;
        Some(entry)
    }

    fn put(&mut self, key: &str, value: Vec<u8>, expires_ms: Option<u64>) {
        self.remove(key);
        self.touches += 1;
        self.changed.insert(key.to_owned());
        self.bytes += key.len() + value.len();
        self.by_touch.insert(self.touches, key.to_owned());
        self.by_key.insert(
            key.to_owned(),
            Entry {
                value,
                expires_ms,
                touch: self.touches,
            },
        );
        while self.by_key.len() > SPACE_KEYS || self.bytes > SPACE_BYTES {
            let Some((_, oldest)) = self.by_touch.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_touch.remove(&entry.touch);
            self.bytes -= key.len() + entry.value.len();
            self.changed.insert(key.to_owned());
        }
    }
}

fn check(key: &str, value: &[u8]) -> Result<(), Misuse> {
    match (key.len(), value.len()) {
        (bytes, _) if bytes > KEY_BYTES => Err(Misuse::Key(bytes)),
        (_, bytes) if bytes > VALUE_BYTES => Err(Misuse::Value(key.into(), bytes)),
        _ => Ok(()),
    }
}

fn expiry(now_ms: u64, ttl_ms: Option<u64>) -> Option<u64> {
    ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms))
}

fn counter(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A panic under this lock cannot leave the maps at odds for long enough to matter: the store stays in use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_gone_when_its_time_is_over() {
        let space = Space::default();
        space.set("k", b"v".to_vec(), Some(10), 100).unwrap();
        assert_eq!(space.get("k", 109), Some(b"v".to_vec()));
        assert_eq!(space.get("k", 110), None);
        assert_eq!(space.used(), StateUse::default());
    }

    #[test]
    fn a_counters_time_runs_from_its_beginning() {
        let space = Space::default();
        assert_eq!(space.add("n", 2, Some(10), 100), Ok(2));
        assert_eq!(space.add("n", 3, Some(10), 105), Ok(5));
        assert_eq!(space.get("n", 109), Some(b"5".to_vec()));
        assert_eq!(space.add("n", 1, Some(10), 110), Ok(1));
    }

    #[test]
    fn adding_to_a_value_that_is_no_counter_is_refused() {
        let space = Space::default();
        space.set("k", b"text".to_vec(), None, 0).unwrap();
        assert_eq!(space.add("k", 1, None, 0), Err(Misuse::NotACounter("k".into())));
    }

    #[test]
    fn keys_and_values_that_are_too_large_are_refused() {
        let space = Space::default();
        assert_eq!(space.set(&"k".repeat(257), vec![], None, 0), Err(Misuse::Key(257)));
        assert_eq!(
            space.set("k", vec![0; 65_537], None, 0),
            Err(Misuse::Value("k".into(), 65_537))
        );
    }

    #[test]
    fn a_full_space_drops_what_was_not_touched_for_longest() {
        let space = Space::default();
        for n in 0..SPACE_KEYS {
            space.set(&n.to_string(), vec![], None, 0).unwrap();
        }
        space.get("0", 0);
        space.set("one more", vec![], None, 0).unwrap();
        assert!(space.get("0", 0).is_some());
        assert!(space.get("1", 0).is_none());
        assert_eq!(space.used().keys, SPACE_KEYS);
    }

    #[test]
    fn a_space_is_bounded_in_bytes_too() {
        let space = Space::default();
        for n in 0..300 {
            space.set(&n.to_string(), vec![0; VALUE_BYTES], None, 0).unwrap();
        }
        assert!(space.used().bytes <= SPACE_BYTES);
        assert!(space.get("299", 0).is_some());
    }

    #[test]
    fn plugins_do_not_see_each_others_keys() {
        let store = StateStore::default();
        store.space("a").set("k", b"v".to_vec(), None, 0).unwrap();
        assert_eq!(store.space("b").get("k", 0), None);
        assert_eq!(store.space("a").get("k", 0), Some(b"v".to_vec()));
        assert_eq!(store.used_by("a"), StateUse { keys: 1, bytes: 2 });
    }
}
