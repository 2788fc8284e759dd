//! A body that follows its script. A task of its own takes the steps and hands the pieces over one at a time; the witness
//! tells the journal how it went, also when nobody reads to the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::wire::Breaker;
use super::{Outcome, Shared};
use crate::answer::{Answer, End, Step};

/// Tells the journal how an answer went.
pub(super) struct Witness {
    shared: Arc<Shared>,
    index: usize,
    outcome: Outcome,
}

impl Witness {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Witness {
        Witness {
            shared,
            index,
            outcome: Outcome::Abandoned,
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.settle(self.index, self.outcome);
    }
}

pub(super) struct ScriptedBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    script: AbortHandle,
    witness: Witness,
    is_unflushed: bool,
}

impl ScriptedBody {
    pub(super) fn start(answer: Answer, breaker: Breaker, witness: Witness) -> ScriptedBody {
        let (sender, pieces) = mpsc::channel(1);
        let script = tokio::spawn(play(answer, breaker, sender)).abort_handle();
        ScriptedBody {
            pieces,
            script,
            witness,
            is_unflushed: false,
        }
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.script.abort();
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper flushes when a body has nothing more at the moment, so that is said once after every piece.
        if std::mem::take(&mut self.is_unflushed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = ready!(self.pieces.poll_recv(cx));
        self.is_unflushed = true;
        match &next {
            Some(Ok(_)) => self.witness.shared.sent_piece(self.witness.index),
            _ => self.witness.outcome = Outcome::Finished,
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }
}

async fn play(answer: Answer, breaker: Breaker, pieces: mpsc::Sender<io::Result<Bytes>>) {
    for step in answer.body {
        match step {
            Step::Send(piece) if piece.is_empty() => {}
            Step::Send(piece) => {
                if pieces.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            waiting => take(&[waiting]).await,
        }
    }
    match answer.end {
        End::Whole => {}
        End::Close => {
            _ = pieces
                .send(Err(io::Error::other("the script closes the connection")))
                .await
        }
        End::Reset => {
            breaker.reset();
            _ = pieces
                .send(Err(io::Error::other("the script resets the connection")))
                .await;
        }
        End::Hang => std::future::pending().await,
    }
}

/// Takes the steps that only wait.
pub(super) async fn take(steps: &[Step]) {
    for step in steps {
        match step {
            Step::Hold(gate) => gate.pass().await,
            Step::Sleep(duration) => tokio::time::sleep(*duration).await,
            Step::Send(_) => {}
        }
    }
}
