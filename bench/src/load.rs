//! The load generator: closed loops (each connection asks again as soon as it is answered) and open loops (requests are due
//! at fixed times). A late request of an open loop is timed from when it was due, so that a stall is charged to all who
//! waited for it: there is no coordinated omission.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::pacer::Pacer;
use crate::tally::{Expected, Tally};

/// No phase sends more than this, however fast the answers come.
const MOST_REQUESTS: u64 = 5_000_000;
/// How long the last replies of a phase may take after its end.
const GRACE: Duration = Duration::from_secs(10);
/// A worker whose connection fails so often in a row gives up, rather than spin on a server that is gone.
const MOST_FAILURES: u32 = 20;

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrivals {
    /// As soon as the connection's last one is answered.
    Closed,
    /// So many a second, evenly spaced, over whichever connection is free.
    Open(u32),
}

/// A set of connections to one target that ask for one thing.
pub(crate) struct Load {
    workers: Vec<Worker>,
    job: Arc<Job>,
}

struct Job {
    request: Bytes,
    expected: Expected,
    arrivals: Arrivals,
}

struct Worker {
    connection: Connection,
    pacer: Pacer,
}

/// One phase, shared by its workers.
struct Phase {
    start: Instant,
    end: Instant,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

impl Load {
    /// Prepares `connections` connections; they open with their first request.
    pub(crate) fn new(
        target: SocketAddr,
        connections: usize,
        arrivals: Arrivals,
        request: Bytes,
        expected: Expected,
    ) -> Result<Self> {
        let worker = |_| {
            Ok(Worker {
                connection: Connection::new(target),
                pacer: Pacer::new()?,
            })
        };
        let workers = (0..connections).map(worker).collect::<Result<_>>()?;
        Ok(Self {
            workers,
            job: Arc::new(Job {
                request,
                expected,
                arrivals,
            }),
        })
    }

    /// Sends for so long, waits for the last replies and says what was seen.
    pub(crate) async fn run(&mut self, span: Duration) -> Result<Tally> {
        let start = Instant::now();
        let tally = Mutex::new(Tally::default());
        let phase = Arc::new(Phase {
            start,
            end: start + span,
            next: AtomicU64::new(0),
            tally,
        });
        let mut tasks = JoinSet::new();
        for worker in self.workers.drain(..) {
            tasks.spawn(worker.work(Arc::clone(&self.job), Arc::clone(&phase)));
        }
        let finish = async {
            while let Some(worker) = tasks.join_next().await {
                self.workers.push(worker?);
            }
            Ok::<_, anyhow::Error>(())
        };
        match timeout(span + GRACE, finish).await {
            Ok(finished) => finished?,
            Err(_) => bail!("replies are missing {GRACE:?} after the end of the load"),
        }
        Ok(std::mem::take(
            &mut *phase.tally.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// How often connections were opened, beyond once each.
    pub(crate) fn reopened(&self) -> u64 {
        self.workers
            .iter()
            .map(|worker| worker.connection.opened.saturating_sub(1))
            .sum()
    }
}

impl Worker {
    async fn work(mut self, job: Arc<Job>, phase: Arc<Phase>) -> Self {
        let mut failures = 0;
        while failures < MOST_FAILURES
            && let Some(due) = self.next_due(&job, &phase).await
        {
            let reply = self.connection.exchange(&job.request).await;
            failures = if reply.is_err() { failures + 1 } else { 0 };
            phase
                .tally
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(due, job.expected, reply);
        }
        self
    }

    /// Takes the next turn of the phase and waits for its time; none when the phase is over.
    async fn next_due(&mut self, job: &Job, phase: &Phase) -> Option<Instant> {
        let turn = phase.next.fetch_add(1, Ordering::Relaxed);
        if turn >= MOST_REQUESTS {
            return None;
        }
        let due = match job.arrivals {
            Arrivals::Closed => Instant::now(),
            Arrivals::Open(per_second) => {
                phase.start + Duration::from_nanos(turn * 1_000_000_000 / u64::from(per_second))
            }
        };
        if due >= phase.end {
            return None;
        }
        self.pacer.until(due).await.ok()?;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;
    use crate::mock::{Mock, Pace};
    use crate::{contender, floor, wire};

    const WHOLE: Expected = Expected::Whole(1000);

    fn load(target: SocketAddr, arrivals: Arrivals, stream: bool, expected: Expected) -> Load {
        Load::new(target, 4, arrivals, wire::request(target, 1024, stream), expected).unwrap()
    }

    async fn run(target: SocketAddr, arrivals: Arrivals, stream: bool, expected: Expected) -> Tally {
        load(target, arrivals, stream, expected)
            .run(Duration::from_millis(100))
            .await
            .unwrap()
    }

    /// The counts as (good, bad, failed).
    fn counts(tally: &Tally) -> (u64, u64, u64) {
        (tally.good, tally.bad, tally.failed)
    }

    async fn floor_over(mock: &Mock) -> SocketAddr {
        let listen = contender::free_address().unwrap();
        tokio::spawn(floor::serve(listen, mock.address));
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
        listen
    }

    #[tokio::test]
    async fn whole_answers_come_good_from_the_mock_and_through_the_floor() {
        let mock = Mock::start(Pace::default()).await.unwrap();
        for target in [mock.address, floor_over(&mock).await] {
            let tally = run(target, Arrivals::Closed, false, WHOLE).await;
            assert!(tally.good > 0 && tally.bad + tally.failed == 0, "{:?}", tally.complaint);
        }
    }

    #[tokio::test]
    async fn streams_come_whole_through_the_floor_with_and_without_a_delay() {
        for delay in [Duration::ZERO, Duration::from_millis(2)] {
            let mock = Mock::start(Pace {
                content_events: 5,
                delay,
            })
            .await
            .unwrap();
            let tally = run(floor_over(&mock).await, Arrivals::Closed, true, Expected::Events(8)).await;
            assert!(tally.good > 0 && tally.bad + tally.failed == 0, "{:?}", tally.complaint);
            assert_eq!((tally.done, tally.events), (tally.good, 8 * tally.good));
        }
    }

    #[tokio::test]
    async fn a_stream_that_lacks_an_event_is_bad() {
        let mock = Mock::start(Pace {
            content_events: 4,
            delay: Duration::ZERO,
        })
        .await
        .unwrap();
        let tally = run(mock.address, Arrivals::Closed, true, Expected::Events(8)).await;
        assert!(tally.bad > 0 && tally.good == 0);
    }

    #[tokio::test]
    async fn an_open_loop_sends_every_request_that_is_due_and_no_other() {
        let mock = Mock::start(Pace::default()).await.unwrap();
        let tally = run(mock.address, Arrivals::Open(200), false, WHOLE).await;
        assert_eq!(counts(&tally), (20, 0, 0));
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
        let address = serve(Duration::from_millis(20), wire::completion(), false).await;
        let mut load = load(address, Arrivals::Open(200), false, WHOLE);
        load.workers.truncate(1);
        let tally = load.run(Duration::from_millis(100)).await.unwrap();
        assert_eq!(counts(&tally), (20, 0, 0));
        // The tenth is due after 45 ms and cannot be answered before ten stalls of 20 ms on the only connection.
        assert!(
            tally.total.quantile_us(0.5) >= Some(154_000.0),
            "{:?}",
            tally.total.quantile_us(0.5)
        );
    }

    #[tokio::test]
    async fn replies_that_are_cut_off_are_failures_and_end_the_load() {
        let cut = wire::completion().slice(..500);
        let address = serve(Duration::ZERO, cut, true).await;
        let tally = run(address, Arrivals::Closed, false, WHOLE).await;
        let (good, bad, failed) = counts(&tally);
        assert!(
            good == 0 && bad == 0 && (1..=4 * u64::from(MOST_FAILURES)).contains(&failed),
            "{failed} failures"
        );
    }

    #[tokio::test]
    async fn usage_is_streamed_when_it_was_asked_for_and_only_then() {
        let mock = Mock::start(Pace {
            content_events: 3,
            delay: Duration::ZERO,
        })
        .await
        .unwrap();
        let mut connection = Connection::new(mock.address);
        for (options, events) in [("", 6), (r#","stream_options": {"include_usage": true}"#, 7)] {
            let body = format!(r#"{{"stream" : true{options}}}"#);
            let request = format!(
                "POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let reply = connection.exchange(request.as_bytes()).await.unwrap();
            assert_eq!((reply.status, reply.events, reply.done), (200, events, true), "{body}");
        }
    }

    /// A server that reads a request, waits, writes the bytes, and then hangs up or reads the next.
    async fn serve(wait: Duration, answer: Bytes, hang_up: bool) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    sleep(wait).await;
                    if stream.write_all(&answer).await.is_err() || hang_up {
                        break;
                    }
                }
            }
        });
        address
    }
}
