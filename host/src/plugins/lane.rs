//! Where a plugin's calls run. A pure plugin that keeps to its time is called right on the runtime's worker: that costs
//! nothing. One that imports WASI, or that once overran its time, is called on blocking threads, so that it stalls
//! nobody but its own callers; and of those that overran only a few at once, so that they cannot take every core. So is
//! one that may ask models: its thread waits, while the caller asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::asking::{Asking, Line, Models, Terms};
use super::fault::Fault;

/// How long a call waits for its turn behind others that may overrun, in multiples of the deadline.
const PATIENCE: u32 = 8;

/// One loaded plugin's lane.
pub(super) struct Lane {
    may_wait: bool,
    overran: AtomicBool,
    turns: Semaphore,
    patience: Duration,
}

impl Lane {
    /// `may_wait` is for plugins whose calls may block their thread.
    pub(super) fn new(may_wait: bool, call_time: Duration) -> Lane {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Lane {
            may_wait,
            overran: AtomicBool::new(false),
            turns: Semaphore::new((cores / 2).max(1)),
            patience: call_time * PATIENCE,
        }
    }

    /// Whether the next call may run on the caller's thread.
    pub(super) fn is_direct(&self) -> bool {
        !self.may_wait && !self.overran.load(Relaxed)
    }

    /// Remembers that a call overran its time.
    pub(super) fn note<T>(&self, outcome: &Result<T, Fault>) {
        if matches!(outcome, Err(Fault::Deadline(_))) {
            self.overran.store(true, Relaxed);
        }
    }

    /// Runs a call on a blocking thread, when it is its turn.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let _turn = self.turn().await?;
        match spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Fault::Host(error.to_string())),
        }
    }

    /// Runs a call on a blocking thread, and asks what it asks here: dropping this takes its asks back.
    pub(super) async fn asking<T: Send + 'static>(
        &self,
        terms: Arc<Terms>,
        models: &dyn Models,
        work: impl FnOnce(Asking) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (line, mut errands) = Line::new(terms);
        let mut turn = self.turn().await?;
        let mut work = spawn_blocking(move || work(Asking::Line(line)));
        loop {
            tokio::select! {
                ended = &mut work => return ended.unwrap_or_else(|error| Err(Fault::Host(error.to_string()))),
                Some(errand) = errands.recv() => {
                    // Whoever waits needs no core.
                    drop(turn);
                    let replies = models.ask_all(errand.asks).await;
                    turn = self.turn().await?;
                    // Nobody takes them where the call was given up meanwhile.
                    let _ = errand.answer_to.send(replies);
                }
            }
        }
    }

    async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, Fault> {
        if !self.overran.load(Relaxed) {
            return Ok(None);
        }
        match timeout(self.patience, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            _ => Err(Fault::Busy),
        }
    }
}
