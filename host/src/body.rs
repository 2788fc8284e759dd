//! The body of an answer: known whole, or pulled out of an async function piece by piece.
//!
//! The function runs inside `poll_frame`, so a stream needs no channel; dropping the body drops the function where it stands,
//! and with it everything that it holds. A client that stops reading stops the function as well: who watches for that is a
//! task beside it, since nobody polls a body that nobody reads.

mod manners;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
pub use manners::Manners;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// A stream that must not end as if it were whole: the connection is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream broke")]
pub struct Broken;

/// Nobody took the next piece for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream was not read for {} ms", .0.as_millis())]
pub struct Stalled(pub Duration);

impl From<Stalled> for Broken {
    fn from(_: Stalled) -> Self {
        Self
    }
}

/// An answer's body.
pub enum Body {
    /// Known whole.
    Whole(Option<Bytes>),
    /// Made while it is sent.
    Pulled {
        /// Makes the pieces.
        work: Work,
        /// Where it leaves one.
        slot: Slot,
        /// Looks whether anybody reads.
        watch: Option<Watch>,
        /// Kept for as long as the body.
        held: Option<Box<dyn Send>>,
        /// What a stream of events does beside them.
        manners: Option<Box<Manners>>,
    },
}

type Made = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;
/// `None` once it has ended.
type Work = Arc<Mutex<Option<Made>>>;
type Slot = Arc<Mutex<Handover>>;

/// Between who makes the pieces and who takes them.
#[derive(Debug, Default)]
pub struct Handover {
    piece: Option<Bytes>,
    /// Since when nobody has asked for another piece.
    unread: Option<Instant>,
    stalled: Option<Stalled>,
}

/// Where an async function leaves the pieces of a body.
#[derive(Debug, Clone)]
pub struct Outlet(Slot);

impl Outlet {
    /// Hands a piece on. Returns when the next one is wanted, so nothing piles up, or when that has taken too long.
    pub async fn send(&self, piece: Bytes) -> Result<(), Stalled> {
        lock(&self.0).piece = Some(piece);
        let mut is_handed_on = false;
        // No waker is kept: whoever takes the piece polls the body again when it wants more.
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut is_handed_on, true) {
                Poll::Ready(lock(&self.0).stalled.map_or(Ok(()), Err))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// A task that ends with the body.
#[derive(Debug)]
pub struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends what makes a body once nobody has asked for a piece for so long, and says so to the connection.
async fn watch(work: Weak<Mutex<Option<Made>>>, slot: Slot, limit: Duration, connection: Option<Arc<Notify>>) {
    let mut left = limit;
    let running = loop {
        tokio::time::sleep(left).await;
        let Some(work) = work.upgrade() else { return };
        // Nobody asks for a piece while this is held.
        let mut work = lock(&work);
        let mut slot = lock(&slot);
        left = slot.unread.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
        if left.is_zero() {
            slot.stalled = Some(Stalled(limit));
            break work.take();
        }
    };
    // It has one thing left to do: to learn of it.
    if let Some(running) = running {
        let _ = running.await;
        connection.inspect(|connection| connection.notify_one());
    }
}

impl Body {
    /// A body that is known whole.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// A body that a function makes.
    pub fn pulled<F>(make: impl FnOnce(Outlet) -> F) -> Self
    where
        F: Future<Output = Result<(), Broken>> + Send + 'static,
    {
        let slot = Slot::default();
        let work: Made = Box::pin(make(Outlet(slot.clone())));
        Self::Pulled {
            work: Arc::new(Mutex::new(Some(work))),
            slot,
            watch: None,
            held: None,
            manners: None,
        }
    }

    /// Gives a stream of events its manners.
    pub fn with(mut self, given: Option<Manners>) -> Self {
        if let Self::Pulled { manners, .. } = &mut self {
            *manners = given.map(Box::new);
        }
        self
    }

    /// Keeps something for as long as pieces are made; what is known whole costs nobody anything any more.
    pub fn holding(mut self, something: impl Send + 'static) -> Self {
        if let Self::Pulled { held, .. } = &mut self {
            *held = Some(Box::new(something));
        }
        self
    }

    /// Does not let a client that reads no further keep open what makes the body: after so long without another piece being
    /// wanted, it is ended, and the connection, where it carries nothing else, is told.
    pub fn watched(mut self, limit: Duration, connection: impl FnOnce() -> Option<Arc<Notify>>) -> Self {
        if let Self::Pulled {
            work, slot, watch: own, ..
        } = &mut self
        {
            let task = tokio::spawn(watch(Arc::downgrade(work), slot.clone(), limit, connection()));
            *own = Some(Watch(task.abort_handle()));
        }
        self
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(
                bytes
                    .take()
                    .filter(|bytes| !bytes.is_empty())
                    .map(|bytes| Ok(Frame::data(bytes))),
            ),
            Self::Pulled {
                work, slot, manners, ..
            } => {
                if let Some(manners) = manners
                    && let Poll::Ready(last) = manners.poll_cut(context)
                {
                    // What makes the stream ends here, and books what it came to.
                    drop(lock(work).take());
                    return last.map_or(Poll::Pending, |last| Poll::Ready(Some(last.map(Frame::data))));
                }
                let mut work = lock(work);
                let Some(running) = work.as_mut() else {
                    let is_stalled = lock(slot).stalled.is_some();
                    return Poll::Ready(is_stalled.then_some(Err(Broken)));
                };
                lock(slot).unread = None;
                let ended = running.as_mut().poll(context);
                if ended.is_ready() {
                    *work = None;
                }
                let mut slot = lock(slot);
                match (slot.piece.take(), ended) {
                    (Some(piece), _) => {
                        manners.iter_mut().for_each(|manners| manners.has_spoken());
                        slot.unread = Some(Instant::now());
                        Poll::Ready(Some(Ok(Frame::data(piece))))
                    }
                    (None, Poll::Ready(Ok(()))) => Poll::Ready(None),
                    (None, Poll::Ready(Err(broken))) => Poll::Ready(Some(Err(broken))),
                    (None, Poll::Pending) => {
                        let beat = manners
                            .as_mut()
                            .map_or(Poll::Pending, |manners| manners.poll_beat(context));
                        beat.map(|beat| {
                            slot.unread = Some(Instant::now());
                            Some(Ok(Frame::data(beat)))
                        })
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pulled {
                work, slot, manners, ..
            } => {
                let is_cut = manners.as_ref().is_some_and(|manners| manners.is_cut());
                lock(work).is_none() && lock(slot).stalled.is_none() && !is_cut
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pulled { .. } => SizeHint::new(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => formatter
                .debug_tuple("Whole")
                .field(&bytes.as_ref().map(Bytes::len))
                .finish(),
            Self::Pulled { .. } => formatter.write_str("Pulled"),
        }
    }
}

/// Held while a piece is made, never while one is waited for.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_out_in_order_and_a_break_is_an_error() {
        let body = Body::pulled(|outlet| async move {
            outlet.send("one".into()).await?;
            tokio::task::yield_now().await;
            outlet.send("two".into()).await?;
            Err(Broken)
        });
        let mut body = std::pin::pin!(body);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        assert_eq!(body.frame().await.unwrap().unwrap_err(), Broken);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn dropping_a_body_drops_what_makes_it() {
        let held = Arc::new(());
        let inside = held.clone();
        let body = Body::pulled(|outlet| async move {
            outlet.send("one".into()).await?;
            drop(inside);
            Ok(())
        });
        let mut body = Box::pin(body);
        body.frame().await;
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }
    #[tokio::test]
    async fn a_body_that_nobody_reads_on_is_ended_and_its_connection_told() {
        let held = Arc::new(());
        let inside = held.clone();
        let connection = Arc::new(Notify::new());
        let limit = Duration::from_millis(1);
        let body = Body::pulled(|outlet| async move {
            // What is waited for in here is not held against the reader.
            tokio::time::sleep(10 * limit).await;
            let stalled = outlet.send("one".into()).await;
            assert_eq!(stalled, Err(Stalled(limit)));
            drop(inside);
            Err(Broken)
        });
        let mut body = Box::pin(body.watched(limit, || Some(connection.clone())));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        connection.notified().await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(!hyper::body::Body::is_end_stream(&*body));
        assert_eq!(body.frame().await.unwrap().unwrap_err(), Broken);
    }
}
