//! A connection's bytes on their way to hyper and back. Over HTTP/1.1 hyper gets one request at a time, and only what
//! [`Framing`] lets through: the next one waits until the answer to this one is over, so that a client which leaves is noticed
//! whatever it has sent before. Here is also who waits too long: for the rest of a head, and for a client to read; and that no
//! more of an answer is taken while a client reads slowly than hyper has to have.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
/// What is read of a connection before it is known which version of HTTP is spoken: mostly a whole head.
const FIRST_BYTES: usize = 2 << 10;
/// What a client says first that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// So much of an answer may wait to be written: hyper by itself would first fill a buffer that has room for the longest head. The
/// last piece may go beyond.
const HANDED_BYTES: usize = 16 << 10;
/// What no reader of HTTP takes, in a head or between chunks: hyper answers with 400, or gives the body up, and closes.
const POISON: &[u8] = b"\0\r\n\r\n";

/// Whose turn it is on a connection over HTTP/1.1.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Requests that have come whole.
    asked: AtomicUsize,
    /// Answers that are over. One may be before its request has come whole.
    answered: AtomicUsize,
    /// Some of a next request has come, and is read when the answer to this one is over.
    has_more: AtomicBool,
    reader: AtomicWaker,
    /// Of answers, since all there was had been written last: what was handed on, and what was written of it.
    handed: AtomicUsize,
    written: AtomicUsize,
    /// The client has not taken all that there was.
    is_behind: AtomicBool,
    writer: AtomicWaker,
}

impl Turn {
    fn is_answering(&self) -> bool {
        self.asked.load(Ordering::Acquire) > self.answered.load(Ordering::Acquire)
    }

    /// How much of what was handed on has not been written: no more than it says, since HTTP adds to what is written.
    fn unwritten(&self) -> usize {
        let handed = self.handed.load(Ordering::Acquire);
        handed.saturating_sub(self.written.load(Ordering::Acquire))
    }

    /// So much was written of so much.
    fn written(&self, written: usize, offered: usize) {
        let is_behind = written < offered;
        self.is_behind.store(is_behind, Ordering::Release);
        if is_behind {
            self.written.fetch_add(written, Ordering::AcqRel);
        } else {
            self.handed.store(0, Ordering::Release);
            self.written.store(0, Ordering::Release);
        }
        if self.unwritten() < HANDED_BYTES {
            self.writer.wake();
        }
    }

    /// Waits until the client has taken most of what it was handed.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.unwritten() < HANDED_BYTES {
            return Poll::Ready(());
        }
        match self.is_behind.load(Ordering::Acquire) {
            true => self.writer.register(context.waker()),
            // It has not been tried yet. hyper does when there is nothing more for the moment.
            false => context.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

/// An answer's body; when it is dropped, the answer is over.
pub(super) struct Answer {
    body: Body,
    turn: Arc<Turn>,
    /// Whether there may be others beside it, over HTTP/2, which has windows for what is not read.
    is_alone: bool,
    _asked: Asked,
}

impl Answer {
    pub(super) fn new(body: Body, turn: Arc<Turn>, is_alone: bool, asked: Asked) -> Self {
        Self {
            body,
            turn,
            is_alone,
            _asked: asked,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.turn.answered.fetch_add(1, Ordering::AcqRel);
        // What comes from now on wakes by itself.
        if self.turn.has_more.swap(false, Ordering::AcqRel) {
            self.turn.reader.wake();
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let answer = self.get_mut();
        if answer.is_alone {
            ready!(answer.turn.poll_room(context));
        }
        let frame = Pin::new(&mut answer.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            answer.turn.handed.fetch_add(data.len(), Ordering::Relaxed);
        }
        frame
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
    /// Reads as much as tells which version of HTTP the client speaks: whether it is HTTP/2. hyper could find out as well, and would
    /// then hold a buffer of twice the size for as long as the connection is open.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        poll_fn(|context| {
            loop {
                let compared = self.held.len().min(PREFACE.len());
                if self.held[..compared] != PREFACE[..compared] {
                    return Poll::Ready(Ok(false));
                }
                if compared == PREFACE.len() {
                    return Poll::Ready(Ok(true));
                }
                let mut space = [0; FIRST_BYTES];
                let mut space = ReadBuf::new(&mut space);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut space))?;
                if space.filled().is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.held.extend_from_slice(space.filled());
            }
        })
        .await
    }

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
        if wire.framing.is_transparent() && wire.held.is_empty() {
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
                let gone = wire.poll_gone(context);
                wire.turn.has_more.store(!wire.held.is_empty(), Ordering::Release);
                return gone;
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

fn taken(written: &Poll<io::Result<usize>>) -> usize {
    match written {
        Poll::Ready(Ok(count)) => *count,
        _ => 0,
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.turn.written(taken(&written), bytes.len());
        wire.in_time(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write_vectored(context, parts);
        let offered = parts.iter().map(|part| part.len()).sum();
        wire.turn.written(taken(&written), offered);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::task::{ArcWake, waker};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const FAR: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn which_version_is_spoken_shows_in_whatever_pieces_it_comes_and_nothing_of_it_is_lost() {
        for (said, is_http2) in [
            (PREFACE, true),
            (b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", false),
            (b"PRI * HTTP/1.1\r\n\r\n", false),
        ] {
            for piece in [1, 5, said.len()] {
                let (mut client, server) = tokio::io::duplex(piece);
                let mut wire = Wire::new(server, Arc::default(), FAR, FAR);
                let speaking = async { client.write_all(said).await.map(|()| client) };
                let (client, http2) = tokio::join!(speaking, async {
                    let http2 = wire.speaks_http2().await.unwrap();
                    let mut seen = vec![0; said.len()];
                    wire.read_exact(&mut seen).await.unwrap();
                    assert_eq!(seen, said);
                    http2
                });
                assert_eq!(http2, is_http2, "{said:?} in pieces of {piece}");
                drop(client);
            }
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl ArcWake for Woken {
        fn wake_by_ref(woken: &Arc<Self>) {
            woken.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_more_of_an_answer_is_taken_while_much_of_it_waits_for_its_client() {
        let (turn, woken) = (Turn::default(), Arc::<Woken>::default());
        let waker = waker(woken.clone());
        let mut context = Context::from_waker(&waker);
        let times = || woken.0.swap(0, Ordering::Relaxed);
        assert!(turn.poll_room(&mut context).is_ready());
        turn.handed.fetch_add(3 * HANDED_BYTES, Ordering::Relaxed);
        assert!(turn.poll_room(&mut context).is_pending());
        assert_eq!(times(), 1, "nobody has tried to write it");
        turn.written(HANDED_BYTES, 3 * HANDED_BYTES);
        assert!(turn.poll_room(&mut context).is_pending());
        turn.written(0, 2 * HANDED_BYTES);
        assert_eq!(times(), 0, "the client has not read enough");
        turn.written(HANDED_BYTES + 1, 2 * HANDED_BYTES);
        assert_eq!(times(), 1);
        assert!(turn.poll_room(&mut context).is_ready());
        turn.written(HANDED_BYTES - 1, HANDED_BYTES - 1);
        assert_eq!(turn.unwritten(), 0);
    }
}
