//! Server-sent events, cut from bytes that arrive in any pieces (WHATWG HTML, section 9.2).
//! Yields each event's own bytes, so that what needs no change is passed on as it came; what an event says is read on demand.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Cuts a stream into events.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: BytesMut,
    /// How much of the buffer has been looked at.
    seen: usize,
    /// Where the line under way begins.
    line: usize,
    /// A carriage return ended the last event; a line feed right behind it belongs to it.
    after_return: bool,
    /// The first event has been cut: what looks like a byte order mark from here on is text.
    begun: bool,
}

/// A stream may begin with it, and it belongs to no line.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Longer events are not events.
const EVENT_BYTES: usize = 8 << 20;

/// An event that does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a stream event of over {EVENT_BYTES} bytes")]
pub struct TooLong;

impl Splitter {
    /// Where bytes are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole event with its closing blank line; `None` until more bytes come.
    pub fn next_event(&mut self) -> Result<Option<Event>, TooLong> {
        if self.after_return && self.buffer.first() == Some(&b'\n') {
            self.buffer.advance(1);
        }
        self.after_return &= self.buffer.is_empty();
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.seen..]) {
            let at = self.seen + found;
            let is_return = self.buffer[at] == b'\r';
            let is_blank = at == self.line;
            let has_feed = is_return && self.buffer.get(at + 1) == Some(&b'\n');
            if is_return && !has_feed && at + 1 == self.buffer.len() && !is_blank {
                // A line feed may follow; whether this line is over changes nothing yet.
                self.seen = at;
                break;
            }
            self.seen = at + 1 + usize::from(has_feed);
            self.line = self.seen;
            if is_blank {
                self.after_return = is_return && !has_feed && self.seen == self.buffer.len();
                let mut raw = self.buffer.split_to(self.seen);
                if self.after_return && raw.ends_with(b"\r\n\r") {
                    // The feed is on its way, and would be skipped: as the line before ended, so does this one.
                    raw.extend_from_slice(b"\n");
                }
                (self.seen, self.line) = (0, 0);
                let is_first = !std::mem::replace(&mut self.begun, true);
                let text = if is_first && raw.starts_with(MARK) {
                    MARK.len()
                } else {
                    0
                };
                let raw = raw.freeze();
                return Ok(Some(Event { raw, text }));
            }
        }
        if self.buffer.len() > EVENT_BYTES {
            return Err(TooLong);
        }
        Ok(None)
    }

    /// Whether bytes are left that no blank line closed.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// One event, comments included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
    /// Where its first line begins.
    text: usize,
}

impl Event {
    /// Its bytes, as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The `data` lines, joined; `None` where there is none, as in comments.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.fields(b"data");
        let first = lines.next()?;
        match lines.next() {
            None => Some(Cow::Borrowed(first)),
            Some(second) => {
                let mut joined = first.to_vec();
                for line in std::iter::once(second).chain(lines) {
                    joined.push(b'\n');
                    joined.extend_from_slice(line);
                }
                Some(Cow::Owned(joined))
            }
        }
    }

    /// The `event` line.
    pub fn name(&self) -> Option<&str> {
        self.fields(b"event")
            .last()
            .and_then(|name| std::str::from_utf8(name).ok())
    }

    fn fields<'a>(&'a self, field: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.raw[self.text..]
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .filter_map(move |line| match line.strip_prefix(field)? {
                [] => Some(&[][..]),
                [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_is_passed_on_as_it_came_where_a_cut_parts_its_last_line_end() {
        let mut splitter = Splitter::default();
        splitter.buffer().extend_from_slice(b"data: 1\r\n\r");
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(&event.raw()[..], b"data: 1\r\n\r\n");
        splitter.buffer().extend_from_slice(b"\ndata: 2\n\n");
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(&event.raw()[..], b"data: 2\n\n");
        assert!(splitter.is_empty());
    }

    fn events(pieces: &[&[u8]]) -> Vec<(Option<String>, Option<String>)> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for piece in pieces {
            splitter.buffer().extend_from_slice(piece);
            while let Some(event) = splitter.next_event().unwrap() {
                let data = event.data().map(|data| String::from_utf8_lossy(&data).into_owned());
                if data.is_some() {
                    events.push((event.name().map(str::to_owned), data));
                }
            }
        }
        events
    }

    const TEXT: &[u8] =
        b"\xef\xbb\xbfdata: one\n\n: a comment\n\nevent: second\r\ndata:two\r\ndata: lines\r\n\r\nid: 7\rdata: three\r\rdata\n\ndata: {\"a\":1}\n\n";

    fn expected() -> Vec<(Option<String>, Option<String>)> {
        let event = |name: Option<&str>, data: &str| (name.map(str::to_owned), Some(data.to_owned()));
        vec![
            event(None, "one"),
            event(Some("second"), "two\nlines"),
            event(None, "three"),
            event(None, ""),
            event(None, "{\"a\":1}"),
        ]
    }

    #[test]
    fn the_same_events_come_out_wherever_the_bytes_are_cut() {
        assert_eq!(events(&[TEXT]), expected());
        for at in 0..TEXT.len() {
            assert_eq!(events(&[&TEXT[..at], &TEXT[at..]]), expected(), "cut at {at}");
        }
        let single: Vec<&[u8]> = TEXT.chunks(1).collect();
        assert_eq!(events(&single), expected());
    }

    #[test]
    fn an_event_that_is_closed_by_carriage_returns_does_not_wait_for_more() {
        assert_eq!(events(&[b"data: x\r\r"]).len(), 1);
    }

    #[test]
    fn a_byte_order_mark_is_one_at_the_start_alone() {
        let said = events(&[b"\xef\xbb\xbf\ndata: 1\n\n\xef\xbb\xbfdata: 2\n\n\xef\xbb\xbf\ndata: 3\n\n"]);
        let data: Vec<_> = said.into_iter().filter_map(|(_, data)| data).collect();
        assert_eq!(data, ["1", "3"]);
    }

    #[test]
    fn what_no_blank_line_closed_is_no_event() {
        let mut splitter = Splitter::default();
        splitter.buffer().extend_from_slice(b"data: half\n");
        assert_eq!(splitter.next_event(), Ok(None));
        assert!(!splitter.is_empty());
        splitter.buffer().extend_from_slice(&vec![b'x'; EVENT_BYTES]);
        assert_eq!(splitter.next_event(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_cut_matters(
            text in "(data: ?[a-z]{0,4}|event: [a-z]{1,3}|:|\r|\n|\r\n){0,40}",
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = text.as_bytes();
            let at = cut.index(bytes.len() + 1);
            prop_assert_eq!(events(&[&bytes[..at], &bytes[at..]]), events(&[bytes]));
        }
    }
}
