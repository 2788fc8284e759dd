//! A provider on a real socket in the test's own process: it answers as scripted, path by path, and keeps a journal of
//! what it received and whether its answer was taken to the end. The journal is the truth that tests compare with.

mod body;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::answer::Answer;
use crate::client::patiently;
use crate::specification::Specification;
use body::ScriptedBody;
use wire::{Breaker, Stream, Wire};

/// A scripted provider; it is gone when this is dropped, with all its connections.
#[derive(Debug)]
pub struct FakeProvider {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

/// One request as the provider saw it.
#[derive(Debug, Clone)]
pub struct Received {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In the order of arrival; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Whether it came over HTTP/2.
    pub is_http2: bool,
    /// How many pieces of its answer have been handed to the connection.
    pub pieces: usize,
    /// How its answer went.
    pub outcome: Outcome,
}

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its end has not been reached.
    UnderWay,
    /// It went out as scripted.
    Finished,
    /// The other side left before that.
    Abandoned,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the gateway sent the provider a body that is not JSON")
    }
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<HashMap<String, VecDeque<Answer>>>,
    journal: watch::Sender<Vec<Received>>,
    /// What requests are held to, and what was wrong with them.
    specification: OnceLock<Specification>,
    /// What answers instead of the script, where it has something to say.
    speaker: OnceLock<Speaker>,
    complaints: Mutex<Vec<String>>,
    /// How often all connections were to be closed.
    hang_ups: watch::Sender<usize>,
    /// Connections that are open.
    open: watch::Sender<usize>,
}

/// Answers a request by what is in it.
struct Speaker(Box<Speaking>);

type Speaking = dyn Fn(&Received) -> Option<Answer> + Send + Sync;

impl std::fmt::Debug for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Speaker")
    }
}

impl FakeProvider {
    /// A provider that knows no path yet: it answers 404 to everything.
    pub async fn start() -> FakeProvider {
        FakeProvider::listen(None, None).await
    }

    /// The same over TLS; see [`Authority::server`](crate::Authority::server).
    pub async fn start_tls(server: Arc<ServerConfig>) -> FakeProvider {
        FakeProvider::listen(Some(server.into()), None).await
    }

    /// The same, with at most so many requests at a time on one HTTP/2 connection.
    pub async fn start_tls_taking(server: Arc<ServerConfig>, streams: u32) -> FakeProvider {
        FakeProvider::listen(Some(server.into()), Some(streams)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, streams: Option<u32>) -> FakeProvider {
        let is_tls = tls.is_some();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("no port for the fake provider");
        let address = listener.local_addr().expect("the fake provider has no address");
        let shared = Arc::new(Shared::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, streams, Arc::clone(&shared)));
        FakeProvider {
            address,
            is_tls,
            shared,
            _accepting: accepting,
        }
    }

    /// A provider of chat completions in OpenAI's dialect that gives these answers.
    pub async fn chatting(answers: impl IntoIterator<Item = Answer>) -> FakeProvider {
        let provider = FakeProvider::start().await;
        provider.on("/v1/chat/completions", answers);
        provider
    }

    /// A provider that answers by what it is asked; what it has no answer to is answered as scripted.
    pub async fn speaking(speaker: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) -> FakeProvider {
        let provider = FakeProvider::start().await;
        let set = provider.shared.speaker.set(Speaker(Box::new(speaker)));
        set.expect("a provider has one speaker");
        provider
    }

    /// Answers requests for a path with these, in order; the last one again and again. Replaces what was scripted before.
    pub fn on(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script().insert(path.into(), answers.into_iter().collect());
    }

    /// Answers a request that breaks this specification with what is wrong with it, and keeps that.
    pub fn held_to(self, specification: Specification) -> FakeProvider {
        let set = self.shared.specification.set(specification);
        set.expect("a provider has one specification");
        self
    }

    /// What was wrong with requests so far, each once.
    pub fn complaints(&self) -> Vec<String> {
        self.shared
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// `http://127.0.0.1:PORT`, or `https`
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections in good order, as a provider does that has kept them long enough, and waits until it has.
    pub async fn hang_up(&self) {
        self.shared.hang_ups.send_modify(|count| *count += 1);
        let mut open = self.shared.open.subscribe();
        patiently(open.wait_for(|open| *open == 0))
            .await
            .expect("the provider is gone");
    }

    /// Everything received so far, in the order of arrival.
    pub fn journal(&self) -> Vec<Received> {
        self.shared.journal.borrow().clone()
    }

    /// The only request received so far.
    pub fn only(&self) -> Received {
        let mut journal = self.journal();
        assert_eq!(journal.len(), 1, "the provider received {journal:#?}");
        journal.remove(0)
    }

    /// Waits until the journal is as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Vec<Received>) -> bool) {
        let mut journal = self.shared.journal.subscribe();
        patiently(journal.wait_for(wanted))
            .await
            .expect("the fake provider is gone");
    }

    /// Waits until the answers to all requests so far have ended one way or the other.
    pub async fn settled(&self) {
        self.until(|journal| journal.iter().all(|received| received.outcome != Outcome::UnderWay))
            .await;
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Answer>>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, path: &str) -> Answer {
        let mut script = self.script();
        let Some(answers) = script.get_mut(path) else {
            return Answer::error(404, "not_scripted");
        };
        match answers.len() {
            0 => Answer::error(404, "not_scripted"),
            1 => answers[0].clone(),
            _ => answers
                .pop_front()
                .unwrap_or_else(|| Answer::error(404, "not_scripted")),
        }
    }

    /// The answer to a request that breaks the specification, where there is one.
    fn judge(&self, received: &Received) -> Option<Answer> {
        let complaint = self.specification.get()?.complaint(received)?;
        let answer = Answer::json(400, &json!({ "error": { "message": complaint } }));
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if !complaints.contains(&complaint) {
            complaints.push(complaint);
        }
        Some(answer)
    }

    fn record(&self, received: Received) -> usize {
        let mut index = 0;
        self.journal.send_modify(|journal| {
            index = journal.len();
            journal.push(received);
        });
        index
    }

    fn sent_piece(&self, index: usize) {
        self.journal.send_modify(|journal| journal[index].pieces += 1);
    }

    fn settle(&self, index: usize, outcome: Outcome) {
        self.journal.send_modify(|journal| journal[index].outcome = outcome);
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, streams: Option<u32>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        shared.open.send_modify(|open| *open += 1);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        let mut hang_ups = shared.hang_ups.subscribe();
        connections.spawn(async move {
            tokio::select! {
                () = serve(stream, tls, streams, number, Arc::clone(&shared)) => {}
                _ = hang_ups.changed() => {}
            }
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    streams: Option<u32>,
    connection: usize,
    shared: Arc<Shared>,
) {
    let stream = match tls {
        None => Stream::Plain(stream),
        // Whoever does not like the certificate leaves here.
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            Err(_) => return,
        },
    };
    let breaker = Breaker::default();
    let wire = Wire::new(stream, breaker.clone());
    let service = service_fn(|request| respond(request, connection, Arc::clone(&shared), breaker.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if let Some(streams) = streams {
        builder.http2().max_concurrent_streams(streams);
    }
    // An error here is the gateway leaving or a script that breaks the connection; the journal tells which.
    let _ = builder.serve_connection(TokioIo::new(wire), service).await;
}

async fn respond(
    request: hyper::Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
    breaker: Breaker,
) -> Result<hyper::Response<ScriptedBody>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let scripted = shared.answer(head.uri.path());
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body,
        connection,
        is_http2: head.version == hyper::Version::HTTP_2,
        pieces: 0,
        outcome: Outcome::UnderWay,
    };
    let spoken = shared.speaker.get().and_then(|speaker| speaker.0(&received));
    let answer = shared.judge(&received).or(spoken).unwrap_or(scripted);
    let index = shared.record(received);
    let witness = body::Witness::new(shared, index);
    body::take(&answer.before).await;
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = ScriptedBody::start(answer, breaker, witness);
    Ok(response.body(body).expect("the scripted head is not valid HTTP"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{End, Gate};
    use crate::client::Client;
    use crate::events::Ending;

    async fn chatting(answer: Answer) -> (FakeProvider, Client) {
        let provider = FakeProvider::chatting([answer]).await;
        let client = Client::new(provider.address);
        (provider, client)
    }

    #[tokio::test]
    async fn answers_come_in_order_and_the_last_one_stays() {
        let provider = FakeProvider::chatting([Answer::error(503, "busy"), Answer::chat("hello")]).await;
        let client = Client::new(provider.address);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(client.chat(&json!({ "model": "m" })).await.status);
        }
        assert_eq!(statuses, [503, 200, 200]);
        assert_eq!(provider.journal()[2].json(), json!({ "model": "m" }));
    }

    #[tokio::test]
    async fn a_stream_in_single_bytes_is_the_same_stream() {
        let pieces = ["grüß", "e"];
        let (_whole, client) = chatting(Answer::chat_stream(pieces)).await;
        let (expected, _) = client.chat_stream(&json!({})).await.rest().await;
        let (_cut, client) = chatting(Answer::chat_stream(pieces).in_pieces_of(1)).await;
        let (events, ending) = client.chat_stream(&json!({})).await.rest().await;
        assert_eq!((events, ending), (expected, Ending::Whole));
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_arrives_as_far_as_it_went_and_then_breaks_off() {
        for end in [End::Close, End::Reset] {
            let answer = Answer::chat_stream(["one", "two", "three"]).cut_after_pieces(2, end);
            let (_provider, client) = chatting(answer).await;
            let (events, ending) = client.chat_stream(&json!({})).await.rest().await;
            assert_eq!((events.len(), ending), (2, Ending::Aborted), "{end:?}");
        }
    }

    #[tokio::test]
    async fn the_journal_tells_who_left_early() {
        let (provider, client) = chatting(Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang)).await;
        let mut stream = client.chat_stream(&json!({})).await;
        assert!(stream.next().await.is_some());
        assert_eq!(provider.only().outcome, Outcome::UnderWay);
        drop(stream);
        provider.settled().await;
        assert_eq!(provider.only().outcome, Outcome::Abandoned);
    }

    #[tokio::test]
    async fn a_gate_holds_an_answer_until_it_is_opened() {
        let gate = Gate::shut();
        let (provider, client) = chatting(Answer::chat("hello").held(&gate)).await;
        let reply = tokio::spawn(async move { client.chat(&json!({})).await });
        provider.until(|journal| journal.len() == 1).await;
        assert!(!reply.is_finished());
        gate.open();
        assert_eq!(reply.await.unwrap().status, 200);
        provider.settled().await;
        assert_eq!(provider.only().outcome, Outcome::Finished);
    }
}
