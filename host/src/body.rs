//! The body of an answer: known whole, or pulled out of an async function piece by piece.
//!
//! The function runs inside `poll_frame`, so a stream needs no task and no channel; dropping the body drops the function
//! where it stands, and with it everything that it holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use thiserror::Error;

/// A stream that must not end as if it were whole: the connection is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream broke")]
pub struct Broken;

/// An answer's body.
pub enum Body {
    /// Known whole.
    Whole(Option<Bytes>),
    /// Made while it is sent.
    Pulled {
        /// Makes the pieces; `None` once it has ended.
        work: Option<Work>,
        /// Where it leaves one.
        slot: Slot,
    },
}

type Work = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;
type Slot = Arc<Mutex<Option<Bytes>>>;

/// Where an async function leaves the pieces of a body.
#[derive(Debug, Clone)]
pub struct Outlet(Slot);

impl Outlet {
    /// Hands a piece on. Returns when the next one is wanted, so nothing piles up.
    pub async fn send(&self, piece: Bytes) {
        *lock(&self.0) = Some(piece);
        let mut is_handed_on = false;
        // No waker is kept: whoever takes the piece polls the body again when it wants more.
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut is_handed_on, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
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
        let work: Work = Box::pin(make(Outlet(slot.clone())));
        Self::Pulled { work: Some(work), slot }
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
            Self::Pulled { work, slot } => {
                let Some(running) = work else { return Poll::Ready(None) };
                let ended = running.as_mut().poll(context);
                if ended.is_ready() {
                    *work = None;
                }
                let piece = lock(slot).take();
                match (piece, ended) {
                    (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                    (None, Poll::Ready(Ok(()))) => Poll::Ready(None),
                    (None, Poll::Ready(Err(broken))) => Poll::Ready(Some(Err(broken))),
                    (None, Poll::Pending) => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pulled { work, .. } => work.is_none(),
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

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Bytes>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_out_in_order_and_a_break_is_an_error() {
        let body = Body::pulled(|outlet| async move {
            outlet.send("one".into()).await;
            tokio::task::yield_now().await;
            outlet.send("two".into()).await;
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
            outlet.send("one".into()).await;
            drop(inside);
            Ok(())
        });
        let mut body = Box::pin(body);
        body.frame().await;
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
