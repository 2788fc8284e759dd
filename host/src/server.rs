//! A listener and its connections: accepting, HTTP/1.1 and HTTP/2, and the way out. What a request is answered with is the
//! business of a [`Service`]; the data and the admin listener differ in nothing else.

mod auth;
pub mod data;
mod head;
mod idempotent;
mod intake;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::body::Body;

/// Answers requests; every failure is an answer too.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Dropped when the client goes away.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// How long the listeners wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For the head of a connection's first request, whatever the version of HTTP, and of each further one over HTTP/1.1:
    /// also the longest that such a connection is kept unused. One over HTTP/2 is kept while it answers pings.
    pub head: Duration,
    /// For a client to ask for more of a stream that has more.
    pub stall: Duration,
    /// For requests under way, once the gateway is to stop.
    pub drain: Duration,
}

/// The most that a configuration may accept of a head: within it, errors have the shape that clients know.
pub const HEAD_BYTES: u32 = 64 << 10;
/// After an error of the listener itself, such as no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a listener.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Serves until `stop` says so, then lets requests under way end within their time.
pub async fn serve<S: Service>(listener: TcpListener, service: Arc<S>, mut stop: watch::Receiver<bool>, times: Times) {
    let connections = GracefulShutdown::new();
    let builder = builder(times.head);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn(stream, service.clone(), &builder, &connections, times),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(times.drain, connections.shutdown()).await.is_err() {
        tracing::warn!(
            after_ms = times.drain.as_millis(),
            "requests still under way are cut off"
        );
    }
}

/// The wall clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Until it says so, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn builder(head: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

/// What a connection is told by the requests on it.
#[derive(Default)]
struct Told {
    /// The head of one has been read.
    begun: Notify,
    /// The client does not read its answer, and over HTTP/1.1 that is all there is on the connection.
    stalled: Arc<Notify>,
}

fn spawn<S: Service>(
    stream: TcpStream,
    service: Arc<S>,
    builder: &auto::Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    times: Times,
) {
    // Events of a stream are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let told = Arc::new(Told::default());
    let telling = told.clone();
    let respond = service_fn(move |request: Request<Incoming>| {
        let (service, told) = (service.clone(), telling.clone());
        told.begun.notify_one();
        let is_alone = request.version() < Version::HTTP_2;
        async move {
            let response = service.answer(request).await;
            let stalled = || is_alone.then(|| told.stalled.clone());
            Ok::<_, Infallible>(response.map(|body| body.watched(times.stall, stalled)))
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), respond).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        // Nothing else bounds how long a client takes to show which version of HTTP it speaks.
        let begun = tokio::time::timeout(times.head, told.begun.notified());
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            Err(_) = begun => return,
            () = told.stalled.notified() => return,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    });
}
