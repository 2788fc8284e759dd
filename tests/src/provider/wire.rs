//! A connection that a script can break. hyper would end every answer in good order; a provider that dies does not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Makes the connection end in a reset instead of a close.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<AtomicBool>);

impl Breaker {
    pub(super) fn reset(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) struct Wire {
    stream: Stream,
    breaker: Breaker,
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Duplex for T {}

impl Wire {
    pub(super) fn new(stream: Stream, breaker: Breaker) -> Wire {
        // Each piece of a scripted body is to arrive by itself.
        let _ = stream.tcp().set_nodelay(true);
        Wire { stream, breaker }
    }

    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::<&mut TcpStream>::new(stream),
            Stream::Tls(stream) => Pin::<&mut TlsStream<TcpStream>>::new(stream),
        }
    }
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.breaker.0.load(Ordering::SeqCst) {
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.duplex().poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.duplex().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.breaker.0.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        self.duplex().poll_shutdown(cx)
    }
}
