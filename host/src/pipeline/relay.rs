//! A streamed answer on its way: events as they come, in the client's words, and what closes them only after a proper end. A break is told in an
//! error event and by aborting the connection, so that no client takes half an answer for a whole one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::account::Account;
use super::attempt::{Beginning, Failure, Source, in_time};
use super::cached::Recorder;
use super::decide::Step;
use super::receipt;
use super::resume::Resume;
use crate::body::{Body, Broken, Outlet, Stalled};
use crate::generation::Provider;
use crate::surfaces::{Framing, Telling};

/// An abort throws away what has not been written to the client yet, so what was said last gets this head start.
const HEAD_START: Duration = Duration::from_millis(100);

/// A stream that is waited for: no longer than its step allows, as a whole and for the next bit of progress.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) source: Source,
    provider: Arc<Provider>,
    gap: Duration,
    /// For all of the answer.
    most: Duration,
    /// Whether that is as much as the settings give.
    is_fair: bool,
    /// Whether the gap is.
    has_its_gap: bool,
    deadline: Instant,
    /// The part of the time so far that was spent on waiting for the provider.
    waited: Duration,
    /// Waiting without progress; a client that is slow to take what came does not count against the provider.
    quiet: Duration,
    /// Tokens of output that have come, by the gateway's own count.
    counted: u64,
}

/// An event says a token, or more than one where it is longer than this: each four bytes of the rest is another.
const EVENT_BYTES: u64 = 512;

impl Watched {
    pub(super) fn new(source: Source, step: &Step) -> Self {
        Self {
            counted: source.progress(),
            source,
            provider: step.model.provider.clone(),
            gap: step.gap_timeout,
            most: step.timeout,
            is_fair: step.has_its_time(),
            has_its_gap: step.has_its_gap(),
            waited: Duration::ZERO,
            deadline: Instant::now() + step.timeout,
            quiet: Duration::ZERO,
        }
    }

    /// As [`Source::next`], in time.
    pub(super) async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        let (began, before, length) = (Instant::now(), self.source.progress(), out.len());
        let left = self.deadline.saturating_duration_since(began);
        let within = self.gap.saturating_sub(self.quiet).min(left);
        // Within a statement, so that it is over before what it borrows is looked at.
        let next = in_time(within, pin!(self.source.next(out))).await;
        let next = match next {
            Some(next) => next,
            None if within == left => Err(self.late(began.elapsed())),
            None => Err(self.halted(within)),
        };
        self.waited += began.elapsed();
        let events = self.source.progress() - before;
        if events > 0 {
            let bytes = out.len().saturating_sub(length) as u64;
            self.counted += events + bytes.saturating_sub(EVENT_BYTES * events) / 4;
        }
        self.quiet = if events > 0 {
            Duration::ZERO
        } else {
            self.quiet + began.elapsed()
        };
        next.map_err(|failure| failure.redacted(&self.provider))
    }

    /// Nothing more came in the time that a step has for that: a policy that gave it less than the settings was in a hurry.
    fn halted(&self, within: Duration) -> Failure {
        let halted = Failure::timed_out(self.quiet + within);
        if self.has_its_gap { halted } else { halted.unblamed() }
    }

    /// The time for the whole answer is over: by the provider's doing, or by a client's that took its time to read.
    fn late(&self, waited: Duration) -> Failure {
        if self.waited + waited >= self.most / 2 {
            let late = Failure::timed_out(self.most);
            if self.is_fair { late } else { late.unblamed() }
        } else {
            Failure::client_slow(self.most)
        }
    }
}

/// Relays the rest of a stream. Dropping the body, as a client's disconnect does, closes the way to the provider.
pub(super) fn stream(
    beginning: Beginning,
    step: &Step,
    account: Account,
    recorder: Option<Recorder>,
    resume: Option<Resume>,
) -> Body {
    let call = account.call();
    let telling = match beginning.source.content_type() {
        Some(_) => Telling::Sound,
        None => {
            let input = call.ask.estimated_input_tokens();
            call.wording.telling(beginning.is_own, input)
        }
    };
    let way = Box::new(Way {
        watched: Some(Watched::new(beginning.source, step)),
        events: beginning.events,
        has_more: beginning.has_more,
        resume,
        telling,
        account,
        recorder,
    });
    Body::pulled(move |outlet| relay(way, outlet))
}

/// A relay's own. It stays in its box: a function keeps room for what it is given as well as for what it makes of it, for as long as it
/// runs, and of ten thousand idle streams that is what counts.
struct Way {
    /// None once it has broken.
    watched: Option<Watched>,
    /// On their way to the client.
    events: BytesMut,
    has_more: bool,
    resume: Option<Resume>,
    telling: Telling,
    account: Account,
    recorder: Option<Recorder>,
}

async fn relay(mut way: Box<Way>, outlet: Outlet) -> Result<(), Broken> {
    let mut framing = way.account.call().wording.framing();
    loop {
        let way = &mut *way;
        let Some(watched) = &mut way.watched else {
            return Err(Broken);
        };
        let out = &mut way.events;
        way.account.used(watched.source.usage(), watched.counted);
        way.resume = way.resume.take().and_then(|resume| resume.unless_shown(out));
        way.telling.tell(out);
        if !way.has_more {
            way.telling.end(watched.source.usage().as_ref(), out);
        }
        way.recorder = way.recorder.take().and_then(|recorder| recorder.piece(out));
        receipt::onto(out, &way.account);
        if !way.has_more {
            way.account.took_more(watched.waited);
            way.account.ended_well();
            if let Some(recorder) = way.recorder.take() {
                recorder.stream(&way.account);
            }
            way.account.call().is_told.store(true, Ordering::Relaxed);
            framing.end(out);
            outlet.send(out.split().freeze()).await?;
            return Ok(());
        }
        framing.frame(out);
        if !out.is_empty()
            && let Err(Stalled(limit)) = outlet.send(out.split().freeze()).await
        {
            way.account.broke(&Failure::client_slow(limit));
            tracing::info!(request_id = %way.account.call().id, "a stream was given up: the client does not read it");
            return Err(Broken);
        }
        match watched.next(out).await {
            Ok(more) => way.has_more = more,
            // In a box: few streams break, and none has to carry the room for it about.
            Err(failure) => Box::pin(broken(way, &mut framing, &outlet, failure)).await?,
        }
    }
}

/// A stream broke: it begins anew, where it may, or its client is told.
async fn broken(way: &mut Way, framing: &mut Framing, outlet: &Outlet, failure: Failure) -> Result<(), Broken> {
    let out = &mut way.events;
    if let Some(watched) = way.watched.take() {
        way.account.took_more(watched.waited);
        way.account.used(watched.source.usage(), watched.counted);
        // The connection to the provider is of no more use.
    }
    // What came before the break may show something of the answer.
    let way_on = way.resume.take().and_then(|resume| resume.unless_shown(out));
    let call = way.account.call();
    tracing::warn!(request_id = %call.id, kind = %failure.word(), detail = failure.detail(), "a stream broke");
    let error = match way_on.filter(|way_on| way_on.mends(&failure)) {
        Some(way_on) => match way_on.next(&failure, &mut way.account).await {
            Ok(resumed) => {
                way.telling.tell(out);
                way.telling.restart(out);
                framing.frame(out);
                if !out.is_empty() {
                    outlet.send(out.split().freeze()).await?;
                }
                out.extend_from_slice(&resumed.events);
                (way.watched, way.has_more, way.resume) = (Some(resumed.watched), resumed.has_more, resumed.next);
                // What is kept is one model's answer.
                way.recorder = None;
                return Ok(());
            }
            Err(error) => error,
        },
        None => {
            way.account.broke(&failure);
            failure.into_error(way.account.attempts())
        }
    };
    way.telling.tell(out);
    let call = way.account.call();
    way.telling.fail(call.wording.surface, &error, &call.id, out);
    framing.frame(out);
    outlet.send(out.split().freeze()).await?;
    tokio::time::sleep(HEAD_START).await;
    Err(Broken)
}
