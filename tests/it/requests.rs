//! Requests that are wrong: each gets an error in OpenAI's shape that says what to do, and none reaches a provider.

use hyper::Method;
use serde_json::json;
use tests::config::openai;
use tests::{Answer, Client, FakeProvider, Gateway, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn gateway(more: &str) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + more)).await;
    (provider, gateway)
}

async fn post(client: &Client, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Reply {
    client.send(Method::POST, CHAT, headers, body).await
}

/// A good request, with this in the place of its messages' end.
fn with(more: &str) -> String {
    format!("{{\"model\":\"one/model\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]{more}}}")
}

/// What comes back for raw bytes: the status, and the body behind the first blank line.
async fn raw(gateway: &Gateway, request: &[u8]) -> (u16, String) {
    let answer = gateway.data().raw(request).await;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default();
    (
        status,
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_body_that_is_not_strict_json_is_refused_with_the_place_of_the_mistake() {
    let (provider, gateway) = gateway("").await;
    let deep = |depth: usize| with(&format!(",\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("text", b"hello".to_vec()),
        ("half", with("").into_bytes()[..40].to_vec()),
        ("more behind it", (with("") + "{}").into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", with("").as_bytes()].concat()),
        ("bytes that are not UTF-8", [with("").as_bytes(), b"\xff"].concat()),
        ("a trailing comma", with(",").into_bytes()),
        ("NaN", with(",\"temperature\":NaN").into_bytes()),
        ("a number beyond all", with(",\"temperature\":1e400").into_bytes()),
        ("a leading zero", with(",\"n\":01").into_bytes()),
        ("a control character", with(",\"user\":\"a\nb\"").into_bytes()),
        ("a lone surrogate", with(",\"user\":\"\\ud800\"").into_bytes()),
        (
            "surrogates the wrong way round",
            with(",\"user\":\"\\ude00\\ud83d\"").into_bytes(),
        ),
        ("a key twice", with(",\"model\":\"two/model\"").into_bytes()),
        (
            "a key twice, once escaped",
            with(",\"\\u006dodel\":\"two/model\"").into_bytes(),
        ),
        (
            "a key twice, further down",
            with(",\"stream_options\":{\"a\":1,\"\\u0061\":2}").into_bytes(),
        ),
        ("too deep", deep(64).into_bytes()),
        ("far too deep", deep(100_000).into_bytes()),
    ];
    for (name, body) in cases {
        let reply = post(&gateway.data(), &[JSON], body).await;
        let message = reply.refused(400, "invalid_json");
        assert!(
            message.starts_with("the request body: ") && message.len() < 400,
            "{name}: {message}"
        );
    }
    let twice = post(&gateway.data(), &[JSON], with(",\"user\":\"a\",\"user\":\"b\""))
        .await
        .refused(400, "invalid_json");
    assert!(
        twice.contains("the key `user` appears twice") && twice.contains("line 1 column"),
        "{twice}"
    );
    assert!(provider.journal().is_empty());
    assert_eq!(post(&gateway.data(), &[JSON], deep(63)).await.status, 200);
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let (provider, gateway) = gateway("").await;
    let hello = json!([{ "role": "user", "content": "hello" }]);
    for (body, code, param) in [
        (json!([]), "invalid_type", None),
        (
            json!({ "messages": hello }),
            "missing_required_parameter",
            Some("model"),
        ),
        (json!({ "model": 7, "messages": hello }), "invalid_type", Some("model")),
        (
            json!({ "model": "", "messages": hello }),
            "invalid_value",
            Some("model"),
        ),
        (
            json!({ "model": "one/model" }),
            "missing_required_parameter",
            Some("messages"),
        ),
        (
            json!({ "model": "one/model", "messages": "hello" }),
            "invalid_type",
            Some("messages"),
        ),
        (
            json!({ "model": "one/model", "messages": [] }),
            "invalid_value",
            Some("messages"),
        ),
        (
            json!({ "model": "one/model", "messages": [{ "role": 1 }] }),
            "invalid_type",
            Some("messages[0].role"),
        ),
        (
            json!({ "model": "one/model", "messages": hello, "stream": "yes" }),
            "invalid_type",
            Some("stream"),
        ),
        (
            json!({ "model": "one/model", "messages": hello, "max_tokens": 1.5 }),
            "invalid_type",
            Some("max_tokens"),
        ),
        (
            json!({ "model": "one/model", "messages": hello, "stream_options": true }),
            "invalid_type",
            Some("stream_options"),
        ),
        (
            json!({ "model": "one/model", "messages": hello, "tools": {} }),
            "invalid_type",
            Some("tools"),
        ),
    ] {
        let reply = gateway.data().chat(&body).await;
        let message = reply.refused(400, code);
        assert_eq!(reply.json()["error"]["param"].as_str(), param, "{body}");
        assert!(
            param.is_none_or(|param| message.contains(&format!("`{param}`"))),
            "{message}"
        );
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
    assert!(provider.journal().is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_is_read() {
    let (provider, gateway) = gateway("\n[server]\nbody_bytes = 1000\n").await;
    for client in [gateway.data(), gateway.data().http2()] {
        let message = post(&client, &[JSON], vec![b' '; 1001])
            .await
            .refused(413, "request_too_large");
        assert!(message.contains("1000"), "{message}");
        assert_eq!(
            post(&client, &[JSON], with("") + &" ".repeat(1000 - with("").len()))
                .await
                .status,
            200
        );
    }
    // Not a byte of the body is sent, and the answer comes all the same.
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000000\r\nconnection: close\r\n\r\n");
    let (status, body) = raw(&gateway, head.as_bytes()).await;
    assert!(status == 413 && body.contains("request_too_large"), "{status}: {body}");
    // Chunks that never end.
    let chunk = format!("100\r\n{}\r\n", " ".repeat(256)).repeat(8);
    let endless = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let (status, body) = raw(&gateway, endless.as_bytes()).await;
    assert!(status == 413 && body.contains("request_too_large"), "{status}: {body}");
    assert_eq!(provider.journal().len(), 2);
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_refused() {
    let (provider, gateway) = gateway("").await;
    let many: Vec<(String, &str)> = (0..101).map(|n| (format!("x-{n}"), "v")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let long = "v".repeat(33 << 10);
    for client in [gateway.data(), gateway.data().http2()] {
        let reply = post(&client, &[JSON, ("x-long", &long)], with("")).await;
        assert!(reply.refused(431, "headers_too_large").contains("at most 32768 bytes"));
        assert_eq!(
            post(&client, &[JSON, ("x-long", &long[..30 << 10])], with(""))
                .await
                .status,
            200
        );
    }
    post(&gateway.data().http2(), &many, with(""))
        .await
        .refused(431, "headers_too_large");
    // Over HTTP/1.1 so many do not get past the parser, which has no body to give.
    assert_eq!(post(&gateway.data(), &many, with("")).await.status, 431);
    assert_eq!(provider.journal().len(), 2);
}

#[tokio::test]
async fn bodies_that_are_compressed_or_something_else_are_refused() {
    let (provider, gateway) = gateway("").await;
    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let message = post(&gateway.data(), &[JSON, ("content-encoding", encoding)], with(""))
            .await
            .refused(415, "unsupported_encoding");
        assert!(
            message.contains(encoding) && message.contains("uncompressed"),
            "{message}"
        );
    }
    for kind in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/jsonp",
    ] {
        let message = post(&gateway.data(), &[("content-type", kind)], with(""))
            .await
            .refused(415, "unsupported_media_type");
        assert!(message.contains("application/json"), "{message}");
    }
    assert!(provider.journal().is_empty());
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
    ] {
        assert_eq!(
            post(&gateway.data(), &[("content-type", kind)], with("")).await.status,
            200,
            "{kind}"
        );
    }
    assert_eq!(
        post(&gateway.data(), &[("content-encoding", "identity")], with(""))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn names_paths_and_methods_that_are_not_there_are_told() {
    let (_provider, gateway) = gateway("").await;
    let client = gateway.data();
    let unknown = client
        .chat(&json!({ "model": "one/mode", "messages": [{ "role": "user" }] }))
        .await;
    assert!(unknown.refused(404, "model_not_found").contains("`one/mode`"));
    assert_eq!(unknown.json()["error"]["param"], "model");
    for path in [
        "/",
        "/v1",
        "/v1/chat/completions/",
        "/v1/embedding",
        "/v1/models/",
        "/chat/completions",
        "//v1/models",
        "/healthz",
        "/metrics",
        "/admin/routes",
    ] {
        let message = client.get(path).await.refused(404, "not_found");
        assert!(message.contains(&format!("GET {path}")), "{message}");
    }
    for (method, path, allow) in [
        (Method::GET, CHAT, "POST"),
        (Method::PUT, CHAT, "POST"),
        (Method::OPTIONS, CHAT, "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::DELETE, "/v1/models/one/model", "GET"),
    ] {
        let reply = client.send(method, path, &[], "").await;
        assert!(reply.refused(405, "method_not_allowed").contains(allow));
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
    // A query changes nothing.
    assert_eq!(client.get("/v1/models?limit=1").await.status, 200);
}

#[tokio::test]
async fn heads_that_two_readers_could_understand_differently_are_refused() {
    let (provider, gateway) = gateway("").await;
    let body = with("");
    let request = |target: &str, headers: &str| {
        format!(
            "POST {target} HTTP/1.1\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let cases = [
        ("no Host", request(CHAT, "")),
        ("two Hosts", request(CHAT, "host: a\r\nhost: b\r\n")),
        ("the same Host twice", request(CHAT, "host: a\r\nhost: a\r\n")),
        ("a Host that is none", request(CHAT, "host: x/?a=#\r\n")),
        ("a Host with a user", request(CHAT, "host: user@x\r\n")),
        ("absolute form", request(&format!("http://x{CHAT}"), "host: x\r\n")),
        (
            "another's absolute form",
            request(&format!("http://evil.example{CHAT}"), "host: x\r\n"),
        ),
        (
            "CONNECT",
            "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "OPTIONS *",
            "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        ("two lengths", request(CHAT, "host: x\r\ncontent-length: 5\r\n")),
        (
            "a length that is no number",
            request(CHAT, "host: x\r\n").replace("content-length: ", "content-length: +"),
        ),
        ("folded lines", request(CHAT, "host: x\r\nx-a: b\r\n c\r\n")),
        ("a space before the colon", request(CHAT, "host : x\r\n")),
        ("a name that is none", request(CHAT, "host: x\r\nx a: b\r\n")),
        ("a zero byte", request(CHAT, "host: x\r\nx-a: b\0c\r\n")),
        (
            "an unknown coding",
            request(CHAT, "host: x\r\ntransfer-encoding: xchunked\r\n"),
        ),
        (
            "chunked that is not last",
            request(CHAT, "host: x\r\ntransfer-encoding: chunked, identity\r\n"),
        ),
        (
            "a bad chunk",
            format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n"),
        ),
    ];
    for (name, request) in cases {
        let (status, body) = raw(&gateway, request.as_bytes()).await;
        assert_eq!(status, 400, "{name}: {body}");
        // Where HTTP itself is broken the parser answers, without a body.
        assert!(
            body.is_empty() || body.contains("\"code\":\"invalid_"),
            "{name}: {body}"
        );
    }
    assert!(provider.journal().is_empty());
    let (status, _) = raw(&gateway, request(CHAT, "host: [::1]:8080\r\n").as_bytes()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_body_in_single_bytes_costs_no_more_memory_than_its_bytes() {
    const BYTES: usize = 2 << 20;
    let (provider, gateway) = gateway("").await;
    let body = with(&format!(",\"user\":\"{}\"", "x".repeat(BYTES)));
    let (last, most) = body.as_bytes().split_last().unwrap();
    let chunks: Vec<u8> = most
        .iter()
        .flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n'])
        .collect();
    let before = gateway.resident_bytes();
    let mut stream = gateway.data().connect().await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&chunks).await.unwrap();
    // All but what the sockets hold has been taken by now.
    let after = gateway.resident_bytes();
    stream
        .write_all(&[b"1\r\n", &[*last][..], b"\r\n0\r\n\r\n"].concat())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(provider.only().json()["user"].as_str().map(str::len), Some(BYTES));
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 16 * BYTES as u64, "{before} bytes, then {after}");
    }
}
