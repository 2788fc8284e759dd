//! A gateway that is there, and is replaced: streams that have nothing to say, a listener that outlives the process, and a
//! gateway that is its own provider.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::FdFlags;
use serde_json::{Value, json};
use tests::config::{anthropic, openai};
use tests::sdk::sdks;
use tests::{Answer, Client, FakeProvider, Gate, Gateway, Home};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn ask() -> Value {
    json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] })
}

/// All that comes of a streamed answer whose provider is silent after its first piece, until this has been seen three times; then
/// the provider goes on.
async fn heard_in_silence(gateway: &Gateway, gate: &Gate, path: &str, body: &Value, beat: &str) -> String {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = gateway.data().connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while seen.matches(beat).count() < 3 {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "{path}: {seen}");
        seen.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    gate.open();
    stream.read_to_string(&mut seen).await.unwrap();
    seen
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_say_says_that_it_is_still_there_in_the_words_of_its_surface() {
    const COMMENT: &str = ": still here\n\n";
    const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat_stream(["one", "two"]).held_after(1, &gate)]).await;
    let texts = ["one", "two"].map(|text| {
        let choice = json!({ "index": 0, "text": text, "finish_reason": "stop" });
        json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice] }).to_string()
    });
    let completion = Answer::events([&*texts[0], &*texts[1], "[DONE]"]).held_after(1, &gate);
    provider.on("/v1/completions", [completion]);
    // In its own words, which pass as they are.
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let said = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "two" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 2 } }),
        json!({ "type": "message_stop" }),
    ];
    let claude = FakeProvider::start().await;
    claude.on("/v1/messages", [Answer::typed_events(&said).held_after(1, &gate)]);
    let usage = json!({ "total_tokens": 2, "input_tokens": 1, "output_tokens": 1 });
    let images = ["image_generation.partial_image", "image_generation.completed"].map(
        |kind| json!({ "type": kind, "b64_json": "two", "partial_image_index": 0, "created_at": 1, "usage": usage }),
    );
    provider.on(
        "/v1/images/generations",
        [Answer::typed_events(&images).held_after(1, &gate)],
    );
    let config = openai("one", &provider.url()) + &anthropic("claude", &claude.url());
    let gateway = Gateway::start(&(config + "[server]\nheartbeat_ms = 50\n")).await;
    let with = |more: Value| {
        let mut body = json!({ "model": "one/model", "stream": true, "max_tokens": 100 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let hello = json!([{ "role": "user", "content": "hello" }]);
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "a" }] }] });
    let gemini = "/v1beta/models/one/model:streamGenerateContent";
    let images = json!({ "model": "one/model", "stream": true, "prompt": "a", "partial_images": 1 });
    let cases = [
        (
            "/v1/chat/completions",
            with(json!({ "messages": hello })),
            COMMENT,
            "data: [DONE]\n\n",
        ),
        (
            "/v1/completions",
            with(json!({ "prompt": "a" })),
            COMMENT,
            "data: [DONE]\n\n",
        ),
        (
            "/v1/responses",
            json!({ "model": "one/model", "stream": true, "input": "a" }),
            COMMENT,
            "response.completed",
        ),
        ("/v1/messages", with(json!({ "messages": hello })), PING, "message_stop"),
        (
            "/v1/messages",
            with(json!({ "model": "claude/model", "messages": hello })),
            PING,
            "message_stop",
        ),
        (
            &format!("{gemini}?alt=sse"),
            contents.clone(),
            COMMENT,
            "\"finishReason\":\"STOP\"",
        ),
        // Each is a chunk of its own.
        (gemini, contents, "1\r\n\n\r\n", "}]"),
        ("/v1/images/generations", images, COMMENT, "image_generation.completed"),
    ];
    for (path, body, beat, end) in cases {
        let seen = heard_in_silence(&gateway, &gate, path, &body, beat).await;
        assert!(seen.contains("two") && seen.contains(end), "{path}: {seen}");
        assert!(seen.ends_with("0\r\n\r\n"), "{path}: {seen}");
    }
}

/// Comments and pings between the events, which are what SDKs may stumble over.
#[tokio::test]
async fn sdks_read_over_what_keeps_a_silent_stream_up() {
    let pause = Duration::from_millis(120);
    let slow = Answer::chat_stream(["one ", "two"])
        .pausing_after(2, pause)
        .pausing_after(1, pause);
    let provider = FakeProvider::chatting([slow]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + "[server]\nheartbeat_ms = 20\n")).await;
    let said = json!([{ "role": "user", "content": "hello" }]);
    let steps = json!([
        { "do": "stream", "with": { "model": "one/model", "messages": said } },
        { "do": "respond_stream", "with": { "model": "one/model", "input": "hello", "store": false } },
        { "do": "message_stream", "with": { "model": "one/model", "max_tokens": 100, "messages": said } },
    ]);
    for sdk in sdks() {
        let seen = sdk.takes(&gateway, steps.clone()).await;
        let pieces = seen[0]["chunks"].as_array().unwrap().iter();
        let text: String = pieces
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        let texts = [
            text.as_str(),
            seen[1]["response"]["output"][0]["content"][0]["text"].as_str().unwrap(),
            seen[2]["message"]["content"][0]["text"].as_str().unwrap(),
        ];
        assert_eq!(texts, ["one two"; 3], "{}", sdk.name);
    }
}

/// A gateway that is handed this listener by whoever starts it, as systemd does.
async fn handed(home: &Home, listener: &TcpListener) -> Gateway {
    let plain = home.command(&["serve", "--config", "pointsman.toml"]);
    let program = plain.get_program().to_str().unwrap().to_owned();
    let mut command = Command::new("sh");
    // The first descriptor that is handed over is 3; the process's own number is kept by `exec`.
    let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec '{program}' serve --config pointsman.toml 3<&0 </dev/null");
    command.args(["-c", &script]).current_dir(home.path("")).env_clear();
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    Gateway::start_with(home.clone(), command).await
}

#[tokio::test]
async fn a_listener_that_is_handed_over_loses_nobody_while_the_gateway_is_replaced() {
    let gate = Gate::shut();
    let held = Answer::chat("first").held(&gate);
    let provider = FakeProvider::chatting([held, Answer::chat("later")]).await;
    let home = Home::with_config(&openai("one", &provider.url()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(address);
    let call = || {
        let client = client.clone();
        tokio::spawn(async move { client.chat(&ask()).await.status })
    };
    // Nobody has taken it yet.
    let early = call();
    let gateway = handed(&home, &listener).await;
    assert_eq!(gateway.data_address(), address);
    provider.until(|journal| journal.len() == 1).await;
    gateway.signal(rustix::process::Signal::TERM);
    while gateway.admin().get("/readyz").await.status == 200 {
        tokio::task::yield_now().await;
    }
    gateway.logged(&["stopping"]).await;
    // From here on nobody accepts, and nobody is refused either.
    let meanwhile: Vec<_> = (0..20).map(|_| call()).collect();
    gate.open();
    assert_eq!(early.await.unwrap(), 200);
    assert_eq!(gateway.ended().await.code(), Some(0));
    let next = handed(&home, &listener).await;
    for call in meanwhile {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(provider.journal().len(), 21);
    assert!(next.stop().await.success());
}

/// The listener at this number or a higher one, which processes that are started from now on have as well.
fn passed_on(listener: &impl AsFd, number: RawFd) -> OwnedFd {
    let passed = rustix::io::fcntl_dupfd_cloexec(listener, number).unwrap();
    rustix::io::fcntl_setfd(&passed, FdFlags::empty()).unwrap();
    passed
}

#[tokio::test]
async fn two_listeners_that_are_handed_over_are_told_apart_by_their_names_and_outlive_the_gateway() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let home = Home::new();
    // What the sockets are is taken from them.
    let config = openai("one", &provider.url())
        + "[server]\nlisten = \"127.0.0.1:1\"\n[admin]\nlisten = \"unix:elsewhere.sock\"\n";
    home.write("pointsman.toml", config);
    let path = home.path("given.sock");
    let (data, admin) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UnixListener::bind(&path).unwrap(),
    );
    let first = passed_on(&admin, 700);
    let _second = passed_on(&data, first.as_raw_fd() + 1);
    for _ in 0..2 {
        let mut command = home.command(&["serve", "--config", "pointsman.toml"]);
        let number = first.as_raw_fd().to_string();
        command.env("LISTEN_FDS", "2").env("LISTEN_FDS_FIRST_FD", number);
        command.env("LISTEN_FDNAMES", "admin:data");
        // Nobody has taken it yet, or nobody takes it any more.
        let mut early = UnixStream::connect(&path).await.unwrap();
        early.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
        let gateway = Gateway::start_with(home.clone(), command).await;
        assert_eq!(gateway.data_address(), data.local_addr().unwrap());
        let mut answer = String::new();
        early.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("ready"), "{answer}");
        assert_eq!(gateway.data().chat(&ask()).await.status, 200);
        assert!(gateway.stop().await.success());
    }
    assert!(!home.path("elsewhere.sock").exists());
}

#[tokio::test]
async fn a_gateway_that_is_its_own_provider_says_so_instead_of_asking_for_ever() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let home = Home::new();
    let config = openai("one", &format!("http://{address}"))
        .replace("upstream = \"upstream-model\"", "upstream = \"one/model\"");
    home.write(
        "pointsman.toml",
        format!("{config}\n[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let gateway = Gateway::start_in(home).await;
    let reply = gateway.data().chat(&ask()).await;
    assert!(reply.status >= 500, "{}", reply.text());
    assert_eq!(
        gateway
            .metric("pointsman_requests_total{route=\"\",status=\"508\"}")
            .await,
        1.0
    );
    gateway.logged(&["loop_detected"]).await;
}
