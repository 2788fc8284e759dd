//! One step taken within its time: by `forward` (the provider speaks the canonical dialect), `own` (it speaks the client's),
//! `translate` (an adapter stands in between), `media` (images and sound) or `simulate`; `way` says which. Which step is taken when is in `walk`.

mod betas;
mod explain;
mod failure;
mod forward;
mod media;
mod own;
mod refusal;
mod simulate;
mod translate;
mod usage;
mod vectors;
mod way;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
pub use failure::{After, Failure};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Response};
pub use simulate::told;

use super::Call;
use super::bill::Bill;
use super::decide::Step;
use super::purse::Payment;
use super::reading::Reading;
use super::receipt::{self, Receipt};
use crate::generation::{Credential, Model, Proof, Remote};
use crate::hops;
use crate::json::{Document, Limits};
use crate::money::{Price, Usage};
use crate::plugins::words::{self, Kind};
use crate::store::now_ms;
use crate::upstream::UpstreamBody;
use crate::upstream::health::InFlight;
use crate::upstream::limits::Pass;
use crate::upstream::told;

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Whole(Whole),
    /// Its beginning, and where the rest comes from.
    Stream(Box<Beginning>),
}

impl Reply {
    /// What of the request the provider's adapter left out, for the client to know.
    pub fn dropped(&self) -> Option<&str> {
        match self {
            Self::Whole(whole) => whole.dropped.as_deref(),
            Self::Stream(beginning) => beginning.dropped.as_deref(),
        }
    }
}

/// A whole answer, in the canonical form unless it says otherwise.
#[derive(Debug)]
pub struct Whole {
    /// JSON, unless it says otherwise.
    pub body: Bytes,
    /// What it used, where the provider said.
    pub usage: Option<Usage>,
    /// What of the request its adapter left out.
    pub dropped: Option<String>,
    /// Whether it is text that somebody pays for: vectors and verdicts are not.
    pub is_text: bool,
    /// Whether it is in the client's own words already.
    pub is_own: bool,
    /// Whether it is the gateway's own guess.
    pub is_estimated: bool,
    /// What the body is, where it is not JSON.
    pub content_type: Option<HeaderValue>,
}

impl Whole {
    /// Tokens of output, where nobody says: four bytes each, as text in most languages has at least. An answer that was blocked
    /// before it said anything has none, and its provider is right to say so.
    pub fn counted(&self) -> u64 {
        if !self.is_text {
            return 0;
        }
        let is_told = self.usage.is_some_and(|usage| usage.output > 0);
        let is_empty = || {
            let answer = Document::parse(self.body.clone(), Limits { depth: 512 });
            answer.is_ok_and(|answer| !Reading::says_anything(&answer))
        };
        if self.usage.is_some() && !is_told && is_empty() {
            return 0;
        }
        self.body.len().div_ceil(4) as u64
    }
}

/// The beginning of a streamed answer.
#[derive(Debug)]
pub struct Beginning {
    /// Events for the client.
    pub events: BytesMut,
    /// Whether there may be more.
    pub has_more: bool,
    /// Where more comes from.
    pub source: Source,
    /// What of the request its adapter left out.
    pub dropped: Option<String>,
    /// Whether its events are in the client's own words already.
    pub is_own: bool,
}

/// Where a streamed answer comes from.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as their modules are")]
pub enum Source {
    Forward(forward::Stream),
    Own(own::Stream),
    Sound(media::Sound),
    Translate(translate::Stream),
    Simulate(simulate::Stream),
}

impl Source {
    /// Waits for events and appends them as the client is to see them, without the closing `[DONE]`. `false` at the proper
    /// end; an end that is not proper is a failure.
    pub async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        match self {
            Self::Forward(stream) => stream.next(out).await,
            Self::Own(stream) => stream.next(out).await,
            Self::Sound(stream) => stream.next(out).await,
            Self::Translate(stream) => Box::pin(stream.next(out)).await,
            Self::Simulate(stream) => stream.next(out).await,
        }
    }

    /// How much of the answer has come: comments, pings and halves of events are no progress.
    pub fn progress(&self) -> u64 {
        match self {
            Self::Forward(stream) => stream.progress,
            Self::Own(stream) => stream.progress,
            Self::Sound(stream) => stream.progress,
            Self::Translate(stream) => stream.progress,
            Self::Simulate(stream) => stream.progress,
        }
    }

    /// What it is, where it is no stream of events.
    pub fn content_type(&self) -> Option<&HeaderValue> {
        match self {
            Self::Sound(stream) => Some(&stream.content_type),
            _ => None,
        }
    }

    /// What was used, as far as it is known.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Forward(stream) => stream.usage,
            Self::Own(stream) => stream.usage,
            Self::Sound(_) => None,
            Self::Translate(stream) => stream.usage,
            Self::Simulate(stream) => stream.usage,
        }
    }
}

/// One step being taken.
#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    call: &'a Call,
    document: &'a Document,
    /// The request in the client's own words, where they may go out.
    own: Option<&'a Document>,
    step: &'a Step,
    bill: &'a Arc<Bill>,
    payment: &'a Payment,
    /// Which of the provider's.
    credential: usize,
}

impl Attempt<'_> {
    /// What an adapter is told of the attempt.
    fn target(&self) -> words::Target {
        let model = &self.step.model;
        words::Target {
            model: model.upstream.clone(),
            settings: model.settings.clone(),
            max_output_tokens: model.max_output,
            request_id: self.call.id.to_string(),
            now_ms: self.call.now_ms,
        }
    }

    /// Takes note of what the provider says of its limits.
    fn learn(&self, names: &[(String, String)], headers: &HeaderMap) {
        if let Some(lane) = self.step.model.seen.lanes.get(self.credential) {
            lane.learn(told::read(headers, names, now_ms()));
        }
    }

    /// What the client sees of a streamed answer's usage.
    fn visibility(&self) -> Visibility {
        Visibility {
            shows_usage: self.call.ask.wants_usage,
            price: self.step.model.price.clone(),
            bill: self.bill.clone(),
        }
    }
}

/// Whether the client asked for the usage of a stream, and what it costs.
#[derive(Debug)]
struct Visibility {
    shows_usage: bool,
    price: Option<Arc<Price>>,
    /// What the request has cost beside.
    bill: Arc<Bill>,
}

impl Visibility {
    /// What the request has cost, if this is what its answer used.
    fn receipt(&self, usage: &Usage) -> Option<Receipt> {
        let price = self.price.as_ref()?;
        let cost = self.bill.with(price.cost(usage))?;
        Some(Receipt::new(price, usage, cost))
    }
}

/// How one step went.
pub(super) struct Outcome {
    pub(super) result: Result<Reply, Failure>,
    /// The part of the time that was spent on the provider.
    pub(super) waited: Duration,
    pub(super) run: Run,
}

/// A step's time, and its place among the attempts under way, which it keeps until this is dropped.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) began: Instant,
    /// Up to its first token, where it is a stream; else to its end.
    pub(super) took: Duration,
    /// What it is paid from; none where it failed, or has been paid.
    pub(super) payment: Option<Payment>,
    /// Which of the provider's.
    pub(super) credential: usize,
    _in_flight: InFlight,
}

/// Takes one step, within its time.
pub(super) async fn take(
    call: &Call,
    (document, own): (&Document, Option<&Document>),
    step: &Step,
    bill: &Arc<Bill>,
    pass: Pass,
) -> Outcome {
    let in_flight = step.model.seen.health.begin();
    let credential = pass.credential;
    let payment = match bill.purse.pay(step, call, document, pass).await {
        Ok(payment) => payment,
        Err(failure) => return Outcome::unpaid(failure, in_flight),
    };
    let began = Instant::now();
    let limited = match payment.limited(document) {
        Ok(limited) => limited,
        Err(failure) => return Outcome::unpaid(failure, in_flight),
    };
    let attempt = Attempt {
        call,
        document: limited.as_ref().unwrap_or(document),
        own,
        step,
        bill,
        payment: &payment,
        credential,
    };
    let mut waited = Duration::ZERO;
    // A whole answer has all of the time; a stream must begin before.
    let within = if call.ask.is_stream {
        step.timeout.min(step.first_token_timeout)
    } else {
        step.timeout
    };
    let result = match in_time(within, pin!(attempt.take(&mut waited))).await {
        Some(result) => result.map_err(|failure| failure.redacted(&step.model.provider)),
        None => Err(Failure::late(step, within, call.ask.is_stream)),
    };
    let took = began.elapsed();
    if result.is_err() {
        // How much of it was the gateway's own is lost with the attempt; next to the waiting it is nothing.
        waited = took;
    }
    match &result {
        Ok(reply) => {
            step.model.answers(credential);
            if let Reply::Stream(_) = reply {
                step.model.seen.health.first_token(took);
            }
        }
        Err(failure) => note(&step.model, failure, credential),
    }
    let payment = match &result {
        Ok(_) => Some(payment),
        Err(failure) => {
            payment.failed(failure, None);
            None
        }
    };
    Outcome {
        result,
        waited,
        run: Run {
            began,
            took,
            payment,
            credential,
            _in_flight: in_flight,
        },
    }
}

/// A timer that goes off so much too late says that the gateway itself stood still.
const STOOD_STILL: Duration = Duration::from_millis(250);
/// What came meanwhile is then given so long to be seen.
const CATCHING_UP: Duration = Duration::from_secs(1);

/// Waits for so long; nothing where that was not enough. That this process was stopped, or got no time, is not held against the
/// provider: its answer may have been there all the while. The work stays where it is: a function keeps room for what it is given, too.
pub(super) async fn in_time<T>(limit: Duration, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let began = Instant::now();
    if let Ok(done) = tokio::time::timeout(limit, work.as_mut()).await {
        return Some(done);
    }
    if began.elapsed() < limit.saturating_add(STOOD_STILL) {
        return None;
    }
    tokio::time::timeout(CATCHING_UP, work).await.ok()
}

/// What a failure under one of its provider's credentials means for who asks the model next.
pub(super) fn note(model: &Model, failure: &Failure, credential: usize) {
    if !failure.is_the_providers() {
        return;
    }
    let lane = model.seen.lanes.get(credential);
    match failure.kind {
        Kind::RateLimited => {
            lane.inspect(|lane| lane.limited(failure.retry_after()));
        }
        Kind::Authentication | Kind::QuotaExhausted => {
            let refused = model.provider.credentials.get(credential);
            if refused.is_some_and(Credential::refuse) {
                tracing::error!(
                    provider = model.provider.name, key = credential + 1, kind = %failure.word(), detail = failure.detail(),
                    "a provider refuses the gateway's credential: it is asked last until the configuration changes, or it answers"
                );
            }
        }
        _ => {
            if failure.kind == Kind::Overloaded && failure.retry_after().is_some() {
                lane.inspect(|lane| lane.limited(failure.retry_after()));
            }
            if let Some(left_alone) = model.seen.health.failure() {
                tracing::warn!(
                    model = model.id,
                    ms = left_alone.as_millis() as u64,
                    "a model fails, and is left alone for a while"
                );
            }
        }
    }
}

impl Outcome {
    /// There is no money for it: nothing was sent.
    fn unpaid(failure: Failure, in_flight: InFlight) -> Self {
        Self {
            result: Err(failure),
            waited: Duration::ZERO,
            run: Run {
                began: Instant::now(),
                took: Duration::ZERO,
                payment: None,
                credential: 0,
                _in_flight: in_flight,
            },
        }
    }
}

/// One event whose data is these parts, joined.
pub(super) fn write_event(out: &mut BytesMut, parts: &[&[u8]]) {
    out.reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 8);
    out.extend_from_slice(b"data: ");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\n\n");
}

/// Answers are at most this long.
const ANSWER_BYTES: usize = 64 << 20;
/// Of an error only so much is read.
const ERROR_BYTES: usize = 256 << 10;

/// As [`exchange`], for those who know what comes.
async fn send(
    attempt: &Attempt<'_>,
    remote: &Remote,
    method: Method,
    path: &str,
    extra: &[(String, String)],
    body: Bytes,
) -> Result<UpstreamBody, Failure> {
    let answer = exchange(attempt, remote, method, path, extra, body).await?;
    Ok(answer.into_body())
}

/// Sends and waits for a success; anything else is explained by the adapter.
async fn exchange(
    attempt: &Attempt<'_>,
    remote: &Remote,
    method: Method,
    path: &str,
    extra: &[(String, String)],
    body: Bytes,
) -> Result<Response<UpstreamBody>, Failure> {
    let attached = remote.attached.get(attempt.credential);
    let attached = attached.ok_or_else(|| Failure::fault("the provider has no such credential"))?;
    let mut headers = attached.headers.clone();
    for (name, value) in extra {
        let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = pair else { continue };
        // What the operator set, and the credential, is marked so, and not an adapter's to replace.
        if !headers.get(&name).is_some_and(HeaderValue::is_sensitive) {
            headers.insert(name, value);
        }
    }
    headers.extend(hops::onward(&attempt.call.headers).map(|via| (hops::HEADER, via)));
    let keyed;
    let path = match &attached.query {
        None => path,
        Some((name, key)) => {
            let separator = if path.contains('?') { '&' } else { '?' };
            keyed = format!("{path}{separator}{name}={}", key.reveal());
            &keyed
        }
    };
    match &attached.proof {
        None => {}
        Some(Proof::Aws(signer)) => {
            let signed = remote.upstream.sign(signer, &method, path, &mut headers, &body);
            signed.map_err(|error| Failure::fault(&error.to_string()))?;
        }
        Some(Proof::Google(tokens)) => {
            let token = Box::pin(tokens.bearer()).await.map_err(Failure::no_token)?;
            headers.insert(AUTHORIZATION, token);
        }
    }
    attempt.payment.sending();
    // Before it is: a process that ends here does not come back to say so.
    attempt.call.sent.fetch_add(1, Ordering::Relaxed);
    let response = remote
        .upstream
        .send_within(attempt.step.connect_timeout, method, path, headers, body)
        .await
        .map_err(|error| {
            if error.is_unsent() {
                attempt.call.sent.fetch_sub(1, Ordering::Relaxed);
            }
            Failure::unreached(error, attempt.step)
        })?;
    attempt.learn(&remote.known.limit_headers, response.headers());
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    // What the provider quotes of its key does not get into the adapter.
    let provider = &attempt.step.model.provider;
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = provider.redact(value.to_str().ok()?.to_owned());
        Some((name.as_str().to_owned(), value))
    };
    let headers: Vec<(String, String)> = response.headers().iter().filter_map(text).collect();
    // What cannot be read of an error is not worth another error.
    let body = response.into_body().collect(ERROR_BYTES).await.unwrap_or_default();
    let body = provider.redact_bytes(body);
    Err(
        match remote.adapter.explain(status, &headers, &body, &attempt.target()).await {
            Ok(failure) => Failure::explained(failure, status),
            Err(fault) => Failure::unexplained(status, &fault.to_string()),
        },
    )
}
