//! Requests that name themselves by an `Idempotency-Key`: served once, and from then on answered as they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::kept;
use crate::app::App;
use crate::body::{Body, Broken};
use crate::cache::Key;
use crate::error::ApiError;
use crate::generation::Generation;
use crate::idempotency::{Claim, Claimed, Failed, Outcome};
use crate::pipeline::{self, Answer, Call, Means};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks what was answered before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Longer ones are no names.
const KEY_BYTES: usize = 255;

/// Whole answers that are waited for though their clients may have gone; beyond them, a disconnect cancels.
static OUTLIVING: Semaphore = Semaphore::const_new(256);

/// Serves a call, once for each key.
pub(super) async fn serve(app: &Arc<App>, generation: Arc<Generation>, call: Arc<Call>) -> Result<Answer, ApiError> {
    let Some(key) = key(&call.headers)? else {
        return run(app, generation, call).await;
    };
    let (idempotency, config) = (&app.idempotency, &generation.config.idempotency);
    let claimed = idempotency.claim(&call.caller.id, &key, digest(&call), config, &call.sent);
    match claimed
        .await
        .map_err(|error| ApiError::idempotency_unavailable(error.to_string()))?
    {
        // In a box: few requests name themselves.
        Claimed::First(claim) => Box::pin(first(app, generation, call, claim)).await,
        Claimed::Again(outcome) => again(outcome),
        Claimed::UnderWay => Err(ApiError::idempotency_under_way()),
        Claimed::Unknown => Err(ApiError::idempotency_conflict(
            "the gateway stopped, or the stream broke off, while it served the first request with this idempotency key: \
             what became of it is not known, and it is not tried again; look whether it was done, and use a new key",
        )),
        Claimed::TooLarge => Err(ApiError::idempotency_conflict(
            "the first request with this idempotency key was answered, and the answer was too large to be kept; use a new \
             key to ask again",
        )),
        Claimed::Mismatch => Err(ApiError::idempotency_mismatch()),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(KEY) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > KEY_BYTES || headers.get_all(KEY).iter().count() > 1 {
        let message = format!("`Idempotency-Key` must be one text of 1 to {KEY_BYTES} visible ASCII characters");
        return Err(ApiError::invalid("invalid_value", message).with_param(KEY.as_str()));
    }
    Ok(Some(text.to_owned()))
}

/// The same for all spellings of one request.
fn digest(call: &Call) -> Key {
    let document = call.wording.own.as_ref().unwrap_or(&call.document);
    let mut request = String::with_capacity(document.text().len());
    document.root().write_canonical(&mut request);
    let place = call.wording.place(&call.ask.model);
    // Files stand beside the fields.
    match &call.wording.form {
        None => Key::of(&[&place, &request]),
        Some(form) => Key::of(&[&place, &request, &form.digest()]),
    }
}

async fn run(app: &Arc<App>, generation: Arc<Generation>, call: Arc<Call>) -> Result<Answer, ApiError> {
    let means = Means {
        meter: &app.meter,
        cache: &app.cache,
        ledger: &app.ledger,
    };
    let answer = pipeline::run(generation.clone(), call.clone(), means).await?;
    Ok(kept::keep(app, generation.config.responses.as_ref(), &call, answer).await)
}

async fn first(app: &Arc<App>, generation: Arc<Generation>, call: Arc<Call>, claim: Claim) -> Result<Answer, ApiError> {
    let permit = (!call.ask.is_stream).then(|| OUTLIVING.try_acquire().ok());
    let app = app.clone();
    let is_told = call.is_told.clone();
    let serving = async move {
        let served = run(&app, generation, call).await;
        note(served, claim, is_told).await
    };
    let Some(permit) = permit.flatten() else {
        return serving.await;
    };
    // Who comes back with the key wants the answer, though nobody waits for it now.
    let task = tokio::spawn(async move {
        let _permit = permit;
        serving.await
    });
    let ended = task.await;
    ended.unwrap_or_else(|_| Err(ApiError::internal("a request panicked")))
}

/// Keeps what became of a request before its caller hears of it.
async fn note(served: Result<Answer, ApiError>, claim: Claim, is_told: Arc<AtomicBool>) -> Result<Answer, ApiError> {
    match served {
        Err(error) if !claim.is_sent() => {
            claim.release().await;
            Err(error)
        }
        Err(error) => {
            let failed = Failed {
                status: error.status.as_u16(),
                kind: error.kind.to_owned(),
                code: error.code.to_string(),
                param: error.param.clone(),
                message: error.message.clone(),
            };
            claim.settle(Some(Outcome::Failed(failed))).await;
            Err(error)
        }
        Ok(Answer { headers, body }) => {
            let body = match body {
                Body::Whole(bytes) => {
                    let bytes = bytes.unwrap_or_default();
                    let is_kept = bytes.len() <= claim.answer_bytes();
                    let outcome = is_kept.then(|| Outcome::Answered(texts(&headers), bytes.clone()));
                    claim.settle(outcome).await;
                    Body::whole(bytes)
                }
                stream => recorded(stream, texts(&headers), claim, is_told),
            };
            Ok(Answer { headers, body })
        }
    }
}

/// A stream of which a copy is kept. One that breaks, or that its client leaves, is not kept: what it came to, nobody knows.
fn recorded(stream: Body, headers: Vec<(String, String)>, claim: Claim, is_told: Arc<AtomicBool>) -> Body {
    Body::pulled(move |outlet| async move {
        let mut stream = Box::pin(stream);
        let mut claim = Some((claim, headers));
        let mut events = Some(BytesMut::new());
        while let Some(frame) = stream.frame().await {
            let Ok(piece) = frame?.into_data() else { continue };
            let most = claim.as_ref().map_or(0, |(claim, _)| claim.answer_bytes());
            events = events.filter(|events| events.len() + piece.len() <= most);
            if let Some(events) = &mut events {
                events.extend_from_slice(&piece);
            }
            // Before the client can know that it is the end, and go.
            if is_told.load(Ordering::Relaxed)
                && let Some((claim, headers)) = claim.take()
            {
                let outcome = events.take().map(|events| Outcome::Answered(headers, events.freeze()));
                claim.settle(outcome).await;
            }
            outlet.send(piece).await?;
        }
        Ok::<(), Broken>(())
    })
}

/// What became of it before.
fn again(outcome: Outcome) -> Result<Answer, ApiError> {
    match outcome {
        Outcome::Answered(texts, body) => Ok(Answer {
            headers: replayed(&texts),
            body: Body::whole(body),
        }),
        Outcome::Failed(failed) => Err(ApiError {
            status: StatusCode::from_u16(failed.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: failed.code.into(),
            param: failed.param,
            message: failed.message,
            ..ApiError::replay(&failed.kind)
        }),
    }
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    headers.iter().filter_map(text).collect()
}

fn replayed(texts: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    };
    let mut headers: HeaderMap = texts.iter().filter_map(header).collect();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    headers
}
