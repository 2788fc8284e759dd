//! The money is right: whatever becomes of a request, each attempt that reached a provider has one line in the ledger, and
//! nothing stays reserved. The truth is what the fake provider received. Here is what these tests share.

mod exits;
mod kinds;
mod leaving;
mod log;
mod nested;
mod overruns;
mod usage;

use std::time::{Duration, Instant};

use pointsman::store::sqlite::Sqlite;
use pointsman::store::{Line, Span, Store};
use serde_json::{Value, json};
use tests::{Gateway, Home};

/// How long what is booked off the request's path may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A model of 1 USD per million tokens of input and 2 of output answers with 10 and 5 of them.
const ANSWER: u64 = 20_000;

fn ask(model: &str, is_stream: bool) -> Value {
    json!({
        "model": model, "max_tokens": 100, "stream": is_stream,
        "messages": [{ "role": "user", "content": "hello" }],
    })
}

/// Sends a request and takes all that comes, whether it is an answer or an error.
async fn take_all(gateway: &Gateway, ask: &Value) {
    if ask["stream"] == true {
        let stream = gateway.data().chat_stream(ask).await;
        if stream.status == 200 {
            stream.rest().await;
        }
    } else {
        gateway.data().chat(ask).await;
    }
}

/// Waits until so many lines are booked and nothing is reserved any more.
async fn at_rest(gateway: &Gateway, lines: usize) {
    let began = Instant::now();
    loop {
        let booked = gateway.metric("pointsman_ledger_lines_total").await;
        let holds = gateway.metric("pointsman_ledger_holds").await;
        let held = gateway.metric("pointsman_ledger_held_usd").await;
        if booked >= lines as f64 && holds == 0.0 && held == 0.0 {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{booked} lines of {lines}, {holds} holds of {held} USD"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ledger of a gateway that has stopped: its lines in order. Nothing is reserved, and all that was promised holds.
pub(crate) fn books(home: &Home) -> Vec<Line> {
    let store = Sqlite::open_to_read(&home.path("pointsman-data")).unwrap();
    assert_eq!(store.open_holds().unwrap().0, []);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let mut lines = Vec::new();
    let mut keep = |line| {
        lines.push(line);
        true
    };
    store.lines(Span::EVER, &mut keep).unwrap();
    lines
}

/// Stops a gateway that is at rest after so many lines, and reads them.
async fn stopped(gateway: Gateway, lines: usize) -> Vec<Line> {
    at_rest(&gateway, lines).await;
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    books(&home)
}
