//! No invalid request leaves the gateway: what applications really asked, and what the adapters' goldens ask, is put to every provider
//! that publishes what it takes, in every dialect that clients have. Each is held to its specification by a provider that plays
//! recorded answers. Neither specifications nor recordings are part of this repository; without them these tests say so and pass.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tests::replay::{PLACES, Place, config, home, whole};
use tests::{Client, FakeProvider, Gateway, Recording};
use xtask::{plugins, workspace};

/// A request of a client's.
struct Input {
    name: String,
    surface: &'static str,
    body: Value,
}

/// Where clients ask, and in whose words that is.
const SURFACES: [(&str, &str); 3] = [
    ("/v1/chat/completions", "openai-chat"),
    ("/v1/messages", "anthropic-messages"),
    ("/v1/responses", "openai-responses"),
];

/// Those that OpenAI's dialect is passed on to as it came: only what is right in it can be right there.
const PASSING: [&str; 3] = ["openai", "azure", "mistral"];

fn goldens() -> Vec<Input> {
    let adapters = plugins::find()
        .unwrap()
        .into_iter()
        .filter(|plugin| plugin.name != "openai");
    let folders = adapters
        .map(|plugin| plugin.folder.join("golden"))
        .filter(|folder| folder.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
    let mut files: Vec<_> = files
        .filter(|file| file.to_string_lossy().contains("/adapter-"))
        .collect();
    files.sort();
    let mut inputs = Vec::new();
    for file in files {
        let cases: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let cases = cases.as_array().cloned().unwrap_or_else(|| vec![cases]);
        let asking = cases
            .into_iter()
            .filter(|case| case["encode"]["body"]["messages"].is_array() && case["outgoing"].is_object());
        inputs.extend(asking.map(|mut case| Input {
            name: format!(
                "{}: {}",
                file.strip_prefix(workspace()).unwrap().display(),
                case["name"]
            ),
            surface: SURFACES[0].0,
            body: case["encode"]["body"].take(),
        }));
    }
    let all = fs::read(workspace().join("plugins/adapter-openai/providers/request.golden")).unwrap();
    inputs.push(Input {
        name: "request.golden".to_owned(),
        surface: SURFACES[0].0,
        body: serde_json::from_slice(&all).unwrap(),
    });
    assert!(inputs.len() > 100, "only {} goldens ask for something", inputs.len());
    inputs
}

fn recorded(recordings: &[Recording]) -> Vec<Input> {
    let mut seen = BTreeSet::new();
    // What a provider called wrong is wrong anywhere.
    let taken = recordings.iter().filter(|recording| recording.status != 400);
    let asked = taken.filter_map(|recording| {
        let (surface, _) = SURFACES.iter().find(|(_, wire)| *wire == recording.wire)?;
        let mut body = whole(recording.asked.clone()?);
        body["stream"] = false.into();
        body.as_object_mut()?.remove("stream_options");
        Some(Input {
            name: recording.id.clone(),
            surface,
            body,
        })
    });
    let mut asked: Vec<Input> = asked.collect();
    asked.retain(|input| {
        let mut body = input.body.clone();
        body["model"] = Value::Null;
        seen.insert(body.to_string())
    });
    assert!(asked.len() > 200, "only {} requests", asked.len());
    asked
}

#[tokio::test]
async fn whatever_is_asked_no_invalid_request_leaves_the_gateway() {
    let Some(recordings) = Recording::all() else { return };
    let mut providers = Vec::new();
    for place in PLACES {
        let Some(provider) = place.provider().await else { return };
        providers.push((place, provider));
    }
    let configured = |(place, provider): &(Place, FakeProvider)| {
        let base_url = format!("{}{}", provider.url(), place.base);
        config(place.adapter, place.adapter, &base_url, place.models)
    };
    let tokens = FakeProvider::start().await;
    let config: String = providers.iter().map(configured).collect();
    let gateway = Gateway::start_in(home(&config, &tokens)).await;
    let openai = PLACES[0].specification().unwrap();
    let (goldens, recorded) = (goldens(), recorded(&recordings));
    let mut wrong = Vec::new();
    for (place, provider) in &providers {
        for is_stream in [false, true] {
            for model in place.models {
                let answer = place.an_answer(&recordings, is_stream).answer();
                provider.on(&place.path(model, is_stream), [answer]);
            }
            let mut taken = 0;
            for input in goldens.iter().chain(recorded.iter().filter(|_| !is_stream)) {
                let mut named = input.body.clone();
                named["model"] = "any".into();
                let is_right =
                    || input.surface != SURFACES[0].0 || openai.complaint_at(SURFACES[0].0, &named).is_none();
                // Claude's own words go to Claude as they came, and may be of a preview.
                let is_native = place.adapter.ends_with("anthropic") && input.surface == "/v1/messages";
                if is_native || PASSING.contains(&place.adapter) && !is_right() {
                    continue;
                }
                for model in place.models {
                    let mut body = input.body.clone();
                    body["model"] = format!("{}/{model}", place.adapter).into();
                    body["stream"] = is_stream.into();
                    let before = provider.complaints().len();
                    let status = status(&gateway.data(), input.surface, &body).await;
                    if let Some(complaint) = provider.complaints().get(before) {
                        wrong.push(format!(
                            "{} ({model}), {}: {complaint}\n    {body}",
                            place.adapter, input.name
                        ));
                    }
                    taken += usize::from(status == 200);
                }
            }
            assert!(taken > 60, "only {taken} requests reached {}", place.adapter);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} requests were wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn status(client: &Client, path: &str, body: &Value) -> u16 {
    client.post(path, body).await.status
}
