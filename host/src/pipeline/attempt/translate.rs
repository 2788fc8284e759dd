//! A provider with a dialect of its own: its adapter translates the request, the answer, and every event of a stream.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::explain::Explainer;
use super::{
    ANSWER_BYTES, Attempt, Beginning, Failure, Reply, Source, Visibility, Whole, betas, receipt, send as call, vectors,
};
use crate::generation::Remote;
use crate::json::{Document, Limits};
use crate::money::{Service, Usage};
use crate::plugins::words;
use crate::plugins::{AdapterError, AdapterStream, take_dropped};
use crate::upstream::UpstreamBody;
use crate::upstream::frames::{self, Framing, Splitter};

pub(super) async fn send(attempt: &Attempt<'_>, remote: &Remote, waited: &mut Duration) -> Result<Reply, Failure> {
    let operation = words::Operation::from(attempt.call.ask.operation);
    let is_stream = attempt.call.ask.is_stream;
    let target = attempt.target();
    let request = attempt.document.text();
    let place = is_stream.then(|| remote.adapter.place());
    let place = place.transpose().map_err(|fault| Failure::faulted(&fault))?;
    let mut outgoing = remote
        .adapter
        .encode(operation, &target, is_stream, request)
        .await
        .map_err(Failure::adapter)?;
    let dropped = take_dropped(&mut outgoing);
    betas::add(attempt, remote, &mut outgoing.headers);
    let method = hyper::Method::from_bytes(outgoing.method.as_bytes());
    let method = method.map_err(|error| Failure::fault(&error.to_string()))?;
    let sent = Instant::now();
    let answer = call(
        attempt,
        remote,
        method,
        &outgoing.path,
        &outgoing.headers,
        outgoing.body.into(),
    )
    .await;
    if let Some(place) = place {
        // The provider's own error comes before that the adapter has no place for a stream.
        let answer = answer?;
        let adapter = remote
            .adapter
            .stream(place, operation, &target)
            .await
            .map_err(Failure::adapter)?;
        let mut stream = Stream::new(answer, adapter, remote.framing, attempt.visibility());
        let mut events = BytesMut::new();
        let mut has_more = true;
        while stream.progress == 0 && has_more {
            has_more = stream.next(&mut events).await?;
        }
        *waited += sent.elapsed();
        return Ok(Reply::Stream(Box::new(Beginning {
            events,
            has_more,
            source: Source::Translate(stream),
            dropped,
            is_own: false,
        })));
    }
    let body = match answer {
        Ok(answer) => answer.collect(ANSWER_BYTES).await.map_err(Failure::transport),
        Err(failure) => Err(failure),
    };
    *waited += sent.elapsed();
    let body = body?;
    let answer = match remote.adapter.decode(operation, &target, &body).await {
        Ok(answer) => answer,
        Err(error) => return Err(instead(attempt, remote, error, &body).await),
    };
    let mut body = Bytes::from(answer.body);
    if operation == words::Operation::Embedding && vectors::are_packed(attempt.document) {
        body = vectors::packed(body)?;
    }
    Ok(Reply::Whole(Whole {
        body,
        usage: answer.usage.map(billed).or_else(|| attempt.costs_nothing()),
        dropped,
        is_text: operation == words::Operation::Chat,
        is_own: false,
        is_estimated: false,
        content_type: None,
    }))
}

/// Why there is no answer: where a provider says so in the place of one, what it says.
async fn instead(attempt: &Attempt<'_>, remote: &Remote, error: AdapterError, body: &Bytes) -> Failure {
    let is_unreadable = matches!(&error, AdapterError::Failure(failure) if failure.kind == words::Kind::Upstream);
    let said = Document::parse(body.clone(), Limits::default()).ok();
    let said = said.filter(|_| is_unreadable);
    match said.as_ref().and_then(|said| said.root().field("error")) {
        Some(error) => Explainer::of(attempt, remote).instead(error.raw()).await,
        None => Failure::adapter(error),
    }
}

fn billed(usage: words::Usage) -> Usage {
    let extra = |name: &str| {
        let found = usage.extras.iter().find(|(extra, _)| extra == name);
        found.map_or(0, |(_, count)| *count)
    };
    Usage {
        input: usage.input,
        audio_input: extra("audio-input"),
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        cache_write_1h: extra("cache-write-1h"),
        output: usage.output,
        reasoning: usage.reasoning,
        audio_output: extra("audio-output"),
        service: match (extra("priority") > 0, extra("batch") > 0) {
            (true, _) => Service::Priority,
            (_, true) => Service::Batch,
            _ => Service::Ordinary,
        },
        image_input: extra("image-input"),
        image_output: extra("image-output"),
        searches: extra("search-units").saturating_add(extra("web-search-requests")),
        characters: 0,
    }
}

/// A streamed answer.
#[derive(Debug)]
pub struct Stream {
    /// Where bytes come from, and who reads them; none once the stream has ended.
    running: Option<(UpstreamBody, AdapterStream)>,
    splitter: Splitter,
    visibility: Visibility,
    pub(super) usage: Option<Usage>,
    /// Chunks so far.
    pub(super) progress: u64,
}

impl Stream {
    fn new(body: UpstreamBody, adapter: AdapterStream, framing: Framing, visibility: Visibility) -> Self {
        Self {
            running: Some((body, adapter)),
            splitter: Splitter::of(framing),
            visibility,
            usage: None,
            progress: 0,
        }
    }

    pub(super) async fn next(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        let Some((body, adapter)) = &mut self.running else {
            return Ok(false);
        };
        let has_more = body
            .read(self.splitter.buffer())
            .await
            .map_err(|error| Failure::cut(error.to_string()))?;
        let mut events = Vec::new();
        while let Some(event) = self.splitter.next_event().map_err(Failure::cut)? {
            events.push(word(event));
        }
        // What is whole has its chunks, whatever is wrong with the rest.
        let last = if has_more { Ok(None) } else { self.splitter.last_event() };
        events.extend(last.as_ref().ok().cloned().flatten().map(word));
        if !events.is_empty() {
            // Before anything has gone out, an error in the stream is as good as one in place of it.
            let failed = if self.progress == 0 { Failure::adapter } else { broken };
            let chunks = adapter.push(events).await.map_err(failed)?;
            self.write(chunks, out)?;
        }
        if has_more {
            return Ok(true);
        }
        last.map_err(Failure::cut)?;
        if let Some((_, adapter)) = self.running.take() {
            let chunks = adapter.finish().await.map_err(broken)?;
            self.write(chunks, out)?;
        }
        Ok(false)
    }

    fn write(&mut self, chunks: Vec<words::Chunk>, out: &mut BytesMut) -> Result<(), Failure> {
        for chunk in chunks {
            self.progress += 1;
            let used = chunk.usage.map(billed);
            self.usage = used.or(self.usage);
            match used {
                None => super::write_event(out, &[&chunk.data]),
                Some(usage) => self.write_usage(chunk.data.into(), &usage, out)?,
            }
        }
        Ok(())
    }

    /// The chunk that says what was used: hidden, or with what it cost.
    fn write_usage(&self, data: Bytes, usage: &Usage, out: &mut BytesMut) -> Result<(), Failure> {
        let chunk = Document::parse(data, Limits::default());
        let chunk = chunk.map_err(|error| Failure::fault(&format!("a chunk is not JSON: {error}")))?;
        let is_last = chunk
            .root()
            .get("choices")
            .is_none_or(|choices| choices.elements().next().is_none());
        let is_said = chunk.root().field("usage").is_some();
        let members = match (self.visibility.shows_usage, self.visibility.receipt(usage)) {
            (false, _) if is_last => return Ok(()),
            (false, _) => vec![("/usage".to_owned(), None)],
            (true, Some(receipt)) if is_said => receipt.members("/usage").into(),
            (true, _) => Vec::new(),
        };
        let text = receipt::with(&chunk, &members).map_err(|error| Failure::fault(&error.to_string()))?;
        super::write_event(out, &[&text]);
        Ok(())
    }
}

fn word(event: frames::Event) -> words::Event {
    words::Event {
        name: event.name,
        data: event.data,
    }
}

/// A failure in the middle of a stream: the provider's, or the adapter's own.
fn broken(error: AdapterError) -> Failure {
    match error {
        AdapterError::Failure(failure) => Failure::broken(failure),
        AdapterError::Fault(fault) => Failure::faulted(&fault),
    }
}
