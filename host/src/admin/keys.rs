//! `/admin/keys`: keys of the store, made, rotated, given another end and ended while the gateway serves. What is answered is in force.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Changed, Endpoint, digest, refuse, reply};
use crate::app::App;
use crate::body::Body;
use crate::config::parse_span;
use crate::generation::Generation;
use crate::keys::{Keys, NewKey, Vault, VaultError, Wish, listed};

/// Longer orders are none.
const BODY_BYTES: usize = 64 << 10;

/// What is wrong with an order, in a status and in words.
type Wrong = (StatusCode, String);

/// What is to be changed; how, is in the request's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Create,
    Rotate(String),
    Expire(String),
    Revoke(String),
}

/// An order with what its body says.
enum Read {
    Create(Box<Wish>),
    Rotate(String, Rotation),
    Expire(String, Expiry),
    Revoke(String),
}

/// What was done: the answer, and which key that was.
type Done = (StatusCode, Value, String);

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    overlap: String,
}

/// `null` where the key is not to end by itself; it has to be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    #[serde(deserialize_with = "Option::deserialize")]
    expires: Option<String>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            overlap: "24h".to_owned(),
        }
    }
}

/// What is below `/admin/keys`; `rest` is what comes after that.
pub(super) fn endpoint(method: &Method, rest: &str) -> Endpoint {
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        (&Method::GET, []) => Endpoint::Keys,
        (&Method::POST, []) => Endpoint::ChangeKeys(Order::Create),
        (_, []) => Endpoint::WrongMethod("GET, POST"),
        (&Method::DELETE, [id]) if !id.is_empty() => Endpoint::ChangeKeys(Order::Revoke((*id).to_owned())),
        (_, [id]) if !id.is_empty() => Endpoint::WrongMethod("DELETE"),
        (&Method::POST, [id, "rotate"]) => Endpoint::ChangeKeys(Order::Rotate((*id).to_owned())),
        (&Method::POST, [id, "expire"]) => Endpoint::ChangeKeys(Order::Expire((*id).to_owned())),
        (_, [_, "rotate" | "expire"]) => Endpoint::WrongMethod("POST"),
        _ => Endpoint::Unknown,
    }
}

/// `GET /admin/keys`
pub(super) async fn list(app: &App, generation: Arc<Generation>) -> Response<Body> {
    let Some(vault) = app.vault.get().cloned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this gateway keeps no keys");
    };
    // Disks take their time.
    let listing = tokio::task::spawn_blocking(move || {
        let stored = vault.list().map_err(wrong)?;
        Ok(json!({"keys": listed(&generation.config, &stored, now_ms())}))
    });
    match listing.await.unwrap_or_else(|_| Err(failed())) {
        Ok(value) => reply(StatusCode::OK, &value),
        Err((status, message)) => refuse(status, &message),
    }
}

/// Does as it is told.
pub(super) async fn change(app: &App, generation: Arc<Generation>, order: Order, body: Incoming) -> Changed {
    let order = match read(order, body).await {
        Ok(order) => order,
        Err(response) => return (*response).into(),
    };
    let Some(vault) = app.vault.get().cloned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this gateway keeps no keys").into();
    };
    let keys = app.keys.clone();
    let obeying = tokio::task::spawn_blocking(move || {
        let before = shown_keys(&vault, &generation);
        let done = obey(&vault, &keys, &generation, order)?;
        let find = |all: Vec<Value>| all.into_iter().find(|key| key["id"] == done.2).map(|key| digest(&key));
        let (before, after) = (find(before), find(shown_keys(&vault, &generation)));
        Ok((done, before, after))
    });
    match obeying.await.unwrap_or_else(|_| Err(failed())) {
        Ok(((status, value, id), before, after)) => Changed {
            response: reply(status, &value),
            subject: Some(id),
            before,
            after,
        },
        Err((status, message)) => refuse(status, &message).into(),
    }
}

/// All keys as they are shown; a store that cannot be read has none to show, and the change will say so.
fn shown_keys(vault: &Vault, generation: &Generation) -> Vec<Value> {
    let stored = vault.list().unwrap_or_default();
    listed(&generation.config, &stored, now_ms())
}

fn failed() -> Wrong {
    let message = "the order failed; the log has the reason".to_owned();
    (StatusCode::INTERNAL_SERVER_ERROR, message)
}

async fn read(order: Order, body: Incoming) -> Result<Read, Box<Response<Body>>> {
    Ok(match order {
        Order::Create => Read::Create(parse(body, None).await?),
        Order::Rotate(id) => Read::Rotate(id, parse(body, Some(Rotation::default())).await?),
        Order::Expire(id) => Read::Expire(id, parse(body, None).await?),
        Order::Revoke(id) => Read::Revoke(id),
    })
}

/// An order's JSON; no body at all may stand for something.
async fn parse<T: DeserializeOwned>(body: Incoming, empty: Option<T>) -> Result<T, Box<Response<Body>>> {
    let wrong = |message: String| Box::new(refuse(StatusCode::BAD_REQUEST, &message));
    let body = super::body(body, BODY_BYTES).await.map_err(Box::new)?;
    match (body, empty) {
        (bytes, Some(empty)) if bytes.is_empty() => Ok(empty),
        (bytes, _) => serde_json::from_slice(&bytes).map_err(|error| wrong(format!("the body: {error}"))),
    }
}

fn obey(vault: &Vault, keys: &Keys, generation: &Generation, order: Read) -> Result<Done, Wrong> {
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
        Read::Create(wish) => {
            let key = vault.create(*wish, config, now).map_err(wrong)?;
            (StatusCode::CREATED, shown(&key), key.id().to_owned())
        }
        Read::Rotate(id, rotation) => {
            declared(&id)?;
            let overlap = parse_span(&rotation.overlap);
            let overlap = overlap.map_err(|reason| (StatusCode::BAD_REQUEST, format!("`overlap`: {reason}")))?;
            let key = vault.rotate(&id, overlap, &config.keys.pepper, now).map_err(wrong)?;
            (StatusCode::OK, shown(&key), id)
        }
        Read::Expire(id, expiry) => {
            declared(&id)?;
            let end = vault.expire(&id, expiry.expires.as_deref(), now).map_err(wrong)?;
            (StatusCode::OK, json!({"id": id, "expires_ms": end}), id)
        }
        Read::Revoke(id) => {
            declared(&id)?;
            let since = vault.revoke(&id, now).map_err(wrong)?;
            (StatusCode::OK, json!({"id": id, "revoked_ms": since}), id)
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
