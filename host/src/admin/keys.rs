//! `/admin/keys`: keys of the store, made, rotated and ended while the gateway serves. What is answered is in force.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{refuse, reply, wrong_method};
use crate::app::App;
use crate::body::Body;
use crate::config::parse_span;
use crate::generation::Generation;
use crate::keys::{Keys, NewKey, Vault, VaultError, Wish, listed};

/// Longer orders are none.
const BODY_BYTES: usize = 64 << 10;

/// What is wrong with an order, in a status and in words.
type Wrong = (StatusCode, String);

/// What is to be done.
enum Order {
    List,
    Create(Box<Wish>),
    Rotate(String, Rotation),
    Revoke(String),
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    overlap: String,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            overlap: "24h".to_owned(),
        }
    }
}

/// Answers what is below `/admin/keys`; `path` is what comes after that.
pub(super) async fn answer(
    app: &App,
    generation: Arc<Generation>,
    path: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let order = match order(path, request).await {
        Ok(order) => order,
        Err(response) => return *response,
    };
    let Some(vault) = app.vault.get().cloned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this gateway keeps no keys");
    };
    let keys = app.keys.clone();
    // Disks take their time.
    let obeying = tokio::task::spawn_blocking(move || obey(&vault, &keys, &generation, order));
    match obeying.await {
        Ok(Ok((status, value))) => reply(status, &value),
        Ok(Err((status, message))) => refuse(status, &message),
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the order failed; the log has the reason",
        ),
    }
}

async fn order(path: &str, request: Request<Incoming>) -> Result<Order, Box<Response<Body>>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let no = |response| Err(Box::new(response));
    match (request.method(), parts.as_slice()) {
        (&Method::GET, []) => Ok(Order::List),
        (&Method::POST, []) => Ok(Order::Create(read(request, None).await?)),
        (_, []) => no(wrong_method("GET, POST", "use GET or POST")),
        (&Method::DELETE, [id]) if !id.is_empty() => Ok(Order::Revoke((*id).to_owned())),
        (_, [id]) if !id.is_empty() => no(wrong_method("DELETE", "use DELETE, which revokes the key")),
        (&Method::POST, [id, "rotate"]) => {
            let id = (*id).to_owned();
            let rotation = read(request, Some(Rotation::default())).await?;
            Ok(Order::Rotate(id, rotation))
        }
        (_, [_, "rotate"]) => no(wrong_method("POST", "use POST")),
        _ => no(refuse(StatusCode::NOT_FOUND, "no such endpoint; GET / lists them")),
    }
}

/// An order's JSON; no body at all may stand for something.
async fn read<T: DeserializeOwned>(request: Request<Incoming>, empty: Option<T>) -> Result<T, Box<Response<Body>>> {
    let wrong = |message: String| Box::new(refuse(StatusCode::BAD_REQUEST, &message));
    let body = Limited::new(request.into_body(), BODY_BYTES).collect().await;
    let body = body.map_err(|error| wrong(format!("the body cannot be read: {error}")))?;
    match (body.to_bytes(), empty) {
        (bytes, Some(empty)) if bytes.is_empty() => Ok(empty),
        (bytes, _) => serde_json::from_slice(&bytes).map_err(|error| wrong(format!("the body: {error}"))),
    }
}

fn obey(vault: &Vault, keys: &Keys, generation: &Generation, order: Order) -> Result<(StatusCode, Value), Wrong> {
    let config = &generation.config;
    let now = now_ms();
    let declared = |id: &str| match config.keys.declared.contains_key(id) {
        true => Err((
            StatusCode::CONFLICT,
            format!("the key `{id}` is declared in the configuration, and is changed there"),
        )),
        false => Ok(()),
    };
    let done = match order {
        Order::List => {
            let stored = vault.list().map_err(wrong)?;
            return Ok((StatusCode::OK, json!({"keys": listed(config, &stored, now)})));
        }
        Order::Create(wish) => {
            let key = vault.create(*wish, config, now).map_err(wrong)?;
            (StatusCode::CREATED, shown(&key))
        }
        Order::Rotate(id, rotation) => {
            declared(&id)?;
            let overlap = parse_span(&rotation.overlap);
            let overlap = overlap.map_err(|reason| (StatusCode::BAD_REQUEST, format!("`overlap`: {reason}")))?;
            let key = vault.rotate(&id, overlap, &config.keys.pepper, now).map_err(wrong)?;
            (StatusCode::OK, shown(&key))
        }
        Order::Revoke(id) => {
            declared(&id)?;
            let since = vault.revoke(&id, now).map_err(wrong)?;
            (StatusCode::OK, json!({"id": id, "revoked_ms": since}))
        }
    };
    vault.refresh(keys).map_err(wrong)?;
    Ok(done)
}

fn shown(key: &NewKey) -> Value {
    json!({"id": key.id(), "key": key.reveal()})
}

fn wrong(error: VaultError) -> Wrong {
    let status = match &error {
        VaultError::Unknown(_) => StatusCode::NOT_FOUND,
        VaultError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        VaultError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
