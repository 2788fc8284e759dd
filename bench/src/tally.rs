//! What one phase of load has seen: every request is in exactly one of `good`, `bad` and `failed`.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::Reply;

const LONGEST: Duration = Duration::from_secs(120);

/// What makes a reply good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// Status 200 and a body of at least so many bytes.
    Whole(usize),
    /// Status 200, exactly so many events, and `[DONE]` as the last of them.
    Events(u32),
}

/// Durations in nanoseconds, to three digits.
pub(crate) struct Durations(Histogram<u64>);

/// Counts and durations of one phase.
#[derive(Default)]
pub(crate) struct Tally {
    /// Replies that were all they should be.
    pub good: u64,
    /// Replies that came but were not good.
    pub bad: u64,
    /// Requests without a complete reply.
    pub failed: u64,
    /// Replies that ended in `[DONE]`.
    pub done: u64,
    /// From when a request was due to the end of its reply.
    pub total: Durations,
    /// From when a request was due to the first byte of its reply's body.
    pub first_byte: Durations,
    /// Between two reads that brought events of one stream.
    pub gaps: Durations,
    /// Server-sent events, and the reads that brought at least one.
    pub events: u64,
    /// See `events`.
    pub reads: u64,
    /// The first thing that went wrong, for people.
    pub complaint: Option<String>,
}

impl Tally {
    /// Takes note of one request that was due at `due`.
    pub(crate) fn note(&mut self, due: Instant, expected: Expected, reply: std::io::Result<Reply>) {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                self.failed += 1;
                self.complaint.get_or_insert_with(|| error.to_string());
                return;
            }
        };
        self.done += u64::from(reply.done);
        self.events += u64::from(reply.events);
        self.reads += reply.arrivals.len() as u64;
        if !expected.met_by(&reply) {
            self.bad += 1;
            let (status, bytes, events, done) = (reply.status, reply.bytes, reply.events, reply.done);
            self.complaint.get_or_insert_with(|| {
                format!("status {status}, {bytes} bytes, {events} events, [DONE] {done}; expected {expected:?}")
            });
            return;
        }
        self.good += 1;
        self.total.record(due.elapsed());
        self.first_byte.record(reply.first_byte.saturating_duration_since(due));
        for pair in reply.arrivals.windows(2) {
            self.gaps.record(pair[1].saturating_duration_since(pair[0]));
        }
    }
}

impl Expected {
    pub(crate) fn met_by(self, reply: &Reply) -> bool {
        reply.status == 200
            && match self {
                Self::Whole(bytes) => reply.bytes >= bytes,
                Self::Events(events) => reply.events == events && reply.done,
            }
    }
}

impl Durations {
    /// The duration that the given share of all stayed at or under, in microseconds; none where nothing was recorded.
    pub(crate) fn quantile_us(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1000.0)
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        self.0
            .saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Default for Durations {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_max(longest, 3).expect("three digits and a maximum over two are always accepted"))
    }
}
