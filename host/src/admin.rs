//! The admin listener: health, metrics, what is in service, and the order to reload. On loopback by default; a browser that
//! was led here from elsewhere is refused.

mod health;
mod keys;
mod money;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::App;
use crate::body::Body;
use crate::config::ComponentRef;
use crate::documents::Documents;
use crate::generation::{Generation, Way};
use crate::pipeline::record;
use crate::plugins::{Counters, Digest, Shape};
use crate::reports::Trigger;
use crate::server::Service;

/// Answers operators.
#[derive(Debug)]
pub struct Admin {
    /// What it tells about.
    pub app: Arc<App>,
}

const INDEX: &str = "Pointsman admin\n\nGET  /healthz\nGET  /readyz\nGET  /metrics\nGET  /admin/plugins\nGET  /admin/routes\nGET  /admin/health\nGET  /admin/decisions/{request id}\n\
                     GET  /admin/cache\nDELETE /admin/cache\nGET  /admin/spend\nGET  /admin/budgets\nPOST /admin/ledger/corrections\n\
                     GET  /admin/keys\nPOST /admin/keys\nPOST /admin/keys/{id}/rotate\nDELETE /admin/keys/{id}\nPOST /admin/reload\n";

impl Service for Admin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if !is_from_here(request.headers()) {
            return refuse(StatusCode::FORBIDDEN, "the admin API answers to its own address only");
        }
        let Some(generation) = self.app.generation() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "nothing is in service yet");
        };
        if let Some(path) = keys_path(&request) {
            return keys::answer(&self.app, generation, &path, request).await;
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => text(StatusCode::OK, INDEX),
            (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") if self.app.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            (&Method::GET, "/readyz") => text(StatusCode::OK, "ready\n"),
            (&Method::GET, "/metrics") => metrics(&self.app, &generation),
            (&Method::GET, "/admin/plugins") => reply(StatusCode::OK, &plugins(&self.app, &generation)),
            (&Method::GET, "/admin/routes") => reply(StatusCode::OK, &routes(&generation)),
            (&Method::GET, "/admin/health") => reply(StatusCode::OK, &health::shown(&generation)),
            (&Method::GET, path) if path.starts_with(DECISIONS) => decision(&self.app, &path[DECISIONS.len()..]).await,
            (&Method::GET, "/admin/cache") => reply(StatusCode::OK, &self.app.cache.shown()),
            (&Method::DELETE, "/admin/cache") => empty_cache(&self.app).await,
            (&Method::GET, "/admin/spend") => money::spend(&self.app.ledger, request.uri().query()).await,
            (&Method::GET, "/admin/budgets") => money::budgets(&self.app.ledger).await,
            (&Method::POST, "/admin/ledger/corrections") => money::correct(&self.app.ledger, request.into_body()).await,
            (&Method::POST, "/admin/reload") => reload(&self.app).await,
            (
                _,
                "/" | "/healthz" | "/readyz" | "/metrics" | "/admin/plugins" | "/admin/routes" | "/admin/health"
                | "/admin/spend" | "/admin/budgets",
            ) => wrong_method("GET", "use GET"),
            (_, "/admin/cache") => wrong_method("GET, DELETE", "use GET or DELETE"),
            (_, "/admin/reload" | "/admin/ledger/corrections") => wrong_method("POST", "use POST"),
            _ => refuse(StatusCode::NOT_FOUND, "no such endpoint; GET / lists them"),
        }
    }
}

/// What comes after `/admin/keys`, where the request is for that.
fn keys_path(request: &Request<Incoming>) -> Option<String> {
    let path = request.uri().path().strip_prefix("/admin/keys")?;
    (path.is_empty() || path.starts_with('/')).then(|| path.to_owned())
}

const DECISIONS: &str = "/admin/decisions/";

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

async fn empty_cache(app: &App) -> Response<Body> {
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

/// A name that resolves to this address but is not its own is how a page elsewhere would reach it.
fn is_from_here(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let is_own = is_address || name == "localhost" || name.is_empty();
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    is_own && origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

fn metrics(app: &App, generation: &Generation) -> Response<Body> {
    let policies = generation
        .policies
        .iter()
        .map(|(name, policy)| (name.as_str(), policy.policy.counters()));
    let adapters: Vec<(String, &Counters)> = adapters(generation)
        .map(|adapter| (adapter.0, adapter.1.counters()))
        .collect();
    let adapters = adapters.iter().map(|(name, counters)| (name.as_str(), *counters));
    let body = app.meter.text(generation.number, &app.alive, policies.chain(adapters));
    let mut response = Response::new(Body::whole(body));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn adapters(generation: &Generation) -> impl Iterator<Item = (String, &crate::plugins::Adapter)> {
    generation
        .providers
        .values()
        .filter_map(|provider| match &provider.way {
            Way::Remote(remote) => Some((format!("adapter:{}", provider.name), &remote.adapter)),
            Way::Simulated(_) => None,
        })
}

/// What is in service, and what is not although it should be.
fn plugins(app: &App, generation: &Generation) -> Value {
    let trouble = app.reloads.trouble();
    let show = |name: &str,
                kind: &str,
                component: Option<&ComponentRef>,
                digest: Digest,
                shape: Shape,
                counters: &Counters| {
        let stats = counters.read();
        let trouble = trouble.get(name);
        json!({
            "name": name,
            "kind": kind,
            "component": component.map(describe),
            "running_digest": digest.to_string(),
            "size": shape.size,
            "imports": shape.imports,
            "exports": shape.exports,
            "candidate_digest": trouble.and_then(|trouble| trouble.digest.clone()),
            "error": trouble.map(|trouble| trouble.error.clone()),
            "error_since_ms": trouble.map(|trouble| trouble.at_ms),
            "orphaned": component.is_some_and(is_orphan),
            "calls": stats.calls,
            "seconds": stats.time.as_secs_f64(),
            "faults": stats.faults.into_iter().map(|(kind, count)| (kind.to_owned(), Value::from(count)))
                .collect::<serde_json::Map<_, _>>(),
        })
    };
    let config = &generation.config;
    let policies = generation.policies.iter().map(|(name, loaded)| {
        let component = config.policies.get(name).map(|policy| &policy.component);
        let mut shown = show(
            name,
            "policy",
            component,
            loaded.policy.digest(),
            loaded.policy.shape(),
            loaded.policy.counters(),
        );
        let file = config.policies.get(name).and_then(|policy| policy.file.as_ref());
        if let Some(file) = file {
            shown["file"] = json!(file.path.display().to_string());
            shown["orphaned"] = json!(shown["orphaned"] == true || !file.path.exists());
        }
        shown["warnings"] = json!(loaded.policy.warnings());
        shown["grants"] = json!(
            config
                .policies
                .get(name)
                .map(|policy| { policy.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>() })
        );
        shown
    });
    let adapters = generation
        .providers
        .iter()
        .filter_map(|(name, provider)| match &provider.way {
            Way::Remote(remote) => {
                let component = config
                    .providers
                    .get(name)
                    .and_then(|provider| provider.adapter.as_ref());
                let mut shown = show(
                    remote.adapter.name(),
                    "adapter",
                    component,
                    remote.adapter.digest(),
                    remote.adapter.shape(),
                    remote.adapter.counters(),
                );
                shown["provider"] = json!(name);
                Some(shown)
            }
            Way::Simulated(_) => None,
        });
    json!({
        "generation": generation.number,
        "generations_alive": app.alive.load(std::sync::atomic::Ordering::Relaxed),
        "plugins": policies.chain(adapters).collect::<Vec<_>>(),
        "config_error": trouble.get("config"),
        "last_reload": app.reloads.last(),
    })
}

fn describe(component: &ComponentRef) -> String {
    match component {
        ComponentRef::BuiltIn(name) => format!("built-in {name}"),
        ComponentRef::File { path, .. } => path.display().to_string(),
    }
}

/// The file is gone; what it held stays in service for as long as the configuration names it.
fn is_orphan(component: &ComponentRef) -> bool {
    matches!(component, ComponentRef::File { path, .. } if !path.exists())
}

fn routes(generation: &Generation) -> Value {
    let routes = generation.routes.values().map(|route| {
        let candidates = route.candidates.iter().map(|(model, weight)| {
            let health = model.seen.health.read();
            json!({
                "model": model.id,
                "provider": model.provider.name,
                "weight": weight,
                "price_known": model.price.is_some(),
                "health": {
                    "in_flight": health.in_flight,
                    "error_permille": health.error_permille,
                    "first_token_ms": health.first_token_ms,
                    "total_ms": health.total_ms,
                },
            })
        });
        json!({
            "route": route.name,
            "candidates": candidates.collect::<Vec<_>>(),
            "policies": route.policies.iter().map(|policy| {
                format!("{}@{}", policy.policy.name(), policy.policy.digest().short())
            }).collect::<Vec<_>>(),
            "retries": route.config.retries,
            "timeout_ms": route.config.timeouts.total.map(|total| total.as_millis() as u64),
        })
    });
    json!({"generation": generation.number, "routes": routes.collect::<Vec<_>>()})
}

async fn reload(app: &App) -> Response<Body> {
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

fn wrong_method(wanted: &'static str, message: &str) -> Response<Body> {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(wanted));
    response
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    reply(status, &json!({"error": {"message": message, "code": status.as_u16()}}))
}
