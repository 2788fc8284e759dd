//! One HTTP/1.1 connection, driven by whoever uses it, and the body of an answer.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};

use super::connect::Io;
use super::shared::Shared;
use super::{Outgoing, Upstream, UpstreamError};

/// An unused connection.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) link: Link,
    pub(super) since: Instant,
}

/// A connection and the future that moves its bytes.
pub(super) struct Link {
    sender: http1::SendRequest<Outgoing>,
    /// None once it is over. It is dropped then, because a request that is handed to a connection which nobody drives any
    /// more would wait for ever.
    connection: Option<Pin<Box<http1::Connection<Io, Outgoing>>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) async fn new(stream: Io) -> hyper::Result<Self> {
        let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(stream);
        let (sender, connection) = handshake.await?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// Moves bytes as far as they go now.
    fn drive(&mut self, context: &mut Context<'_>) {
        drive(&mut self.connection, context);
    }

    /// Sends a request. A failure gives the request back where nothing of it was sent.
    pub(super) async fn send(
        mut self,
        request: Request<Outgoing>,
        home: &Arc<Upstream>,
    ) -> Result<Response<UpstreamBody>, (hyper::Error, Option<Request<Outgoing>>)> {
        // A kept connection that was closed meanwhile shows here, before anything is written to it.
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(())
        })
        .await;
        let mut answer = pin!(self.sender.try_send_request(request));
        let response = poll_fn(|context| {
            if let Poll::Ready(response) = answer.as_mut().poll(context) {
                return Poll::Ready(response);
            }
            drive(&mut self.connection, context);
            answer.as_mut().poll(context)
        })
        .await;
        match response {
            Ok(response) => Ok(response.map(|body| UpstreamBody::owned(body, self, home.clone()))),
            Err(mut error) => {
                let unsent = error.take_message();
                Err((error.into_error(), unsent))
            }
        }
    }
}

fn drive(connection: &mut Option<Pin<Box<http1::Connection<Io, Outgoing>>>>, context: &mut Context<'_>) {
    if connection
        .as_mut()
        .is_some_and(|connection| connection.as_mut().poll(context).is_ready())
    {
        *connection = None;
    }
}

/// The body of a provider's answer. Dropping it before its end closes the connection, or resets the stream.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    /// The connection, where this answer has it to itself, and where it goes afterwards.
    own: Option<(Link, Arc<Upstream>)>,
    /// The connection, where other answers come on it as well: held so that this one is counted.
    _shared: Option<Arc<Shared>>,
    is_ended: bool,
    /// What has come, and was too much to be handed on with the rest.
    rest: Bytes,
    /// A break that came with bytes, kept until they have been handed on.
    broken: Option<UpstreamError>,
}

/// How long the end of a body's framing may lag behind its last bytes.
const FRAMING_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// How much of what is ready is taken at once.
const AT_ONCE: usize = 16 << 10;
/// How much is read of a connection before anybody asks for it. A head has to fit in.
const BUFFER_BYTES: usize = 64 << 10;

impl UpstreamBody {
    pub(super) fn shared(incoming: Incoming, shared: Arc<Shared>) -> Self {
        Self {
            incoming,
            own: None,
            _shared: Some(shared),
            is_ended: false,
            rest: Bytes::new(),
            broken: None,
        }
    }

    fn owned(incoming: Incoming, link: Link, home: Arc<Upstream>) -> Self {
        Self {
            incoming,
            own: Some((link, home)),
            _shared: None,
            is_ended: false,
            rest: Bytes::new(),
            broken: None,
        }
    }

    /// Waits for bytes and appends all that are there, so that what came together goes on together. `false` at the end.
    pub async fn read(&mut self, into: &mut BytesMut) -> Result<bool, UpstreamError> {
        poll_fn(|context| self.poll_read(into, context)).await
    }

    fn poll_read(&mut self, into: &mut BytesMut, context: &mut Context<'_>) -> Poll<Result<bool, UpstreamError>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        let before = into.len();
        while into.len() - before < AT_ONCE {
            let rest = self.rest.split_to(self.rest.len().min(AT_ONCE - (into.len() - before)));
            into.extend_from_slice(&rest);
            if self.is_ended || !self.rest.is_empty() {
                break;
            }
            match self.poll_data(context) {
                Poll::Ready(Ok(Some(data))) => self.rest = data,
                Poll::Ready(Ok(None)) => self.end(context),
                Poll::Ready(Err(error)) if into.len() == before => return Poll::Ready(Err(error)),
                // A body that broke once says afterwards that it has ended.
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                Poll::Pending => break,
            }
        }
        match into.len() > before {
            true => Poll::Ready(Ok(true)),
            false if self.is_ended => Poll::Ready(Ok(false)),
            false => Poll::Pending,
        }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamError>> {
        loop {
            let frame = match &mut self.own {
                None => Pin::new(&mut self.incoming).poll_frame(context),
                Some((link, _)) => {
                    // Only driving the connection brings data, so only the connection needs to know whom to wake.
                    let mut nobody = Context::from_waker(Waker::noop());
                    match Pin::new(&mut self.incoming).poll_frame(&mut nobody) {
                        Poll::Pending => {
                            link.drive(context);
                            Pin::new(&mut self.incoming).poll_frame(&mut nobody)
                        }
                        ready => ready,
                    }
                }
            };
            return match frame {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Ok(None)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Ok(Some(data))),
                    // Trailers say nothing that the gateway uses.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    let endpoint = self
                        .own
                        .as_ref()
                        .map_or_else(String::new, |(_, home)| home.endpoint().to_string());
                    Poll::Ready(Err(UpstreamError::Broken {
                        endpoint,
                        reason: error.to_string(),
                    }))
                }
            };
        }
    }

    /// The body is whole: the connection can serve the next request.
    fn end(&mut self, context: &mut Context<'_>) {
        self.is_ended = true;
        if let Some((mut link, home)) = self.own.take() {
            link.drive(context);
            if !link.is_over() && link.sender.is_ready() {
                home.park(link);
            }
        }
    }

    /// Lets go of a body of which only the end of its framing is left. Usually that came with the last bytes, and the
    /// connection is kept; else somebody waits for it a moment.
    pub fn finish(mut self) {
        let mut rest = BytesMut::new();
        let mut nobody = Context::from_waker(Waker::noop());
        if self.poll_read(&mut rest, &mut nobody).is_pending() {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(FRAMING_TIME, self.read(&mut rest)).await;
            });
        }
    }

    /// Reads to the end, at most this many bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, UpstreamError> {
        let hint = self.incoming.size_hint().lower().min(limit as u64) as usize;
        let mut whole = BytesMut::with_capacity(hint);
        while self.read(&mut whole).await? {
            if whole.len() > limit {
                return Err(UpstreamError::TooLarge { limit });
            }
        }
        Ok(whole.freeze())
    }
}
