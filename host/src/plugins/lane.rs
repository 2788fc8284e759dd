//! Where a plugin's calls run. A pure plugin that keeps to its time is called right on the runtime's worker: that costs
//! nothing. One that imports WASI, or that overran its time of late, is called on blocking threads, so that it stalls
//! nobody but its own callers; and of those that overran only a few at once, so that they cannot take every core. So is
//! one that may ask models: its thread waits, while the caller asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant as Moment};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::asking::{Asking, Line, Models, Terms, Turn};
use super::fault::Fault;

/// How long a call waits for its turn behind others that may overrun, in multiples of the deadline.
const PATIENCE: u32 = 8;
/// How long it is remembered that a call overran its time. A plugin that always does so stalls a worker for one call in a
/// minute; one that did while the machine was busy is soon called again as fast as before.
const MEMORY: Duration = Duration::from_secs(60);

/// One loaded plugin's lane.
pub(super) struct Lane {
    may_wait: bool,
    began: Moment,
    /// Until when the last overrun is remembered, in milliseconds from `began`.
    suspect_until_ms: AtomicU64,
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl Lane {
    /// `may_wait` is for plugins whose calls may block their thread.
    pub(super) fn new(may_wait: bool, call_time: Duration) -> Lane {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Lane {
            may_wait,
            began: Moment::now(),
            suspect_until_ms: AtomicU64::new(0),
            turns: Arc::new(Semaphore::new((cores / 2).max(1))),
            patience: call_time * PATIENCE,
        }
    }

    /// Whether the next call may run on the caller's thread.
    pub(super) fn is_direct(&self) -> bool {
        !self.may_wait && !self.is_suspect(Moment::now)
    }

    /// Remembers that a call overran its time.
    pub(super) fn note<T>(&self, outcome: &Result<T, Fault>) {
        if matches!(outcome, Err(Fault::Deadline(_))) {
            self.suspect_until_ms
                .fetch_max(self.milliseconds(Moment::now() + MEMORY), Relaxed);
        }
    }

    /// Runs a call on a blocking thread, when it is its turn. The turn ends with the call, whether or not anybody waits for
    /// it any more.
    pub(super) async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let turn = self.turn().await?;
        let work = move || {
            let _turn = turn;
            work()
        };
        spawn_blocking(work)
            .await
            .map_err(|error| Fault::Host(error.to_string()))
    }

    /// Runs a call on a blocking thread, and asks what it asks here: dropping this takes its asks back.
    pub(super) async fn asking<T: Send + 'static>(
        &self,
        terms: Arc<Terms>,
        models: &dyn Models,
        work: impl FnOnce(Asking) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (line, mut errands) = Line::new(terms, self.turn().await?);
        let mut work = spawn_blocking(move || work(Asking::Line(line)));
        loop {
            tokio::select! {
                ended = &mut work => return ended.map_err(|error| Fault::Host(error.to_string())),
                Some(errand) = errands.recv() => {
                    drop(errand.turn);
                    let replies = models.ask_all(errand.asks).await;
                    let turn = self.turn().await?;
                    // Nobody takes them where the call was given up meanwhile.
                    let _ = errand.answer_to.send((replies, turn));
                }
            }
        }
    }

    async fn turn(&self) -> Result<Turn, Fault> {
        if !self.is_suspect(Moment::now) {
            return Ok(None);
        }
        match timeout(self.patience, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            _ => Err(Fault::Busy),
        }
    }

    /// Looks at the clock only where there was an overrun at all.
    fn is_suspect(&self, now: impl FnOnce() -> Moment) -> bool {
        let until = self.suspect_until_ms.load(Relaxed);
        until > 0 && self.milliseconds(now()) < until
    }

    fn milliseconds(&self, at: Moment) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn overran() -> Result<(), Fault> {
        Err(Fault::Deadline(1))
    }

    #[test]
    fn an_overrun_is_forgiven_after_a_minute_without_another() {
        let lane = Lane::new(false, Duration::from_secs(1));
        assert!(lane.is_direct());
        lane.note(&overran());
        assert!(!lane.is_direct());
        assert!(lane.is_suspect(|| Moment::now() + MEMORY / 2));
        assert!(!lane.is_suspect(|| Moment::now() + MEMORY));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_give_away_the_turn_of_a_call_that_still_runs() {
        let lane = Arc::new(Lane::new(false, Duration::from_secs(60)));
        lane.note(&overran());
        let turns = lane.turns.available_permits();
        let (started, has_started) = mpsc::sync_channel(turns);
        let mut ends = Vec::new();
        for _ in 0..turns {
            let (end, ended) = mpsc::sync_channel::<()>(1);
            ends.push(end);
            let (lane, started) = (lane.clone(), started.clone());
            let caller = tokio::spawn(async move {
                let work = move || {
                    started.send(()).unwrap();
                    let _ = ended.recv();
                };
                lane.aside(work).await
            });
            while has_started.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
        }
        assert_eq!(lane.turns.available_permits(), 0);
        drop(ends);
        assert_eq!(lane.aside(|| 1).await, Ok(1));
    }
}
