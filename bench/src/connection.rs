//! One client connection: a request goes out, a reply comes in and is looked at as it arrives.
//! It knows HTTP/1.1 with keep-alive and the framing of server-sent events, and nothing of JSON.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Instant;

use memchr::memchr_iter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::chunked::Chunked;
use crate::wire;

const MOST_HEADERS: usize = 64;
const READ_BYTES: usize = 64 * 1024;

/// A connection that opens on its first use, and again after the server has closed it or it has failed.
pub(crate) struct Connection {
    target: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// How often it was opened.
    pub opened: u64,
}

/// What was seen of one reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status of the response.
    pub status: u16,
    /// When the first byte of the body was here.
    pub first_byte: Instant,
    /// Bytes of the body without its framing.
    pub bytes: usize,
    /// Server-sent events in the body.
    pub events: u32,
    /// Whether the body ends in the event `[DONE]`.
    pub done: bool,
    /// The moments at which a read brought at least one event, after the first.
    pub arrivals: Vec<Instant>,
}

struct Head {
    status: u16,
    length: usize,
    framing: Framing,
    keep_alive: bool,
}

enum Framing {
    Length(usize),
    Chunked(Chunked),
}

impl Connection {
    /// A connection to `target`, not yet open.
    pub(crate) fn new(target: SocketAddr) -> Self {
        Self {
            target,
            stream: None,
            buffer: vec![0; READ_BYTES],
            opened: 0,
        }
    }

    /// Sends a request and reads its reply to the end. After an error the next request gets a new connection.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        stream.write_all(request).await?;
        let (reply, keep_alive) = read_reply(&mut stream, &mut self.buffer).await?;
        self.stream = keep_alive.then_some(stream);
        Ok(reply)
    }

    async fn open(&mut self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        self.opened += 1;
        Ok(stream)
    }
}

async fn read_reply(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<(Reply, bool)> {
    let mut filled = 0;
    let mut head = loop {
        filled += read_some(stream, &mut buffer[filled..]).await?;
        if let Some(head) = parse_head(&buffer[..filled])? {
            break head;
        }
    };
    let mut body = Body::default();
    let mut part = head.length..filled;
    let mut first_byte = (!part.is_empty()).then(Instant::now);
    while !body.take(&buffer[part], &mut head.framing)? {
        part = 0..read_some(stream, buffer).await?;
        first_byte.get_or_insert_with(Instant::now);
    }
    let reply = Reply {
        status: head.status,
        first_byte: first_byte.unwrap_or_else(Instant::now),
        bytes: body.bytes,
        events: body.events,
        done: body.tail == wire::DONE,
        arrivals: body.arrivals,
    };
    Ok((reply, head.keep_alive))
}

async fn read_some(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<usize> {
    match stream.read(room).await? {
        0 => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the reply ended early, or its head is too large",
        )),
        read => Ok(read),
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let malformed = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response
        .parse(bytes)
        .map_err(|error| malformed(format!("not a response: {error}")))?
    {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut framing = None;
    let mut keep_alive = true;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = str::from_utf8(header.value)
                .ok()
                .and_then(|value| value.trim().parse().ok());
            framing = framing.or(length.map(Framing::Length));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked(Chunked::default()));
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let framing = framing.ok_or_else(|| malformed("the response has no length and is not chunked".to_owned()))?;
    Ok(Some(Head {
        status: response.code.unwrap_or_default(),
        length,
        framing,
        keep_alive,
    }))
}

/// What has been seen of a body so far.
#[derive(Default)]
struct Body {
    bytes: usize,
    events: u32,
    after_line_end: bool,
    /// The last bytes, as many as `[DONE]` takes.
    tail: Vec<u8>,
    arrivals: Vec<Instant>,
}

impl Body {
    /// Takes what one read brought; true when the body is complete.
    fn take(&mut self, bytes: &[u8], framing: &mut Framing) -> io::Result<bool> {
        let before = self.events;
        let ended = match framing {
            Framing::Length(left) => {
                let part = bytes.len().min(*left);
                self.see(&bytes[..part]);
                *left -= part;
                *left == 0
            }
            Framing::Chunked(chunked) => {
                chunked.feed(bytes, |part| self.see(part))?;
                chunked.ended()
            }
        };
        if self.events > before {
            self.arrivals.push(Instant::now());
        }
        Ok(ended)
    }

    /// Counts the empty lines, each of which ends an event, and keeps the tail.
    fn see(&mut self, part: &[u8]) {
        self.bytes += part.len();
        for at in memchr_iter(b'\n', part) {
            let empty_line = if at == 0 {
                self.after_line_end
            } else {
                part[at - 1] == b'\n'
            };
            self.events += u32::from(empty_line);
        }
        if let Some(last) = part.last() {
            self.after_line_end = *last == b'\n';
        }
        self.tail
            .extend_from_slice(&part[part.len().saturating_sub(wire::DONE.len())..]);
        let surplus = self.tail.len().saturating_sub(wire::DONE.len());
        self.tail.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_wherever_the_reads_cut_them() {
        let body = b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n";
        for cut in 0..=body.len() {
            let (mut seen, mut framing) = (Body::default(), Framing::Length(body.len()));
            seen.take(&body[..cut], &mut framing).unwrap();
            seen.take(&body[cut..], &mut framing).unwrap();
            assert_eq!(
                (seen.events, seen.bytes, seen.tail.as_slice()),
                (3, body.len(), wire::DONE),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_response_without_framing_is_refused() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nserver:").unwrap().is_none());
    }
}
