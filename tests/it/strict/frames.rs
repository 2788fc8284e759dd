//! HTTP/2 in frames that no library would send: what would be two requests, or another one, over HTTP/1.1.

use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as they are, neither compressed nor checked.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // Shorter than what has a length of more than one byte.
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The frames that come back, until the gateway has answered the stream or closed the connection.
async fn send(gateway: &Gateway, head: &[(&str, &str)], data: &str) -> Vec<u8> {
    let mut stream = gateway.data().connect().await;
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &fields(head)),
        frame(DATA, END_STREAM, 1, data.as_bytes()),
    ]
    .concat();
    let _ = stream.write_all(&request).await;
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return kinds;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return kinds;
        }
        kinds.push(head[3]);
        // An answer's head, a reset, or the connection's end.
        if [HEADERS, 3, 7].contains(&head[3]) {
            return kinds;
        }
    }
}

#[tokio::test]
async fn frames_that_would_be_other_requests_elsewhere_reach_no_provider() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let good = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", "/v1/chat/completions"),
    ];
    let body = body("a");
    assert!(send(&gateway, &good, &body).await.contains(&HEADERS));
    assert_eq!(provider.journal().len(), 1);
    let (short, long) = ((body.len() - 1).to_string(), (body.len() + 1).to_string());
    let and = |field| [&good[..], &[field]].concat();
    let without = |gone: &str| {
        good.iter()
            .copied()
            .filter(|(name, _)| *name != gone)
            .collect::<Vec<_>>()
    };
    let with = |name: &str, value| {
        let change = |(known, old)| if known == name { (known, value) } else { (known, old) };
        good.map(change).to_vec()
    };
    for (what, head) in [
        ("a coding", and(("transfer-encoding", "chunked"))),
        ("a connection's header", and(("connection", "keep-alive"))),
        ("an upgrade", and(("upgrade", "h2c"))),
        ("te", and(("te", "gzip"))),
        ("a length too short", and(("content-length", &short))),
        ("a length too long", and(("content-length", &long))),
        ("a length that is none", and(("content-length", "+1"))),
        ("lines in a value", and(("x", "a\r\ntransfer-encoding: chunked"))),
        ("a line feed in a value", and(("x", "a\nb: c"))),
        ("a zero byte in a value", and(("x", "a\0b"))),
        ("lines in a name", and(("x: a\r\ny", "b"))),
        ("capitals in a name", and(("X-A", "b"))),
        ("a space in a name", and(("x a", "b"))),
        ("a colon in a name", and(("x:a", "b"))),
        ("no name", and(("", "b"))),
        ("an unknown pseudo header", and((":x", "b"))),
        ("a second path", and((":path", "/v1/models"))),
        ("a second method", and((":method", "GET"))),
        ("another Host", and(("host", "elsewhere"))),
        (
            "lines in the path",
            with(":path", "/v1/chat/completions HTTP/1.1\r\nx: y"),
        ),
        ("a space in the path", with(":path", "/v1/chat/completions x")),
        ("a path that is none", with(":path", "v1/chat/completions")),
        ("an empty path", with(":path", "")),
        ("lines in the method", with(":method", "POST / HTTP/1.1\r\nx: y")),
        ("a Host with a path", with(":authority", "gateway/x")),
        ("no path", without(":path")),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("CONNECT", with(":method", "CONNECT")),
    ] {
        send(&gateway, &head, &body).await;
        assert_eq!(provider.journal().len(), 1, "{what}");
    }
    // None of it has harmed anybody else.
    assert!(send(&gateway, &good, &body).await.contains(&HEADERS));
    assert_eq!(provider.journal().len(), 2);
}
