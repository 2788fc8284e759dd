//! How long requests that begin keep the threads that serve, where there is more to begin than can be begun. Looking at a clock is not for
//! nothing: it is done only then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Of all threads together.
#[derive(Debug, Default)]
pub(super) struct Clock {
    is_counting: AtomicBool,
    nanoseconds: AtomicU64,
}

impl Clock {
    pub(super) fn is_counting(&self) -> bool {
        self.is_counting.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, is_counting: bool) {
        self.is_counting.store(is_counting, Ordering::Relaxed);
    }

    /// What was counted since this was asked last.
    pub(super) fn take(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.swap(0, Ordering::Relaxed))
    }

    pub(super) fn timed<F>(self: &Arc<Self>, future: F) -> Timed<F> {
        Timed {
            clock: self.clone(),
            future,
        }
    }
}

/// A future whose own time is counted: not that in which it waits.
pub(super) struct Timed<F> {
    clock: Arc<Clock>,
    future: F,
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.clock.is_counting() {
            return Pin::new(&mut self.future).poll(context);
        }
        let began = Instant::now();
        let polled = Pin::new(&mut self.future).poll(context);
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.clock.nanoseconds.fetch_add(took, Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_future_does_is_counted_and_what_it_waits_for_is_not() {
        let clock = Arc::<Clock>::default();
        let work = || {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                std::thread::sleep(Duration::from_millis(3));
                7
            })
        };
        assert_eq!(clock.timed(work()).await, 7);
        assert_eq!(clock.take(), Duration::ZERO, "nobody asked for it");
        clock.count(true);
        let began = Instant::now();
        clock.timed(work()).await;
        let counted = clock.take();
        assert!(counted >= Duration::from_millis(3), "{counted:?}");
        assert!(counted + Duration::from_millis(29) <= began.elapsed(), "{counted:?}");
        assert_eq!(clock.take(), Duration::ZERO);
    }
}
