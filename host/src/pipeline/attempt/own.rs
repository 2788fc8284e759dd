//! A provider that speaks the client's own words, which are not OpenAI's: the request goes through as it came, only the model is
//! renamed, with the client's headers that belong to its words. Answers and events come back with their own bytes; on the way it is
//! heard what was used, and where a stream ends.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::explain::Explainer;
use super::{ANSWER_BYTES, Attempt, Beginning, Failure, Reply, Source, Whole, send as call};
use crate::generation::Remote;
use crate::json::{Document, Limits};
use crate::money::Usage;
use crate::operation::{Door, Operation};
use crate::surfaces::{Heard, Hearing};
use crate::upstream::UpstreamBody;
use crate::upstream::sse::{Event, Splitter};

/// Answers may nest deeper than requests.
const LIMITS: Limits = Limits { depth: 128 };

pub(super) async fn send(
    attempt: &Attempt<'_>,
    remote: &Remote,
    own: &Document,
    door: &Door,
    waited: &mut Duration,
) -> Result<Reply, Failure> {
    let surface = attempt.call.wording.surface;
    let hearing = surface.dialect().and_then(Hearing::of);
    let mut hearing = hearing.ok_or_else(|| Failure::fault("nobody listens to the provider's words"))?;
    let addressed = surface.addressed(own, door, &attempt.step.model.upstream, &attempt.call.ask);
    let (path, body) = addressed.map_err(|reason| Failure::fault(&reason))?;
    let header = |name: &&str| {
        let values = attempt.call.headers.get_all(*name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| ((*name).to_owned(), values.join(",")))
    };
    let mut headers: Vec<(String, String)> = surface.own_headers().iter().filter_map(header).collect();
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    let sent = Instant::now();
    let answer = call(attempt, remote, hyper::Method::POST, &path, &headers, body).await;
    if attempt.call.ask.is_stream {
        let stream = Stream::new(answer?, hearing, Explainer::of(attempt, remote))
            .begun()
            .await?;
        *waited += sent.elapsed();
        return Ok(stream);
    }
    let body = match answer {
        Ok(answer) => answer.collect(ANSWER_BYTES).await.map_err(Failure::transport),
        Err(failure) => Err(failure),
    };
    *waited += sent.elapsed();
    let document = Document::parse(body?, LIMITS);
    let document = document.map_err(|error| Failure::upstream(format!("the answer is not JSON: {error}")))?;
    if let Heard::Error(error) = hearing.whole(&document).map_err(Failure::upstream)? {
        return Err(Explainer::of(attempt, remote).instead(&error).await);
    }
    Ok(Reply::Whole(Whole {
        body: document.text().clone(),
        usage: hearing.usage().or_else(|| attempt.costs_nothing()),
        dropped: None,
        is_text: attempt.call.ask.operation == Operation::Chat,
        is_own: true,
        is_estimated: false,
        content_type: None,
    }))
}

/// A streamed answer.
#[derive(Debug)]
pub struct Stream {
    body: Option<UpstreamBody>,
    splitter: Splitter,
    hearing: Hearing,
    explainer: Explainer,
    pub(super) usage: Option<Usage>,
    /// Events so far that are a part of the answer.
    pub(super) progress: u64,
    is_closed: bool,
}

impl Stream {
    pub(super) fn new(body: UpstreamBody, hearing: Hearing, explainer: Explainer) -> Self {
        Self {
            body: Some(body),
            splitter: Splitter::default(),
            hearing,
            explainer,
            usage: None,
            progress: 0,
            is_closed: false,
        }
    }

    /// Waits for the first part of the answer.
    pub(super) async fn begun(mut self) -> Result<Reply, Failure> {
        let mut events = BytesMut::new();
        let mut has_more = true;
        while self.progress == 0 && has_more {
            has_more = self.next(&mut events).await?;
        }
        Ok(Reply::Stream(Box::new(Beginning {
            events,
            has_more,
            source: Source::Own(self),
            dropped: None,
            is_own: true,
        })))
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
                return Err(match self.progress {
                    0 => self.explainer.instead(&error).await,
                    _ => self.explainer.amidst(&error).await,
                });
            }
        }
        self.usage = self.hearing.usage();
        if self.is_closed {
            // What is left of the body is the end of its framing; the connection is kept for the next request.
            if let Some(body) = self.body.take() {
                body.finish();
            }
            return Ok(false);
        }
        match has_more || self.hearing.may_end() {
            true => Ok(has_more),
            false => Err(Failure::cut("the stream ended without its closing event")),
        }
    }

    /// Passes an event on; the provider's error, where it is one.
    fn pass(&mut self, event: &Event, out: &mut BytesMut) -> Result<Option<String>, Failure> {
        let heard = match event.data() {
            Some(data) => self.hearing.event(event.name(), &data).map_err(Failure::upstream)?,
            None => Heard::Nothing,
        };
        match heard {
            Heard::Nothing => {}
            Heard::Progress => self.progress += 1,
            Heard::Closing => {
                self.progress += 1;
                self.is_closed = true;
            }
            Heard::Error(error) => return Ok(Some(error)),
        }
        out.extend_from_slice(event.raw());
        Ok(None)
    }
}
