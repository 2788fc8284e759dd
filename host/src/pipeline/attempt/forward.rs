//! A provider that speaks the canonical dialect: the body goes through as it is, only the model is renamed; usage is read on
//! the way. Of a stream, events are passed on with their own bytes; only those that say what was used are looked into.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::Value as Json;

use super::explain::Explainer;
use super::{
    ANSWER_BYTES, Attempt, Beginning, Failure, Reply, Source, Visibility, Whole, receipt, send as call, usage,
};
use crate::generation::Remote;
use crate::json::{Document, Edit, Kind, Limits};
use crate::money::Usage;
use crate::operation::Operation;
use crate::upstream::UpstreamBody;
use crate::upstream::sse::{Event, Splitter};

/// Answers may nest deeper than requests.
const LIMITS: Limits = Limits { depth: 128 };

pub(super) async fn send(
    attempt: &Attempt<'_>,
    remote: &Remote,
    path: &str,
    waited: &mut Duration,
) -> Result<Reply, Failure> {
    let body = outgoing(attempt)?;
    let sent = Instant::now();
    let answer = call(attempt, remote, hyper::Method::POST, path, &[], body).await;
    if attempt.call.ask.is_stream {
        let mut stream = Stream::new(answer?, attempt.visibility(), Explainer::of(attempt, remote));
        let mut events = BytesMut::new();
        let mut has_more = true;
        while stream.progress == 0 && has_more {
            has_more = stream.next(&mut events).await?;
        }
        *waited += sent.elapsed();
        return Ok(Reply::Stream(Box::new(Beginning {
            events,
            has_more,
            source: Source::Forward(stream),
            dropped: None,
            is_own: false,
        })));
    }
    let body = match answer {
        Ok(answer) => answer.collect(ANSWER_BYTES).await.map_err(Failure::transport),
        Err(failure) => Err(failure),
    };
    *waited += sent.elapsed();
    let document = Document::parse(body?, LIMITS);
    let document = document.map_err(|error| Failure::upstream(format!("the answer is not JSON: {error}")))?;
    if let Some(error) = document.root().field("error") {
        return Err(Explainer::of(attempt, remote).instead(error.raw()).await);
    }
    whole(&document, attempt.call.ask.operation).map(Reply::Whole)
}

/// The request with the provider's name of the model, asking for usage where the client did not.
fn outgoing(attempt: &Attempt<'_>) -> Result<Bytes, Failure> {
    let document = attempt.document;
    let ask = &attempt.call.ask;
    let model = &attempt.step.model.upstream;
    let mut edits = Vec::with_capacity(2);
    let name;
    if ask.model != *model {
        name = Json::from(model.as_str()).to_string();
        edits.push(Edit {
            pointer: "/model",
            value: Some(&name),
        });
    }
    if ask.is_stream && !ask.wants_usage {
        edits.push(match document.root().field("stream_options") {
            Some(_) => Edit {
                pointer: "/stream_options/include_usage",
                value: Some("true"),
            },
            None => Edit {
                pointer: "/stream_options",
                value: Some(r#"{"include_usage":true}"#),
            },
        });
    }
    if edits.is_empty() {
        return Ok(document.text().clone());
    }
    document
        .with(&edits)
        .map(Bytes::from)
        .map_err(|error| Failure::fault(&error.to_string()))
}

fn whole(document: &Document, operation: Operation) -> Result<Whole, Failure> {
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Failure::upstream("the answer is not a JSON object"));
    }
    Ok(Whole {
        usage: usage::of(root),
        body: document.text().clone(),
        dropped: None,
        is_text: operation == Operation::Chat,
        is_own: false,
        is_estimated: false,
        content_type: None,
    })
}

/// How every chunk but the last ends where usage was asked for: its last member, since the closing brace is the chunk's.
const NO_USAGE_YET: &[u8] = b",\"usage\":null}";

/// A streamed answer.
#[derive(Debug)]
pub struct Stream {
    body: Option<UpstreamBody>,
    splitter: Splitter,
    visibility: Visibility,
    explainer: Explainer,
    pub(super) usage: Option<Usage>,
    /// Events with data so far.
    pub(super) progress: u64,
    is_closed: bool,
}

impl Stream {
    fn new(body: UpstreamBody, visibility: Visibility, explainer: Explainer) -> Self {
        Self {
            body: Some(body),
            splitter: Splitter::default(),
            visibility,
            explainer,
            usage: None,
            progress: 0,
            is_closed: false,
        }
    }

    pub(super) async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        let Some(body) = &mut self.body else { return Ok(false) };
        let has_more = body
            .read(self.splitter.buffer())
            .await
            .map_err(|error| Failure::cut(error.to_string()))?;
        while let Some(event) = self
            .splitter
            .next_event()
            .map_err(|error| Failure::upstream(error.to_string()))?
        {
            if !self.is_closed
                && let Some(error) = self.pass(&event, out)?
            {
                // The event that says so is the first one where nothing came before.
                return Err(match self.progress {
                    0 | 1 => self.explainer.instead(&error).await,
                    _ => self.explainer.amidst(&error).await,
                });
            }
        }
        if self.is_closed {
            // What is left of the body is the end of its framing; the connection is kept for the next request.
            if let Some(body) = self.body.take() {
                body.finish();
            }
            return Ok(false);
        }
        if has_more {
            Ok(true)
        } else {
            Err(Failure::cut("the stream ended without [DONE]"))
        }
    }

    /// Passes an event on; the provider's error, where it is one.
    fn pass(&mut self, event: &Event, out: &mut BytesMut) -> Result<Option<String>, Failure> {
        let Some(data) = event.data() else {
            out.extend_from_slice(event.raw());
            return Ok(None);
        };
        self.progress += 1;
        if &*data == b"[DONE]" {
            self.is_closed = true;
            return Ok(None);
        }
        // A key cannot hide from this search: inside a string its quotes would be escaped.
        let may_fail = memmem::find(&data, b"\"error\"").is_some();
        let told_at = memmem::find(&data, b"\"usage\"");
        if !may_fail && told_at.is_none() {
            out.extend_from_slice(event.raw());
            return Ok(None);
        }
        // Only where nothing is told in another place before.
        if !may_fail
            && !self.visibility.shows_usage
            && let Some(rest) = data.strip_suffix(NO_USAGE_YET)
            && told_at == Some(rest.len() + 1)
        {
            super::write_event(out, &[rest, b"}"]);
            return Ok(None);
        }
        let chunk = Document::parse(Bytes::copy_from_slice(&data), LIMITS)
            .map_err(|error| Failure::upstream(format!("a stream event is not JSON: {error}")))?;
        if let Some(error) = chunk.root().field("error") {
            return Ok(Some(error.raw().to_owned()));
        }
        match self.shown(&chunk) {
            Shown::AsItIs => out.extend_from_slice(event.raw()),
            Shown::Not => {}
            Shown::With(members) => {
                let text = receipt::with(&chunk, &members).map_err(|error| Failure::fault(&error.to_string()))?;
                super::write_event(out, &[&text]);
            }
        }
        Ok(None)
    }

    /// Takes note of what an event says was used, and what the client is to see of it: nothing that it did not ask for.
    fn shown(&mut self, chunk: &Document) -> Shown {
        let said = usage::said(chunk.root());
        let found = usage::counted(chunk.root(), &said);
        self.usage = found.or(self.usage);
        if self.visibility.shows_usage {
            let receipt = found.and_then(|usage| self.visibility.receipt(&usage));
            let Some(receipt) = receipt else { return Shown::AsItIs };
            let told = said.into_iter().filter(|(_, usage)| usage.kind() == Kind::Object);
            return Shown::With(told.flat_map(|(place, _)| receipt.members(&place)).collect());
        }
        let choices = chunk.root().get("choices");
        let is_empty = choices.is_none_or(|list| list.elements().next().is_none());
        match found {
            Some(_) if is_empty => Shown::Not,
            _ if said.is_empty() => Shown::AsItIs,
            _ => Shown::With(said.into_iter().map(|(place, _)| (place, None)).collect()),
        }
    }
}

/// How an event goes on.
enum Shown {
    AsItIs,
    Not,
    /// With these values at their places, or without what is there.
    With(Vec<(String, Option<String>)>),
}
