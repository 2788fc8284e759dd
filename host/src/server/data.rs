//! The data listener: what clients call. The outer function owns id, clock, log and the shape of errors; the inner ones are
//! straight lines that end in an answer or an error.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::{Peer, Service, auth, head, idempotent, intake, kept, now_ms};
use crate::app::App;
use crate::body::{Body, Manners};
use crate::error::ApiError;
use crate::generation::Generation;
use crate::hops;
use crate::json::Limits;
use crate::keys::Caller;
use crate::load::{Place, Room};
use crate::operation::Dialect;
use crate::pipeline::{Answer, Call};
use crate::surfaces::{Address, Framing, Request as Asked, Surface, Wording, gemini, messages, models};

/// Answers clients.
#[derive(Debug)]
pub struct Data {
    /// What it serves with.
    pub app: Arc<App>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-pointsman-request-id");
const SDK_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What may stand between the elements of an array.
const BLANK: Bytes = Bytes::from_static(b"\n");

impl Service for Data {
    fn cut(&self) {
        self.app.cut.send_replace(true);
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let received = Instant::now();
        let (head, body) = request.into_parts();
        let address = Address::of(&head.uri);
        let surface = address.as_ref().map_or_else(
            || Address::words(head.uri.path(), &head.headers),
            |address| address.surface,
        );
        let id = head::request_id(&head.headers);
        let Some(generation) = self.app.generation() else {
            return refuse(&ApiError::not_ready(), &id, &self.app, surface);
        };
        let has_access_log = generation.config.server.access_log;
        let heartbeat = generation.config.server.heartbeat;
        let line = has_access_log.then(|| format!("{} {}", head.method, head.uri.path()));
        let route = route(&head.method, head.uri.path(), address, surface);
        let caller = self.caller(&route, &head, &generation);
        let version = head.version;
        // Whoever sends a head that is read in two ways may mean another request by what follows it.
        let mut closes = head::check(&head, &generation.config.server).is_err();
        let mut place = None;
        let served = match &caller {
            Ok(caller) => match self.enter(&route, caller).await {
                Ok(entered) => {
                    let room = entered.as_ref().map(Place::room);
                    place = entered;
                    let mut cut = self.app.cut.subscribe();
                    // In a box, so that who is refused does not carry the room for all of it about.
                    let serving = Box::pin(self.serve(
                        route,
                        head,
                        (body, room),
                        id.clone(),
                        received,
                        generation,
                        caller.clone(),
                    ));
                    let serving = match &place {
                        Some(place) => Either::Left(place.timed(serving)),
                        None => Either::Right(serving),
                    };
                    tokio::select! {
                        biased;
                        served = AssertUnwindSafe(serving).catch_unwind() => {
                            served.unwrap_or_else(|_| Err(ApiError::internal("a request panicked")))
                        }
                        // What has not begun can still be told so; a stream that has is told by its manners.
                        _ = cut.wait_for(|cut| *cut) => Err(ApiError::stopping()),
                    }
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error.clone()),
        };
        let mut response = respond(served, &id, &self.app, surface);
        if let Some(mut place) = place {
            place.begun();
            let manners = self.manners(&response, heartbeat, surface, &id);
            response = response.map(|body| body.holding(place).with(manners));
        }
        closes |= self.app.gate.get().is_some_and(|gate| gate.is_memory_scarce());
        if closes && version < Version::HTTP_2 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(caller) = &caller {
            let is_anthropics = surface.dialect() == Some(Dialect::Messages);
            caller.put_limits(response.headers_mut(), is_anthropics);
        }
        if let Some(line) = line {
            let key = caller.ok().map(|caller| caller.id.clone());
            tracing::info!(request_id = %id, key = key.as_deref(), status = response.status().as_u16(), us = received.elapsed().as_micros(), "{line}");
        }
        response
    }
}

/// What a path leads to.
enum Endpoint {
    Ask(Address),
    /// In the words of this surface.
    Models(Surface),
    Model(Surface, String),
    Response(String),
    /// Another method than this one is wanted.
    WrongMethod(&'static str),
    Unknown,
}

/// Where models are listed.
const MODELS: [&str; 4] = ["/v1/models", "/v1beta/models", "/openai/v1/models", "/openai/models"];

/// The table of endpoints. What there is is told in the words of this surface.
fn route(method: &Method, path: &str, address: Option<Address>, surface: Surface) -> Endpoint {
    let wants = |wanted: Method, name, endpoint| {
        if *method == wanted {
            endpoint
        } else {
            Endpoint::WrongMethod(name)
        }
    };
    if let Some(address) = address {
        return wants(Method::POST, "POST", Endpoint::Ask(address));
    }
    if let Some(id) = path
        .strip_prefix("/v1/responses/")
        .filter(|id| !id.is_empty() && !id.contains('/'))
    {
        return match *method {
            Method::GET | Method::DELETE => Endpoint::Response(id.to_owned()),
            _ => Endpoint::WrongMethod("GET, DELETE"),
        };
    }
    for models in MODELS {
        let Some(below) = path.strip_prefix(models) else {
            continue;
        };
        match below.strip_prefix('/') {
            None if below.is_empty() => return wants(Method::GET, "GET", Endpoint::Models(surface)),
            Some(id) if !id.is_empty() => {
                let id = percent_encoding::percent_decode_str(id)
                    .decode_utf8_lossy()
                    .into_owned();
                return wants(Method::GET, "GET", Endpoint::Model(surface, id));
            }
            _ => {}
        }
    }
    Endpoint::Unknown
}

impl Data {
    /// Whose request it is, before a byte of its body is read. What is not there needs no key.
    fn caller(&self, endpoint: &Endpoint, head: &Parts, generation: &Generation) -> Result<Arc<Caller>, ApiError> {
        head::check(head, &generation.config.server)?;
        if hops::is_loop(&head.headers) {
            return Err(ApiError::loop_detected());
        }
        let ring = self.app.keys.ring();
        match endpoint {
            Endpoint::WrongMethod(_) | Endpoint::Unknown => Ok(ring.anonymous().clone()),
            Endpoint::Ask(Address { surface, .. }) | Endpoint::Models(surface) | Endpoint::Model(surface, _) => {
                auth::caller(&ring, head, *surface)
            }
            Endpoint::Response(_) => auth::caller(&ring, head, Surface::Responses),
        }
    }

    /// What a stream does while it has nothing to say, and when the gateway stops.
    fn manners(
        &self,
        response: &Response<Body>,
        heartbeat: Option<Duration>,
        surface: Surface,
        id: &str,
    ) -> Option<Manners> {
        let kind = response.headers().get(CONTENT_TYPE)?;
        let is_array = kind == "application/json" && surface == Surface::StreamGenerateContent;
        if !is_array && kind != "text/event-stream" {
            return None;
        }
        let last = surface.error_event(&ApiError::stopping(), id);
        let (beat, last) = match is_array {
            false => (surface.beat(), [last.clone(), last]),
            // Its elements come one by one: between them white space means nothing.
            true => (BLANK, [false, true].map(|is_begun| Framing::element(&last, is_begun))),
        };
        Some(Manners::new(heartbeat, beat, self.app.cut.subscribe(), last))
    }

    /// A place among the calls that are served at one time, before a byte of the body is read.
    async fn enter(&self, endpoint: &Endpoint, caller: &Arc<Caller>) -> Result<Option<Place>, ApiError> {
        match (endpoint, self.app.gate.get()) {
            (Endpoint::Ask(_), Some(gate)) => gate.enter(&caller.id).await.map(Some),
            _ => Ok(None),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a request is made of, taken apart once")]
    async fn serve(
        &self,
        endpoint: Endpoint,
        head: Parts,
        body: (Incoming, Option<Room>),
        id: Arc<str>,
        received: Instant,
        generation: Arc<Generation>,
        caller: Arc<Caller>,
    ) -> Result<Answer, ApiError> {
        match endpoint {
            Endpoint::Ask(address) => {
                let call = read(&self.app, address, head, body, id, received, &generation, caller).await?;
                idempotent::serve(&self.app, generation, call).await
            }
            Endpoint::Models(Surface::GenerateContent) => Ok(json(&gemini::list(&generation, &caller))),
            Endpoint::Models(Surface::Messages) => Ok(json(&messages::list(&generation, &caller))),
            Endpoint::Models(_) => Ok(json(&models::list(&generation, &caller))),
            Endpoint::Model(surface, id) => match surface {
                Surface::GenerateContent => gemini::one(&generation, &caller, &id),
                Surface::Messages => messages::one(&generation, &caller, &id),
                _ => models::one(&generation, &caller, &id),
            }
            .map(|model| json(&model))
            .ok_or_else(|| ApiError::unknown_model(&id)),
            Endpoint::Response(id) if head.method == Method::DELETE => kept::delete(&self.app, &caller, &id).await,
            Endpoint::Response(id) => kept::get(&self.app, &caller, &id).await,
            Endpoint::WrongMethod(wanted) => {
                let message = format!("{} is not for this path; use {wanted}", head.method);
                Err(ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).with_allow(wanted))
            }
            Endpoint::Unknown => Err(ApiError::unknown_path(&head.method, head.uri.path())),
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what a request is made of, taken apart once")]
async fn read(
    app: &App,
    address: Address,
    head: Parts,
    (body, room): (Incoming, Option<Room>),
    id: Arc<str>,
    received: Instant,
    generation: &Generation,
    caller: Arc<Caller>,
) -> Result<Arc<Call>, ApiError> {
    let limits = &generation.config.server;
    head::check_body(&head.headers, limits)?;
    let shape = address.surface.shape(&head.headers)?;
    let text = intake::read(body, limits, room.as_ref()).await?;
    let json = Limits {
        depth: limits.json_depth,
    };
    let (document, form) = shape.document(text, json, limits.extensions)?;
    let responses = generation.config.responses.as_ref();
    let asked = kept::read(app, responses, address, document, &caller, (json, limits.extensions)).await?;
    let Asked { document, ask, wording } = asked;
    let wording = Wording { form, ..wording };
    let policy_headers = limits.policy_headers.clone();
    let seed = Call::seed_of(&id);
    Ok(Arc::new(Call {
        id,
        received,
        now_ms: now_ms(),
        seed,
        headers: apart(head.headers),
        document,
        ask,
        policy_headers,
        caller,
        wording,
        sent: Arc::default(),
        tried: Arc::default(),
        is_told: Arc::default(),
    }))
}

/// Values of their own: what was read from a connection stays in memory, eight kilobytes of it, for as long as a header points into it,
/// and the headers of a stream are kept to its end.
fn apart(mut headers: HeaderMap) -> HeaderMap {
    for value in headers.values_mut() {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    headers
}

fn json(value: &serde_json::Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer {
        headers,
        body: Body::whole(value.to_string()),
    }
}

fn respond(served: Result<Answer, ApiError>, id: &str, app: &App, surface: Surface) -> Response<Body> {
    let mut response = match served {
        Ok(Answer { headers, body }) => {
            let mut response = Response::new(body);
            *response.headers_mut() = headers;
            response
        }
        Err(error) => refuse(&error, id, app, surface),
    };
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
        if let Some(name) = surface.id_header() {
            response.headers_mut().insert(HeaderName::from_static(name), id.clone());
        }
        response.headers_mut().insert(SDK_REQUEST_ID, id);
    }
    response
}

/// An error in the surface's shape, with what steers the caller's SDK.
fn refuse(error: &ApiError, id: &str, app: &App, surface: Surface) -> Response<Body> {
    let status = error.status.as_u16();
    app.meter.request(&error.route, status);
    if status >= 500 && !error.is_shed {
        tracing::warn!(request_id = %id, status, code = %error.code, detail = error.detail, "{}", error.message);
    } else {
        tracing::debug!(request_id = %id, status, code = %error.code, detail = error.detail, "{}", error.message);
    }
    let mut response = Response::new(Body::whole(surface.error(error, id)));
    *response.status_mut() = error.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if error.code == "invalid_api_key" {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(allow) = error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(delay) = error.retry_after {
        // Whole seconds, rounded up: too early would be refused again.
        headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1000) as u64));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(delay.as_millis() as u64));
    }
    if error.is_replay {
        headers.insert(idempotent::REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(should_retry) = error.should_retry {
        headers.insert(
            SHOULD_RETRY,
            HeaderValue::from_static(if should_retry { "true" } else { "false" }),
        );
    }
    response
}
