//! What is in service, as operators see it: metrics, plugins, routes.

use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::app::App;
use crate::body::Body;
use crate::config::ComponentRef;
use crate::generation::{Generation, Way};
use crate::plugins::{Counters, Digest, Shape};
use crate::server;

pub(super) fn metrics(app: &App, generation: &Generation) -> Response<Body> {
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
pub(super) fn plugins(app: &App, generation: &Generation) -> Value {
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

pub(super) fn routes(generation: &Generation) -> Value {
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

/// Everything that bounds what a client can have done, with how much of it is used now.
pub(super) fn limits(app: &App, generation: &Generation) -> Value {
    let server = &generation.config.server;
    let ms = |time: std::time::Duration| time.as_millis() as u64;
    json!({
        "load": app.gate.get().map(|gate| gate.shown()),
        "request": {
            "header_bytes": server.header_bytes,
            "header_count": server.header_count,
            "body_bytes": server.body_bytes,
            "body_grace_ms": ms(server.body_grace),
            "body_bytes_per_second": server.body_rate,
            "json_depth": server.json_depth,
        },
        "connection": {
            "head_ms": ms(server.head),
            "idle_ms": ms(server.idle),
            "stall_ms": ms(server.stall),
            "streams_over_http2": server::STREAMS,
        },
        "drain_ms": ms(server.drain),
        "plugins": {
            "slots": generation.config.plugins.slots,
            "asking": generation.config.plugins.asking,
            "review_bytes": generation.config.plugins.review_bytes,
        },
        "routes": generation.routes.values().map(|route| (route.name.clone(), json!({
            "retries": route.config.retries,
            "timeout_ms": route.config.timeouts.total.map(ms),
        }))).collect::<serde_json::Map<_, _>>(),
    })
}
