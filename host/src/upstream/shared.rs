//! HTTP/2 connections to one provider, each shared by as many requests as it takes at a time. Requests that have no room
//! on any get one more connection; beyond what the provider takes they would wait for one another instead.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_rustls::client::TlsStream;

use super::connect::{Counted, Endpoint};
use super::link::UpstreamBody;
use super::{Outgoing, lock};

/// The most requests on one connection at a time, where the provider would take more: what they leave unread is then bounded.
const STREAMS: usize = 100;
/// How much of an answer that nobody reads is taken, so what an idle reader costs in memory.
const STREAM_WINDOW: u32 = 128 << 10;
/// The longest head of an answer.
const HEAD_BYTES: u32 = 64 << 10;
/// Room for all of them, so that answers that nobody reads never hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

/// In a box: for each request hyper has a task with room for all of a connection, which h2 keeps to the end of the answer.
type Driver = http2::Connection<TokioIo<Box<TlsStream<Counted>>>, Outgoing, TokioExecutor>;

/// One connection. Every request on it holds one clone, to the end of its answer, so the clones are what is under way.
pub(super) struct Shared {
    sender: http2::SendRequest<Outgoing>,
    /// Moves requests onto the connection, in a task; also knows how many the provider takes.
    driver: Arc<Mutex<Driver>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("is_closed", &self.sender.is_closed())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) async fn open(stream: TlsStream<Counted>) -> hyper::Result<Arc<Self>> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_while_idle(false);
        let (sender, driver) = builder.handshake(TokioIo::new(Box::new(stream))).await?;
        let driver = Arc::new(Mutex::new(driver));
        let driven = driver.clone();
        // The connection is shared by requests, so it cannot be driven by one of them.
        tokio::spawn(async move {
            let ended = poll_fn(|context| Pin::new(&mut *lock(&driven)).poll(context)).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to a provider ended");
            }
        });
        Ok(Arc::new(Self { sender, driver }))
    }

    /// How many requests it takes at a time.
    fn most(&self) -> usize {
        lock(&self.driver).current_max_send_streams().clamp(1, STREAMS)
    }

    /// An error with the request, where the provider took nothing of it.
    pub(super) async fn send(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        mut request: Request<Outgoing>,
    ) -> Result<Response<UpstreamBody>, (String, Option<Box<Request<Outgoing>>>)> {
        let unsent = request.clone();
        // HTTP/2 carries the host in the URI.
        request.headers_mut().remove(hyper::header::HOST);
        match endpoint.absolute(request.uri()) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Err((error.to_string(), None)),
        }
        let mut sender = self.sender.clone();
        if let Err(error) = sender.ready().await {
            return Err((error.to_string(), Some(Box::new(unsent))));
        }
        match sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|body| UpstreamBody::shared(body, self.clone()))),
            Err(mut error) => {
                let is_unsent = error.take_message().is_some() || is_unprocessed(error.error());
                Err((error.error().to_string(), is_unsent.then(|| Box::new(unsent))))
            }
        }
    }
}

/// Whether the provider says that it has done nothing with the request: it refused the stream, or went away before it.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let said = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    said.is_some_and(|said| {
        let is_refused = said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM);
        said.is_remote() && (is_refused || said.is_go_away() && said.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// The connections, and when each was last taken.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<(Arc<Shared>, Instant)>>);

impl Pool {
    /// The first connection with room for one more request: so those that are no longer needed fall idle.
    pub(super) fn take(&self) -> Option<Arc<Shared>> {
        let mut pool = lock(&self.0);
        pool.retain(|(shared, _)| !shared.sender.is_closed());
        // One of the clones is the pool's.
        let has_room = |shared: &Arc<Shared>| Arc::strong_count(shared) - 1 < shared.most();
        let (shared, since) = pool.iter_mut().find(|(shared, _)| has_room(shared))?;
        *since = Instant::now();
        Some(shared.clone())
    }

    pub(super) fn put(&self, shared: &Arc<Shared>) {
        lock(&self.0).push((shared.clone(), Instant::now()));
    }

    /// Gives it to nobody any more.
    pub(super) fn forget(&self, gone: &Arc<Shared>) {
        lock(&self.0).retain(|(shared, _)| !Arc::ptr_eq(shared, gone));
    }

    /// Closes connections that nobody has used for a while.
    pub(super) fn close_old(&self, idle: Duration) {
        lock(&self.0).retain(|(shared, since)| Arc::strong_count(shared) > 1 || since.elapsed() <= idle);
    }
}
