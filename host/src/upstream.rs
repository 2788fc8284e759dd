//! The way to a provider: one [`Upstream`] per provider and key, with its connections kept for the next request.
//!
//! HTTP/1.1 connections are driven by the request that uses them, not by a task of their own: nothing has to be woken to
//! hand a chunk on, what one read brought is handed on together, and dropping a request closes its connection at once.
//! HTTP/2 connections are `shared`, so each has a task. This module knows nothing of plugins.

pub mod breaker;
mod connect;
mod eventstream;
pub mod frames;
pub mod google;
pub mod health;
pub mod lane;
pub mod limits;
mod link;
pub mod prefixes;
pub mod queue;
mod reach;
pub mod retries;
mod shared;
pub mod sigv4;
pub mod simulated;
pub mod sse;
mod times;
pub mod told;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use connect::{Endpoint, TlsRoots};
use http_body_util::Full;
use hyper::{HeaderMap, Request, Response};
pub use link::UpstreamBody;
use link::{Idle, Link};
use shared::Pool;
use thiserror::Error;

/// A body that is sent.
pub type Outgoing = Full<Bytes>;

/// Connections to one provider under one key.
pub struct Upstream {
    endpoint: Endpoint,
    tls: Option<tokio_rustls::TlsConnector>,
    roots: TlsRoots,
    connect_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
    shared: Pool,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Upstream({})", self.endpoint)
    }
}

/// Why no answer came. The texts name hosts and are for the log.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection; nothing was sent.
    #[error("cannot connect to {endpoint}: {reason}")]
    Connect {
        /// Whereto.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// No connection in time; nothing was sent.
    #[error("no connection to {endpoint} within {} ms", within.as_millis())]
    ConnectTimeout {
        /// Whereto.
        endpoint: String,
        /// The limit.
        within: Duration,
    },
    /// No connection, because the gateway may open no more files; nothing was sent.
    #[error("no file is left for a connection to {endpoint}: {reason}")]
    NoFiles {
        /// Whereto.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke after the request may have been sent.
    #[error("the connection to {endpoint} broke: {reason}")]
    Broken {
        /// With whom.
        endpoint: String,
        /// How.
        reason: String,
    },
    /// An answer larger than it may be.
    #[error("an answer of over {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl UpstreamError {
    /// Whether it is certain that nothing was sent.
    pub fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::NoFiles { .. }
        )
    }
}

/// How many unused connections are kept per provider, and for how long.
const IDLE_MOST: usize = 256;
const IDLE_TIME: Duration = Duration::from_secs(55);

impl Upstream {
    /// Prepares the way; connects to nothing yet.
    pub fn new(endpoint: Endpoint, roots: &TlsRoots, connect_timeout: Duration) -> Arc<Self> {
        let tls = endpoint.is_tls.then(|| roots.connector());
        let upstream = Arc::new(Self {
            endpoint,
            tls,
            roots: roots.clone(),
            connect_timeout,
            idle: Mutex::default(),
            shared: Pool::default(),
        });
        let mut all = lock(&ALL);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&upstream));
        upstream
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it trusts just these.
    pub fn trusts(&self, roots: &TlsRoots) -> bool {
        self.roots == *roots
    }

    /// Signs a request for `path` below the endpoint's own prefix, as [`Self::send`] would send it.
    pub fn sign(
        &self,
        signer: &sigv4::Signer,
        method: &hyper::Method,
        path: &str,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), UpstreamError> {
        let uri = self.endpoint.uri(path).map_err(|error| self.broken(error))?;
        let signed = signer.sign(method, &uri, headers, body, crate::store::now_ms());
        signed.map_err(|error| self.broken(error))
    }

    /// Sends a request for `path` (with query) below the endpoint's own prefix and waits for the head of the answer.
    /// Dropping the future, or the answer's body, closes the connection.
    pub async fn send(
        self: &Arc<Self>,
        method: hyper::Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.send_within(self.connect_timeout, method, path, headers, body)
            .await
    }

    /// The same, with a time of its own up to the connection.
    pub async fn send_within(
        self: &Arc<Self>,
        connect_timeout: Duration,
        method: hyper::Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.uri_mut() = self.endpoint.uri(path).map_err(|error| self.broken(error))?;
        while let Some(shared) = self.shared.take() {
            match shared.send(&self.endpoint, request).await {
                Ok(response) => return Ok(response),
                Err((error, None)) => return Err(self.broken(error)),
                // The provider has taken nothing of it, and may be closing the connection: another one will do.
                Err((_, Some(unsent))) => request = *unsent,
            }
            self.shared.forget(&shared);
        }
        while let Some(idle) = self.take_idle() {
            match idle.link.send(request, self).await {
                Ok(response) => return Ok(response),
                // The provider closed a kept connection before anything was sent on it: another one will do.
                Err((error, None)) => return Err(self.broken(error)),
                Err((_, Some(unsent))) => request = unsent,
            }
        }
        let mut is_again = false;
        loop {
            // In a box: most requests find a connection, and none of them has to carry the room for making one about.
            match Box::pin(self.connect(connect_timeout)).await? {
                connect::Connection::Http1(stream) => {
                    let link = Link::new(stream).await.map_err(|error| self.broken(error))?;
                    return link.send(request, self).await.map_err(|(error, _)| self.broken(error));
                }
                connect::Connection::Http2(shared) => {
                    self.shared.put(&shared);
                    match shared.send(&self.endpoint, request).await {
                        Ok(response) => return Ok(response),
                        // One that is refused on a connection of its own is tried on one more, and no more.
                        Err((_, Some(unsent))) if !is_again => request = *unsent,
                        Err((error, _)) => return Err(self.broken(error)),
                    }
                    self.shared.forget(&shared);
                    is_again = true;
                }
            }
        }
    }

    /// A new connection. Where no file is left for one, those that nobody uses are closed first, whoever they lead to.
    async fn connect(&self, within: Duration) -> Result<connect::Connection, UpstreamError> {
        let connect = || connect::connect(&self.endpoint, self.tls.as_ref(), within);
        match connect().await {
            Err(UpstreamError::NoFiles { .. }) => {
                close_unused();
                // Connections over HTTP/2 are closed by tasks of their own.
                tokio::time::sleep(MOMENT).await;
                connect().await
            }
            connected => connected,
        }
    }

    /// The connection that was used last: the one least likely to have been closed.
    fn take_idle(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        // All below one that is too old are older still.
        if idle.last().is_some_and(|last| last.since.elapsed() > IDLE_TIME) {
            idle.clear();
        }
        idle.pop()
    }

    fn park(&self, link: Link) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MOST {
            idle.push(Idle {
                link,
                since: Instant::now(),
            });
        }
    }

    /// Closes connections that nobody has used for a while. Called by the sweep.
    pub fn close_old(&self) {
        lock(&self.idle).retain(|idle| idle.since.elapsed() <= IDLE_TIME);
        self.shared.close_old(IDLE_TIME);
    }

    fn broken(&self, reason: impl std::fmt::Display) -> UpstreamError {
        UpstreamError::Broken {
            endpoint: self.endpoint.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Every way to a provider that there is, of all generations: they share the files that the process may open.
static ALL: Mutex<Vec<Weak<Upstream>>> = Mutex::new(Vec::new());
const MOMENT: Duration = Duration::from_millis(10);

/// Closes all connections to providers that nobody uses now.
fn close_unused() {
    let all: Vec<Arc<Upstream>> = lock(&ALL).iter().filter_map(Weak::upgrade).collect();
    for upstream in all {
        drop(std::mem::take(&mut *lock(&upstream.idle)));
        upstream.shared.close_old(Duration::ZERO);
    }
    tracing::warn!("no file is left for a connection to a provider: those that nobody uses are closed");
}

/// Held for a few instructions only, never across an await; a panic elsewhere leaves a list of connections intact.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
