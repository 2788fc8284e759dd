//! Where a plugin's calls run. A pure plugin that keeps to its time is called right on the runtime's worker: that costs
//! nothing. One that imports WASI, or that once overran its time, is called on blocking threads, so that it stalls
//! nobody but its own callers; and of those that overran only a few at once, so that they cannot take every core.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::fault::Fault;

/// How long a call waits for its turn behind others that may overrun, in multiples of the deadline.
const PATIENCE: u32 = 8;

/// One loaded plugin's lane.
pub(super) struct Lane {
    uses_wasi: bool,
    overran: AtomicBool,
    turns: Semaphore,
    patience: Duration,
}

impl Lane {
    pub(super) fn new(uses_wasi: bool, call_time: Duration) -> Lane {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Lane {
            uses_wasi,
            overran: AtomicBool::new(false),
            turns: Semaphore::new((cores / 2).max(1)),
            patience: call_time * PATIENCE,
        }
    }

    /// Whether the next call may run on the caller's thread.
    pub(super) fn is_direct(&self) -> bool {
        !self.uses_wasi && !self.overran.load(Relaxed)
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
