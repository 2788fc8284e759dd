//! What Claude and Gemini really answered, to clients that speak their words: every byte of an answer and every event of a stream
//! arrives as it came and costs what it says, and half of it is never a success.

use serde_json::{Value, json};
use tests::replay::home;
use tests::{End, Ending, FakeProvider, Gateway, Recording};

use super::{Played, played};

const PRICE: &str =
    "price = { input = 1, cached_input = 0.1, cache_write = 1.25, cache_write_1h = 1.25, output = 4 }\n";
/// Nano-dollars for a token of input, of input from the cache, of input written to it, and of output.
const PRICES: [u64; 4] = [1_000, 100, 1_250, 4_000];

/// A client's request, and where it goes.
fn ask(played: &Played<'_>) -> (String, Value) {
    let is_streamed = played.recording.is_streamed;
    if played.recording.wire == "anthropic-messages" {
        let hello = json!([{ "role": "user", "content": "hello" }]);
        let body = json!({ "model": played.model, "max_tokens": 9, "messages": hello, "stream": is_streamed });
        return ("/v1/messages".to_owned(), body);
    }
    let method = if is_streamed {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] });
    (format!("/v1beta/models/{}:{method}", played.model), body)
}

/// Where its provider is asked. Some of Gemini's answers were recorded at another method's path.
fn asked_at(played: &Played<'_>) -> String {
    let method = match played.recording.is_streamed {
        true => "streamGenerateContent",
        false => "generateContent",
    };
    match played.path.rsplit_once(':') {
        Some((model, _)) if played.recording.wire == "gemini-generate" => format!("{model}:{method}"),
        _ => played.path.clone(),
    }
}

/// What the events of a stream say, pings left out: a gateway sends its own.
fn said<'e>(data: impl Iterator<Item = &'e str>) -> Vec<Value> {
    let said = data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into()));
    said.filter(|event: &Value| event["type"] != "ping").collect()
}

/// Whether a stream has said that it is over, in words or by ending as streams without such words do.
fn is_success(recording: &Recording, events: &[Value], ending: Ending) -> bool {
    let is_over = match recording.wire.as_str() {
        "anthropic-messages" => events.iter().any(|event| event["type"] == "message_stop"),
        _ => events.iter().all(|event| event.get("error").is_none()),
    };
    is_over && ending == Ending::Whole
}

fn cost(recording: &Recording) -> Option<u64> {
    let usage = &recording.expected["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let prompt = usage["prompt"].as_u64()?;
    let apart = [count("cached"), count("cache_write")];
    let parts = [prompt - apart[0] - apart[1], apart[0], apart[1], count("completion")];
    Some(parts.iter().zip(PRICES).map(|(tokens, price)| tokens * price).sum())
}

#[tokio::test]
async fn what_claude_and_gemini_answered_passes_to_clients_of_theirs_as_it_came_and_never_in_part() {
    let Some(recordings) = Recording::all() else { return };
    let (provider, tokens) = (FakeProvider::start().await, FakeProvider::start().await);
    let url = provider.url();
    let own = recordings.iter().enumerate().filter(|(_, recording)| {
        let is_own = ["anthropic-messages", "gemini-generate"].contains(&recording.wire.as_str());
        // Nobody is asked for a stream as one array.
        is_own && recording.status == 200 && !recording.body.starts_with(b"[")
    });
    let played: Vec<Played> = own
        .filter_map(|(number, recording)| played(recording, &url, number))
        .collect();
    assert_eq!(played.len(), 193, "there are other recordings than this test knows of");
    let models: String = played
        .iter()
        .map(|played| format!("{}{PRICE}", played.config))
        .collect();
    let gateway = Gateway::start_in(home(&models, &tokens)).await;
    let client = gateway.data();
    let mut wrong = Vec::new();
    for played in &played {
        let (recording, id) = (played.recording, &played.recording.id);
        let (path, body) = ask(played);
        let middle = recording.body.len() / 2;
        let half = recording.answer().cut_after(middle, End::Whole);
        provider.on(&asked_at(played), [recording.answer(), half]);
        if recording.is_streamed {
            let text = String::from_utf8_lossy(&recording.body);
            let mut came = said(
                text.lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim),
            );
            // Some recordings are of several answers, of which the first is one.
            if let Some(end) = came.iter().position(|event| event["type"] == "message_stop") {
                came.truncate(end + 1);
            }
            let stream = client.stream(&path, &body).await;
            if stream.status != 200 {
                // The error came before anything had gone out, so that it has a status, and another candidate could have answered.
                if !came.iter().any(|event| event.get("error").is_some()) {
                    wrong.push(format!("{id}: {}", stream.status));
                }
                continue;
            }
            let (events, ending) = stream.rest().await;
            let told = said(events.iter().map(|event| event.data.as_str()));
            // Some recordings end with an error, or are of a client that left.
            if told.len() < came.len() || told[..came.len()] != came[..] {
                wrong.push(format!("{id}: {} of {} events, {ending:?}", told.len(), came.len()));
            }
            let stream = client.stream(&path, &body).await;
            if stream.status != 200 || String::from_utf8_lossy(&recording.body[..middle]).contains("message_stop") {
                continue;
            }
            let (events, ending) = stream.rest().await;
            let told = said(events.iter().map(|event| event.data.as_str()));
            if is_success(recording, &told, ending) {
                wrong.push(format!("{id}: half of it is a success: {told:?}"));
            }
            continue;
        }
        let reply = client.post(&path, &body).await;
        if (reply.status, &reply.body) != (200, &recording.body) {
            wrong.push(format!("{id}: {} {}", reply.status, reply.text()));
        }
        let told = reply
            .header("x-pointsman-cost-usd")
            .map(|usd| (usd.parse::<f64>().unwrap() * 1e9).round() as u64);
        if told != cost(recording) {
            wrong.push(format!("{id}: cost {told:?} and not {:?}", cost(recording)));
        }
        let reply = client.post(&path, &body).await;
        if reply.status == 200 {
            wrong.push(format!("{id}: half of it is a success: {}", reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
