//! Responses that are kept, where `[responses]` asks for it: a turn goes on with the one that it names, and its own response is on disk
//! before its client knows it by its id. What one key has got is not there for another.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::app::App;
use crate::body::{Body, Broken, Outlet};
use crate::cache::Key;
use crate::config::{Extensions, ResponsesConfig};
use crate::error::{ApiError, printable};
use crate::json::{Document, Limits, Value};
use crate::keys::Caller;
use crate::pipeline::{Answer, Call};
use crate::store::{self, now_ms};
use crate::surfaces::responses::{KIND, Kept, Turn, with_turn};
use crate::surfaces::{Address, Request, Surface};
use crate::upstream::sse::Splitter;

/// As deep as an answer may be.
const LIMITS: Limits = Limits { depth: 512 };
/// Events that tell a response that is whole.
const ENDS: [&str; 2] = ["response.completed", "response.incomplete"];
/// Longer ones are no ids.
const ID_BYTES: usize = 256;

/// Reads a request; a turn of a conversation that is kept, with all that was said before it.
pub(super) async fn read(
    app: &App,
    config: Option<&ResponsesConfig>,
    address: Address,
    document: Document,
    caller: &Caller,
    (limits, known): (Limits, Extensions),
) -> Result<Request, ApiError> {
    let (document, wishes) = address.prepared(document, limits, known)?;
    if config.is_none() || address.surface != Surface::Responses {
        return Ok(wishes.on(address.read(document, limits)?));
    }
    let name = document
        .root()
        .field("previous_response_id")
        .and_then(|name| name.as_str());
    let kept = match name {
        Some(name) => Some(find(app, caller, &name).await?.ok_or_else(|| lost(&name))?),
        None => None,
    };
    if kept.is_some() {
        // What is wrong with the request is told by its own places, not by those in the whole conversation.
        address.read(document.clone(), limits)?;
    }
    let (turn, whole) = Turn::of(document, kept.as_ref(), &unique()?)?;
    let request = wishes.on(address.read(whole.clone(), limits)?);
    with_turn(request, turn, &whole)
}

/// Keeps what a call is answered with, where that is asked for.
pub(super) async fn keep(app: &Arc<App>, config: Option<&ResponsesConfig>, call: &Call, answer: Answer) -> Answer {
    let turn = call.wording.turn.as_ref().filter(|turn| turn.is_kept);
    let (Some(config), Some(turn)) = (config, turn) else {
        return answer;
    };
    let provider = answer.headers.get("x-pointsman-provider");
    let keeper = Keeper {
        app: app.clone(),
        turn: turn.clone(),
        owner: call.caller.id.clone(),
        provider: provider
            .and_then(|name| name.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        config: config.clone(),
    };
    let Answer { headers, body } = answer;
    let body = match body {
        Body::Whole(bytes) => {
            let bytes = bytes.unwrap_or_default();
            keeper.keep(&bytes).await;
            Body::whole(bytes)
        }
        stream => Body::pulled(move |outlet| keep_end(stream, keeper, outlet)),
    };
    Answer { headers, body }
}

/// Passes a stream on, and keeps the response that its last event tells before that event can be read.
async fn keep_end(stream: Body, keeper: Keeper, outlet: Outlet) -> Result<(), Broken> {
    let mut stream = Box::pin(stream);
    let mut events = Some(Splitter::default());
    while let Some(frame) = stream.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if let Some(mut listening) = events.take() {
            listening.buffer().extend_from_slice(&piece);
            // What is too long to be an event is passed on, and not kept.
            events = keeper.hear(&mut listening).await.then_some(listening);
        }
        outlet.send(piece).await?;
    }
    Ok(())
}

/// What it takes to keep a response.
#[derive(Debug)]
struct Keeper {
    app: Arc<App>,
    turn: Turn,
    owner: Arc<str>,
    provider: String,
    config: ResponsesConfig,
}

impl Keeper {
    /// Keeps what whole events tell; `false` where no more can be read.
    async fn hear(&self, events: &mut Splitter) -> bool {
        loop {
            match events.next_event() {
                Ok(Some(event)) if event.name().is_none_or(|name| ENDS.contains(&name)) => {
                    self.keep_told(event.data().as_deref()).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    async fn keep_told(&self, event: Option<&[u8]>) {
        let event = event.and_then(|data| Document::parse(Bytes::copy_from_slice(data), LIMITS).ok());
        let event = event.as_ref().map(|event| event.root());
        let is_end = |event: &Value<'_>| {
            event
                .get("type")
                .is_some_and(|kind| ENDS.iter().any(|end| kind.is(end)))
        };
        if let Some(response) = event.filter(is_end).and_then(|event| event.field("response")) {
            self.keep(response.raw().as_bytes()).await;
        }
    }

    /// Where it cannot be kept the answer is no worse for it.
    async fn keep(&self, response: &[u8]) {
        let response = Document::parse(Bytes::copy_from_slice(response), LIMITS).ok();
        let Some((id, record)) = response.and_then(|response| self.turn.record(&response, &self.provider)) else {
            return;
        };
        if record.len() > self.config.entry_bytes {
            tracing::warn!(
                bytes = record.len(),
                "a response is too large to be kept: [responses] entry_bytes"
            );
            return;
        }
        let keep_ms = u64::try_from(self.config.keep.as_millis()).unwrap_or(u64::MAX);
        let document = store::Document {
            content: Some(record.into()),
            expires_ms: Some(now_ms().saturating_add(keep_ms)),
            ..place(&self.owner, &id)
        };
        if let Err(error) = self.app.documents.write(vec![document]).await {
            tracing::warn!(%error, "a response cannot be kept");
        }
    }
}

/// `GET /v1/responses/{id}`
pub(super) async fn get(app: &App, caller: &Caller, id: &str) -> Result<Answer, ApiError> {
    let kept = find(app, caller, id).await?.ok_or_else(|| not_found(id))?;
    Ok(json(kept.response()))
}

/// `DELETE /v1/responses/{id}`
pub(super) async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Answer, ApiError> {
    find(app, caller, id).await?.ok_or_else(|| not_found(id))?;
    let gone = app.documents.write(vec![place(&caller.id, id)]).await;
    gone.map_err(|error| unavailable(&error))?;
    let told = serde_json::json!({ "id": id, "object": "response", "deleted": true });
    Ok(json(told.to_string().into()))
}

async fn find(app: &App, caller: &Caller, id: &str) -> Result<Option<Kept>, ApiError> {
    if id.len() > ID_BYTES {
        return Ok(None);
    }
    let record = app.documents.read(KIND, place(&caller.id, id).id, now_ms()).await;
    Ok(record.map_err(|error| unavailable(&error))?.and_then(Kept::parse))
}

/// Where a response of this owner's is. Without content it is taken away.
fn place(owner: &str, id: &str) -> store::Document {
    store::Document {
        kind: KIND,
        id: Key::of(&[owner, id]).to_string(),
        content: None,
        expires_ms: None,
    }
}

fn json(body: Bytes) -> Answer {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer {
        headers: [kind].into_iter().collect(),
        body: Body::whole(body),
    }
}

/// Unguessable, as ids of other responses are.
fn unique() -> Result<String, ApiError> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn not_found(id: &str) -> ApiError {
    let message = format!("no response `{}` is kept here for this key", printable(id, 80));
    ApiError::refused(StatusCode::NOT_FOUND, "response_not_found", message)
}

/// As OpenAI puts it.
fn lost(id: &str) -> ApiError {
    let message = format!(
        "the previous response `{}` is not kept here for this key: it was made without `store`, taken away, or is too old; send the \
         whole conversation instead",
        printable(id, 80)
    );
    ApiError::invalid("previous_response_not_found", message).with_param("previous_response_id")
}

fn unavailable(error: &store::StoreError) -> ApiError {
    let message = "what was kept cannot be read or written at the moment; the log says why";
    ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message).with_detail(error.to_string())
}
