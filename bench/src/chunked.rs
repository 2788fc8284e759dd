//! Decoding HTTP/1.1 chunked framing as it arrives, cut anywhere. The payload is handed on in place, never copied.

use std::io::{self, ErrorKind};

use memchr::memchr;

/// Where in the framing the next byte stands.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size(usize),
    /// After the size: an extension, or the carriage return.
    SizeEnd(usize),
    Data(usize),
    DataEnd,
    /// In the lines after the last chunk; true while the line is empty so far.
    Trailer(bool),
    End,
}

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Chunked {
    /// Takes the next bytes and gives their payload to `sink`; returns how many it used, which are fewer than were given
    /// only when the body has ended.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            let rest = &bytes[at..];
            if let State::Data(left) = self.state {
                let part = left.min(rest.len());
                sink(&rest[..part]);
                at += part;
                self.state = if part == left {
                    State::DataEnd
                } else {
                    State::Data(left - part)
                };
            } else if let State::SizeEnd(size) = self.state {
                let line_end = memchr(b'\n', rest);
                at += line_end.map_or(rest.len(), |end| end + 1);
                if line_end.is_some() {
                    self.state = if size == 0 {
                        State::Trailer(true)
                    } else {
                        State::Data(size)
                    };
                }
            } else {
                self.state = self.step(rest[0])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Whether the last chunk and its trailer have been read.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state, State::End)
    }

    fn step(&self, byte: u8) -> io::Result<State> {
        Ok(match (self.state, byte) {
            (State::Size(size), b'\r' | b';') => State::SizeEnd(size),
            (State::Size(size), digit) => {
                let value = char::from(digit)
                    .to_digit(16)
                    .ok_or_else(|| malformed("a chunk's size is not a number"))?;
                let size = size.checked_mul(16).ok_or_else(|| malformed("a chunk is too large"))?;
                State::Size(size + value as usize)
            }
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size(0),
            (State::DataEnd, _) => return Err(malformed("a chunk is longer than its size")),
            (State::Trailer(true), b'\n') => State::End,
            (State::Trailer(empty), b'\r') => State::Trailer(empty),
            (State::Trailer(_), byte) => State::Trailer(byte == b'\n'),
            (state, _) => state,
        })
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMED: &[u8] = b"5\r\nhello\r\n1B;name=value\r\n, this is a longer chunk ok\r\n0\r\nx: y\r\n\r\nnext";
    const PAYLOAD: &[u8] = b"hello, this is a longer chunk ok";

    #[test]
    fn a_body_cut_at_any_byte_decodes_to_the_same_payload() {
        for cut in 0..FRAMED.len() {
            let (mut decoder, mut payload) = (Chunked::default(), Vec::new());
            let mut used = decoder
                .feed(&FRAMED[..cut], |part| payload.extend_from_slice(part))
                .unwrap();
            used += decoder
                .feed(&FRAMED[cut.min(used)..], |part| payload.extend_from_slice(part))
                .unwrap();
            assert_eq!(payload, PAYLOAD, "cut at {cut}");
            assert_eq!(&FRAMED[used..], b"next", "cut at {cut}");
            assert!(decoder.ended());
        }
    }

    #[test]
    fn a_chunk_that_lies_about_its_size_is_refused() {
        assert!(Chunked::default().feed(b"3\r\nhello\r\n0\r\n\r\n", |_| ()).is_err());
        assert!(Chunked::default().feed(b"five\r\nhello\r\n", |_| ()).is_err());
    }
}
