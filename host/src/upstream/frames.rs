//! How a streamed answer is cut into events, by the framing that its provider has: server-sent events (`sse`), JSON by the line,
//! or AWS's event stream (`eventstream`). Adapters see whole events, however the bytes arrive.

use bytes::{Buf, BytesMut};

use super::{eventstream, sse};

/// How a provider's stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Framing {
    ServerSentEvents,
    JsonLines,
    AwsEventStream,
}

/// One event that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the framing calls it.
    pub name: Option<String>,
    /// What it says.
    pub data: Vec<u8>,
}

/// Cuts a stream into events.
#[derive(Debug)]
pub enum Splitter {
    /// The blank line ends an event.
    ServerSentEvents(sse::Splitter),
    /// The end of a line ends an event.
    JsonLines(BytesMut),
    /// Every message says how long it is.
    AwsEventStream(BytesMut),
}

/// Longer lines are not events.
const LINE_BYTES: usize = 8 << 20;

impl Splitter {
    /// Nothing has come yet.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::ServerSentEvents => Self::ServerSentEvents(sse::Splitter::default()),
            Framing::JsonLines => Self::JsonLines(BytesMut::new()),
            Framing::AwsEventStream => Self::AwsEventStream(BytesMut::new()),
        }
    }

    /// Where bytes are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::ServerSentEvents(splitter) => splitter.buffer(),
            Self::JsonLines(buffer) | Self::AwsEventStream(buffer) => buffer,
        }
    }

    /// The next whole event; `None` until more bytes come. An error says what is wrong with the stream.
    pub fn next_event(&mut self) -> Result<Option<Event>, String> {
        match self {
            Self::ServerSentEvents(splitter) => next_sent(splitter),
            Self::JsonLines(buffer) => next_line(buffer),
            Self::AwsEventStream(buffer) => eventstream::next_message(buffer),
        }
    }

    /// What the end of the body makes an event, or shows to be cut: the last line needs no line end, a message has its length,
    /// and server-sent events that no blank line closed are none.
    pub fn last_event(&mut self) -> Result<Option<Event>, String> {
        match self {
            Self::ServerSentEvents(_) => Ok(None),
            Self::JsonLines(buffer) => Ok(line(buffer.split().as_ref())),
            Self::AwsEventStream(buffer) if buffer.is_empty() => Ok(None),
            Self::AwsEventStream(_) => Err("the stream ended inside a message".to_owned()),
        }
    }
}

/// Comments say nothing.
fn next_sent(splitter: &mut sse::Splitter) -> Result<Option<Event>, String> {
    while let Some(event) = splitter.next_event().map_err(|error| error.to_string())? {
        if let Some(data) = event.data() {
            let name = event.name().map(str::to_owned);
            return Ok(Some(Event {
                name,
                data: data.into_owned(),
            }));
        }
    }
    Ok(None)
}

/// A line that did not end is looked through again with every read; lines are short, and whole objects.
fn next_line(buffer: &mut BytesMut) -> Result<Option<Event>, String> {
    while let Some(at) = memchr::memchr(b'\n', buffer) {
        let event = line(&buffer[..at]);
        buffer.advance(at + 1);
        if event.is_some() {
            return Ok(event);
        }
    }
    match buffer.len() > LINE_BYTES {
        true => Err(format!("a line of over {LINE_BYTES} bytes")),
        false => Ok(None),
    }
}

/// Blank lines keep a connection open, and say nothing.
fn line(bytes: &[u8]) -> Option<Event> {
    let data = bytes.trim_ascii();
    (!data.is_empty()).then(|| Event {
        name: None,
        data: data.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<String>, String> {
        let mut splitter = Splitter::of(framing);
        let mut events = Vec::new();
        let text = |event: Event| String::from_utf8(event.data).unwrap();
        for piece in pieces {
            splitter.buffer().extend_from_slice(piece);
            while let Some(event) = splitter.next_event()? {
                events.push(text(event));
            }
        }
        events.extend(splitter.last_event()?.map(text));
        Ok(events)
    }

    #[test]
    fn lines_are_the_same_wherever_they_are_cut() {
        let text = "{\"a\":\"ä\"}\r\n\n  \n{\"b\":1}\n{\"c\":2}".as_bytes();
        let expected = ["{\"a\":\"ä\"}", "{\"b\":1}", "{\"c\":2}"];
        for at in 0..text.len() {
            let found = events(Framing::JsonLines, &[&text[..at], &text[at..]]);
            assert_eq!(found.unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = vec![b'x'; LINE_BYTES + 1];
        assert!(
            events(Framing::JsonLines, &[&endless])
                .unwrap_err()
                .contains("a line of over")
        );
    }

    #[test]
    fn server_sent_events_without_data_are_passed_over() {
        let found = events(Framing::ServerSentEvents, &[b": ping\n\ndata: 1\n\ndata: 2"]);
        assert_eq!(found.unwrap(), ["1"]);
    }
}
