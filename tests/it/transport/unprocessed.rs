//! A provider over HTTP/2 that says of a request that it has done nothing with it, by refusing its stream or by going away before it:
//! that one is sent again. Whatever else becomes of a stream may have been done, and goes to the next candidate.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tests::config::{openai, route};
use tests::{Answer, Authority, FakeProvider, Gateway, Home};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::strict::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame};

const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const ACKNOWLEDGED: u8 = 1;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// What becomes of the next stream.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Answer,
    Reset(u32),
    /// Goes away and has not taken this stream.
    LeaveBefore,
    /// Goes away in the middle of this stream.
    LeaveWithin,
    /// Takes no byte of its body.
    NoWindow,
}

/// Frames by hand, since no library would do all of that. What there is no deed for is answered.
struct Provider {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

async fn provider(authority: &Authority, deeds: &[Deed]) -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", &["h2"]));
    let deeds: Arc<Mutex<VecDeque<Deed>>> = Arc::new(Mutex::new(deeds.iter().copied().collect()));
    let asked = Arc::new(AtomicUsize::new(0));
    let mut accepting = JoinSet::new();
    let counted = asked.clone();
    accepting.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, deeds, asked) = (tls.clone(), deeds.clone(), counted.clone());
            connections.spawn(async move {
                let _ = serve(stream, &tls, &deeds, &asked).await;
            });
        }
    });
    Provider {
        address,
        asked,
        _accepting: accepting,
    }
}

async fn serve(
    stream: TcpStream,
    tls: &TlsAcceptor,
    deeds: &Mutex<VecDeque<Deed>>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    stream.read_exact(&mut [0; 24]).await?;
    // A first window of nothing, where that is the next deed.
    let is_shut = matches!(deeds.lock().unwrap().front(), Some(Deed::NoWindow));
    let window = [&[0, 4][..], &0_u32.to_be_bytes()].concat();
    stream
        .write_all(&frame(SETTINGS, 0, 0, if is_shut { &window } else { &[] }))
        .await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let is_asked = match (head[3], head[4] & END_STREAM > 0) {
            (SETTINGS, false) => {
                stream.write_all(&frame(SETTINGS, ACKNOWLEDGED, 0, &[])).await?;
                false
            }
            // With its head, where nothing of its body will come.
            (HEADERS, _) => {
                asked.fetch_add(1, Ordering::Relaxed);
                is_shut
            }
            (DATA, true) => !is_shut,
            _ => false,
        };
        if !is_asked {
            continue;
        }
        let deed = deeds.lock().unwrap().pop_front().unwrap_or(Deed::Answer);
        let goes = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        match deed {
            Deed::Answer => stream.write_all(&answer(number)).await?,
            Deed::Reset(reason) => {
                stream
                    .write_all(&frame(RST_STREAM, 0, number, &reason.to_be_bytes()))
                    .await?
            }
            Deed::LeaveBefore => stream.write_all(&goes(0)).await?,
            Deed::LeaveWithin => {
                stream.write_all(&goes(number)).await?;
                return stream.shutdown().await;
            }
            Deed::NoWindow => {}
        }
    }
}

fn answer(number: u32) -> Vec<u8> {
    let text = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "first" }, "finish_reason": "stop" }],
    });
    // `:status: 200` is the eighth of the fields that everybody knows.
    let head = frame(HEADERS, END_HEADERS, number, &[0x88]);
    [head, frame(DATA, END_STREAM, number, text.to_string().as_bytes())].concat()
}

#[tokio::test]
async fn what_a_provider_has_done_nothing_with_is_sent_again_and_nothing_else_is() {
    let authority = Authority::new();
    let refused = Deed::Reset(REFUSED_STREAM);
    // How often the provider is asked, who answers, and in how many attempts.
    for (deeds, asked, model, attempts) in [
        (vec![], 1, "one/model", "1"),
        (vec![refused], 2, "one/model", "1"),
        (vec![Deed::LeaveBefore], 2, "one/model", "1"),
        (vec![refused; 9], 2, "two/model", "2"),
        (vec![Deed::LeaveBefore; 9], 2, "two/model", "2"),
        (vec![Deed::Reset(CANCEL)], 1, "two/model", "2"),
        (vec![Deed::Reset(INTERNAL_ERROR)], 1, "two/model", "2"),
        (vec![Deed::LeaveWithin], 1, "two/model", "2"),
        (vec![Deed::NoWindow], 1, "two/model", "2"),
    ] {
        let one = provider(&authority, &deeds).await;
        let two = FakeProvider::chatting([Answer::chat("second")]).await;
        let settings = "ca_file = \"ca.pem\"\nfirst_token_timeout_ms = 2000\napi_key";
        let config = openai("one", &format!("https://{}", one.address)).replace("api_key", settings);
        let config = config + &openai("two", &two.url()) + &route("auto", &["one", "two"], "");
        let home = Home::with_config(&config);
        home.write("ca.pem", authority.pem());
        let gateway = Gateway::start_in(home).await;
        let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
        let reply = gateway.data().chat(&ask).await;
        let shown = (
            reply.status,
            reply.header("x-pointsman-model"),
            reply.header("x-pointsman-attempts"),
        );
        assert_eq!(shown, (200, Some(model), Some(attempts)), "{deeds:?}: {}", reply.text());
        assert_eq!(one.asked.load(Ordering::Relaxed), asked, "{deeds:?}");
    }
}
