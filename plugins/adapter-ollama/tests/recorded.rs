//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are looked
//! for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.

use adapter_ollama::{Ollama, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Chunk, Event, Failure, Framing, Kind, Operation, Usage};
use serde_json::{Value, json};

/// Why a canonical request may be refused.
const REFUSED: [&str; 9] = [
    "is of type `input_audio`, which Ollama does not take here",
    "is of type `image_url`, which Ollama does not take here",
    "is of type `file`, which Ollama does not take here",
    "is of type `document_url`, which Ollama does not take here",
    "is an address, and Ollama fetches nothing",
    "functions is not known to Ollama",
    "Ollama gives one answer per request",
    "Ollama takes functions only",
    "cannot be asked of Ollama",
];

/// What an answer comes to, whole or streamed.
#[derive(Default, Debug)]
struct View {
    text: String,
    reasoning: String,
    calls: Vec<(String, String, String)>,
    finish: Option<String>,
    counts: Value,
    usage: Option<Usage>,
}

#[test]
fn every_recorded_answer_decodes_to_its_view() {
    let Some(recordings) = Recording::of("ollama-chat", 8) else {
        return;
    };
    for recording in &recordings {
        match (recording.status, recording.is_streamed) {
            (200, false) => check_whole(recording),
            (200, true) => check_streamed(recording),
            _ => check_error(recording),
        }
    }
}

/// The older endpoint, which is not asked, gives one vector by another name.
#[test]
fn every_recorded_vector_is_of_an_endpoint_that_is_not_asked() {
    let Some(recordings) = Recording::of("ollama-embeddings", 1) else {
        return;
    };
    for recording in &recordings {
        let failure =
            Ollama::decode(Operation::Embedding, &target("a-model"), &recording.body).expect_err("no vectors");
        assert_eq!(
            failure.message, "the provider's answer has no embeddings",
            "{}",
            recording.id
        );
    }
}

#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails_and_tells_nothing_else() {
    let Some(recordings) = Recording::of("ollama-chat", 8) else {
        return;
    };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        recording.check_every_cut::<Stream>(Framing::JsonLines, is_end);
    }
}

/// What clients sent to other providers in the canonical form has to be translated here too, or be refused by name.
#[test]
fn every_recorded_canonical_request_is_translated_or_refused_by_name() {
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    let (mut translated, mut refused, mut unknown) = (0, 0, Vec::new());
    for recording in &recordings {
        let request = recording.request();
        if request["messages"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        match Ollama::encode(
            Operation::Chat,
            &target("a-model"),
            true,
            request.to_string().as_bytes(),
        ) {
            Ok(outgoing) => {
                translated += 1;
                let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
                assert!(!has_null(&body, &mut Vec::new()), "{}: {body:#}", recording.id);
            }
            Err(Failure { kind, message, .. }) => {
                refused += 1;
                if !REFUSED.iter().any(|reason| message.contains(reason)) {
                    unknown.push(format!("{}: {message}", recording.id));
                }
                assert_eq!(kind, Kind::InvalidRequest, "{}", recording.id);
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "refused for unknown reasons:\n{}",
        unknown.join("\n")
    );
    assert!(
        translated > 7 * refused,
        "{translated} requests translated, {refused} refused"
    );
}

/// Whether a member that the adapter writes is `null`; schemas and arguments are the client's.
fn has_null(value: &Value, path: &mut Vec<String>) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.iter().any(|(name, value)| {
            let is_clients = ["parameters", "arguments", "format", "input", "json"].contains(&name.as_str());
            path.push(name.clone());
            !is_clients && has_null(value, path)
        }),
        Value::Array(items) => items.iter().any(|item| has_null(item, path)),
        _ => false,
    }
}

fn check_whole(recording: &Recording) {
    let answer = Ollama::decode(Operation::Chat, &target("a-model"), &recording.body)
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
    let body: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    let message = &body["choices"][0]["message"];
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let view = View {
        text: string(&message["content"]),
        reasoning: string(&message["reasoning_content"]),
        calls: calls
            .map(|call| {
                let function = &call["function"];
                (
                    string(&call["id"]),
                    string(&function["name"]),
                    string(&function["arguments"]),
                )
            })
            .collect(),
        finish: body["choices"][0]["finish_reason"].as_str().map(str::to_owned),
        counts: body["usage"].clone(),
        usage: answer.usage,
    };
    compare(recording, &view);
}

fn check_streamed(recording: &Recording) {
    let events = recording.events(Framing::JsonLines);
    for at_once in [1, 3, events.len()] {
        let (chunks, outcome) = run::<Stream>(&events, at_once);
        if recording.expected()["error"].is_null() {
            outcome.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
            compare(recording, &assemble(&recording.id, &chunks));
        } else {
            let failure = outcome.expect_err("an error inside a stream is a failure");
            let expected = recording.expected();
            assert_eq!(
                failure.message,
                string(&expected["error"]["message"]),
                "{}",
                recording.id
            );
            if at_once == 1 {
                let view = assemble(&recording.id, &chunks);
                assert_eq!(view.text, string(&expected["text"]), "{}", recording.id);
            }
        }
    }
}

fn check_error(recording: &Recording) {
    let headers = recording.headers();
    let failure = Ollama::explain(recording.status, &headers, &recording.body);
    let message = string(&recording.expected()["error"]["message"]);
    assert_eq!(failure.message, message, "{}", recording.id);
    let kind = match recording.status {
        400 if message.contains("identifier is invalid") => Kind::NotFound,
        400 | 422 => Kind::InvalidRequest,
        403 if message.contains("token") => Kind::Authentication,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 => Kind::TimedOut,
        429 => Kind::RateLimited,
        503 => Kind::Overloaded,
        _ => Kind::Upstream,
    };
    assert_eq!(failure.kind, kind, "{}", recording.id);
}

fn compare(recording: &Recording, view: &View) {
    let (id, expected) = (&recording.id, recording.expected());
    assert_eq!(view.text, string(&expected["text"]), "{id}: text");
    assert_eq!(view.reasoning, string(&expected["reasoning"]), "{id}: reasoning");
    assert_eq!(view.finish.as_deref(), expected["finish"].as_str(), "{id}: finish");
    let calls: &[Value] = expected["tool_calls"].as_array().map_or(&[], Vec::as_slice);
    assert_eq!(view.calls.len(), calls.len(), "{id}: calls");
    for ((call_id, name, arguments), call) in view.calls.iter().zip(calls) {
        assert_eq!(name, &string(&call["name"]), "{id}: a call");
        assert!(
            call["id"].is_null() || *call_id == string(&call["id"]),
            "{id}: the id of a call"
        );
        let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
        let expected = match &call["arguments"] {
            Value::Null => json!({}),
            arguments => arguments.clone(),
        };
        assert_eq!(arguments, expected, "{id}: arguments");
    }
    let (counts, expected) = (&view.counts, &expected["usage"]);
    if expected["prompt"].is_null() {
        assert_eq!(view.usage, None, "{id}: what nobody told is not known");
        return;
    }
    assert_eq!(counts["prompt_tokens"], expected["prompt"], "{id}: prompt tokens");
    assert_eq!(
        counts["completion_tokens"], expected["completion"],
        "{id}: completion tokens"
    );
    let cached = counts["prompt_tokens_details"]["cached_tokens"].as_u64();
    assert_eq!(
        cached,
        Some(expected["cached"].as_u64().unwrap_or(0)),
        "{id}: cached tokens"
    );
    let usage = view.usage.as_ref().unwrap_or_else(|| panic!("{id}: usage is missing"));
    let sum = usage.input + usage.cache_read + usage.cache_write;
    assert_eq!(Some(sum), expected["prompt"].as_u64(), "{id}: the parts of the prompt");
    assert_eq!(
        usage.cache_write,
        expected["cache_write"].as_u64().unwrap_or(0),
        "{id}: what was written to the cache"
    );
    assert_eq!(Some(usage.output), expected["completion"].as_u64(), "{id}: output");
}

/// What a client makes of the chunks; and what every client may rely on.
fn assemble(id: &str, chunks: &[Chunk]) -> View {
    let mut view = View::default();
    let mut head = None;
    for (at, chunk) in chunks.iter().enumerate() {
        let body: Value = serde_json::from_slice(&chunk.data).expect("a chunk is JSON");
        let named = (body["id"].clone(), body["model"].clone(), body["created"].clone());
        assert_eq!(head.get_or_insert(named.clone()), &named, "{id}: one head for all");
        let is_usage = body["choices"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(is_usage, chunk.usage.is_some(), "{id}: usage comes alone");
        if let Some(usage) = &chunk.usage {
            assert_eq!(at, chunks.len() - 1, "{id}: usage comes last");
            (view.usage, view.counts) = (Some(usage.clone()), body["usage"].clone());
            continue;
        }
        let choice = &body["choices"][0];
        let delta = &choice["delta"];
        assert_eq!(view.finish, None, "{id}: nothing follows the finish");
        assert_eq!(
            delta["role"].is_string(),
            at == 0,
            "{id}: the role comes first and once"
        );
        view.text += delta["content"].as_str().unwrap_or_default();
        view.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        view.finish = choice["finish_reason"].as_str().map(str::to_owned);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().expect("a call has an index") as usize;
            if call["id"].is_string() {
                assert_eq!(index, view.calls.len(), "{id}: calls are numbered from 0");
                let name = string(&call["function"]["name"]);
                view.calls.push((string(&call["id"]), name, String::new()));
            }
            view.calls[index].2 += call["function"]["arguments"].as_str().expect("arguments are a string");
        }
    }
    view
}

fn is_end(event: &Event) -> bool {
    serde_json::from_slice::<Value>(&event.data).is_ok_and(|line| line["done"] == true)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
