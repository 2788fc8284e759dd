//! What sixteen providers of OpenAI's dialect really answered, played by the fake provider and forwarded: the answer arrives
//! unchanged, and what it costs follows from a view of it that was made independently. The recordings are not part of this
//! repository; without the folder that `POINTSMAN_SHARED` names, this test says so and passes.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Value, json};
use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway, not_tested};
use xtask::workspace;

/// Nano-dollars for a token of input, of input from the cache, of input written to it, and of output.
const PRICES: [u64; 4] = [1_000, 100, 1_250, 4_000];

struct Recording {
    id: String,
    is_streamed: bool,
    body: String,
    expected: Value,
}

#[tokio::test]
async fn what_recorded_answers_used_is_read_wherever_they_tell_it() {
    let Some(recordings) = recordings() else { return };
    let provider = FakeProvider::start().await;
    let price = "price = { input = 1.0, cached_input = 0.1, cache_write = 1.25, output = 4.0 }";
    let config =
        openai("one", &provider.url()).replace("price = { input = 1.0, cached_input = 0.1, output = 2.0 }", price);
    assert!(config.contains(price));
    let gateway = Gateway::start(&config).await;
    for recording in &recordings {
        let kind = if recording.is_streamed {
            "text/event-stream"
        } else {
            "application/json"
        };
        provider.on("/v1/chat/completions", [Answer::new(200, kind, recording.body.clone())]);
        if recording.is_streamed {
            check_streamed(&gateway, recording).await;
        } else {
            check_whole(&gateway, recording).await;
        }
    }
    assert_eq!(
        recordings.len(),
        289,
        "the index has other recordings than this test knows of"
    );
}

async fn check_whole(gateway: &Gateway, recording: &Recording) {
    let id = &recording.id;
    let reply = gateway
        .data()
        .chat(&json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] }))
        .await;
    assert_eq!((reply.status, reply.text()), (200, recording.body.clone()), "{id}");
    let cost = reply.header("x-pointsman-cost-usd").map(nanodollars);
    assert_eq!(cost, expected_cost(recording), "{id}");
}

async fn check_streamed(gateway: &Gateway, recording: &Recording) {
    let id = &recording.id;
    let ask = |include_usage: bool| {
        json!({
            "model": "one/model", "messages": [{ "role": "user", "content": "hello" }], "stream": true, "stream_options": { "include_usage": include_usage },
        })
    };
    let told_in_all = chunks(gateway, &ask(true))
        .await
        .into_iter()
        .flat_map(|chunk| told(&chunk));
    let cost = told_in_all.last().map(|usage| nanodollars(&usage["cost"].to_string()));
    assert_eq!(cost, expected_cost(recording), "{id}");
    for chunk in chunks(gateway, &ask(false)).await {
        assert!(told(&chunk).is_empty(), "{id}: {chunk}");
    }
}

/// The chunks of a stream that ended as one does; recordings have line ends of all kinds.
async fn chunks(gateway: &Gateway, ask: &Value) -> Vec<Value> {
    let reply = gateway.data().chat(ask).await;
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    let mut data: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim)
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What a chunk tells of usage, in each place that a provider may have for it.
fn told(chunk: &Value) -> Vec<Value> {
    let choices = chunk["choices"].as_array().into_iter().flatten();
    let places = choices
        .map(|choice| &choice["usage"])
        .chain([&chunk["usage"], &chunk["x_groq"]["usage"]]);
    places.filter(|usage| !usage.is_null()).cloned().collect()
}

/// As the independent view has it, with two exceptions: Azure's Grok claims more cached tokens than the prompt has, and xAI
/// leaves reasoning out of the completion, as its total shows, and bills it.
fn expected_cost(recording: &Recording) -> Option<u64> {
    let usage = &recording.expected["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let prompt = usage["prompt"].as_u64()?;
    let cached = count("cached").min(prompt);
    let mut output = count("completion");
    if count("reasoning") > 0 && count("total") == prompt + output + count("reasoning") {
        output += count("reasoning");
    }
    let parts = [
        prompt - cached - count("cache_write"),
        cached,
        count("cache_write"),
        output,
    ];
    Some(parts.iter().zip(PRICES).map(|(tokens, price)| tokens * price).sum())
}

fn nanodollars(usd: &str) -> u64 {
    let usd: f64 = usd.parse().unwrap_or_else(|_| panic!("`{usd}` is not an amount"));
    (usd * 1e9).round() as u64
}

/// The successes of this dialect; of streams, those that end as a stream does: with a finish, and `[DONE]` in an event of its
/// own.
fn recordings() -> Option<Vec<Recording>> {
    let root = folder()?;
    let read = |path: &Value| {
        let path = root.join(path.as_str().unwrap_or_default());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let index: Value = serde_json::from_str(&read(&"index.json".into())).unwrap();
    let entries = index["cases"].as_array().unwrap().iter();
    let recordings = entries
        .filter(|entry| entry["wire"] == "openai-chat" && entry["status"] == 200)
        .map(|entry| Recording {
            id: entry["id"].as_str().unwrap_or_default().to_owned(),
            is_streamed: entry["streamed"] == true,
            body: read(&entry["body"]),
            expected: serde_json::from_str::<Value>(&read(&entry["case"])).unwrap()["expected"].take(),
        });
    let is_whole = |recording: &Recording| {
        let is_done = |body: &str| body.ends_with("data: [DONE]\n\n") || body.ends_with("data: [DONE]\r\n\r\n");
        !recording.is_streamed || recording.expected["finish"].is_string() && is_done(&recording.body)
    };
    Some(recordings.filter(is_whole).collect())
}

fn folder() -> Option<PathBuf> {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let recordings = shared.join("wire/fixtures");
    if !recordings.is_dir() {
        not_tested(
            &format!("there are no recordings at {}", recordings.display()),
            "set POINTSMAN_SHARED",
        );
        return None;
    }
    Some(recordings)
}
