//! Where a request over HTTP/1.1 ends, read byte by byte and more strictly than HTTP allows: whatever two readers could
//! understand differently is wrong here. hyper reads the same bytes after this; it decides what a request says, and this
//! decides which bytes it gets to see as one.

use memchr::memchr;

/// So much of a line is looked at; what matters is shorter.
const LINE: usize = 64;
/// More digits than any length has.
const DIGITS: usize = 18;

/// Reads one request after the other.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// How long it is so far.
    length: usize,
    /// The last byte was a carriage return.
    is_return: bool,
    head: Head,
}

/// What a head has said about the body.
#[derive(Debug, Default)]
struct Head {
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    RequestLine,
    Header,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The request has ended.
    Ended,
    /// It is not HTTP/1.1 at all.
    Transparent,
    Wrong,
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of them belong to the request, which goes on.
    More,
    /// The request ends after so many of them.
    Ends(usize),
    /// After so many of them it cannot be read in one way only.
    Wrong(usize),
}

struct Mistake;

impl Framing {
    /// Nobody has to look: it is HTTP/2.
    pub(super) fn is_transparent(&self) -> bool {
        self.state == State::Transparent
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.state == State::Wrong
    }

    /// Whether a request has ended and the next one has not been begun.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether a head has begun and has not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.state == State::Header || self.state == State::RequestLine && self.length > 0
    }

    /// The next request.
    pub(super) fn begin(&mut self) {
        *self = Self {
            line: std::mem::take(&mut self.line),
            ..Self::default()
        };
        self.line.clear();
    }

    /// Takes bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Ended => return Verdict::Ends(at),
                State::Transparent => return Verdict::More,
                State::Wrong => return Verdict::Wrong(at),
                State::Body(left) | State::Chunk(left) => {
                    let taken = left.min((bytes.len() - at) as u64);
                    at += taken as usize;
                    self.state = match (self.state, left - taken) {
                        (State::Body(_), 0) => State::Ended,
                        (State::Body(_), left) => State::Body(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                }
                _ => match self.line(&bytes[at..]) {
                    Ok(taken) => at += taken,
                    Err(Mistake) => {
                        self.state = State::Wrong;
                        return Verdict::Wrong(at);
                    }
                },
            }
        }
        match self.state {
            State::Ended => Verdict::Ends(at),
            _ => Verdict::More,
        }
    }

    /// Reads on to the end of a line, if it is there, and acts on it.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, Mistake> {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let (text, ends_in_return) = match part.split_last() {
            Some((b'\r', text)) => (text, true),
            Some(_) => (part, false),
            None => (part, self.is_return),
        };
        // A carriage return stands before a line feed and nowhere else.
        let is_bare = memchr(b'\r', text).is_some() || self.is_return && !part.is_empty();
        // No target has a fragment, and hyper would not show that there is one.
        let is_fragment = self.state == State::RequestLine && memchr(b'#', text).is_some();
        if is_bare || is_fragment || end.is_some() && !ends_in_return {
            return Err(Mistake);
        }
        let room = LINE.saturating_sub(self.line.len()).min(text.len());
        self.line.extend_from_slice(&text[..room]);
        self.length += text.len();
        self.is_return = ends_in_return && end.is_none();
        if let Some(end) = end {
            let line = std::mem::take(&mut self.line);
            let length = std::mem::take(&mut self.length);
            let next = self.next(&line, length);
            self.line = line;
            self.line.clear();
            self.state = next?;
            return Ok(end + 1);
        }
        Ok(part.len())
    }

    /// What follows a line.
    fn next(&mut self, line: &[u8], length: usize) -> Result<State, Mistake> {
        match self.state {
            // Some clients end a body with an empty line that does not belong to it.
            State::RequestLine if length == 0 => Ok(State::RequestLine),
            State::RequestLine if line == b"PRI * HTTP/2.0" => Ok(State::Transparent),
            State::RequestLine if line.starts_with(b"CONNECT ") => Err(Mistake),
            State::RequestLine => Ok(State::Header),
            State::Header if length == 0 => self.body(),
            State::Header => self.header(line, length).map(|()| State::Header),
            State::ChunkSize => match chunk_size(line, length)? {
                0 => Ok(State::Trailer),
                size => Ok(State::Chunk(size)),
            },
            State::ChunkEnd if length == 0 => Ok(State::ChunkSize),
            State::Trailer if length == 0 => Ok(State::Ended),
            State::Trailer if !line.starts_with(b" ") && !line.starts_with(b"\t") => Ok(State::Trailer),
            _ => Err(Mistake),
        }
    }

    fn header(&mut self, line: &[u8], length: usize) -> Result<(), Mistake> {
        // A line that goes on with the one before it.
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Mistake);
        }
        let Some(colon) = memchr(b':', line) else { return Ok(()) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |wanted: &[u8]| name.trim_ascii().eq_ignore_ascii_case(wanted);
        let (is_length, is_coding) = (is(b"content-length"), is(b"transfer-encoding"));
        if (is_length || is_coding) && length > LINE {
            return Err(Mistake);
        }
        if is_length {
            let is_number = (1..=DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| is_number);
            let number = number.and_then(|number| number.parse().ok()).ok_or(Mistake)?;
            if self.head.length.replace(number).is_some() {
                return Err(Mistake);
            }
        }
        if is_coding && (!value.eq_ignore_ascii_case(b"chunked") || std::mem::replace(&mut self.head.is_chunked, true))
        {
            return Err(Mistake);
        }
        Ok(())
    }

    fn body(&self) -> Result<State, Mistake> {
        match self.head {
            Head {
                length: Some(_),
                is_chunked: true,
            } => Err(Mistake),
            Head { is_chunked: true, .. } => Ok(State::ChunkSize),
            Head { length, .. } => Ok(length.filter(|length| *length > 0).map_or(State::Ended, State::Body)),
        }
    }
}

/// Digits in hexadecimal, and an extension that nobody needs.
fn chunk_size(line: &[u8], length: usize) -> Result<u64, Mistake> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let is_whole = digits.len() < length.min(LINE) || length <= LINE;
    let is_size = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_size && is_whole);
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Mistake)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the first request ends: in one piece and in pieces of all sizes alike.
    fn end(text: &str) -> Verdict {
        let bytes = text.as_bytes();
        let whole = Framing::default().take(bytes);
        for size in 1..bytes.len() {
            let mut framing = Framing::default();
            let mut taken = 0;
            let mut verdict = Verdict::More;
            for piece in bytes.chunks(size) {
                verdict = match framing.take(piece) {
                    Verdict::More => {
                        taken += piece.len();
                        continue;
                    }
                    Verdict::Ends(at) => Verdict::Ends(taken + at),
                    Verdict::Wrong(_) => Verdict::Wrong(0),
                };
                break;
            }
            let expected = match whole {
                Verdict::Wrong(_) => Verdict::Wrong(0),
                other => other,
            };
            assert_eq!(verdict, expected, "{text:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_request_ends_where_its_head_says() {
        for (request, rest) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", ""),
            ("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET / HTTP/1.1\r\n"),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "abc"),
            ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n", "\r\n"),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
                "more",
            ),
        ] {
            assert_eq!(
                end(&format!("{request}{rest}")),
                Verdict::Ends(request.len()),
                "{request:?}"
            );
        }
        let mut framing = Framing::default();
        assert_eq!(framing.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n"), Verdict::More);
        assert!(framing.is_transparent());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_wrong() {
        let long = "0".repeat(100);
        for wrong in [
            "GET / HTTP/1.1\nhost: x\n\n",
            "GET / HTTP/1.1\r\nhost: x\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n\n",
            "GET / HTTP/1.1\r\nhost: x\rx: y\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\r\n\r\n",
            "CONNECT x:443 HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: 0x3\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: 3 \u{b}\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length:\r\n\r\nabc",
            &format!("POST / HTTP/1.1\r\ncontent-length: {long}3\r\n\r\nabc"),
            "POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: ,chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding : chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nx: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
            &format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{long}3\r\nabc\r\n0\r\n\r\n"),
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\n\r\n",
        ] {
            assert!(matches!(end(wrong), Verdict::Wrong(_)), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_ends_in_a_panic(text in "(GET|POST) / HTTP/1.1(\r|\n|\r\n|content-length: [0-9]{0,3}|transfer-encoding: chunked|[a-f0-9;]){0,12}.{0,20}") {
            end(&text);
        }
    }
}
