//! A listener and its connections: accepting, HTTP/1.1 and HTTP/2, and the way out. What a request is answered with is the
//! business of a [`Service`]; the data and the admin listener differ in nothing else.

mod auth;
pub mod data;
mod framing;
mod head;
mod idempotent;
mod intake;
mod kept;
mod listen;
mod quiet;
mod tls;
mod wire;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::sync::{Notify, watch};

use crate::body::Body;
use crate::load::{Connected, Gate, Side};
use listen::Stream;
pub use listen::{Inherited, Listener, Peer};
use quiet::Quiet;
pub use tls::Tls;
use wire::{Answer, Turn, Wire};

/// Answers requests; every failure is an answer too.
pub trait Service: Send + Sync + 'static {
    /// Answers one request of this client. Dropped when the client goes away.
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;

    /// What is still under way has no more time but to say so.
    fn cut(&self) {}
}

/// How long the listeners wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For TLS, for the head of a connection's first request, and for the rest of each further one over HTTP/1.1.
    pub head: Duration,
    /// For the next request, where none is under way.
    pub idle: Duration,
    /// For a client to ask for more of a stream that has more.
    pub stall: Duration,
}

/// The most that a configuration may accept of a head: within it, errors have the shape that clients know.
pub const HEAD_BYTES: u32 = 64 << 10;
/// For a request on a connection that was accepted when the gateway was told to stop.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// For what is cut off to say so.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests at one time on a connection over HTTP/2.
pub const STREAMS: u32 = 100;
/// The most that hyper keeps of a head, or over HTTP/2 of an answer for a client that does not read. Over HTTP/1.1 [`wire`] hands on less.
const BUFFER_BYTES: usize = 80 << 10;
/// What a client over HTTP/2 may send of one body before it is read, and of all on its connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams over HTTP/2 that a client may reset before they are looked at, and those that it may do wrong, before it is sent away.
const RESETS: usize = 20;
const MISTAKES: usize = 100;
/// An answer that is made while it is sent is given up by itself, and says why. This is for all others, and comes later.
const UNREAD: u32 = 2;
/// After an error of the listener itself, such as no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` says so, no more connections at one time than the gate has places for on this side; then requests under way have
/// as long as that says to end.
pub async fn serve<S: Service>(
    listener: Arc<Listener>,
    tls: Option<Arc<Tls>>,
    (gate, side): (Arc<Gate>, Side),
    service: Arc<S>,
    mut stop: watch::Receiver<Option<Duration>>,
    times: Times,
) {
    let connections = GracefulShutdown::new();
    let tls_is_on = tls.is_some();
    let door = Door {
        service: service.clone(),
        tls,
        builders: Arc::new((http1(), http2())),
        times,
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(connected) = gate.connect(side) else {
                        turn_away(&stream, tls_is_on);
                        continue;
                    };
                    let held = Held { _watcher: connections.watcher(), _connected: connected };
                    tokio::spawn(door.clone().connection(stream, peer, held, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let drain = stop.borrow().unwrap_or_default();
    let mut ended = pin!(connections.shutdown());
    if tokio::time::timeout(drain, ended.as_mut()).await.is_err() {
        tracing::warn!(after_ms = drain.as_millis(), "requests still under way are cut off");
        service.cut();
        let _ = tokio::time::timeout(FAREWELL, ended).await;
    }
}

/// Says that there is no place, as far as that can be said without waiting: to nobody who would take it for something else.
fn turn_away(stream: &Stream, is_tls: bool) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    if let (Stream::Tcp(stream), false) = (stream, is_tls) {
        let _ = stream.try_write(FULL);
    }
}

/// The wall clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Until it says so, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) {
    let _ = stop.wait_for(Option::is_some).await;
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // How long a head may take, and how long a connection may be idle, is seen to here, with one timer for all requests.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(MISTAKES)
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
    /// How long there has been nothing to do.
    quiet: Arc<Quiet>,
}

/// What a connection is served with.
struct Door<S> {
    service: Arc<S>,
    tls: Option<Arc<Tls>>,
    builders: Arc<(http1::Builder, http2::Builder<TokioExecutor>)>,
    times: Times,
}

/// What a connection keeps to its end: its place, and the word that it is not over.
struct Held {
    _watcher: Watcher,
    _connected: Connected,
}

impl<S> Clone for Door<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            tls: self.tls.clone(),
            builders: self.builders.clone(),
            times: self.times,
        }
    }
}

impl<S: Service> Door<S> {
    async fn connection(self, stream: Stream, peer: Peer, held: Held, mut stop: watch::Receiver<Option<Duration>>) {
        let (stream, peer) = match self.tls {
            None => (stream, peer),
            // In a box: agreeing takes room, which a connection would carry about to its end.
            Some(_) => match Box::pin(self.encrypted(stream, peer)).await {
                Some(agreed) => agreed,
                None => return,
            },
        };
        let times = self.times;
        let turn = Arc::new(Turn::default());
        let mut wire = Wire::new(stream, turn.clone(), times.head, UNREAD * times.stall);
        // Whoever was accepted in the last moment is answered, too: hyper would close before it has read anything.
        let is_http2 = tokio::select! {
            is_http2 = wire.speaks_http2() => match is_http2 {
                Ok(is_http2) => is_http2,
                Err(_) => return,
            },
            () = tokio::time::sleep(times.head) => return,
            () = last_moment(&mut stop) => return,
        };
        let told = Arc::new(Told::default());
        let (telling, service) = (told.clone(), self.service);
        let respond = service_fn(move |request: Request<Incoming>| {
            let (service, told, turn) = (service.clone(), telling.clone(), turn.clone());
            told.begun.notify_one();
            let asked = told.quiet.asked();
            // In a box, for which a connection has room only while it is asked for something.
            Box::pin(async move {
                let response = service.answer(request, peer).await;
                let stalled = || (!is_http2).then(|| told.stalled.clone());
                Ok::<_, Infallible>(
                    response.map(|body| Answer::new(body.watched(times.stall, stalled), turn, !is_http2, asked)),
                )
            })
        });
        let (wire, (http1, http2)) = (TokioIo::new(wire), &*self.builders);
        if is_http2 {
            let connection = Box::pin(http2.serve_connection(wire, respond));
            drive(connection, &told, &mut stop, times.head, times.idle).await;
        } else {
            let connection = Box::pin(http1.serve_connection(wire, respond));
            // As long as a head may take in any case, since the next one may have begun.
            let idle = times.idle.max(times.head);
            drive(connection, &told, &mut stop, times.head, idle).await;
        }
        // Whoever waits for all connections to end waits for this one up to here.
        drop(held);
    }

    /// A client that does not agree, or takes its time, is let go.
    async fn encrypted(&self, stream: Stream, peer: Peer) -> Option<(Stream, Peer)> {
        let Some(tls) = &self.tls else {
            return Some((stream, peer));
        };
        match tokio::time::timeout(self.times.head, tls.accept(stream, peer)).await {
            Ok(Ok(agreed)) => Some(agreed),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client and the gateway could not agree on TLS");
                None
            }
            Err(_) => None,
        }
    }
}

/// For a request that may be on its way, though the gateway has been told to stop.
async fn last_moment(stop: &mut watch::Receiver<Option<Duration>>) {
    stopped(stop).await;
    tokio::time::sleep(LAST_MOMENT).await;
}

/// Moves a connection's bytes until it is over, or has to be.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    told: &Told,
    stop: &mut watch::Receiver<Option<Duration>>,
    head: Duration,
    idle: Duration,
) where
    C: GracefulConnection<Error = hyper::Error>,
{
    // Nothing else bounds how long the first head may take before a byte of it has come.
    let begun = tokio::time::timeout(head, told.begun.notified());
    // hyper lets go of a connection on which it has read nothing, though a request may be on its way: it is told to
    // stop once there has been one.
    let mut ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        begun = begun => match begun {
            Ok(()) => None,
            Err(_) => return,
        },
        () = last_moment(stop) => None,
        () = told.stalled.notified() => return,
    };
    let mut is_idle = false;
    if ended.is_none() {
        ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = stopped(stop) => None,
            () = told.quiet.lasts(idle) => {
                is_idle = true;
                None
            }
            () = told.stalled.notified() => return,
        };
    }
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = told.stalled.notified() => return,
                // A client that does not go, though it has been told to.
                () = told.quiet.lasts(head), if is_idle => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
