//! What is kept under a key: a line of JSON, and behind it the answer's body as it went out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Claimed;
use crate::cache::Key;

/// As what records are kept.
pub(super) const KIND: &str = "idempotency";

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer: its headers, and its body or all events of a stream.
    Answered(Vec<(String, String)>, Bytes),
    /// An error.
    Failed(Failed),
}

/// An error as its caller heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in `ApiError`")]
pub struct Failed {
    pub status: u16,
    pub kind: String,
    pub code: String,
    pub param: Option<String>,
    pub message: String,
}

/// A document's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    head: Head,
    body: Bytes,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The request's digest.
    request: String,
    state: State,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Begun,
    Answered { headers: Vec<(String, String)> },
    TooLarge,
    Failed(Failed),
}

impl Record {
    pub(super) fn begun(request: Key) -> Self {
        Self::new(request, State::Begun, Bytes::new())
    }

    pub(super) fn ended(request: Key, outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(Outcome::Answered(headers, body)) => Self::new(request, State::Answered { headers }, body),
            Some(Outcome::Failed(failed)) => Self::new(request, State::Failed(failed), Bytes::new()),
            None => Self::new(request, State::TooLarge, Bytes::new()),
        }
    }

    fn new(request: Key, state: State, body: Bytes) -> Self {
        let head = Head {
            request: request.to_string(),
            state,
        };
        Self { head, body }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers can always be written.
        let mut bytes = serde_json::to_vec(&self.head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        Some(Self {
            head: serde_json::from_slice(&bytes[..end]).ok()?,
            body: Bytes::copy_from_slice(&bytes[end + 1..]),
        })
    }

    /// What a request with this digest learns from it. Nobody is serving it now.
    pub(super) fn leads(self, request: Key) -> Claimed {
        if self.head.request != request.to_string() {
            return Claimed::Mismatch;
        }
        match self.head.state {
            State::Begun => Claimed::Unknown,
            State::Answered { headers } => Claimed::Again(Outcome::Answered(headers, self.body)),
            State::TooLarge => Claimed::TooLarge,
            State::Failed(failed) => Claimed::Again(Outcome::Failed(failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let request = Key::of(&["request"]);
        let failed = Failed {
            status: 502,
            kind: "server_error".into(),
            code: "upstream_error".into(),
            param: None,
            message: "oops\n".into(),
        };
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        for record in [
            Record::begun(request),
            Record::ended(request, None),
            Record::ended(request, Some(Outcome::Failed(failed))),
            Record::ended(
                request,
                Some(Outcome::Answered(headers, Bytes::from_static(b"data: 1\n\n"))),
            ),
        ] {
            assert_eq!(Record::parse(&record.to_bytes()), Some(record));
        }
        assert_eq!(Record::parse(b"no line"), None);
    }
}
