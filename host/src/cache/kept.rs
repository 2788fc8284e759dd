//! Answers in the store: a line of JSON, and behind it the answer's body.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::shelf::milliseconds;
use super::{Entry, Key};
use crate::money::{Nanodollars, Usage};
use crate::store::Document;

/// As what answers are kept.
pub(super) const KIND: &str = "answer";

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    model: String,
    provider: String,
    cost: Option<u64>,
    stored_ms: u64,
    /// What was used, by the names of [`Usage::named`]; earlier releases have written none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<BTreeMap<String, u64>>,
}

/// An answer that is of no more use after this time.
pub(super) fn written(key: Key, entry: &Entry, ttl: Duration) -> Document {
    let head = Head {
        model: entry.model.clone(),
        provider: entry.provider.clone(),
        cost: entry.cost.map(|cost| cost.0),
        stored_ms: entry.stored_ms,
        usage: entry.usage.map(|usage| {
            let used = usage.named().into_iter().filter(|(_, tokens)| *tokens > 0);
            used.map(|(name, tokens)| (name.to_owned(), tokens)).collect()
        }),
    };
    // Strings and numbers can always be written.
    let mut content = serde_json::to_vec(&head).unwrap_or_default();
    content.push(b'\n');
    content.extend_from_slice(&entry.body);
    Document {
        kind: KIND,
        id: key.to_string(),
        content: Some(content.into()),
        expires_ms: Some(entry.stored_ms.saturating_add(milliseconds(ttl))),
    }
}

/// What was written; nothing where it is not that.
pub(super) fn read(content: &[u8]) -> Option<Entry> {
    let end = memchr::memchr(b'\n', content)?;
    let head: Head = serde_json::from_slice(&content[..end]).ok()?;
    let usage =
        |used: &BTreeMap<String, u64>| Usage::from_named(used.iter().map(|(name, tokens)| (name.as_str(), *tokens)));
    Some(Entry {
        body: Bytes::copy_from_slice(&content[end + 1..]),
        model: head.model,
        provider: head.provider,
        cost: head.cost.map(Nanodollars),
        stored_ms: head.stored_ms,
        usage: head.usage.as_ref().and_then(usage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let entry = Entry {
            body: Bytes::from_static(b"{}\n\n"),
            model: "p/m".into(),
            provider: "p".into(),
            cost: Some(Nanodollars(7)),
            stored_ms: 1,
            usage: Some(Usage {
                input: 9,
                output: 3,
                ..Usage::default()
            }),
        };
        let document = written(Key::of(&["a"]), &entry, Duration::from_millis(2));
        assert_eq!(document.expires_ms, Some(3));
        assert_eq!(read(&document.content.unwrap()), Some(entry));
        // As releases wrote it that did not keep what was used.
        let older = br#"{"model":"p/m","provider":"p","cost":7,"stored_ms":1}"#;
        assert_eq!(read(&[older, &b"\n{}"[..]].concat()).unwrap().usage, None);
        assert_eq!((read(b"no line"), read(b"{}\n")), (None, None));
    }
}
