//! A connection's bytes on their way to hyper and back. Over HTTP/1.1 hyper gets one request at a time, and only what
//! [`Framing`] lets through: the next one waits until the answer to this one is over, so that a client which leaves is noticed
//! whatever it has sent before. Here is also who waits too long: for the rest of a head, and for a client to read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::framing::{Framing, Verdict};
use super::quiet::Asked;
use crate::body::{Body, Broken};

/// So much of further requests is kept while one is answered. Who sends more waits.
const HELD_BYTES: usize = 16 << 10;
/// What no reader of HTTP takes, in a head or between chunks: hyper answers with 400, or gives the body up, and closes.
const POISON: &[u8] = b"\0\r\n\r\n";

/// Whose turn it is on a connection over HTTP/1.1.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Requests that have come whole.
    asked: AtomicUsize,
    /// Answers that are over. One may be before its request has come whole.
    answered: AtomicUsize,
    reader: AtomicWaker,
}

impl Turn {
    fn is_answering(&self) -> bool {
        self.asked.load(Ordering::Acquire) > self.answered.load(Ordering::Acquire)
    }
}

/// An answer's body; when it is dropped, the answer is over.
pub(super) struct Answer {
    body: Body,
    turn: Arc<Turn>,
    /// Where there may be others beside it.
    _asked: Option<Asked>,
}

impl Answer {
    pub(super) fn new(body: Body, turn: Arc<Turn>, asked: Option<Asked>) -> Self {
        Self {
            body,
            turn,
            _asked: asked,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.turn.answered.fetch_add(1, Ordering::AcqRel);
        self.turn.reader.wake();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A time that runs while something is waited for.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Whether it is over; begins when it is asked first.
    fn poll(&mut self, limit: Duration, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(limit)));
        sleep.as_mut().poll(context)
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

/// The bytes of a connection.
pub(super) struct Wire<S> {
    stream: S,
    framing: Framing,
    turn: Arc<Turn>,
    /// Of further requests.
    held: BytesMut,
    poison: &'static [u8],
    head: Timer,
    head_limit: Duration,
    unread: Timer,
    unread_limit: Duration,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, turn: Arc<Turn>, head_limit: Duration, unread_limit: Duration) -> Self {
        Self {
            stream,
            framing: Framing::default(),
            turn,
            held: BytesMut::new(),
            poison: &[],
            head: Timer::default(),
            head_limit,
            unread: Timer::default(),
            unread_limit,
        }
    }

    /// How many of these bytes hyper may see now.
    fn look(&mut self, bytes: &[u8]) -> usize {
        let seen = match self.framing.take(bytes) {
            Verdict::More => bytes.len(),
            Verdict::Ends(at) => {
                self.turn.asked.fetch_add(1, Ordering::AcqRel);
                at
            }
            Verdict::Wrong(at) => {
                self.poison = POISON;
                at
            }
        };
        if !self.framing.is_in_head() {
            self.head.stop();
        }
        seen
    }

    /// As much of the poison as there is room for.
    fn spoil(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.poison.len().min(buffer.remaining());
        let (now, later) = self.poison.split_at(length);
        buffer.put_slice(now);
        self.poison = later;
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// While an answer is made: whether the client is still there. What else it says is kept for later.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < HELD_BYTES {
            let mut space = [0; 1 << 10];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(space.filled());
        }
        Poll::Pending
    }

    fn poll_more(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let offered = self.held.len().min(buffer.remaining());
            let mut held = std::mem::take(&mut self.held);
            let seen = self.look(&held[..offered]);
            buffer.put_slice(&held[..seen]);
            held.advance(seen);
            if !held.is_empty() {
                self.held = held;
            }
            self.spoil(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() && self.framing.is_in_head() {
            ready!(self.head.poll(self.head_limit, context));
            return Poll::Ready(Err(too_slow("the rest of a head did not come in time")));
        }
        ready!(read)?;
        let seen = self.look(&buffer.filled()[before..]);
        if !self.framing.is_wrong() {
            self.held.extend_from_slice(&buffer.filled()[before + seen..]);
        }
        buffer.set_filled(before + seen);
        self.spoil(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.framing.is_transparent() {
            return Pin::new(&mut wire.stream).poll_read(context, buffer);
        }
        if wire.framing.is_wrong() {
            // Without any poison left it is the end.
            wire.spoil(buffer);
            return Poll::Ready(Ok(()));
        }
        if wire.framing.has_ended() {
            wire.turn.reader.register(context.waker());
            if wire.turn.is_answering() {
                return wire.poll_gone(context);
            }
            wire.framing.begin();
        }
        wire.poll_more(context, buffer)
    }
}

impl<S> Wire<S> {
    /// What is not taken in time is not waited for.
    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            ready!(self.unread.poll(self.unread_limit, context));
            return Poll::Ready(Err(too_slow("the client does not read")));
        }
        self.unread.stop();
        written
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.in_time(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write_vectored(context, parts);
        wire.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let flushed = Pin::new(&mut wire.stream).poll_flush(context);
        wire.in_time(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let closed = Pin::new(&mut wire.stream).poll_shutdown(context);
        wire.in_time(closed, context)
    }
}
