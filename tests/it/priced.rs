//! What recorded answers cost at the prices of the built-in catalog, as clients are told and as the ledger has it, against what an
//! independent script makes of the same bytes, a view of them that the gateway has no part in, and the published list of prices:
//! `tests/prices/costs.py`. The recordings and the list are not part of this repository; without the folder that `POINTSMAN_SHARED` names, this test says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use tests::{Answer, FakeProvider, Gateway, not_tested};
use xtask::workspace;

struct Recording {
    id: String,
    provider: String,
    adapter: String,
    model: String,
    is_streamed: bool,
    body: String,
    /// As the script has it.
    cost: u64,
}

#[tokio::test]
async fn what_recorded_answers_cost_is_what_an_independent_script_says() {
    let Some(recordings) = recordings() else { return };
    let upstream = FakeProvider::start().await;
    let gateway = Gateway::start(&config(&recordings, &upstream.url())).await;
    let mut wrong = Vec::new();
    let mut kinds = BTreeMap::new();
    let mut requests = Vec::new();
    for recording in &recordings {
        let told = cost(&gateway, &upstream, recording).await;
        let Recording { id, model, cost, .. } = recording;
        match told {
            Ok((told, request)) if told == *cost => requests.push((request, recording)),
            Ok((told, _)) => wrong.push(format!("{id} ({model}): {told}, but {cost} by the script")),
            Err(reason) => wrong.push(format!("{id} ({model}): {reason}")),
        }
        *kinds.entry((&recording.adapter, recording.is_streamed)).or_insert(0) += 1;
    }
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let booked = python("booked.py", &home.path("pointsman-data"));
    let booked: BTreeMap<String, Vec<(u64, String)>> = serde_json::from_str(&booked).unwrap();
    for (request, recording) in requests {
        let Recording { id, model, cost, .. } = recording;
        match booked.get(&request).map(Vec::as_slice) {
            Some([(line, version)]) if line == cost && version != "00000000" => {}
            lines => wrong.push(format!("{id} ({model}): the ledger has {lines:?}, not {cost}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        recordings.len(),
        wrong.join("\n")
    );
    assert_eq!(
        recordings.len(),
        398,
        "the index has other recordings than this test knows of: {kinds:?}"
    );
}

/// What the gateway says that an answer costs, and how it calls the request.
async fn cost(gateway: &Gateway, upstream: &FakeProvider, recording: &Recording) -> Result<(u64, String), String> {
    let path = match (recording.adapter.as_str(), recording.is_streamed) {
        ("anthropic", _) => "/v1/messages".to_owned(),
        ("cohere", _) if is_ranking(recording) => "/v2/rerank".to_owned(),
        ("cohere", _) => "/v2/chat".to_owned(),
        ("gemini", false) => format!("/models/{}:generateContent", recording.model),
        ("gemini", true) => format!("/models/{}:streamGenerateContent", recording.model),
        _ => "/v1/chat/completions".to_owned(),
    };
    let kind = if recording.is_streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    // Of some recordings of streams the last line end is missing.
    let body = recording.body.clone() + if recording.is_streamed { "\n\n" } else { "" };
    upstream.on(&path, [Answer::new(200, kind, body)]);
    let mut ask = json!({
        "model": format!("{}/{}", recording.provider, recording.model), "max_tokens": 100,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    if recording.is_streamed {
        ask["stream"] = true.into();
        ask["stream_options"] = json!({ "include_usage": true });
    }
    let reply = if is_ranking(recording) {
        let ask = json!({ "model": ask["model"], "query": "hello", "documents": ["hello", "world"] });
        gateway.data().post("/v1/rerank", &ask).await
    } else {
        gateway.data().chat(&ask).await
    };
    let text = reply.text();
    if reply.status != 200 {
        return Err(format!("{}: {text}", reply.status));
    }
    let told = if recording.is_streamed {
        let chunks = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let chunks = chunks.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        chunks.flat_map(|chunk| costs(&chunk)).last()
    } else {
        reply.header("x-pointsman-cost-usd").map(str::to_owned)
    };
    let cost = told.and_then(|usd| nanodollars(&usd));
    let request = reply.header("x-pointsman-request-id").unwrap_or_default();
    Ok((cost.ok_or(format!("no cost in {text}"))?, request.to_owned()))
}

fn is_ranking(recording: &Recording) -> bool {
    recording.model.starts_with("rerank")
}

/// In each place that a provider may have for the usage of a chunk.
fn costs(chunk: &Value) -> Vec<String> {
    let choices = chunk["choices"].as_array().into_iter().flatten();
    let places = choices
        .map(|choice| &choice["usage"])
        .chain([&chunk["usage"], &chunk["x_groq"]["usage"]]);
    let told = places.map(|usage| &usage["cost"]).filter(|cost| !cost.is_null());
    told.map(Value::to_string).collect()
}

/// Of a number as JSON has it, without a float in between.
fn nanodollars(usd: &str) -> Option<u64> {
    let (number, exponent) = usd.split_once('e').unwrap_or((usd, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let shift = 9 + exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let ten = 10_u64.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 {
        digits.checked_mul(ten)
    } else {
        digits.is_multiple_of(ten).then_some(digits / ten)
    }
}

/// Providers that serve any model, at the prices of those whose recordings they play.
fn config(recordings: &[Recording], url: &str) -> String {
    let adapters: BTreeMap<&str, &str> = recordings
        .iter()
        .map(|recording| (recording.provider.as_str(), recording.adapter.as_str()))
        .collect();
    let provider = |(name, adapter): (&str, &str)| {
        let base_url = if adapter == "openai" {
            format!("{url}/v1")
        } else {
            url.to_owned()
        };
        format!(
            "[providers.{name}]\nadapter = \"{adapter}\"\nbase_url = \"{base_url}\"\napi_key = \"k\"\ncatalog = \"{name}\"\n\
             allow_any_model = true\n"
        )
    };
    adapters.into_iter().map(provider).collect()
}

/// Those that have a usage and a price, and are answers that came to their end.
fn recordings() -> Option<Vec<Recording>> {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    if !shared.join("catalog/models.json").is_file() || !shared.join("wire/fixtures").is_dir() {
        not_tested(
            &format!("there are no recordings or no prices at {}", shared.display()),
            "set POINTSMAN_SHARED",
        );
        return None;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        not_tested("there is no `python3` to compute costs with", "install Python 3");
        return None;
    }
    let text = python("costs.py", &shared);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = lines.filter(|line| line["finish"].as_str().is_some_and(|finish| finish != "error"));
    let read = ended.map(|line| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        Recording {
            id: text("id"),
            provider: text("provider"),
            adapter: text("adapter"),
            model: text("model"),
            is_streamed: line["is_streamed"] == true,
            body: fs::read_to_string(shared.join("wire/fixtures").join(text("body"))).unwrap(),
            cost: line["nanodollars"].as_u64().unwrap(),
        }
    });
    Some(read.filter(is_whole).collect())
}

/// A stream ends with the event that closes one; some recordings were cut before it.
fn is_whole(recording: &Recording) -> bool {
    let closing = match recording.adapter.as_str() {
        "anthropic" => "event: message_stop",
        "cohere" => "event: message-end",
        "openai" => "data: [DONE]",
        _ => "finishReason",
    };
    !recording.is_streamed || recording.body.contains(closing)
}

/// What a script of `tests/prices` prints.
fn python(script: &str, argument: &Path) -> String {
    let script = workspace().join("tests/prices").join(script);
    let output = Command::new("python3").arg(script).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
