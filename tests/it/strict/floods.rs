//! Floods of HTTP/2 frames that cost a client next to nothing: streams that are reset at once, heads and bodies without end, settings
//! and pings, windows that nobody can use. Whoever sends them is sent away or held back; nobody beside them notices.

use std::time::Duration;

use serde_json::json;
use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, fields, frame};

const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PRIORITY: u8 = 2;

const HEAD: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "gateway"),
    (":path", "/v1/chat/completions"),
];
/// More of each kind than any client has a reason for.
const MANY: u32 = 20_000;
/// What all floods together may add to a debug build's memory.
const MOST_MEMORY: u64 = 64 << 20;

/// How a flood must end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The gateway says that it has had enough, or closes.
    SentAway,
    /// That, or it takes it all: each frame costs the gateway no more than it costs the client.
    Borne,
}

/// What comes after the preface, once and then for each number.
struct Flood {
    what: &'static str,
    end: End,
    begins: Vec<u8>,
    repeats: Box<dyn Fn(u32) -> Vec<u8> + Send>,
}

fn flood(what: &'static str, end: End, begins: Vec<u8>, repeats: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Flood {
    Flood {
        what,
        end,
        begins,
        repeats: Box::new(repeats),
    }
}

fn floods() -> Vec<Flood> {
    let head = fields(&HEAD);
    let open = frame(HEADERS, END_HEADERS, 1, &head);
    let begin = |number: u32, head: &[u8]| frame(HEADERS, END_HEADERS, 2 * number + 1, head);
    let cancel = 8_u32.to_be_bytes();
    let (reset, wrong, endless, alone) = (head.clone(), head.clone(), head.clone(), head.clone());
    // A table entry of 4,000 bytes that one byte names: 20,000 times in one head.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
    let bomb = [&head[..], &entry, &vec![0xbe; 10_000]].concat();
    let nothing = || Vec::new();
    vec![
        flood("streams that are reset at once", End::Borne, nothing(), move |number| {
            [begin(number, &reset), frame(RST_STREAM, 0, 2 * number + 1, &cancel)].concat()
        }),
        flood(
            "streams that make the gateway reset them",
            End::SentAway,
            nothing(),
            move |number| {
                // A window that grows by nothing is a mistake of the stream.
                let stream = 2 * number + 1;
                [
                    frame(HEADERS, END_HEADERS, stream, &wrong),
                    frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
                ]
                .concat()
            },
        ),
        flood(
            "more streams than there may be",
            End::SentAway,
            nothing(),
            move |number| frame(HEADERS, END_HEADERS, 2 * number + 1, &alone),
        ),
        flood(
            "a head without end",
            End::SentAway,
            frame(HEADERS, 0, 1, &endless),
            |_| frame(CONTINUATION, 0, 1, &fields(&[("x-more", "of the same")])),
        ),
        flood(
            "empty pieces of a head",
            End::SentAway,
            frame(HEADERS, 0, 1, &head),
            |_| frame(CONTINUATION, 0, 1, &[]),
        ),
        flood(
            "a head that unpacks to forty megabytes",
            End::SentAway,
            nothing(),
            move |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &bomb),
        ),
        flood("empty pieces of a body", End::SentAway, open.clone(), |_| {
            frame(DATA, 0, 1, &[])
        }),
        flood("settings", End::Borne, nothing(), |_| frame(SETTINGS, 0, 0, &[])),
        flood("pings", End::Borne, nothing(), |number| {
            frame(PING, 0, 0, &[number.to_be_bytes(), [0; 4]].concat())
        }),
        flood("priorities", End::Borne, nothing(), |number| {
            frame(PRIORITY, 0, 2 * number + 1, &[0, 0, 0, 0, 1])
        }),
        flood("windows that grow beyond measure", End::SentAway, open.clone(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())
        }),
        flood("a body beyond its window", End::SentAway, open, |_| {
            frame(DATA, 0, 1, &[b' '; 16_384])
        }),
        flood("frames that nobody knows", End::Borne, nothing(), |_| {
            frame(0xee, 0, 0, b"?")
        }),
    ]
}

/// Sends it all, or until the gateway has had enough; whether it had.
async fn pour(gateway: &Gateway, flood: &Flood) -> bool {
    let (mut from, mut to) = gateway.data().connect().await.into_split();
    let reading = tokio::spawn(async move {
        let mut head = [0; 9];
        loop {
            if from.read_exact(&mut head).await.is_err() {
                return;
            }
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if head[3] == GOAWAY || from.read_exact(&mut payload).await.is_err() {
                return;
            }
        }
    });
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
        &flood.begins,
    ]
    .concat();
    let mut is_open = to.write_all(&preface).await.is_ok();
    for number in 0..MANY {
        if !is_open || reading.is_finished() {
            break;
        }
        is_open = to.write_all(&(flood.repeats)(number)).await.is_ok();
    }
    // What was said last may still be on its way; a gateway that bears it has answered a ping by then.
    let last = frame(PING, 0, 0, b"the last");
    let _ = to.write_all(&last).await;
    let patience = if flood.end == End::SentAway { 30 } else { 1 };
    tokio::time::timeout(Duration::from_secs(patience), reading)
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_a_connection_is_held_back_and_nobody_beside_it_notices() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let ask = json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(gateway.data().http2().chat(&ask).await.status, 200);
    let before = gateway.resident_bytes();
    let mut served = 1;
    for flood in floods() {
        let pouring = pour(&gateway, &flood);
        let beside = async {
            for client in [gateway.data(), gateway.data().http2()] {
                assert_eq!(client.chat(&ask).await.status, 200, "beside {}", flood.what);
            }
        };
        let (is_sent_away, ()) = tokio::join!(pouring, beside);
        served += 2;
        assert!(is_sent_away || flood.end == End::Borne, "{} went on", flood.what);
        assert_eq!(
            gateway.data().http2().chat(&ask).await.status,
            200,
            "after {}",
            flood.what
        );
        served += 1;
    }
    // None of it was a request.
    assert_eq!(provider.journal().len(), served);
    assert_eq!(gateway.metric("pointsman_in_flight").await, 0.0);
    if let (Some(before), Some(after)) = (before, gateway.resident_bytes()) {
        let more = after.saturating_sub(before);
        assert!(more < MOST_MEMORY, "{more} bytes of memory more than before");
    }
}
