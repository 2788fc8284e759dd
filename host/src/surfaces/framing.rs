//! How the events of a streamed answer reach their client: one after the other or, where a client of Gemini's asks for no events, as
//! the elements of one array.

use bytes::{Bytes, BytesMut};
use hyper::header::HeaderValue;

use crate::upstream::sse::Splitter;

/// Puts events into their frames.
#[derive(Debug)]
pub enum Framing {
    /// As they are.
    Events,
    /// As elements of an array.
    Array(Array),
}

/// An array under way.
#[derive(Debug, Default)]
pub struct Array {
    splitter: Splitter,
    is_begun: bool,
}

impl Framing {
    /// What the client is told that it gets.
    pub fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Events => "text/event-stream",
            Self::Array(_) => "application/json",
        })
    }

    /// Frames whole events, in their place.
    pub fn frame(&mut self, events: &mut BytesMut) {
        let Self::Array(array) = self else { return };
        array.splitter.buffer().extend_from_slice(&events.split());
        while let Ok(Some(event)) = array.splitter.next_event() {
            let Some(data) = event.data() else { continue };
            let is_first = !std::mem::replace(&mut array.is_begun, true);
            events.extend_from_slice(if is_first { b"[" } else { b",\r\n" });
            events.extend_from_slice(&data);
        }
    }

    /// Frames the last events of a stream that has come to its proper end.
    pub fn end(&mut self, events: &mut BytesMut) {
        self.frame(events);
        if let Self::Array(array) = self {
            events.extend_from_slice(if array.is_begun { b"]" } else { b"[]" });
        }
    }

    /// An event as an element of an array that has some already, or none. The array is not closed: what is cut off is not whole.
    pub fn element(event: &[u8], is_begun: bool) -> Bytes {
        let splitter = Splitter::default();
        let mut framing = Self::Array(Array { splitter, is_begun });
        let mut framed = BytesMut::from(event);
        framing.frame(&mut framed);
        framed.freeze()
    }

    /// Frames a stream that is known whole.
    pub fn whole(mut self, events: Bytes) -> Bytes {
        match self {
            Self::Events => events,
            Self::Array(_) => {
                let mut framed = BytesMut::from(&*events);
                self.end(&mut framed);
                framed.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_elements_wherever_they_are_cut() {
        let events: &[u8] = b": a comment\n\ndata: {\"a\":1}\n\ndata: {\"b\":\"\xc3\xbc\"}\r\n\r\n";
        let expected = "[{\"a\":1},\r\n{\"b\":\"ü\"}]";
        for at in 0..=events.len() {
            let mut framing = Framing::Array(Array::default());
            let mut framed = BytesMut::from(&events[..at]);
            framing.frame(&mut framed);
            let mut rest = BytesMut::from(&events[at..]);
            framing.end(&mut rest);
            framed.extend_from_slice(&rest);
            assert_eq!(String::from_utf8_lossy(&framed), expected, "cut at {at}");
        }
        let whole = Framing::Array(Array::default()).whole(Bytes::new());
        assert_eq!(&*whole, b"[]");
    }
}
