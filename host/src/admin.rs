//! The admin listener: health, metrics, what is in service, and what operators change. Who may do what is decided in
//! `door`; everything that is changed is written down before it takes effect, and after.

mod door;
mod health;
mod keys;
mod money;
mod shown;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::App;
use crate::audit::{Audit, Entry};
use crate::body::Body;
use crate::documents::Documents;
use crate::generation::{Generation, Way};
use crate::pipeline::record;
use crate::plugins::Digest;
use crate::reports::Trigger;
use crate::server::{Peer, Service};
use door::{Need, Visitor};

/// Answers operators.
#[derive(Debug)]
pub struct Admin {
    /// What it tells about.
    pub app: Arc<App>,
    /// Whether only processes of this machine reach it.
    pub is_local: bool,
    /// Where changes are written down.
    pub audit: Audit,
}

const INDEX: &str = "Pointsman admin\n\nGET  /healthz\nGET  /readyz\nGET  /metrics\nGET  /admin/plugins\nGET  /admin/routes\nGET  /admin/health\nGET  /admin/limits\nGET  /admin/decisions/{request id}\n\
                     GET  /admin/cache\nDELETE /admin/cache\nGET  /admin/spend\nGET  /admin/budgets\nPOST /admin/ledger/corrections\n\
                     GET  /admin/keys\nPOST /admin/keys\nPOST /admin/keys/{id}/rotate\nPOST /admin/keys/{id}/expire\nDELETE /admin/keys/{id}\nPOST /admin/reload\n";

/// What a request is for.
enum Endpoint {
    Index,
    Health,
    Ready,
    Metrics,
    Plugins,
    Routes,
    Candidates,
    Limits,
    Decision(String),
    Cache,
    ClearCache,
    Spend,
    Budgets,
    Correct,
    Keys,
    ChangeKeys(keys::Order),
    Reload,
    /// Other methods than these are for other things.
    WrongMethod(&'static str),
    Unknown,
}

/// The table of endpoints.
fn endpoint(method: &Method, path: &str) -> Endpoint {
    let wants = |wanted: Method, name, endpoint| match *method == wanted {
        true => endpoint,
        false => Endpoint::WrongMethod(name),
    };
    let get = |endpoint| wants(Method::GET, "GET", endpoint);
    let post = |endpoint| wants(Method::POST, "POST", endpoint);
    match path {
        "/" => get(Endpoint::Index),
        "/healthz" => get(Endpoint::Health),
        "/readyz" => get(Endpoint::Ready),
        "/metrics" => get(Endpoint::Metrics),
        "/admin/plugins" => get(Endpoint::Plugins),
        "/admin/routes" => get(Endpoint::Routes),
        "/admin/health" => get(Endpoint::Candidates),
        "/admin/limits" => get(Endpoint::Limits),
        "/admin/cache" if *method == Method::GET => Endpoint::Cache,
        "/admin/cache" => wants(Method::DELETE, "GET, DELETE", Endpoint::ClearCache),
        "/admin/spend" => get(Endpoint::Spend),
        "/admin/budgets" => get(Endpoint::Budgets),
        "/admin/ledger/corrections" => post(Endpoint::Correct),
        "/admin/reload" => post(Endpoint::Reload),
        _ => match (path.strip_prefix("/admin/decisions/"), path.strip_prefix("/admin/keys")) {
            (Some(id), _) => get(Endpoint::Decision(id.to_owned())),
            (_, Some(rest)) if rest.is_empty() || rest.starts_with('/') => keys::endpoint(method, rest),
            _ => Endpoint::Unknown,
        },
    }
}

impl Endpoint {
    /// Who may ask for it.
    fn need(&self) -> Need {
        match self {
            // Probes have no tokens, and learn nothing that a connection would not tell them.
            Self::Index | Self::Health | Self::Ready | Self::WrongMethod(_) | Self::Unknown => Need::Nothing,
            // What the files say anyway, and answers that are made again.
            Self::Reload | Self::ClearCache => Need::Order,
            Self::Correct | Self::ChangeKeys(_) => Need::Change,
            _ => Need::Look,
        }
    }
}

/// What a change came to.
struct Changed {
    response: Response<Body>,
    /// The id of what was changed.
    subject: Option<String>,
    before: Option<Digest>,
    after: Option<Digest>,
}

impl From<Response<Body>> for Changed {
    fn from(response: Response<Body>) -> Self {
        Self {
            response,
            subject: None,
            before: None,
            after: None,
        }
    }
}

/// The digest of a value as it is shown.
fn digest(value: &Value) -> Digest {
    Digest::of(value.to_string().as_bytes())
}

impl Service for Admin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Some(generation) = self.app.generation() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "nothing is in service yet");
        };
        if !door::is_from_here(&head, &generation.config.admin, self.is_local) {
            return refuse(StatusCode::FORBIDDEN, "the admin API answers to its own names only");
        }
        let endpoint = endpoint(&head.method, head.uri.path());
        let operators = self.app.keys.operators();
        let door = door::Door {
            operators: &operators,
            is_local: self.is_local,
            peer,
        };
        match (door.enter(&head.headers, endpoint.need()), endpoint.need()) {
            (Err(refusal), _) => *refusal,
            (Ok(visitor), Need::Order | Need::Change) => {
                self.change(&visitor, &head, endpoint, body, &generation).await
            }
            (Ok(_), Need::Nothing | Need::Look) => self.look(endpoint, &head, &generation).await,
        }
    }
}

impl Admin {
    async fn look(&self, endpoint: Endpoint, head: &Parts, generation: &Arc<Generation>) -> Response<Body> {
        let app = &self.app;
        match endpoint {
            Endpoint::Index => text(StatusCode::OK, INDEX),
            Endpoint::Health => text(StatusCode::OK, "ok\n"),
            Endpoint::Ready if app.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Endpoint::Ready => text(StatusCode::OK, "ready\n"),
            Endpoint::Metrics => shown::metrics(app, generation),
            Endpoint::Plugins => reply(StatusCode::OK, &shown::plugins(app, generation)),
            Endpoint::Routes => reply(StatusCode::OK, &shown::routes(generation)),
            Endpoint::Candidates => {
                let mut shown = health::shown(generation);
                if let Some(fleet) = money::fleet(&app.ledger) {
                    shown["fleet"] = fleet;
                }
                reply(StatusCode::OK, &shown)
            }
            Endpoint::Limits => reply(StatusCode::OK, &shown::limits(app, generation)),
            Endpoint::Decision(id) => decision(app, &id).await,
            Endpoint::Cache => reply(StatusCode::OK, &app.cache.shown()),
            Endpoint::Spend => money::spend(&app.ledger, head.uri.query()).await,
            Endpoint::Budgets => money::budgets(&app.ledger).await,
            Endpoint::Keys => keys::list(app, generation.clone()).await,
            Endpoint::WrongMethod(wanted) => wrong_method(wanted),
            _ => refuse(StatusCode::NOT_FOUND, "no such endpoint; GET / lists them"),
        }
    }

    /// Written down, done, and written down again. What cannot be written down is not done.
    async fn change(
        &self,
        visitor: &Visitor,
        head: &Parts,
        endpoint: Endpoint,
        body: Incoming,
        generation: &Arc<Generation>,
    ) -> Response<Body> {
        let entry = Entry {
            who: visitor.name.clone(),
            from: visitor.from.clone(),
            what: format!("{} {}", head.method, head.uri.path()),
            ..Entry::default()
        };
        let asked = Entry {
            stage: "asked".to_owned(),
            ..entry.clone()
        };
        if let Err(error) = self.note(asked).await {
            tracing::error!(%error, "nothing can be changed: the audit log cannot be written");
            let message = "the audit log cannot be written, and what is not written down is not done";
            return refuse(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        let changed = match endpoint {
            Endpoint::Reload => reload(&self.app).await,
            Endpoint::ClearCache => clear_cache(&self.app).await,
            Endpoint::Correct => money::correct(&self.app.ledger, body).await,
            Endpoint::ChangeKeys(order) => keys::change(&self.app, generation.clone(), order, body).await,
            _ => refuse(StatusCode::NOT_FOUND, "no such endpoint; GET / lists them").into(),
        };
        let text = |digest: Digest| digest.to_string();
        let done = Entry {
            stage: "done".to_owned(),
            status: Some(changed.response.status().as_u16()),
            subject: changed.subject,
            before: changed.before.map(text),
            after: changed.after.map(text),
            ..entry
        };
        match self.note(done).await {
            Ok(head) => tracing::info!(audit = true, head, "a line of the audit log is written"),
            // It has happened, and the line before says that it was to.
            Err(error) => tracing::error!(%error, "a change was made, and the audit log cannot say so"),
        }
        changed.response
    }

    /// Disks take their time.
    async fn note(&self, entry: Entry) -> std::io::Result<String> {
        let audit = self.audit.clone();
        let noting = tokio::task::spawn_blocking(move || audit.write(entry));
        noting.await.map_err(std::io::Error::other)?
    }
}

/// No order is so long that it takes longer to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// All of a request's body.
async fn body(body: Incoming, at_most: usize) -> Result<Bytes, Response<Body>> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, at_most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(refuse(
            StatusCode::BAD_REQUEST,
            &format!("the body cannot be read: {error}"),
        )),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

async fn clear_cache(app: &App) -> Changed {
    let before = digest(&app.cache.shown());
    let response = emptied(app).await;
    Changed {
        before: Some(before),
        after: Some(digest(&app.cache.shown())),
        ..response.into()
    }
}

async fn emptied(app: &App) -> Response<Body> {
    match app.cache.clear().await {
        Ok(removed) => reply(StatusCode::OK, &json!({"removed": removed})),
        Err(error) => {
            tracing::warn!(%error, "the kept answers cannot be removed");
            let message =
                "the answers in memory are gone, those in the store are not: it cannot be written now; try again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }
}

/// What was decided for a request, where decisions are kept.
async fn decision(app: &App, id: &str) -> Response<Body> {
    let documents = Documents::new(app.ledger.clone());
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    match documents.read(record::KIND, id.to_owned(), now_ms).await {
        Ok(Some(text)) => match serde_json::from_slice::<Value>(&text) {
            Ok(record) => reply(StatusCode::OK, &record),
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the record cannot be read"),
        },
        Ok(None) => {
            let message =
                "no record of this request: decisions are kept where `[store] decisions` says so, and for as long";
            refuse(StatusCode::NOT_FOUND, message)
        }
        Err(error) => {
            tracing::warn!(%error, "a decision cannot be read");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read")
        }
    }
}

/// What is served with, as far as it may be shown.
fn in_service(app: &App) -> Option<Digest> {
    let generation = app.generation()?;
    let mut text = format!("{:?}", generation.config);
    for policy in generation.policies.values() {
        text.push_str(&policy.policy.digest().to_string());
    }
    for (name, provider) in &generation.providers {
        if let Way::Remote(remote) = &provider.way {
            text.push_str(&format!("{name}{}", remote.adapter.digest()));
        }
    }
    Some(Digest::of(text.as_bytes()))
}

async fn reload(app: &App) -> Changed {
    let before = in_service(app);
    let response = reloaded(app).await;
    Changed {
        before,
        after: in_service(app),
        ..response.into()
    }
}

async fn reloaded(app: &App) -> Response<Body> {
    let (sender, receiver) = oneshot::channel();
    if let Some(reloader) = app.reloader.get() {
        reloader.ask(Trigger::Admin(sender));
    }
    match receiver.await {
        Ok(report) => {
            let status = if report.outcome == "failure" {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::OK
            };
            reply(status, &json!(report))
        }
        Err(_) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway does not watch its files, or too many reloads are waiting already",
        ),
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(format!("{value:#}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn wrong_method(wanted: &'static str) -> Response<Body> {
    let message = format!("use {}", wanted.replace(", ", " or "));
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(wanted));
    response
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    reply(status, &json!({"error": {"message": message, "code": status.as_u16()}}))
}
