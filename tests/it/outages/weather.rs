//! Connections to providers in bad weather, made by a proxy in between: until the first byte has gone out, whatever becomes of one
//! costs the client time; after it, the client is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tests::config::{openai, route};
use tests::sdk::sdks;
use tests::{Answer, Chaos, Cut, Ending, FakeProvider, Gate, Gateway, Outcome, Silent, Weather};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ask, shown};

/// Bytes of the provider's that are enough for a head and a first event, and not for the end.
const MIDDLE: usize = 600;

/// A provider that is given little time, so that nobody waits long for one that says nothing.
fn hurried(name: &str, url: &str, times: &str) -> String {
    openai(name, url).replace("\n[models", &format!("{times}\n[models"))
}

/// What a provider answers, by whether a stream is asked for.
type Script = fn(bool) -> Answer;

fn fine(is_stream: bool) -> Answer {
    if is_stream {
        Answer::chat_stream(["one ", "two ", "three ", "four ", "five ", "six"])
    } else {
        Answer::chat("served")
    }
}

#[tokio::test]
async fn whatever_becomes_of_a_connection_before_the_first_byte_the_next_candidate_answers() {
    let pause = Duration::from_millis(20);
    let weathers = [
        Weather::Dead,
        Weather::Delay(Duration::from_secs(600)),
        Weather::Trickle(pause),
        Weather::Garbage,
        Weather::Cut(0, Cut::Close),
        Weather::Cut(0, Cut::Reset),
        Weather::Cut(0, Cut::HalfClose),
        Weather::Cut(0, Cut::Hang),
        Weather::Cut(40, Cut::Close),
        Weather::Cut(40, Cut::Reset),
        Weather::Cut(40, Cut::Hang),
    ];
    for is_stream in [false, true] {
        let good = FakeProvider::chatting([fine(is_stream)]).await;
        let mut config = openai("good", &good.url());
        let mut behind = Vec::new();
        for (number, weather) in weathers.iter().enumerate() {
            let provider = FakeProvider::chatting([fine(is_stream)]).await;
            let chaos = Chaos::before(provider.address()).await;
            chaos.set(*weather);
            let name = format!("p{number}");
            config += &hurried(&name, &chaos.url(), "timeout_ms = 300");
            config += &route(&format!("r{number}"), &[&name, "good"], "retries = 1");
            behind.push((provider, chaos));
        }
        let gateway = Gateway::start(&config).await;
        for (number, weather) in weathers.iter().enumerate() {
            let mut ask = ask(&format!("r{number}"));
            ask["stream"] = is_stream.into();
            let (status, headers) = if is_stream {
                let stream = gateway.data().chat_stream(&ask).await;
                let shown = (stream.status, stream.headers.clone());
                assert_eq!(stream.rest().await.1, Ending::Whole, "{weather:?}");
                shown
            } else {
                let reply = gateway.data().chat(&ask).await;
                (reply.status, reply.headers)
            };
            assert_eq!(status, 200, "{weather:?}, stream: {is_stream}");
            for shown in [("x-pointsman-model", "good/model"), ("x-pointsman-attempts", "2")] {
                let shown = (shown.0.to_owned(), shown.1.to_owned());
                assert!(
                    headers.contains(&shown),
                    "{weather:?}, stream: {is_stream}: {headers:?}"
                );
            }
            // It was sent once at most, and what was sent is not sent again.
            assert!(behind[number].0.journal().len() <= 1, "{weather:?}");
        }
    }
}

#[tokio::test]
async fn whatever_becomes_of_a_stream_after_its_first_byte_the_client_is_told_and_nothing_is_mended() {
    for cut in [Cut::Close, Cut::Reset, Cut::HalfClose, Cut::Hang] {
        let provider = FakeProvider::chatting([fine(true)]).await;
        let second = FakeProvider::chatting([fine(true)]).await;
        let chaos = Chaos::before(provider.address()).await;
        chaos.set(Weather::Cut(MIDDLE, cut));
        let config = hurried("p1", &chaos.url(), "gap_timeout_ms = 300") + &openai("p2", &second.url());
        let gateway = Gateway::start(&(config + &route("auto", &["p1", "p2"], ""))).await;
        let mut ask = ask("auto");
        ask["stream"] = true.into();
        let stream = gateway.data().chat_stream(&ask).await;
        assert_eq!(
            (stream.status, stream.header("x-pointsman-model")),
            (200, Some("p1/model")),
            "{cut:?}"
        );
        let (events, ending) = stream.rest().await;
        let last = events.last().unwrap().json();
        let code = if cut == Cut::Hang {
            "upstream_timeout"
        } else {
            "upstream_error"
        };
        assert_eq!(
            (last["error"]["code"].as_str(), ending),
            (Some(code), Ending::Aborted),
            "{cut:?}"
        );
        assert!(second.journal().is_empty(), "{cut:?}");
    }
}

#[tokio::test]
async fn half_of_the_candidates_serve_while_the_others_fail() {
    let mut config = String::new();
    let mut providers = Vec::new();
    for (name, answer) in [
        ("p1", Answer::error(500, "oops")),
        ("p2", Answer::chat("served")),
        ("p3", Answer::error(500, "oops")),
        ("p4", Answer::error(500, "oops")),
    ] {
        let provider = FakeProvider::chatting([answer]).await;
        config += &openai(name, &provider.url());
        providers.push(provider);
    }
    // Each leads in turn, so that each would be left alone.
    let orders = [
        ["p1", "p3", "p4", "p2"],
        ["p3", "p4", "p1", "p2"],
        ["p4", "p1", "p3", "p2"],
    ];
    for (number, order) in orders.iter().enumerate() {
        config += &route(&format!("r{number}"), order, "retries = 3");
    }
    let gateway = Gateway::start(&(config + "[retries]\npercent = 1_000\n")).await;
    for number in 0..30 {
        let reply = gateway.data().chat(&ask(&format!("r{}", number % 3))).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("p2/model")),
            "{number}"
        );
    }
    let health = gateway.shows("/admin/health").await;
    assert_eq!(health["models"][1]["error_permille"], 0);
    assert_eq!(providers[1].journal().len(), 30);
}

#[tokio::test]
async fn a_gateway_that_was_stopped_for_a_while_blames_nobody() {
    let gate = Gate::shut();
    let first = FakeProvider::chatting([fine(false).held(&gate)]).await;
    let second = FakeProvider::chatting([fine(false)]).await;
    // It stands still for longer than answers may take, and finds them when it goes on.
    let config = hurried("p1", &first.url(), "timeout_ms = 2_000") + &openai("p2", &second.url());
    let gateway = Gateway::start(&(config + &route("auto", &["p1", "p2"], ""))).await;
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let client = gateway.data();
            tokio::spawn(async move { client.chat(&ask("auto")).await })
        })
        .collect();
    first.until(|journal| journal.len() == 10).await;
    gateway.signal(Signal::STOP);
    (0..10).for_each(|_| gate.open());
    first
        .until(|journal| journal.iter().all(|received| received.outcome == Outcome::Finished))
        .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    gateway.signal(Signal::CONT);
    for reply in asked {
        let reply = reply.await.unwrap();
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("p1/model"))
        );
    }
    let health = gateway
        .until("/admin/health", |health| health["models"][0]["in_flight"] == 0)
        .await;
    assert_eq!(
        (&health["models"][0]["error_permille"], &health["models"][0]["standing"]),
        (&json!(0), &json!("ready"))
    );
    assert!(second.journal().is_empty());
}

/// The story of `cargo xtask soak story` as an application lives through it, with its own SDK.
#[tokio::test]
async fn an_application_does_not_notice_that_its_provider_dies_has_no_room_hangs_and_recovers() {
    for sdk in sdks() {
        let (primary, backup) = (FakeProvider::start().await, FakeProvider::start().await);
        let chaos = Chaos::before(primary.address()).await;
        let script = |provider: &FakeProvider, answer: Script| {
            for (form, is_stream) in [("whole", false), ("stream", true)] {
                provider.on(&format!("/{form}/v1/chat/completions"), [answer(is_stream)]);
            }
        };
        script(&primary, fine);
        script(&backup, fine);
        let mut config = String::new();
        for form in ["whole", "stream"] {
            let (first, second) = (format!("primary-{form}"), format!("backup-{form}"));
            config += &hurried(&first, &format!("{}/{form}", chaos.url()), "timeout_ms = 500");
            config += &openai(&second, &format!("{}/{form}", backup.url()));
            config += &route(form, &[&first, &second], "");
        }
        let gateway = Gateway::start(&config).await;
        let hello = |form: &str| json!({ "model": form, "messages": [{ "role": "user", "content": "hello" }] });
        let whole = json!({ "do": "chat", "with": hello("whole") });
        let stream = json!({ "do": "stream", "with": hello("stream") });
        let steps = json!([whole, stream, whole, stream]);
        let limited: Script = |_| Answer::error(429, "rate_limit_exceeded").header("retry-after-ms", "50");
        let chapters: [(Weather, Script); 5] = [
            (Weather::Clear, fine),
            (Weather::Dead, fine),
            (Weather::Clear, limited),
            (Weather::Clear, |_| Answer::never()),
            (Weather::Clear, fine),
        ];
        for (weather, answer) in chapters {
            chaos.set(weather);
            script(&primary, answer);
            for seen in sdk.takes(&gateway, steps.clone()).await {
                let is_answered = !seen["completion"].is_null() || !seen["chunks"].is_null();
                assert!(
                    is_answered && seen["error"].is_null(),
                    "{} in {weather:?}: {seen}",
                    sdk.name
                );
            }
        }
        // The one that is well again is noticed.
        loop {
            let reply = gateway.data().chat(&hello("whole")).await;
            assert_eq!(reply.status, 200);
            if reply.header("x-pointsman-provider") == Some("primary-whole") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_does_not_even_refuse_connections_costs_no_more_than_the_time_for_one() {
    let silent = Silent::start().await;
    let backup = FakeProvider::chatting([Answer::chat("served")]).await;
    let lost = openai("p1", &silent.url()).replace("api_key", "connect_timeout_ms = 300\napi_key");
    let config = lost + &openai("p2", &backup.url()) + &route("auto", &["p1", "p2"], "");
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&ask("auto")).await;
    assert_eq!(shown(&reply), (200, Some("p2/model"), Some("2")));
    gateway
        .data()
        .chat(&ask("p1/model"))
        .await
        .refused(504, "upstream_timeout");
    assert_eq!(backup.journal().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_provider_closes_as_they_are_used_again_cost_no_request() {
    // It says that it keeps them, and closes each a moment after its answer: before, at, or behind the next request.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let body = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        while let Ok((mut stream, _)) = listener.accept().await {
            let (counted, answer) = (counted.clone(), answer.clone());
            tokio::spawn(async move {
                let mut head = [0; 16 << 10];
                if matches!(stream.read(&mut head).await, Ok(1..)) {
                    let number = counted.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    tokio::time::sleep(Duration::from_micros(50 * (number as u64 % 40))).await;
                }
            });
        }
    });
    let backup = FakeProvider::chatting([Answer::chat("served")]).await;
    let providers = openai("p1", &format!("http://{address}")) + &openai("p2", &backup.url());
    let gateway = Gateway::start(&(providers + &route("auto", &["p1", "p2"], ""))).await;
    // With the name set, more of them.
    let times = std::env::var("POINTSMAN_SOAK_TIMES").map_or(400, |times| times.parse().unwrap());
    for _ in 0..times {
        assert_eq!(gateway.data().chat(&ask("auto")).await.status, 200);
    }
    // What met a connection that was closed behind it was read by nobody, and went to the next candidate: each was done once.
    let (first, second) = (asked.load(Ordering::Relaxed), backup.journal().len());
    assert_eq!(first + second, times, "{first} and {second}");
    assert!(first > 0);
}
