//! The imports of the contract as the test host serves them, from state of the thread's own.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;

use super::case::{Case, Prepared, text_of};
use crate::limits::{STATE_BYTES, STATE_KEY_BYTES, STATE_KEYS, STATE_VALUE_BYTES};
use crate::log::Level;
use crate::models::{Ask, Failure, Question, Reply};

#[derive(Default)]
struct World {
    body: Value,
    headers: BTreeMap<String, String>,
    now_ms: u64,
    store: BTreeMap<String, Entry>,
    touches: u64,
    /// Of all keys and values.
    bytes: usize,
    lines: Vec<(Level, String)>,
    replies: Vec<Prepared>,
    asks: Vec<Ask>,
    grants: Option<Vec<String>>,
    /// None while nobody decides.
    times: Option<Times>,
}

/// What was said of times: the connection and the gap by candidate.
pub(super) type Times = BTreeMap<String, (Option<u32>, Option<u32>)>;

/// A counter is kept as its decimal digits, as the gateway does it.
struct Entry {
    value: Vec<u8>,
    until_ms: Option<u64>,
    /// The larger, the later it was read or written.
    touch: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub(super) fn reset() {
    WORLD.take();
}

pub(super) fn set_now(now_ms: u64) {
    WORLD.with_borrow_mut(|world| {
        world.now_ms = now_ms;
        world.times = None;
    });
}

/// What was said of times since the request was shown; from here on nothing can be said.
pub(super) fn take_times() -> Times {
    WORLD.with_borrow_mut(|world| world.times.take().unwrap_or_default())
}

pub(super) fn show(case: &Case) {
    WORLD.with_borrow_mut(|world| {
        world.body = case.request.clone();
        world.headers = case
            .headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.clone()))
            .collect();
        world.now_ms = case.now_ms;
        world.replies = case.replies.clone();
        world.grants = case.grants.clone();
        world.times = Some(Times::new());
        for (key, held) in &case.state {
            world.put(key, held.to_string().into_bytes(), None);
        }
    });
}

pub(super) fn keys() -> Vec<String> {
    WORLD.with_borrow(|world| {
        world
            .store
            .keys()
            .filter(|key| world.live(key).is_some())
            .cloned()
            .collect()
    })
}

pub(super) fn log_lines() -> Vec<(Level, String)> {
    WORLD.with_borrow(|world| world.lines.clone())
}

pub(super) fn asks() -> Vec<Ask> {
    WORLD.with_borrow(|world| world.asks.clone())
}

impl World {
    /// The first reply that the case has for this model and these words.
    fn reply(&self, ask: &Ask) -> Result<Reply, Failure> {
        let text = match &ask.question {
            Question::Prompt(prompt) => prompt.user.clone(),
            Question::Same(_) => self.messages().iter().map(text_of).collect::<Vec<_>>().join("\n"),
        };
        let prepared = self.replies.iter().find(|prepared| prepared.is_for(&ask.model, &text));
        match prepared {
            Some(prepared) => prepared.reply(),
            None => Err(Failure::Refused(format!("the case has no reply of `{}`", ask.model))),
        }
    }

    /// Keeps what the gateway would keep: where there is too much, what was not touched for longest goes. Panics where the
    /// gateway would trap the plugin.
    fn put(&mut self, key: &str, value: Vec<u8>, until_ms: Option<u64>) {
        self.touches += 1;
        let (touch, bytes) = (self.touches, value.len());
        assert!(
            key.len() <= STATE_KEY_BYTES,
            "a state key has {} bytes; the limit is {STATE_KEY_BYTES}: {key}",
            key.len()
        );
        assert!(
            bytes <= STATE_VALUE_BYTES,
            "the value of state key `{key}` has {bytes} bytes; the limit is {STATE_VALUE_BYTES}"
        );
        self.remove(key);
        self.bytes += key.len() + bytes;
        self.store.insert(key.to_owned(), Entry { value, until_ms, touch });
        while self.store.len() > STATE_KEYS || self.bytes > STATE_BYTES {
            let oldest = self.store.iter().min_by_key(|(_, entry)| entry.touch);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.store.remove(key) {
            self.bytes -= key.len() + entry.value.len();
        }
    }

    fn touched(&mut self, key: &str) -> Option<&Entry> {
        self.live(key)?;
        self.touches += 1;
        let touch = self.touches;
        let entry = self.store.get_mut(key)?;
        entry.touch = touch;
        Some(entry)
    }

    fn live(&self, key: &str) -> Option<&Entry> {
        self.store
            .get(key)
            .filter(|entry| entry.until_ms.is_none_or(|until| self.now_ms < until))
    }

    fn until(&self, ttl_ms: Option<u64>) -> Option<u64> {
        ttl_ms.map(|ttl| self.now_ms.saturating_add(ttl))
    }

    fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map_or(&[], Vec::as_slice)
    }
}

pub(crate) mod log {
    use super::*;

    pub(crate) fn log(level: Level, message: &str) {
        WORLD.with_borrow_mut(|world| world.lines.push((level, message.to_owned())));
    }
}

pub(crate) mod grants {
    use super::*;

    /// All, unless the case names some.
    pub(crate) fn given() -> Vec<String> {
        let all = || ["state", "spend", "models", "fetch"].map(str::to_owned).into();
        WORLD.with_borrow(|world| world.grants.clone().unwrap_or_else(all))
    }
}

pub(crate) mod state {
    use super::*;

    pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
        WORLD.with_borrow_mut(|world| world.touched(key).map(|entry| entry.value.clone()))
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) {
        WORLD.with_borrow_mut(|world| {
            let until_ms = world.until(ttl_ms);
            world.put(key, value.to_vec(), until_ms);
        });
    }

    pub(crate) fn delete(key: &str) {
        WORLD.with_borrow_mut(|world| world.remove(key));
    }

    /// A time to live counts from the counter's beginning, so that it makes windows.
    pub(crate) fn add(key: &str, delta: i64, ttl_ms: Option<u64>) -> i64 {
        WORLD.with_borrow_mut(|world| {
            let (count, until_ms) = match world.live(key) {
                Some(entry) => (counter(key, &entry.value), entry.until_ms),
                None => (0, world.until(ttl_ms)),
            };
            let count = count.saturating_add(delta);
            world.put(key, count.to_string().into_bytes(), until_ms);
            count
        })
    }

    fn counter(key: &str, value: &[u8]) -> i64 {
        let count = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        count.unwrap_or_else(|| panic!("state `{key}` does not hold a counter"))
    }
}

pub(crate) mod timeouts {
    use super::*;

    pub(crate) fn connect(candidate: &str, ms: u32) {
        say(candidate, |(connect, _)| *connect = Some(ms));
    }

    pub(crate) fn gap(candidate: &str, ms: u32) {
        say(candidate, |(_, gap)| *gap = Some(ms));
    }

    /// Panics where the gateway would trap the plugin.
    fn say(candidate: &str, say: impl FnOnce(&mut (Option<u32>, Option<u32>))) {
        WORLD.with_borrow_mut(|world| {
            let times = world.times.as_mut();
            let times = times.expect("the times of a step are said in `decide`, and at no other time");
            say(times.entry(candidate.to_owned()).or_default());
        });
    }
}

pub(crate) mod models {
    use super::*;

    pub(crate) fn ask_all(asks: &[Ask]) -> Vec<Result<Reply, Failure>> {
        WORLD.with_borrow_mut(|world| {
            world.asks.extend_from_slice(asks);
            asks.iter().map(|ask| world.reply(ask)).collect()
        })
    }
}

pub(crate) mod prompt {
    use super::*;

    pub(crate) fn role(index: u32) -> Option<String> {
        WORLD.with_borrow(|world| {
            world.messages().get(index as usize)?["role"]
                .as_str()
                .map(str::to_owned)
        })
    }

    pub(crate) fn text(index: u32) -> Option<String> {
        WORLD.with_borrow(|world| world.messages().get(index as usize).map(text_of))
    }

    pub(crate) fn last_user_text() -> String {
        WORLD.with_borrow(|world| {
            world
                .messages()
                .iter()
                .rev()
                .find(|message| message["role"] == "user")
                .map(text_of)
                .unwrap_or_default()
        })
    }

    pub(crate) fn system_text() -> String {
        WORLD.with_borrow(|world| {
            let is_system = |message: &&Value| matches!(message["role"].as_str(), Some("system" | "developer"));
            world
                .messages()
                .iter()
                .filter(is_system)
                .map(text_of)
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    pub(crate) fn all_text(at_most: u32) -> String {
        let mut text = WORLD.with_borrow(|world| world.messages().iter().map(text_of).collect::<Vec<_>>().join("\n"));
        text.truncate(text.floor_char_boundary(at_most as usize));
        text
    }

    pub(crate) fn header(name: &str) -> Option<String> {
        WORLD.with_borrow(|world| world.headers.get(&name.to_lowercase()).cloned())
    }

    pub(crate) fn get(pointer: &str) -> Option<String> {
        WORLD.with_borrow(|world| world.body.pointer(pointer).map(Value::to_string))
    }
}
