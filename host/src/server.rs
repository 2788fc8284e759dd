//! A listener and its connections: accepting, HTTP/1.1 and HTTP/2, and the way out. What a request is answered with is the
//! business of a [`Service`]; the data and the admin listener differ in nothing else.

pub mod data;
mod head;
mod intake;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::body::Body;

/// Answers requests; every failure is an answer too.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Dropped when the client goes away.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// A head that is not complete by then is not waited for; also the longest that an unused connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(60);
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

/// Serves until `stop` says so, then lets requests under way end within `drain`.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let connections = GracefulShutdown::new();
    let builder = builder();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn(stream, service.clone(), &builder, &connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, connections.shutdown()).await.is_err() {
        tracing::warn!(after_ms = drain.as_millis(), "requests still under way are cut off");
    }
}

/// Until it says so, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

fn spawn<S: Service>(
    stream: TcpStream,
    service: Arc<S>,
    builder: &auto::Builder<TokioExecutor>,
    connections: &GracefulShutdown,
) {
    // Events of a stream are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let respond = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), respond).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    });
}
