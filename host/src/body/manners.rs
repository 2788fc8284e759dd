//! What a stream of events does beside them: while it has nothing to say, it says that it is still there; when the gateway
//! stops before the stream has ended, it says that, and breaks off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::Broken;

/// An abort throws away what has not been written to the client yet, so what was said last gets this head start.
const HEAD_START: Duration = Duration::from_millis(100);

/// How a stream behaves.
pub struct Manners {
    every: Option<Duration>,
    /// What it says then.
    word: Bytes,
    /// Runs since the last piece.
    beat: Option<Pin<Box<Sleep>>>,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What it ends with, before it has said anything and afterwards.
    last: [Bytes; 2],
    has_spoken: bool,
    leaving: Option<Pin<Box<Sleep>>>,
}

impl Manners {
    /// This word after so long a silence, and these last words once `cut` is true: the first of them where nothing was said before.
    pub fn new(every: Option<Duration>, word: Bytes, mut cut: watch::Receiver<bool>, last: [Bytes; 2]) -> Self {
        Self {
            every,
            word,
            beat: None,
            cut: Some(Box::pin(async move {
                if cut.wait_for(|cut| *cut).await.is_err() {
                    // Nobody is left to say so.
                    std::future::pending::<()>().await;
                }
            })),
            last,
            has_spoken: false,
            leaving: None,
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.leaving.is_some()
    }

    /// Once the stream is cut off: its last words, then nothing for a moment, then the break.
    pub(super) fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(cut) = &mut self.cut {
            ready!(cut.as_mut().poll(context));
            self.cut = None;
            self.leaving = Some(Box::pin(sleep(HEAD_START)));
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.last[usize::from(self.has_spoken)]))));
        }
        let left = self.leaving.as_mut().map(|leaving| leaving.as_mut().poll(context));
        Poll::Ready(match left {
            Some(Poll::Pending) => None,
            _ => Some(Err(Broken)),
        })
    }

    pub(super) fn has_spoken(&mut self) {
        self.has_spoken = true;
        if let (Some(beat), Some(every)) = (&mut self.beat, self.every) {
            beat.as_mut().reset(Instant::now() + every);
        }
    }

    /// A beat, if it has been silent for so long.
    pub(super) fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(every) = self.every else { return Poll::Pending };
        let beat = self.beat.get_or_insert_with(|| Box::pin(sleep(every)));
        ready!(beat.as_mut().poll(context));
        beat.as_mut().reset(Instant::now() + every);
        Poll::Ready(self.word.clone())
    }
}
