//! A gateway that is replaced while it serves: the next process takes over its listeners and its store. Nobody is refused or
//! cut off, and what began in the one and ends after the other serves is booked once, at what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, Client, FakeProvider, Gate, Gateway, Home};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::ledger::books;

/// A model of 1 USD per million tokens of input and 2 of output answers with 10 and 5 of them.
const ANSWER: i128 = 20_000;

fn ask(is_stream: bool) -> Value {
    json!({
        "model": "auto", "max_tokens": 100, "stream": is_stream, "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "hello" }],
    })
}

fn whole() -> Value {
    json!({ "model": "auto", "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn next(home: &Home) -> Gateway {
    let command = home.command(&["serve", "--config", "pointsman.toml", "--take-over"]);
    Gateway::start_with(home.clone(), command).await
}

#[tokio::test]
async fn the_next_gateway_takes_over_and_nobody_is_refused_cut_off_or_billed_twice() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([
        Answer::chat_stream(["one", "two"]).held_after(1, &gate),
        Answer::chat("late").held(&gate),
        Answer::chat("hello"),
    ])
    .await;
    let budget = "budget = { limit_usd = 1.0, period = \"month\" }";
    let home = Home::with_config(&(openai("one", &provider.url()) + &route("auto", &["one"], budget)));
    let first = Gateway::start_in(home.clone()).await;
    let address = first.data_address();
    let mut stream = first.data().chat_stream(&ask(true)).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.is_some());
    let named = first.data().with_header("idempotency-key", "the late one");
    let late = {
        let named = named.clone();
        tokio::spawn(async move { named.chat(&whole()).await })
    };
    provider.until(|journal| journal.len() == 2).await;

    // Whatever is wrong with the next one, this one goes on.
    home.write("broken.toml", "[server]\nlisten = 1\n");
    let broken = home.run(&["serve", "--config", "broken.toml", "--take-over"]);
    assert!(!broken.status.success());
    assert_eq!(first.data().chat(&whole()).await.status, 200);

    // Twice, so that what the first one still has to say goes through both.
    let second = next(&home).await;
    assert_eq!(
        (second.data_address(), second.admin_address()),
        (address, first.admin_address())
    );
    assert_eq!(Client::new(address).chat(&whole()).await.status, 200);
    let third = next(&home).await;
    assert_eq!(Client::new(address).chat(&whole()).await.status, 200);
    assert_eq!(third.admin().get("/readyz").await.status, 200);

    gate.open();
    gate.open();
    let (events, _) = stream.rest().await;
    assert_eq!(events.last().unwrap().data, "[DONE]");
    let late = late.await.unwrap();
    assert_eq!(late.status, 200);
    assert_eq!(first.ended().await.code(), Some(0));
    assert_eq!(second.ended().await.code(), Some(0));
    third.logged(&["the gateway that was taken over has ended"]).await;
    // What the first one was asked under a name, the third one knows.
    let again = Client::new(address)
        .with_header("idempotency-key", "the late one")
        .chat(&whole())
        .await;
    assert_eq!(
        (again.status, again.json()["choices"].clone()),
        (200, late.json()["choices"].clone())
    );
    assert!(third.stop().await.success());

    each_is_booked_once(&home, &provider, 5);
}

#[tokio::test]
async fn what_ends_in_any_moment_of_a_take_over_is_booked_once() {
    const CALLS: usize = 150;
    let gate = Gate::shut();
    let provider = FakeProvider::chatting((0..CALLS).map(|_| Answer::chat("late").held(&gate))).await;
    let budget = "budget = { limit_usd = 1.0, period = \"month\" }";
    let home = Home::with_config(&(openai("one", &provider.url()) + &route("auto", &["one"], budget)));
    let first = Gateway::start_in(home.clone()).await;
    let client = first.data();
    let asking: Vec<_> = (0..CALLS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat(&whole()).await })
        })
        .collect();
    provider.until(|journal| journal.len() == CALLS).await;
    // One after another they end: before it begins, while the store changes hands, and after it.
    let ending = tokio::spawn(async move {
        for _ in 0..CALLS {
            gate.open();
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
    });
    let second = next(&home).await;
    ending.await.unwrap();
    for asked in asking {
        assert_eq!(asked.await.unwrap().status, 200);
    }
    assert_eq!(first.ended().await.code(), Some(0));
    second.logged(&["the gateway that was taken over has ended"]).await;
    assert!(second.stop().await.success());
    each_is_booked_once(&home, &provider, CALLS);
}

/// So many attempts reached the provider, each has one line, and with its corrections it came to what an answer costs.
fn each_is_booked_once(home: &Home, provider: &FakeProvider, attempts: usize) {
    let mut cost: BTreeMap<String, i128> = BTreeMap::new();
    let lines = books(home);
    for line in &lines {
        let by = line.corrects.map_or(0, |correction| i128::from(correction.by));
        *cost.entry(line.request.to_string()).or_default() += line.cost.map_or(0, |cost| i128::from(cost.0)) + by;
    }
    assert_eq!(provider.journal().len(), attempts);
    let own = lines.iter().filter(|line| line.corrects.is_none());
    assert_eq!(own.count(), attempts, "{lines:#?}");
    assert!(cost.values().all(|cost| *cost == ANSWER), "{cost:#?}");
}

/// The next process as far as the moment in which nobody has the store; what it is told until then.
async fn dying(home: &Home) -> UnixStream {
    let socket = UnixStream::connect(home.path("pointsman-data/handover.sock"))
        .await
        .unwrap();
    let mut socket = BufReader::new(socket);
    let mut version = String::new();
    socket.read_line(&mut version).await.unwrap();
    socket.write_all(b"begin\n").await.unwrap();
    let mut said = String::new();
    while !said.contains("released") {
        said.clear();
        assert!(socket.read_line(&mut said).await.unwrap() > 0, "it was not handed over");
    }
    socket.into_inner()
}

#[tokio::test]
async fn a_gateway_whose_successor_dies_before_it_serves_goes_on_and_books_everything_once() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([
        Answer::chat_stream(["one", "two"]).held_after(1, &gate),
        Answer::chat("late").held(&gate),
        Answer::chat("hello"),
    ])
    .await;
    let budget = "budget = { limit_usd = 1.0, period = \"month\" }";
    let home = Home::new();
    let config = openai("one", &provider.url())
        + &route("auto", &["one"], budget)
        + "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"unix:run.sock\"\n";
    home.write("pointsman.toml", config);
    let first = Gateway::start_in(home.clone()).await;
    let address = first.data_address();
    let mut stream = first.data().chat_stream(&ask(true)).await;
    assert!(stream.next().await.is_some());
    let late = {
        let client = first.data();
        tokio::spawn(async move { client.chat(&whole()).await })
    };
    provider.until(|journal| journal.len() == 2).await;

    // Twice: what the first one of three ledgers has under way is told to the second, and then to the third.
    for _ in 0..2 {
        let dying = dying(&home).await;
        // Nobody accepts; whoever comes now waits.
        let waiting = tokio::spawn(async move { Client::new(address).chat(&whole()).await });
        drop(dying);
        assert_eq!(waiting.await.unwrap().status, 200);
        assert_eq!(Client::new(address).chat(&whole()).await.status, 200);
        assert!(admin(&home, "/readyz").await.contains("ready"));
    }
    first.logged(&["this one goes on"]).await;
    gate.open();
    gate.open();
    let (events, _) = stream.rest().await;
    assert_eq!(events.last().unwrap().data, "[DONE]");
    assert_eq!(late.await.unwrap().status, 200);

    // One that lives takes all of it over, the socket of operators included.
    let second = next(&home).await;
    assert_eq!(first.ended().await.code(), Some(0));
    second.logged(&["the gateway that was taken over has ended"]).await;
    assert_eq!(Client::new(address).chat(&whole()).await.status, 200);
    assert!(admin(&home, "/readyz").await.contains("ready"));
    assert!(second.stop().await.success());
    assert!(!home.path("run.sock").exists());
    each_is_booked_once(&home, &provider, 7);
}

/// A document of the admin listener, at its socket.
async fn admin(home: &Home, path: &str) -> String {
    let mut stream = UnixStream::connect(home.path("run.sock")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn where_no_gateway_serves_there_is_nothing_to_take_over() {
    let home = Home::with_config(&openai("one", "http://127.0.0.1:9"));
    let alone = home.run(&["serve", "--config", "pointsman.toml", "--take-over"]);
    assert!(!alone.status.success());
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(
        said.contains("cannot be taken over") && said.contains("without `--take-over`"),
        "{said}"
    );
}
