//! The dialects of providers that are known, each a file in `providers/` with its golden beside it: what one request that asks
//! for nearly everything becomes, streamed and not. `WRITE_GOLDENS=1` writes them anew.

use adapter_openai::OpenAi;
use pointsman_plugin::{Adapter, Kind, Operation, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

struct Provider {
    name: String,
    file: PathBuf,
    settings: Value,
}

fn providers() -> Vec<Provider> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers");
    let entries = fs::read_dir(folder).expect("the providers have a folder");
    let files = entries.map(|entry| entry.expect("an entry can be read").path());
    let mut providers: Vec<Provider> = files
        .filter(|file| file.extension().is_some_and(|ending| ending == "toml"))
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a provider's file can be read");
            let table: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let name = file
                .file_stem()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            let settings = table.get("settings").cloned().unwrap_or_else(|| json!({}));
            Provider { name, file, settings }
        })
        .collect();
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(providers.len() > 20, "only {} providers", providers.len());
    providers
}

/// Nearly everything that can be asked for.
fn request() -> Value {
    serde_json::from_str(include_str!("../providers/request.golden")).expect("the request is JSON")
}

fn target(settings: &Value) -> Target {
    Target {
        model: "the/model".to_owned(),
        settings: settings.to_string(),
        max_output_tokens: None,
        request_id: "request".to_owned(),
        now_ms: 1_750_000_000_000,
    }
}

fn encoded(provider: &Provider, is_stream: bool) -> Value {
    let mut request = request();
    for refused in provider.settings["refuse"].as_array().into_iter().flatten() {
        let members = request.as_object_mut().expect("the request is an object");
        members.remove(refused.as_str().expect("a member has a name"));
    }
    if let Some(known) = provider.settings["parts"].as_array() {
        let messages = request["messages"].as_array_mut().expect("messages are a list");
        for parts in messages
            .iter_mut()
            .filter_map(|message| message["content"].as_array_mut())
        {
            parts.retain(|part| known.contains(&part["type"]));
        }
    }
    let body = request.to_string();
    let outgoing = OpenAi::encode(Operation::Chat, &target(&provider.settings), is_stream, body.as_bytes())
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", provider.name));
    let headers: BTreeMap<String, String> = outgoing.headers.into_iter().collect();
    let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
    json!({ "path": outgoing.path, "headers": headers, "body": body })
}

#[test]
fn a_request_for_each_known_provider_comes_out_as_written() {
    let mut wrong = Vec::new();
    for provider in providers() {
        let got = json!({ "whole": encoded(&provider, false), "streamed": encoded(&provider, true) });
        let golden = provider.file.with_extension("json");
        if std::env::var_os("WRITE_GOLDENS").is_some() {
            let text = serde_json::to_string_pretty(&got).expect("a golden can be written");
            fs::write(&golden, text + "\n").expect("a golden can be written");
        }
        match fs::read_to_string(&golden).map(|text| serde_json::from_str::<Value>(&text)) {
            Ok(Ok(expected)) if expected == got => {}
            Ok(Ok(expected)) => wrong.push(format!("{}:\n  expected {expected}\n  got      {got}", provider.name)),
            other => wrong.push(format!(
                "{}: no golden at {} ({other:?})",
                provider.name,
                golden.display()
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_provider_could_not_honour_is_refused_by_name() {
    let mut seen = 0;
    for provider in providers() {
        for refused in provider.settings["refuse"].as_array().into_iter().flatten() {
            let name = refused.as_str().expect("a member has a name");
            let value = match name {
                "n" => json!(2),
                "modalities" => json!(["audio"]),
                _ => json!([{ "a": "b" }]),
            };
            let ask = |value: Value| {
                let body = json!({ "model": "auto", "messages": [], name: value }).to_string();
                OpenAi::encode(Operation::Chat, &target(&provider.settings), false, body.as_bytes())
            };
            let failure = ask(value).expect_err("it is refused");
            assert_eq!(failure.kind, Kind::InvalidRequest);
            assert!(
                failure.message.starts_with(name),
                "{}: {}",
                provider.name,
                failure.message
            );
            assert!(
                ask(Value::Null).is_ok(),
                "{}: {name} that asks for nothing",
                provider.name
            );
            seen += 1;
        }
    }
    assert!(seen > 8, "only {seen}");
}

#[test]
fn what_is_dropped_may_be_refused_and_a_misspelt_setting_is_the_operators_mistake() {
    let ask = |settings: Value, body: Value| {
        OpenAi::encode(Operation::Chat, &target(&settings), false, body.to_string().as_bytes())
    };
    let strict = json!({ "drop": ["seed", "user"], "on_unsupported": "refuse" });
    let failure = ask(strict.clone(), json!({ "messages": [], "seed": 0 })).expect_err("it is refused");
    assert_eq!(failure.message, "seed cannot be asked of this provider; leave it out");
    assert!(ask(strict, json!({ "messages": [], "user": "ida" })).is_ok());
    let failure = ask(json!({ "dorp": [] }), json!({ "messages": [] })).expect_err("it is no setting");
    assert!(failure.message.contains("dorp"), "{}", failure.message);
}

#[test]
fn every_operation_goes_where_the_path_says_and_what_is_no_conversation_keeps_its_members() {
    let place = |path: &str, operation: Operation| {
        let settings = json!({ "path": path, "drop": ["user"], "refuse": ["n"] });
        let body = json!({ "model": "m", "input": "a", "user": "ida", "n": 2 }).to_string();
        let outgoing = OpenAi::encode(operation, &target(&settings), false, body.as_bytes()).expect("it is a request");
        let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        assert_eq!(
            body,
            json!({ "model": "the/model", "input": "a", "user": "ida", "n": 2 })
        );
        outgoing.path
    };
    let azure = "/openai/deployments/{model}{path}?api-version=1";
    for (operation, path) in [
        (Operation::Embedding, "/embeddings"),
        (Operation::Image, "/images/generations"),
        (Operation::Speech, "/audio/speech"),
        (Operation::Transcription, "/audio/transcriptions"),
    ] {
        let expected = format!("/openai/deployments/the%2Fmodel{path}?api-version=1");
        assert_eq!(place(azure, operation), expected);
        assert_eq!(place("/only/chat", operation), path);
    }
}
