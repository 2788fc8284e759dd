//! The cache of answers as a request meets it: whether it is for this request, what makes two requests one, and which
//! answers are fit to be given again.
//!
//! It is asked when the policies have decided, never before them: what a policy refuses is refused, and who may not have a
//! model's answer does not get it from here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, HeaderName};

use super::Call;
use super::account::Account;
use super::attempt::write_event;
use super::decide::Decision;
use super::receipt::{self, Receipt};
use crate::cache::{Cache, Entry, Found, Key, Lead, Room, now_ms};
use crate::config::{CacheRule, CacheScope};
use crate::error::{ApiError, printable};
use crate::generation::{Generation, Route};
use crate::json::{Document, Limits, Value};
use crate::keys::Caller;
use crate::money::Nanodollars;
use crate::operation::Operation;
use crate::surfaces::is_filtered;
use crate::upstream::sse::Splitter;

/// The header by which a client says what it wants, and by which it is told what it got.
pub(super) const CACHE: HeaderName = HeaderName::from_static("x-pointsman-cache");

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// What a client says of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    AsSet,
    /// An answer that was given before will do, whatever the temperature.
    Use,
    /// A new answer, which is then the one to be kept.
    Refresh,
    /// Nothing is to be taken from it or kept.
    Bypass,
}

/// What came of asking the cache.
#[derive(Debug)]
pub(super) enum Looked {
    Hit(Arc<Entry>),
    /// The provider answers.
    Not {
        /// For the client; none where the cache is not for this request at all.
        word: Option<&'static str>,
        /// Where its answer is wanted.
        recorder: Option<Recorder>,
    },
}

/// What a request's headers say. `cache-control` is HTTP's own word for a bypass.
pub(super) fn wish(headers: &HeaderMap) -> Result<Wish, ApiError> {
    let directives = headers.get_all(CACHE_CONTROL).iter();
    let directives = directives
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_refused = |directive: &str| {
        ["no-store", "no-cache"]
            .iter()
            .any(|no| directive.eq_ignore_ascii_case(no))
    };
    if directives.map(str::trim).any(is_refused) {
        return Ok(Wish::Bypass);
    }
    let Some(value) = headers.get(CACHE) else {
        return Ok(Wish::AsSet);
    };
    match value.as_bytes() {
        b"use" => Ok(Wish::Use),
        b"refresh" => Ok(Wish::Refresh),
        b"bypass" => Ok(Wish::Bypass),
        other => {
            let text = printable(&String::from_utf8_lossy(other), 60);
            let message = format!("the header `{CACHE}` is `{text}`; it is one of `use`, `refresh` and `bypass`");
            Err(ApiError::invalid("invalid_value", message).with_param(CACHE.as_str()))
        }
    }
}

/// Asks the cache for an answer to a request of which it is decided who answers it. May wait for an equal request.
pub(super) async fn look(
    cache: &Arc<Cache>,
    wish: Wish,
    generation: &Generation,
    call: &Call,
    route: &Route,
    decision: &Decision,
    account: &mut Account,
) -> Looked {
    let config = &generation.config.cache;
    let is_asked_for = matches!(wish, Wish::Use | Wish::Refresh);
    let on_request = (config.on_request && is_asked_for).then_some(config.rule);
    let rule = route.config.cache.or(on_request);
    // Images are drawn by lot, and sound is nothing that is kept here.
    let Some(rule) = rule.filter(|_| !call.ask.operation.is_media()) else {
        let word = is_asked_for.then_some("bypass");
        return Looked::Not { word, recorder: None };
    };
    let document = decision.document(call);
    // Where nothing is written, nothing is drawn by lot.
    let is_exact = call.ask.operation != Operation::Chat || has_one_answer(document);
    let is_fit = is_asked_for || rule.any_temperature || is_exact;
    if wish == Wish::Bypass || !is_fit {
        cache.meter().bypass();
        return Looked::Not {
            word: Some("bypass"),
            recorder: None,
        };
    }
    let key = key(rule, call, route, decision);
    let room = Room {
        memory_bytes: config.memory_bytes,
        disk_bytes: config.disk_bytes,
    };
    let lead = if wish == Wish::Refresh {
        Some(cache.refresh(key))
    } else {
        let may_have = |entry: &Entry| decision.steps.iter().any(|step| step.model.id == entry.model);
        let began = Instant::now();
        let found = cache.find(key, rule.ttl, room, may_have).await;
        account.waited(began.elapsed());
        match found {
            Found::Hit(entry) => return Looked::Hit(entry),
            Found::Lead(lead) => Some(lead),
            Found::Alone => None,
        }
    };
    cache.meter().miss();
    let recorder = lead.map(|lead| Recorder {
        lead,
        ttl: rule.ttl,
        room,
        most: config.entry_bytes,
        events: BytesMut::new(),
    });
    Looked::Not {
        word: Some("miss"),
        recorder,
    }
}

/// Whether a request asks for one answer, as likely as possible.
fn has_one_answer(document: &Document) -> bool {
    let root = document.root();
    let is = |key, wanted: f64| root.field(key).and_then(|value| value.as_f64()) == Some(wanted);
    is("temperature", 0.0) && (root.field("n").is_none() || is("n", 1.0))
}

/// Fields that change nothing about an answer: who asks, what for, and how it is delivered or kept.
const APART: [&str; 8] = [
    "model",
    "user",
    "metadata",
    "session_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "stream_options",
];

/// What equal requests have in common: who may share an answer, where the request goes, and what is asked, as it goes out.
/// Of the generation it is only what decides an answer that counts, so that a reload leaves the other answers where they are.
fn key(rule: CacheRule, call: &Call, route: &Route, decision: &Decision) -> Key {
    // The client's own words may say what the canonical ones do not.
    let document = decision.own(call).unwrap_or(decision.document(call));
    let is_stream = call.ask.is_stream;
    let is_apart = |name: &str, value: Value<'_>| {
        let is_options = is_stream && name == "stream_options";
        value.is_null() || APART.contains(&name) && !is_options || name == "stream" && !is_stream
    };
    let mut request = String::with_capacity(document.text().len());
    document.root().write_canonical_without(&mut request, is_apart);
    // Where policies review answers, any of the steps may be the one whose answer they let through.
    let (steps, reviewers) = match &decision.review {
        None => (&decision.steps[..decision.steps.len().min(1)], ""),
        Some(_) => (decision.steps.as_slice(), decision.policies.as_str()),
    };
    let steps: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}", step.model.id, step.model.source()))
        .collect();
    let steps = serde_json::Value::from(steps).to_string();
    Key::of(&[
        call.wording.surface.name(),
        &scope(rule.scope, &call.caller),
        &route.name,
        &steps,
        reviewers,
        &own_headers(call),
        &request,
    ])
}

/// Headers that say more of what is asked, as the features of Claude's that are still tried.
fn own_headers(call: &Call) -> String {
    let names = call.wording.surface.own_headers().iter();
    let values = names.flat_map(|name| call.headers.get_all(*name));
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    serde_json::Value::from(values).to_string()
}

/// Whose answers they are.
fn scope(scope: CacheScope, caller: &Caller) -> String {
    match (scope, &caller.team) {
        (CacheScope::Shared, _) => scope.name().to_owned(),
        (CacheScope::Team, Some(team)) => format!("team {team}"),
        // Who has no team shares with nobody.
        (CacheScope::Key | CacheScope::Team, _) => format!("key {}", caller.id),
    }
}

/// An answer on its way to the client, of which a copy is wanted. Dropped before the end, it leaves the matter to others.
#[derive(Debug)]
pub(super) struct Recorder {
    lead: Lead,
    ttl: Duration,
    room: Room,
    /// Of an answer.
    most: usize,
    events: BytesMut,
}

impl Recorder {
    /// Takes a whole answer.
    pub(super) fn whole(self, body: &Bytes, account: &Account) {
        let document = Document::parse(body.clone(), LIMITS).ok();
        let is_fit = |document: &Document| body.len() <= self.most && !is_filtered(document);
        let again = document.filter(is_fit).map(|document| free(&document).into());
        self.end(again, account);
    }

    /// Takes one more piece of a stream. Nothing is left of the recorder where the stream has become too long.
    pub(super) fn piece(mut self, events: &[u8]) -> Option<Self> {
        if self.events.len() + events.len() > self.most {
            self.lead.decline();
            return None;
        }
        self.events.extend_from_slice(events);
        Some(self)
    }

    /// The stream has come to its proper end.
    pub(super) fn stream(self, account: &Account) {
        let body = again(&self.events);
        self.end(body, account);
    }

    fn end(self, body: Option<Bytes>, account: &Account) {
        let (Some(body), Some((model, usage, cost))) = (body, account.served()) else {
            return self.lead.decline();
        };
        let entry = Entry {
            body,
            model: model.id.clone(),
            provider: model.provider.name.clone(),
            cost,
            usage,
            stored_ms: now_ms(),
        };
        if account.has_fallen_back() {
            // Good enough for those who ask at this moment; later the first choice may be back.
            self.lead.share(entry);
        } else {
            self.lead.keep(entry, self.ttl, self.room);
        }
    }
}

/// A stream's events as they are given again; none where a filter has cut them short.
fn again(events: &[u8]) -> Option<Bytes> {
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(events);
    let mut out = BytesMut::with_capacity(events.len());
    while let Ok(Some(event)) = splitter.next_event() {
        let data = event.data().map(|data| Bytes::copy_from_slice(&data));
        match data.and_then(|data| Document::parse(data, LIMITS).ok()) {
            Some(chunk) if is_filtered(&chunk) => return None,
            Some(chunk) if told(&chunk).next().is_some() => write_event(&mut out, &[&free(&chunk)]),
            _ => out.extend_from_slice(event.raw()),
        }
    }
    Some(out.freeze())
}

/// Where an answer says what it used, and what that cost.
const PLACES: [&str; 3] = ["/usage", "/choices/0/usage", "/x_groq/usage"];

/// The places where it says what it cost.
fn told(answer: &Document) -> impl Iterator<Item = &'static str> {
    let is_told = |place: &&str| answer.pointer(&format!("{place}/cost")).is_some();
    PLACES.into_iter().filter(is_told)
}

/// The same answer for somebody who has not paid for it.
fn free(answer: &Document) -> Vec<u8> {
    let nothing = Receipt::again(Nanodollars(0));
    let members: Vec<_> = told(answer).flat_map(|place| nothing.members(place)).collect();
    // Places that are there can be changed.
    receipt::with(answer, &members).unwrap_or_else(|_| answer.text().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(header: &'static str, value: &'static str) -> Result<Wish, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        wish(&headers)
    }

    #[test]
    fn headers_say_what_a_client_wants() {
        assert_eq!(wish(&HeaderMap::new()).unwrap(), Wish::AsSet);
        assert_eq!(said("x-pointsman-cache", "refresh").unwrap(), Wish::Refresh);
        assert_eq!(said("cache-control", "max-age=0, No-Store").unwrap(), Wish::Bypass);
        assert_eq!(said("cache-control", "max-age=0").unwrap(), Wish::AsSet);
        assert_eq!(said("x-pointsman-cache", "always").unwrap_err().code, "invalid_value");
    }

    #[test]
    fn one_answer_is_asked_for_by_temperature_0_and_no_second_choice() {
        for (request, expected) in [
            (r#"{"temperature": 0}"#, true),
            (r#"{"temperature": 0.0, "n": 1}"#, true),
            (r#"{"temperature": 0, "n": null}"#, true),
            (r#"{}"#, false),
            (r#"{"temperature": null}"#, false),
            (r#"{"temperature": 0.1}"#, false),
            (r#"{"temperature": "0"}"#, false),
            (r#"{"temperature": 0, "n": 2}"#, false),
        ] {
            let document = Document::parse(Bytes::from(request), LIMITS).unwrap();
            assert_eq!(has_one_answer(&document), expected, "{request}");
        }
    }

    #[test]
    fn a_stream_is_given_again_as_it_was_for_nothing() {
        let events = ": hello\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\
                      data: {\"usage\":{\"prompt_tokens\":1,\"cost\":0.5}}\n\n";
        let free = r#"0.00,"cost_details":{"input":0.00,"output":0.00}"#;
        let expected = events.replace("0.5", free);
        assert_eq!(again(events.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_a_filter_cut_short_is_not_given_again() {
        let event = r#"data: {"choices":[{"finish_reason":null},{"finish_reason":"content_filter"}]}"#;
        assert_eq!(again(format!("{event}\n\n").as_bytes()), None);
    }
}
