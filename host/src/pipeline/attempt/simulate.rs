//! The simulated provider, at the speed that its configuration asks for.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Attempt, Beginning, Failure, Reply, Source, Whole, receipt, usage};
use crate::config::SimulatedConfig;
use crate::json::{Document, Limits};
use crate::money::Usage;
use crate::operation::Operation;
use crate::plugins::words::Kind;
use crate::upstream::simulated::{self, Form, Target};

pub(super) async fn send(
    attempt: &Attempt<'_>,
    config: &SimulatedConfig,
    waited: &mut Duration,
) -> Result<Reply, Failure> {
    let model = &attempt.step.model.id;
    let target = Target {
        model,
        is_stream: attempt.call.ask.is_stream,
        request_id: &attempt.call.id,
        now_ms: attempt.call.now_ms,
    };
    attempt.payment.sending();
    attempt.call.sent.fetch_add(1, Ordering::Relaxed);
    let sent = Instant::now();
    if !config.latency.is_zero() {
        tokio::time::sleep(config.latency).await;
    }
    let operation = attempt.call.ask.operation;
    let answer =
        simulated::answer(config, operation, attempt.document, target).map_err(|failure| failed(failure.status))?;
    let reply = match answer.form {
        Form::Chunks(chunks) => {
            let mut stream = Stream {
                chunks: visible(attempt, chunks)?,
                pace: answer.pace,
                usage: answer.usage,
                progress: 0,
            };
            let mut events = BytesMut::new();
            let has_more = stream.next(&mut events).await?;
            Reply::Stream(Box::new(Beginning {
                events,
                has_more,
                source: Source::Simulate(stream),
                dropped: None,
                is_own: false,
            }))
        }
        Form::Whole(body) => {
            let usage = answer.usage;
            let tokens = usage.map_or(0, |usage| u32::try_from(usage.output).unwrap_or(u32::MAX));
            if !answer.pace.is_zero() {
                tokio::time::sleep(answer.pace * tokens).await;
            }
            Reply::Whole(Whole {
                body,
                usage,
                dropped: None,
                is_text: operation == Operation::Chat,
                is_own: false,
                is_estimated: false,
                content_type: None,
            })
        }
    };
    *waited += sent.elapsed();
    Ok(reply)
}

/// The failure that was asked for, by its status.
fn failed(status: u16) -> Failure {
    let (kind, message) = match status {
        401 => (Kind::Authentication, "simulated: the key is wrong"),
        403 => (Kind::Permission, "simulated: the key may not do this"),
        404 => (Kind::NotFound, "simulated: no such model"),
        429 => (Kind::RateLimited, "simulated: too many requests"),
        400..=499 => (Kind::InvalidRequest, "simulated: the request is wrong"),
        503 | 529 => (Kind::Overloaded, "simulated: there is too much to do"),
        504 => (Kind::TimedOut, "simulated: it took too long"),
        _ => (Kind::Upstream, "simulated: something broke"),
    };
    Failure::said(kind, message).with_status(status)
}

/// The chunks as the client asked for them: without usage, or with its cost.
fn visible(attempt: &Attempt<'_>, chunks: Vec<Bytes>) -> Result<VecDeque<Bytes>, Failure> {
    let visibility = attempt.visibility();
    let mut shown = VecDeque::with_capacity(chunks.len());
    for chunk in chunks {
        let document = Document::parse(chunk.clone(), Limits::default());
        let document = document.map_err(|error| Failure::fault(&error.to_string()))?;
        match usage::of(document.root()) {
            None => shown.push_back(chunk),
            Some(_) if !visibility.shows_usage => {}
            Some(usage) => {
                let receipt = visibility.receipt(&usage);
                let members: Vec<_> = receipt.iter().flat_map(|receipt| receipt.members("/usage")).collect();
                let text = receipt::with(&document, &members);
                shown.push_back(text.map_err(|error| Failure::fault(&error.to_string()))?.into());
            }
        }
    }
    Ok(shown)
}

/// A stream of these chunks, which nobody is paid for.
pub fn told(chunks: &[Bytes]) -> Reply {
    let stream = Stream {
        chunks: VecDeque::new(),
        pace: Duration::ZERO,
        usage: None,
        progress: 0,
    };
    let mut events = BytesMut::new();
    chunks
        .iter()
        .for_each(|chunk| super::write_event(&mut events, &[chunk]));
    Reply::Stream(Box::new(Beginning {
        events,
        has_more: false,
        source: Source::Simulate(stream),
        dropped: None,
        is_own: false,
    }))
}

/// A streamed answer.
#[derive(Debug)]
pub struct Stream {
    chunks: VecDeque<Bytes>,
    pace: Duration,
    pub(super) usage: Option<Usage>,
    /// Chunks so far.
    pub(super) progress: u64,
}

impl Stream {
    pub(super) async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        if !self.pace.is_zero() {
            tokio::time::sleep(self.pace).await;
        }
        // Without a pace everything is there at once, as it would be in one read from a fast provider.
        let at_once = if self.pace.is_zero() { self.chunks.len() } else { 1 };
        for chunk in self.chunks.drain(..at_once.min(self.chunks.len())) {
            self.progress += 1;
            super::write_event(out, &[&chunk]);
        }
        Ok(!self.chunks.is_empty())
    }
}
