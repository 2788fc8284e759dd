//! A client that hides nothing: plain HTTP/1.1 or HTTP/2 over hyper for what is well formed, a raw socket for what is not.
//! Every request has a connection of its own, so that a test's requests cannot influence each other, unless the test asks
//! for one that is [`Kept`].

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::events::EventStream;

/// Nothing in the tests takes this long; a gateway that hangs fails the test instead of stopping the suite.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one listener.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    is_http2: bool,
}

/// One connection over HTTP/1.1 that is kept for many requests, one after the other.
#[derive(Debug)]
pub struct Kept {
    address: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// In the order of arrival; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Client {
    /// A client of this listener over HTTP/1.1.
    pub fn new(address: SocketAddr) -> Client {
        Client {
            address,
            headers: Vec::new(),
            is_http2: false,
        }
    }

    /// The same over HTTP/2 without negotiation.
    pub fn http2(mut self) -> Client {
        self.is_http2 = true;
        self
    }

    /// Sends this header with every request.
    pub fn with_header(mut self, name: &str, value: &str) -> Client {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(
            Method::POST,
            path,
            &[("content-type", "application/json")],
            body.to_string(),
        )
        .await
    }

    /// `POST /v1/chat/completions`
    pub async fn chat(&self, body: &Value) -> Reply {
        self.post("/v1/chat/completions", body).await
    }

    /// Any request; the answer whole.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let response = self.begin(method, path, headers, body.into()).await;
        let (head, body) = response.into_parts();
        let body = patiently(body.collect())
            .await
            .expect("the answer broke off")
            .to_bytes();
        Reply {
            status: head.status.as_u16(),
            headers: texts(&head.headers),
            body,
        }
    }

    /// `POST /v1/chat/completions`; the answer event by event, whatever its status.
    pub async fn chat_stream(&self, body: &Value) -> EventStream {
        self.stream("/v1/chat/completions", body).await
    }

    /// `POST` of JSON; the answer event by event, whatever its status.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        let json = [("content-type", "application/json")];
        let response = self.begin(Method::POST, path, &json, body.to_string().into()).await;
        let (head, body) = response.into_parts();
        EventStream::new(head.status.as_u16(), texts(&head.headers), body)
    }

    /// Sends these bytes as they are and returns all that comes back until the gateway closes the connection.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The gateway may answer and close before it has read everything; what counts is what it said.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = patiently(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// `GET` over HTTP/2, on a connection that stays open until the gateway closes it.
    pub async fn get_until_closed(&self, path: &str) -> u16 {
        let io = TokioIo::new(self.connect().await);
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (mut sender, connection) = handshake.expect("no connection");
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("http://{}{path}", self.address)).body(Full::new(Bytes::new()));
        let reply = patiently(sender.send_request(request.expect("a request"))).await;
        let reply = reply.expect("the gateway gave no answer");
        let status = reply.status().as_u16();
        patiently(reply.into_body().collect())
            .await
            .expect("the answer broke off");
        let _ = patiently(connection).await;
        status
    }

    /// A connection that is kept.
    pub async fn keep(&self) -> Kept {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http1::handshake(io).await.expect("no connection");
        tokio::spawn(connection);
        Kept {
            address: self.address,
            sender,
        }
    }

    /// A connection with nothing sent on it.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the gateway does not accept connections")
    }

    async fn begin(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if !self.is_http2 {
            request = request.header("host", self.address.to_string());
        }
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .expect("the test's request is not valid HTTP");
        patiently(self.exchange(request))
            .await
            .expect("the gateway gave no answer")
    }

    /// The connection lives in a task that ends when the answer's body is dropped, which closes it.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let io = TokioIo::new(self.connect().await);
        if self.is_http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            return sender.send_request(request).await;
        }
        let (mut sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.uri = head
            .uri
            .path_and_query()
            .map(|path| path.as_str())
            .unwrap_or("/")
            .parse()
            .expect("a path");
        sender.send_request(Request::from_parts(head, body)).await
    }
}

impl Kept {
    /// `POST /v1/chat/completions`; whatever goes wrong is a text.
    pub async fn chat(&mut self, body: &Value) -> Result<Reply, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            Ok(Reply {
                status: head.status.as_u16(),
                headers: texts(&head.headers),
                body: body.collect().await?.to_bytes(),
            })
        };
        patiently(exchange)
            .await
            .map_err(|error: hyper::Error| format!("the connection broke: {error}"))
    }
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// Panics unless this is an error in OpenAI's shape with this status and code; returns its message.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let body = self.json();
        let error = &body["error"];
        assert_eq!(
            (self.status, error["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text()
        );
        assert!(
            error["type"].is_string() && error.get("param").is_some(),
            "not OpenAI's shape: {body}"
        );
        assert!(error["request_id"].is_string(), "the error has no request id: {body}");
        error["message"]
            .as_str()
            .expect("an error without a message")
            .to_owned()
    }
}

/// Waits, but not for ever.
pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened for a minute")
}

fn texts(headers: &hyper::HeaderMap) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect()
}
