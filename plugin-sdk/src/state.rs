//! A small store of the plugin's own (grant `state`), shared by its instances and kept over reloads.
//! A counter is kept as its decimal digits, so that `get::<i64>` reads one; to anything else nothing can be added.

use serde::{Serialize, de::DeserializeOwned};

use crate::host::state;

/// What `key` holds, if it is there and is what `T` says.
pub fn get<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&state::get(key)?).ok()
}

/// Keeps `value` under `key`, for so many milliseconds or until it is deleted. The error names a value that has no JSON form.
pub fn set<T: Serialize>(key: &str, value: &T, ttl_ms: Option<u64>) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| format!("state `{key}`: {error}"))?;
    state::set(key, &text, ttl_ms);
    Ok(())
}

/// Forgets what `key` holds.
pub fn delete(key: &str) {
    state::delete(key);
}

/// Adds to a counter, atomically, and returns what it is now. A counter starts at zero.
pub fn add(key: &str, delta: i64, ttl_ms: Option<u64>) -> i64 {
    state::add(key, delta, ttl_ms)
}
