//! More than can be done at one time: what is refused, who waits, who is served all the same, and what operators see of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::config::openai;
use tests::{Answer, Client, Ending, FakeProvider, Gate, Gateway, Home, not_tested};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn ask() -> Value {
    json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] })
}

fn streamed() -> Value {
    json!({ "model": "one/model", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn gateway(answer: Answer, more: &str) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([answer]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + more)).await;
    (provider, gateway)
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_a_place_or_are_told_when_to_come_back() {
    let gate = Gate::shut();
    let settings = "[server]\nin_flight = 1\nin_flight_per_key = 1000\nqueue = 1\nqueue_ms = 60000\n";
    let (provider, gateway) = gateway(Answer::chat("hi").held(&gate), settings).await;
    let call = || {
        let client = gateway.data();
        tokio::spawn(async move { client.chat(&ask()).await })
    };
    let first = call();
    provider.until(|journal| journal.len() == 1).await;
    let second = call();
    gateway
        .until("/admin/limits", |limits| limits["load"]["queue"]["now"] == 1)
        .await;
    let refused = gateway.data().chat(&ask()).await;
    refused.refused(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-should-retry"), None);
    // What makes no call needs no place.
    assert_eq!(gateway.data().get("/v1/models").await.status, 200);
    // Who leaves the queue makes room in it.
    second.abort();
    gateway
        .until("/admin/limits", |limits| limits["load"]["queue"]["now"] == 0)
        .await;
    let third = call();
    gateway
        .until("/admin/limits", |limits| limits["load"]["queue"]["now"] == 1)
        .await;
    gate.open();
    gate.open();
    for call in [first, third] {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let limits = gateway
        .until("/admin/limits", |limits| limits["load"]["in_flight"]["now"] == 0)
        .await;
    assert_eq!(limits["load"]["beginning"]["now"], 0);
    assert_eq!(limits["load"]["in_flight"]["limit"], 1);
    assert_eq!(
        gateway.metric("pointsman_refused_total{reason=\"in_flight\"}").await,
        1.0
    );
}

#[tokio::test]
async fn a_stream_keeps_its_place_to_its_end_and_one_key_not_all_of_them() {
    let gate = Gate::shut();
    let answer = Answer::chat_stream(["one", "two"]).held_after(1, &gate);
    let (_provider, gateway) = gateway(answer, "[server]\nin_flight = 4\nqueue_ms = 100\n").await;
    let make = |name: &str| {
        let output = gateway
            .home()
            .run(&["keys", "create", "--name", name, "--format", "json"]);
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        gateway
            .data()
            .with_header("authorization", &format!("Bearer {}", made["key"].as_str().unwrap()))
    };
    let (flood, other) = (make("flood"), make("other"));
    // Until then no key is needed, and all are one caller; and one key may be known before the other.
    for (client, status) in [(&gateway.data(), 401), (&flood, 200), (&other, 200)] {
        while client.get("/v1/models").await.status != status {
            tokio::task::yield_now().await;
        }
    }
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = flood.chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        streams.push(stream);
    }
    flood.chat(&streamed()).await.refused(503, "overloaded");
    let mut stream = other.chat_stream(&streamed()).await;
    assert!(stream.next().await.is_some());
    streams.push(stream);
    // Now all places are taken, and nobody gets one within a tenth of a second.
    other.chat(&streamed()).await.refused(503, "overloaded");
    for stream in streams {
        gate.open();
        let (_, ending) = stream.rest().await;
        assert_eq!(ending, Ending::Whole);
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away_and_operators_are_not() {
    let (_provider, gateway) = gateway(Answer::chat("hi"), "[server]\nconnections = 2\n").await;
    let request = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    let take = async || {
        let mut stream = gateway.data().connect().await;
        stream.write_all(request).await.unwrap();
        let mut answer = vec![0; 2048];
        let read = stream.read(&mut answer).await.unwrap_or_default();
        (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
    };
    let (kept, _also) = (take().await, take().await);
    assert!(kept.1.starts_with("HTTP/1.1 200 "), "{}", kept.1);
    let (_, refused) = take().await;
    // Where the request came first, the system may throw the answer away with it.
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"),
        "{refused}"
    );
    let limits = gateway.shows("/admin/limits").await;
    assert_eq!(limits["load"]["connections"], json!({"now": 2, "limit": 2}));
    drop(kept);
    while !take().await.1.starts_with("HTTP/1.1 200 ") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn with_no_memory_left_nothing_is_begun_and_operators_are_answered() {
    let (provider, gateway) = gateway(Answer::chat("hi"), "").await;
    let limits = gateway
        .until("/admin/limits", |limits| limits["load"]["memory_bytes"]["now"] != 0)
        .await;
    let used = limits["load"]["memory_bytes"]["now"].as_u64().unwrap();
    assert!(limits["load"]["memory_bytes"]["limit"].as_u64().unwrap() > used);
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    drop(gateway);
    let config = openai("one", &provider.url()) + "[server]\nmemory_bytes = 1000\n";
    let gateway = Gateway::start(&config).await;
    gateway
        .until("/admin/limits", |limits| limits["load"]["memory_bytes"]["now"] != 0)
        .await;
    let answer = gateway.data().raw(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(gateway.metric("pointsman_refused_total{reason=\"memory\"}").await >= 1.0);
    assert_eq!(provider.journal().len(), 1);
}

/// A gateway whose memory is full to between these percentages while this looks at it; what it takes differs a little from start to
/// start.
async fn filled<T>(provider: &FakeProvider, band: [u64; 2], look: impl AsyncFn(&Gateway) -> T) -> T {
    let mut limit: u64 = 1 << 40;
    for _ in 0..10 {
        let config = openai("one", &provider.url()) + &format!("[server]\nmemory_bytes = {limit}\n");
        let gateway = Gateway::start(&config).await;
        let used = async || {
            let limits = gateway
                .until("/admin/limits", |limits| limits["load"]["memory_bytes"]["now"] != 0)
                .await;
            limits["load"]["memory_bytes"]["now"].as_u64().unwrap()
        };
        let is_within = |used: u64| (band[0] * limit..band[1] * limit).contains(&(used * 100));
        let before = used().await;
        let seen = look(&gateway).await;
        let after = used().await;
        if is_within(before) && is_within(after) {
            return seen;
        }
        limit = after * 200 / (band[0] + band[1]);
    }
    panic!("what the gateway takes is never between {band:?} percent of what it may have");
}

#[tokio::test]
async fn with_little_memory_connections_are_not_kept_and_with_less_no_call_is_begun() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let look = async |gateway: &Gateway| {
        (
            gateway.data().chat(&ask()).await,
            gateway.data().get("/v1/models").await,
        )
    };
    let (call, models) = filled(&provider, [85, 92], look).await;
    for reply in [&call, &models] {
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    }
    let (call, models) = filled(&provider, [92, 95], look).await;
    call.refused(503, "overloaded");
    assert_eq!(call.header("retry-after"), Some("1"));
    assert_eq!(models.status, 200);
}

/// Which files a process has open.
fn open_files(pid: u32) -> BTreeSet<u32> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let number = |file: std::io::Result<std::fs::DirEntry>| file.ok()?.file_name().to_str()?.parse().ok();
    files.filter_map(number).collect()
}

/// Sets how many files a process may open from now on, and says whether that can be done here.
fn may_open(pid: u32, files: &str) -> bool {
    let mut set = Command::new("prlimit");
    set.args(["--pid", &pid.to_string(), &format!("--nofile={files}:")]);
    set.output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn when_no_file_is_left_for_a_provider_unused_connections_make_room_and_nobody_is_blamed() {
    let gate = Gate::shut();
    let one = FakeProvider::chatting([Answer::chat("one")]).await;
    let two = FakeProvider::chatting([Answer::chat("two").held(&gate)]).await;
    let gateway = Gateway::start(&(openai("one", &one.url()) + &openai("two", &two.url()))).await;
    let ask = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let (mut first, mut second) = (gateway.data().keep().await, gateway.data().keep().await);
    for client in [&mut first, &mut second] {
        assert_eq!(client.chat(&ask("one/model")).await.unwrap().status, 200);
    }
    // Whatever number is free is taken, so that the connection that is not used is the only one to make room.
    let mut others = Vec::new();
    let most = loop {
        let open = open_files(gateway.pid());
        let last = *open.last().unwrap();
        match (0..last).find(|number| !open.contains(number)) {
            None => break last + 1,
            Some(_) => others.push(gateway.data().keep().await),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    if !may_open(gateway.pid(), &most.to_string()) {
        not_tested("a gateway that has no file left for a provider", "install util-linux");
        return;
    }
    let waiting = tokio::spawn(async move { second.chat(&ask("two/model")).await });
    two.until(|journal| journal.len() == 1).await;
    first.chat(&ask("one/model")).await.unwrap().refused(503, "overloaded");
    assert!(may_open(gateway.pid(), "1000"));
    gate.open();
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    let health = gateway.shows("/admin/health").await;
    for model in health["models"].as_array().unwrap() {
        assert_eq!(
            (&model["standing"], &model["error_permille"]),
            (&json!("ready"), &json!(0))
        );
    }
    gateway.logged(&["those that nobody uses are closed"]).await;
    drop(others);
}

/// A gateway that may open so many files, where that can be said here.
async fn with_files(files: u32, config: &str) -> Option<Gateway> {
    if Command::new("prlimit").arg("--version").output().is_err() {
        not_tested("a gateway that runs out of files", "install util-linux");
        return None;
    }
    let home = Home::with_config(config);
    let plain = home.command(&["serve", "--config", "pointsman.toml"]);
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={files}:{files}"))
        .arg(plain.get_program())
        .args(plain.get_args());
    command.current_dir(home.path("")).env_clear();
    Some(Gateway::start_with(home, command).await)
}

async fn sockets(number: usize, address: SocketAddr) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..number {
        sockets.extend(TcpStream::connect(address).await.ok());
    }
    sockets
}

/// What a process has computed, in ticks of a hundredth of a second.
fn computed(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().unwrap();
    ticks(11) + ticks(12)
}

#[tokio::test]
async fn when_files_run_out_streams_go_on_operators_are_answered_and_nothing_spins() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat_stream(["one", "two"]).held_after(1, &gate)]).await;
    let Some(gateway) = with_files(256, &openai("one", &provider.url())).await else {
        return;
    };
    let mut stream = gateway.data().chat_stream(&streamed()).await;
    assert!(stream.next().await.is_some());
    let idle = sockets(400, gateway.data_address()).await;
    let limits = gateway
        .until("/admin/limits", |limits| limits["load"]["connections"]["now"] == 64)
        .await;
    assert_eq!(
        limits["load"]["open_files"],
        json!({"limit": 256, "kept_for_the_gateway": 128})
    );
    // They knock on and on, are turned away, and cost nothing while they do not.
    let knocking = sockets(50, gateway.data_address()).await;
    let (before, began) = (computed(gateway.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (ticks, took) = (computed(gateway.pid()) - before, began.elapsed());
    assert!(ticks * 5 < took.as_millis() as u64 / 10, "{ticks} ticks in {took:?}");
    for _ in 0..20 {
        assert_eq!(gateway.admin().get("/readyz").await.status, 200);
    }
    gate.open();
    let (_, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Whole);
    drop((idle, knocking));
    let client = Client::new(gateway.data_address());
    gateway
        .until("/admin/limits", |limits| limits["load"]["connections"]["now"] == 0)
        .await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert!(!gateway.log().contains("could not be accepted"), "{}", gateway.log());
}

/// What this path says on a connection that stays open, as far as it comes at once.
async fn said_on(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 << 10];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn thousands_of_idle_connections_to_operators_take_nothing_from_clients_nor_the_other_way_round() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let Some(gateway) = with_files(256, &openai("one", &provider.url())).await else {
        return;
    };
    // A place may be one's that goes at this moment.
    let is_full = |places: &Value| places["limit"] == 64 && (50..=64).contains(&places["now"].as_u64().unwrap());
    let mut operator = gateway.admin().connect().await;
    assert!(said_on(&mut operator, "/readyz").await.contains(" 200 "));
    // Some at a time: this process, too, may open only so many.
    for _ in 0..40 {
        let idle = sockets(100, gateway.admin_address()).await;
        assert_eq!(idle.len(), 100);
        assert_eq!(gateway.data().chat(&ask()).await.status, 200);
        // Whoever is in already is answered; nobody else is let in.
        let of_operators = async |operator: &mut TcpStream| {
            let said = said_on(operator, "/admin/limits").await;
            let (_, body) = said.split_once("\r\n\r\n").unwrap();
            serde_json::from_str::<Value>(body).unwrap()["load"]["connections_of_operators"].clone()
        };
        while !is_full(&of_operators(&mut operator).await) {}
        drop(idle);
        while of_operators(&mut operator).await["now"].as_u64().unwrap() > 10 {}
        assert_eq!(gateway.admin().get("/readyz").await.status, 200);
    }
    for _ in 0..20 {
        let idle = sockets(100, gateway.data_address()).await;
        for _ in 0..3 {
            assert_eq!(gateway.admin().get("/readyz").await.status, 200);
        }
        gateway
            .until("/admin/limits", |limits| is_full(&limits["load"]["connections"]))
            .await;
        drop(idle);
        gateway
            .until("/admin/limits", |limits| limits["load"]["connections"]["now"] == 0)
            .await;
    }
    assert!(!gateway.log().contains("could not be accepted"), "{}", gateway.log());
    assert!(
        gateway
            .metric("pointsman_refused_total{reason=\"admin_connections\"}")
            .await
            >= 1.0
    );
}

#[tokio::test]
async fn connections_to_providers_never_take_the_files_that_are_kept_back() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("hi").held(&gate)]).await;
    // More calls than there are files for: 72, of which those of clients are not all that may be.
    let settings = "[server]\nconnections = 60\nin_flight = 1000\nin_flight_per_key = 1000\n";
    let Some(gateway) = with_files(200, &(openai("one", &provider.url()) + settings)).await else {
        return;
    };
    let refused = Arc::new(AtomicUsize::new(0));
    let call = || {
        let (client, refused) = (gateway.data(), refused.clone());
        tokio::spawn(async move {
            let reply = client.chat(&ask()).await;
            if reply.status != 200 {
                reply.refused(503, "overloaded");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let calls: Vec<_> = (0..50).map(|_| call()).collect();
    while provider.journal().len() + refused.load(Ordering::Relaxed) < calls.len() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let load = &gateway.shows("/admin/limits").await["load"];
    assert_eq!(load["connections_to_providers"]["limit"], 36);
    assert!(open_files(gateway.pid()).len() < 200);
    let served = provider.journal().len();
    assert!((22..=36).contains(&served), "{served}");
    (0..served).for_each(|_| gate.open());
    for call in calls {
        call.await.unwrap();
    }
    let health = gateway.shows("/admin/health").await;
    assert_eq!(health["models"][0]["error_permille"], 0);
    gate.open();
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
}
