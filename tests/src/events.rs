//! Reads server-sent events as they come, and tells a stream that ended from one that broke off: an SDK that sees the
//! first believes that it has the whole answer.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::client::patiently;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field.
    pub name: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.data))
    }
}

/// How a stream went after its last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As HTTP asks for.
    Whole,
    /// The connection broke off.
    Aborted,
}

/// A streamed answer. Dropping it closes the connection, as a client that leaves does.
#[derive(Debug)]
pub struct EventStream {
    /// The status code.
    pub status: u16,
    /// In the order of arrival; names in lower case.
    pub headers: Vec<(String, String)>,
    body: Incoming,
    unread: Vec<u8>,
    ending: Option<Ending>,
}

impl EventStream {
    pub(crate) fn new(status: u16, headers: Vec<(String, String)>, body: Incoming) -> EventStream {
        EventStream {
            status,
            headers,
            body,
            unread: Vec::new(),
            ending: None,
        }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The next event; none when the stream has ended, one way or the other.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.take_event() {
                return Some(event);
            }
            let bytes = self.read().await?;
            self.unread.extend_from_slice(&bytes);
        }
    }

    /// All events that are left, and how the stream ended. Bytes after the last event are a defect.
    pub async fn rest(mut self) -> (Vec<Event>, Ending) {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        let ending = self.ending.expect("a stream without an end");
        let left = String::from_utf8_lossy(&self.unread);
        assert!(
            left.is_empty() || ending == Ending::Aborted,
            "half an event at the end: {left:?}"
        );
        (events, ending)
    }

    async fn read(&mut self) -> Option<Bytes> {
        loop {
            match patiently(self.body.frame()).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => return Some(bytes),
                    Err(_trailers) => continue,
                },
                Some(Err(_)) => self.ending = Some(Ending::Aborted),
                None => self.ending = self.ending.or(Some(Ending::Whole)),
            }
            return None;
        }
    }

    /// Comments and blank lines between events are skipped, as the standard says.
    fn take_event(&mut self) -> Option<Event> {
        loop {
            let end = end_of_event(&self.unread)?;
            let block: Vec<u8> = self.unread.drain(..end).collect();
            if let Some(event) = parse(std::str::from_utf8(&block).expect("an event that is not UTF-8")) {
                return Some(event);
            }
        }
    }
}

/// Where the first event ends, its blank line with it: lines end with a line feed, or with a carriage return before it.
fn end_of_event(unread: &[u8]) -> Option<usize> {
    let feeds = unread.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut feeds = feeds.map(|(at, _)| at);
    feeds.find_map(|at| {
        let rest = &unread[at + 1..];
        match rest {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        }
    })
}

fn parse(block: &str) -> Option<Event> {
    let (mut name, mut data) = (None, Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event {
        name,
        data: data.join("\n"),
    })
}
