//! The mock upstream: OpenAI's chat completions over HTTP/1.1 with keep-alive, from answers that were built beforehand.
//! It understands just enough of a request (its framing, `stream`, `include_usage`) to never be the bottleneck.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::wire;

const MOST_HEADERS: usize = 64;
const READ_BYTES: usize = 64 * 1024;
const NO_LENGTH: &[u8] = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How a streamed answer is paced; without a delay all of it leaves in one write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Content events of one stream.
    pub content_events: usize,
    /// The time before the first event and between two events.
    pub delay: Duration,
}

/// A running mock upstream; dropping it closes its listener.
pub(crate) struct Mock {
    /// Where it listens.
    pub address: SocketAddr,
    listener: JoinHandle<()>,
}

struct Answers {
    whole: Bytes,
    stream: Vec<Bytes>,
    stream_with_usage: Vec<Bytes>,
    delay: Duration,
}

impl Mock {
    /// Listens on a free loopback port and serves every connection on the current runtime.
    pub(crate) async fn start(pace: Pace) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("the mock upstream cannot listen")?;
        let address = listener.local_addr()?;
        let answers = Arc::new(Answers::new(pace));
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                // A connection that breaks is seen and counted at the other end, by the load generator.
                tokio::spawn(async move { serve(stream, &answers).await.ok() });
            }
        });
        Ok(Self { address, listener })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Answers {
    fn new(pace: Pace) -> Self {
        let stream = |with_usage| {
            let pieces = wire::stream(pace.content_events, with_usage);
            if pace.delay.is_zero() {
                vec![Bytes::from(pieces.concat())]
            } else {
                pieces
            }
        };
        Self {
            whole: wire::completion(),
            stream: stream(false),
            stream_with_usage: stream(true),
            delay: pace.delay,
        }
    }

    fn stream_for(&self, body: &[u8]) -> &[Bytes] {
        if is_true(body, b"\"include_usage\"") {
            &self.stream_with_usage
        } else {
            &self.stream
        }
    }
}

async fn serve(mut connection: TcpStream, answers: &Answers) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let request = loop {
            match frame(&buffer[..filled]) {
                Frame::Whole(request) => break request,
                Frame::Partial(needed) if needed > buffer.len() => buffer.resize(needed, 0),
                Frame::Partial(_) if filled == buffer.len() => buffer.resize(2 * filled, 0),
                Frame::Partial(_) => {}
                Frame::Unframed => return connection.write_all(NO_LENGTH).await,
            }
            match connection.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
        };
        let body = &buffer[request.clone()];
        if is_true(body, b"\"stream\"") {
            write_paced(&mut connection, answers.stream_for(body), answers.delay).await?;
        } else {
            connection.write_all(&answers.whole).await?;
        }
        buffer.copy_within(request.end..filled, 0);
        filled -= request.end;
    }
}

/// Each piece is due at its own time from the start, so that a late one does not delay all that follow.
async fn write_paced(connection: &mut TcpStream, pieces: &[Bytes], delay: Duration) -> std::io::Result<()> {
    let mut due = Instant::now();
    for piece in pieces {
        if !delay.is_zero() {
            due += delay;
            sleep_until(due).await;
        }
        connection.write_all(piece).await?;
    }
    Ok(())
}

enum Frame {
    /// The range of the body of a request that has arrived.
    Whole(std::ops::Range<usize>),
    /// More is to come; the whole takes at least so many bytes.
    Partial(usize),
    /// A request without a content-length, or none at all.
    Unframed,
}

fn frame(bytes: &[u8]) -> Frame {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Frame::Partial(0),
        Err(_) => return Frame::Unframed,
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
    match length {
        None => Frame::Unframed,
        Some(length) if head + length <= bytes.len() => Frame::Whole(head..head + length),
        Some(length) => Frame::Partial(head + length),
    }
}

/// Whether `"name": true` stands anywhere in the body, with or without white space.
fn is_true(body: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(body, name).any(|at| {
        let value = body[at + name.len()..].trim_ascii_start();
        value
            .strip_prefix(b":")
            .is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    })
}
