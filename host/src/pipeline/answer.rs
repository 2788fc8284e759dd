//! An answer as the server sends it: headers that say who served and why, and the body.

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};

use super::account::Account;
use super::attempt::{Beginning, Reply, Whole};
use super::bill::Hit;
use super::cached::{CACHE, Recorder};
use super::decide::{Decision, Step};
use super::resume::Resume;
use super::walk::Served;
use super::{receipt, relay};
use crate::body::Body;
use crate::cache::Entry;
use crate::surfaces::Framing;

/// Headers and body of a success.
#[derive(Debug)]
pub struct Answer {
    /// All but the request's id, which the server adds to every answer.
    pub headers: HeaderMap,
    /// Whole, or a stream.
    pub body: Body,
}

const MODEL: HeaderName = HeaderName::from_static("x-pointsman-model");
const PROVIDER: HeaderName = HeaderName::from_static("x-pointsman-provider");
const ROUTE: HeaderName = HeaderName::from_static("x-pointsman-route");
const POLICY: HeaderName = HeaderName::from_static("x-pointsman-policy");
const REASON: HeaderName = HeaderName::from_static("x-pointsman-reason");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-pointsman-attempts");
const COST: HeaderName = HeaderName::from_static("x-pointsman-cost-usd");
/// Budgets of the caller's own that are nearly used up, or wholly, with the share in percent.
const BUDGET_WARNING: HeaderName = HeaderName::from_static("x-pointsman-budget-warning");
/// What of the request the provider's adapter left out.
const DROPPED: HeaderName = HeaderName::from_static("x-pointsman-dropped");
/// The answer is the gateway's own guess, not its provider's.
const ESTIMATED: HeaderName = HeaderName::from_static("x-pointsman-estimated");
const OVERHEAD: HeaderName = HeaderName::from_static("x-pointsman-overhead-us");

/// The answer of a step that serves.
pub(super) fn of(
    served: Served<'_>,
    decision: &Decision,
    account: Account,
    cache: Option<&'static str>,
    recorder: Option<Recorder>,
    resume: Option<Resume>,
) -> Answer {
    let model = &served.step.model;
    let mut headers = headers(&model.id, &model.provider.name, decision, &served.reasons, &account);
    if let Some(word) = cache {
        headers.insert(CACHE, HeaderValue::from_static(word));
    }
    if let Some(names) = served.reply.dropped() {
        put(&mut headers, DROPPED, names);
    }
    match served.reply {
        Reply::Whole(reply) => whole(reply, headers, account, recorder),
        Reply::Stream(beginning) => stream(*beginning, headers, served.step, account, recorder, resume),
    }
}

/// An answer that was given before, to the client in one piece.
pub(super) fn again(entry: &Entry, decision: &Decision, mut account: Account) -> Answer {
    let step = decision.steps.iter().find(|step| step.model.id == entry.model);
    let reference = step.zip(entry.usage.as_ref());
    let reference = reference.and_then(|(step, usage)| account.bill().purse.reference(&step.model, usage));
    account.hit(Hit {
        model: entry.model.clone(),
        provider: entry.provider.clone(),
        saved: entry.cost,
        // Where nobody said what was used, at least what it cost.
        reference: reference.or(entry.cost),
    });
    account.ended_well();
    let mut headers = headers(&entry.model, &entry.provider, decision, &[], &account);
    headers.insert(CACHE, HeaderValue::from_static("hit"));
    headers.insert(AGE, HeaderValue::from(entry.age().as_secs()));
    put_cost(&mut headers, &account);
    let body = if account.call().ask.is_stream {
        let framing = account.call().wording.framing();
        put_stream(&mut headers, &framing);
        let mut events = BytesMut::from(&entry.body[..]);
        receipt::onto(&mut events, &account);
        framing.whole(events.freeze())
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        with_receipt(entry.body.clone(), &account)
    };
    Answer {
        headers,
        body: Body::whole(body),
    }
}

fn whole(whole: Whole, mut headers: HeaderMap, mut account: Account, recorder: Option<Recorder>) -> Answer {
    account.used(whole.usage, whole.counted());
    account.ended_well();
    let wording = &account.call().wording;
    let unsaid = wording.unsaid(&whole.body).filter(|_| !whole.is_own);
    let body = match whole.is_own {
        true => whole.body,
        false => wording.whole(whole.body, whole.usage.as_ref()),
    };
    if let Some(unsaid) = unsaid {
        let before = whole.dropped.iter().map(String::as_str);
        put(
            &mut headers,
            DROPPED,
            &before.chain([unsaid]).collect::<Vec<_>>().join(", "),
        );
    }
    if let Some(recorder) = recorder {
        recorder.whole(&body, &account);
    }
    if whole.is_estimated {
        headers.insert(ESTIMATED, HeaderValue::from_static("true"));
    }
    let kind = whole
        .content_type
        .unwrap_or(HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, kind);
    put_cost(&mut headers, &account);
    Answer {
        headers,
        body: Body::whole(with_receipt(body, &account)),
    }
}

/// Where the client asked for it, the body says what it cost.
fn with_receipt(body: Bytes, account: &Account) -> Bytes {
    let wanted = account.call().ask.wants_cost;
    let priced = wanted.then(|| receipt::on(&body, account)).flatten();
    priced.map_or(body, Bytes::from)
}

fn stream(
    beginning: Beginning,
    mut headers: HeaderMap,
    step: &Step,
    account: Account,
    recorder: Option<Recorder>,
    resume: Option<Resume>,
) -> Answer {
    match beginning.source.content_type() {
        Some(kind) => _ = headers.insert(CONTENT_TYPE, kind.clone()),
        None => put_stream(&mut headers, &account.call().wording.framing()),
    }
    Answer {
        headers,
        body: relay::stream(beginning, step, account, recorder, resume),
    }
}

fn put_stream(headers: &mut HeaderMap, framing: &Framing) {
    headers.insert(CONTENT_TYPE, framing.content_type());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Tells nginx, should it stand in front, to pass events on as they come.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
}

fn put_cost(headers: &mut HeaderMap, account: &Account) {
    let Some(cost) = account.cost() else { return };
    let others = account.cost_headers().iter().map(|name| HeaderName::from_static(name));
    for name in others.chain([COST]) {
        put(headers, name, &cost.to_string());
    }
}

fn headers(model: &str, provider: &str, decision: &Decision, reasons: &[String], account: &Account) -> HeaderMap {
    // As many as there mostly are, the server's own among them: a connection keeps the room for as long as it is open.
    let mut headers = HeaderMap::with_capacity(12);
    put(&mut headers, MODEL, model);
    put(&mut headers, PROVIDER, provider);
    put(&mut headers, ROUTE, account.route_name());
    if !decision.policies.is_empty() {
        put(&mut headers, POLICY, &decision.policies);
    }
    let all: Vec<&str> = [&decision.reason]
        .into_iter()
        .chain(reasons)
        .map(String::as_str)
        .filter(|reason| !reason.is_empty())
        .collect();
    if !all.is_empty() {
        put(&mut headers, REASON, &all.join("; "));
    }
    headers.insert(ATTEMPTS, HeaderValue::from(account.attempts()));
    let warnings = account.bill().purse.warnings();
    if !warnings.is_empty() {
        put(&mut headers, BUDGET_WARNING, &warnings.join(", "));
    }
    let overhead = account.overhead();
    account.meter().overhead.observe(overhead.as_secs_f64());
    headers.insert(
        OVERHEAD,
        HeaderValue::from(u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX)),
    );
    headers
}

/// Texts from configurations and policies are for people; what a header cannot carry is replaced.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let value = HeaderValue::from_str(text).or_else(|_| HeaderValue::from_str(&plain(text)));
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .collect()
}
