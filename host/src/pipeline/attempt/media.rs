//! Images and sound: the request goes to a provider that has the operation as it came, a form with its files' own bytes, and only
//! the model is renamed. The answer comes back with its own bytes and its own type: events, a text, JSON, or sound, which is passed on
//! as it comes.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value as Json;

use super::explain::Explainer;
use super::{ANSWER_BYTES, Attempt, Beginning, Failure, Reply, Source, Whole, exchange, own};
use crate::generation::Remote;
use crate::json::Edit;
use crate::operation::Operation;
use crate::plugins::take_dropped;
use crate::plugins::words;
use crate::surfaces::{Heard, Hearing, media};
use crate::upstream::UpstreamBody;

/// What sound is where its provider does not say.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A request as it goes out.
struct Outgoing {
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    dropped: Option<String>,
}

pub(super) async fn send(attempt: &Attempt<'_>, remote: &Remote, waited: &mut Duration) -> Result<Reply, Failure> {
    let operation = attempt.call.ask.operation;
    let Outgoing {
        path,
        headers,
        body,
        dropped,
    } = outgoing(attempt, remote, operation).await?;
    let sent = Instant::now();
    let answer = exchange(attempt, remote, Method::POST, &path, &headers, body).await?;
    let (head, body) = answer.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let is_events = content_type
        .as_ref()
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    let mut hearing = media::Hearing::of(&attempt.call.ask);
    let reply = if is_events {
        let explainer = Explainer::of(attempt, remote);
        own::Stream::new(body, Hearing::Media(hearing), explainer)
            .begun()
            .await?
    } else if operation == Operation::Speech {
        sound(body, content_type.unwrap_or(BYTES)).await?
    } else {
        let body = body.collect(ANSWER_BYTES).await.map_err(Failure::transport)?;
        if let Heard::Error(error) = hearing.whole(&body) {
            return Err(Explainer::of(attempt, remote).instead(&error).await);
        }
        Reply::Whole(Whole {
            body,
            usage: hearing.usage(),
            dropped: None,
            is_text: false,
            is_own: true,
            is_estimated: false,
            content_type,
        })
    };
    *waited += sent.elapsed();
    Ok(reply.losing(dropped.as_slice()))
}

/// A provider whose requests have a place of their own has an adapter that knows it: it is asked with the fields, and a form follows
/// in the place of its answer.
async fn outgoing(attempt: &Attempt<'_>, remote: &Remote, operation: Operation) -> Result<Outgoing, Failure> {
    let document = attempt.document;
    let target = attempt.target();
    let mut outgoing = if attempt.has_no_settings() {
        let path = remote.path(operation);
        Outgoing {
            path: path
                .ok_or_else(|| Failure::fault("the provider has no place for this"))?
                .to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            dropped: None,
        }
    } else {
        let encoded = remote
            .adapter
            .encode(words::Operation::from(operation), &target, false, document.text());
        let mut encoded = encoded.await.map_err(Failure::adapter)?;
        Outgoing {
            dropped: take_dropped(&mut encoded),
            path: encoded.path,
            headers: encoded.headers,
            body: encoded.body.into(),
        }
    };
    outgoing.path = beside(operation, outgoing.path);
    let model = &attempt.step.model.upstream;
    match &attempt.call.wording.form {
        Some(form) => {
            let unwritable = |reason: String| Failure::said(words::Kind::InvalidRequest, &reason);
            outgoing.body = form.with(document, model).map_err(unwritable)?;
            outgoing
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            outgoing.headers.push(("content-type".to_owned(), form.content_type()));
        }
        None if outgoing.body.is_empty() => {
            let model = Json::from(model.as_str()).to_string();
            let renamed = document.with(&[Edit {
                pointer: "/model",
                value: Some(&model),
            }]);
            outgoing.body = renamed.map_err(|error| Failure::fault(&error.to_string()))?.into();
        }
        None => {}
    }
    Ok(outgoing)
}

/// Edits have their place beside images that are made, and translations beside transcriptions.
fn beside(operation: Operation, path: String) -> String {
    match operation {
        Operation::ImageEdit => path.replacen("/images/generations", "/images/edits", 1),
        Operation::Translation => path.replacen("/audio/transcriptions", "/audio/translations", 1),
        _ => path,
    }
}

async fn sound(body: UpstreamBody, content_type: HeaderValue) -> Result<Reply, Failure> {
    let mut sound = Sound {
        body: Some(body),
        content_type,
        progress: 0,
    };
    let mut bytes = BytesMut::new();
    let mut has_more = true;
    while sound.progress == 0 && has_more {
        has_more = sound.next(&mut bytes).await?;
    }
    Ok(Reply::Stream(Box::new(Beginning {
        events: bytes,
        has_more,
        source: Source::Sound(sound),
        dropped: None,
        is_own: true,
    })))
}

/// Sound as it comes.
#[derive(Debug)]
pub struct Sound {
    /// None once it has ended.
    body: Option<UpstreamBody>,
    pub(super) content_type: HeaderValue,
    /// Pieces so far.
    pub(super) progress: u64,
}

impl Sound {
    pub(super) async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        let Some(body) = &mut self.body else { return Ok(false) };
        let before = out.len();
        let has_more = body.read(out).await.map_err(|error| Failure::cut(error.to_string()))?;
        self.progress += u64::from(out.len() > before);
        if !has_more {
            self.body = None;
        }
        Ok(has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_and_translations_stand_beside_what_they_are_sisters_of() {
        let azure = "/openai/deployments/d/images/generations?api-version=1".to_owned();
        let expected = "/openai/deployments/d/images/edits?api-version=1";
        assert_eq!(beside(Operation::ImageEdit, azure.clone()), expected);
        assert_eq!(beside(Operation::Image, azure.clone()), azure);
        let heard = beside(Operation::Translation, "/audio/transcriptions".to_owned());
        assert_eq!(heard, "/audio/translations");
    }
}
