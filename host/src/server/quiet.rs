//! How long nothing has been asked for on a connection that carries several requests at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is under way on one connection. Before its first request nothing is known, and it is not quiet.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    since: Option<Instant>,
}

/// A request, until its answer is over or given up.
#[derive(Debug)]
pub(super) struct Asked(Arc<Quiet>);

impl Quiet {
    pub(super) fn asked(self: &Arc<Self>) -> Asked {
        let mut state = self.state();
        state.under_way += 1;
        state.since = None;
        Asked(self.clone())
    }

    /// Returns once nothing has been under way for so long.
    pub(super) async fn lasts(&self, limit: Duration) {
        let mut left = limit;
        while !left.is_zero() {
            tokio::time::sleep(left).await;
            let since = self.state().since;
            left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
        }
    }

    /// Held for a few instructions only.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        if state.under_way == 0 {
            state.since = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_quiet_only_so_long_after_the_last_of_all_requests() {
        let limit = Duration::from_millis(20);
        let quiet = Arc::new(Quiet::default());
        let lasts = async |within| tokio::time::timeout(within, quiet.lasts(limit)).await.is_ok();
        assert!(!lasts(10 * limit).await, "nothing has been asked for yet");
        let (first, second) = (quiet.asked(), quiet.asked());
        drop(first);
        assert!(!lasts(10 * limit).await);
        drop(second);
        std::thread::sleep(limit);
        assert!(lasts(2 * limit).await);
    }
}
