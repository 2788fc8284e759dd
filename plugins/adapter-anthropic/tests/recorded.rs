//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are
//! looked for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.

#[path = "rules/validity.rs"]
mod validity;

use adapter_anthropic::{Anthropic, Stream};
use pointsman_plugin::{Adapter, AdapterStream, Chunk, Event, Failure, Kind, Operation, Target, Usage};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Several answers, one after the other, in one file: a whole conversation. The view lays their blocks over each other by
/// number. A stream is one answer, so each is decoded by itself.
const CONVERSATIONS: [&str; 3] = [
    "anthropic-programmatic-tool-calling-1-s-1365da",
    "anthropic-tool-search-bm25-1-s-1e96dd",
    "anthropic-tool-search-deferred-bm25-s-b58ca6",
];

/// Why a canonical request may be refused.
const REFUSED: [&str; 7] = [
    "is of type `input_audio`, which Anthropic does not take here",
    "is of type `document_url`, which Anthropic does not take here",
    "has no file_data",
    "response_format `json_schema` is not known to this model",
    "functions is not known to Anthropic",
    "Anthropic gives one answer per request",
    "Anthropic takes functions and its own tools",
];

struct Recording {
    id: String,
    is_streamed: bool,
    status: u16,
    case: Value,
    body: String,
}

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
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for recording in &recordings {
        seen += 1;
        match (recording.status, recording.is_streamed) {
            (200, false) => check_whole(recording),
            (200, true) if CONVERSATIONS.contains(&recording.id.as_str()) => check_conversation(recording),
            (200, true) => check_streamed(recording),
            _ => check_error(recording),
        }
    }
    assert_eq!(seen, recordings.len());
    assert_eq!(seen, 100, "the index has other recordings than this test knows of");
}

#[test]
fn every_recorded_stream_that_is_cut_fails() {
    let Some(recordings) = recordings() else { return };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        let events = events(&recording.body);
        let stop = events
            .iter()
            .position(|event| event.name.as_deref() == Some("message_stop"));
        for cut in 0..stop.unwrap_or(events.len()) {
            let (_, end) = run(&events[..cut], 1);
            assert!(
                end.is_err(),
                "{}: cut after {cut} events, and nobody noticed",
                recording.id
            );
        }
    }
}

/// The provider's own requests, as far as they can be said in the canonical form: said so, and translated back.
#[test]
fn every_recorded_request_survives_the_way_there_and_back() {
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for recording in &recordings {
        let request = &recording.case["request"]["body"];
        let Some(canonical) = canonical(request) else { continue };
        seen += 1;
        let model = request["model"].as_str().unwrap_or("claude-sonnet-4-5");
        let outgoing = Anthropic::encode(Operation::Chat, &target(model), false, canonical.to_string().as_bytes())
            .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        validity::check(&body).unwrap_or_else(|complaint| panic!("{}: {complaint}\n{body:#}", recording.id));
        for member in ["max_tokens", "tools", "stop_sequences"] {
            let sent = body.get(member).unwrap_or(&Value::Null);
            assert_eq!(
                sent,
                request.get(member).unwrap_or(&Value::Null),
                "{}: {member}",
                recording.id
            );
        }
        assert_eq!(
            texts(&body["messages"]),
            texts(&request["messages"]),
            "{}",
            recording.id
        );
    }
    assert!(seen >= 20, "only {seen} requests could be said in the canonical form");
}

/// What clients sent to other providers in the canonical form has to be valid here too, or be refused by name.
#[test]
fn every_recorded_canonical_request_becomes_a_valid_one_or_is_refused_by_name() {
    let Some(recordings) = recordings_of("openai-chat") else {
        return;
    };
    let (mut translated, mut refused) = (0, Vec::new());
    for recording in &recordings {
        let request = &recording.case["request"]["body"];
        if request["messages"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        for model in ["claude-3-5-haiku-20241022", "claude-sonnet-4-5", "claude-opus-5"] {
            match Anthropic::encode(Operation::Chat, &target(model), true, request.to_string().as_bytes()) {
                Ok(outgoing) => {
                    translated += 1;
                    let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
                    validity::check(&body)
                        .unwrap_or_else(|complaint| panic!("{}: {complaint}\n{body:#}", recording.id));
                }
                Err(failure) => {
                    assert_eq!(failure.kind, Kind::InvalidRequest, "{}", recording.id);
                    refused.push((recording.id.as_str(), model, failure.message));
                }
            }
        }
    }
    for (id, model, message) in &refused {
        let is_named = REFUSED.iter().any(|reason| message.contains(reason));
        assert!(
            is_named,
            "{id} for {model} is refused without a reason that is known here: {message}"
        );
    }
    assert!(
        translated > 9 * refused.len(),
        "{translated} requests translated, {} refused",
        refused.len()
    );
}

fn check_whole(recording: &Recording) {
    let answer = Anthropic::decode(Operation::Chat, &target("claude"), recording.body.as_bytes())
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
    let body: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    let message = &body["choices"][0]["message"];
    let mut view = View {
        counts: body["usage"].clone(),
        usage: answer.usage,
        ..View::default()
    };
    view.text = string(&message["content"]);
    view.reasoning = string(&message["reasoning_content"]);
    view.finish = body["choices"][0]["finish_reason"].as_str().map(str::to_owned);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        view.calls.push((
            string(&call["id"]),
            string(&function["name"]),
            string(&function["arguments"]),
        ));
    }
    compare(&recording.id, &view, &recording.case["expected"]);
}

fn check_streamed(recording: &Recording) {
    let events = events(&recording.body);
    let expected = &recording.case["expected"];
    for at_once in [1, 3, events.len().max(1)] {
        let (chunks, end) = run(&events, at_once);
        if expected["error"].is_null() {
            end.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
            compare(&recording.id, &assemble(&recording.id, &chunks), expected);
        } else {
            let failure = end.expect_err("an error inside a stream is a failure");
            assert_eq!(
                failure.code.as_deref(),
                expected["error"]["type"].as_str(),
                "{}",
                recording.id
            );
            assert_eq!(failure.kind, Kind::Overloaded, "{}", recording.id);
            assert!(chunks.iter().all(|chunk| chunk.usage.is_none()), "{}", recording.id);
            if at_once == 1 {
                assert_eq!(
                    assemble(&recording.id, &chunks).text,
                    string(&expected["text"]),
                    "{}",
                    recording.id
                );
            }
        }
    }
}

fn check_conversation(recording: &Recording) {
    let events = events(&recording.body);
    let expected = &recording.case["expected"];
    let is_start = |event: &Event| event.name.as_deref() == Some("message_start");
    let starts: Vec<usize> = (0..events.len()).filter(|at| is_start(&events[*at])).collect();
    let mut views = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(events.len());
        let (chunks, outcome) = run(&events[*start..end], 1);
        outcome.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        views.push(assemble(&recording.id, &chunks));
    }
    let last = views.last().expect("a conversation has answers");
    assert_eq!(last.finish.as_deref(), expected["finish"].as_str(), "{}", recording.id);
    compare_usage(&recording.id, last, &expected["usage"]);
    for view in &views {
        assert!(
            view.finish.as_deref() != Some("tool_calls") || !view.calls.is_empty(),
            "{}",
            recording.id
        );
    }
    for call in expected["tool_calls"].as_array().into_iter().flatten() {
        let is_known = views
            .iter()
            .flat_map(|view| &view.calls)
            .any(|(id, ..)| *id == string(&call["id"]));
        assert!(is_known, "{}: {call}", recording.id);
    }
}

fn check_error(recording: &Recording) {
    let headers: Vec<(String, String)> = recording.case["response"]["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_ascii_lowercase(), string(value)))
        .collect();
    let failure = Anthropic::explain(recording.status, &headers, recording.body.as_bytes());
    let expected = &recording.case["expected"]["error"];
    assert_eq!(failure.code.as_deref(), expected["type"].as_str(), "{}", recording.id);
    assert_eq!(failure.message, string(&expected["message"]), "{}", recording.id);
    let kind = match recording.status {
        400 if failure.message.starts_with("prompt is too long") => Kind::ContextLength,
        400 | 413 => Kind::InvalidRequest,
        401 => Kind::Authentication,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        429 => Kind::RateLimited,
        500 => Kind::Upstream,
        529 => Kind::Overloaded,
        status => panic!("{}: no kind is known for status {status}", recording.id),
    };
    assert_eq!(failure.kind, kind, "{}", recording.id);
    assert_eq!(
        failure.retry_after_ms,
        (recording.status == 429).then_some(7000),
        "{}",
        recording.id
    );
}

fn compare(id: &str, view: &View, expected: &Value) {
    assert_eq!(view.text, string(&expected["text"]), "{id}: text");
    assert_eq!(view.reasoning, string(&expected["reasoning"]), "{id}: reasoning");
    assert_eq!(view.finish.as_deref(), expected["finish"].as_str(), "{id}: finish");
    let calls = expected["tool_calls"].as_array().expect("a view lists its calls");
    assert_eq!(view.calls.len(), calls.len(), "{id}: calls");
    for ((call_id, name, arguments), call) in view.calls.iter().zip(calls) {
        assert_eq!(*call_id, string(&call["id"]), "{id}: id of a call");
        assert_eq!(*name, string(&call["name"]), "{id}: name of a call");
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(arguments, call["arguments"], "{id}: arguments");
    }
    compare_usage(id, view, &expected["usage"]);
}

fn compare_usage(id: &str, view: &View, expected: &Value) {
    if expected["prompt"].is_null() {
        assert_eq!(view.usage, None, "{id}: usage");
        return;
    }
    let usage = view.usage.as_ref().unwrap_or_else(|| panic!("{id}: usage is missing"));
    let count = |name: &str| expected[name].as_u64().unwrap_or(0);
    assert_eq!(view.counts["prompt_tokens"], expected["prompt"], "{id}: prompt tokens");
    assert_eq!(
        view.counts["completion_tokens"], expected["completion"],
        "{id}: completion tokens"
    );
    assert_eq!(view.counts["total_tokens"], expected["total"], "{id}: total tokens");
    assert_eq!(
        usage.input,
        count("prompt") - count("cached") - count("cache_write"),
        "{id}: input"
    );
    assert_eq!(usage.cache_read, count("cached"), "{id}: cache reads");
    assert_eq!(usage.cache_write, count("cache_write"), "{id}: cache writes");
    assert_eq!(usage.output, count("completion"), "{id}: output");
    assert_eq!(usage.reasoning, count("reasoning"), "{id}: reasoning tokens");
}

/// What a client makes of the chunks; and what every client may rely on.
fn assemble(id: &str, chunks: &[Chunk]) -> View {
    let mut view = View::default();
    let mut head = None;
    for (at, chunk) in chunks.iter().enumerate() {
        let body: Value = serde_json::from_slice(&chunk.data).expect("a chunk is JSON");
        let named = (body["id"].clone(), body["model"].clone(), body["created"].clone());
        assert_eq!(
            head.get_or_insert(named.clone()),
            &named,
            "{id}: one head for all chunks"
        );
        assert_eq!(
            body["choices"].as_array().map(Vec::is_empty),
            Some(chunk.usage.is_some()),
            "{id}: usage comes alone"
        );
        if let Some(usage) = &chunk.usage {
            assert_eq!(at, chunks.len() - 1, "{id}: usage comes last");
            (view.usage, view.counts) = (Some(usage.clone()), body["usage"].clone());
            continue;
        }
        let choice = &body["choices"][0];
        assert_eq!(view.finish, None, "{id}: nothing follows the finish");
        assert_eq!(
            choice["delta"]["role"].is_string(),
            at == 0,
            "{id}: the role comes first and once"
        );
        view.text += choice["delta"]["content"].as_str().unwrap_or_default();
        view.reasoning += choice["delta"]["reasoning_content"].as_str().unwrap_or_default();
        view.finish = choice["finish_reason"].as_str().map(str::to_owned);
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().expect("a call has an index") as usize;
            if call["id"].is_string() {
                assert_eq!(index, view.calls.len(), "{id}: calls are numbered from 0");
                view.calls
                    .push((string(&call["id"]), string(&call["function"]["name"]), String::new()));
            }
            view.calls[index].2 += call["function"]["arguments"].as_str().expect("arguments are a string");
        }
    }
    view
}

fn run(events: &[Event], at_once: usize) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut stream = Stream::begin(Operation::Chat, &target("claude")).expect("a stream begins");
    let mut chunks = Vec::new();
    for read in events.chunks(at_once) {
        match stream.push(read) {
            Ok(more) => chunks.extend(more),
            Err(failure) => return (chunks, Err(failure)),
        }
    }
    let end = stream.finish().map(|more| chunks.extend(more));
    (chunks, end)
}

fn events(body: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut name = None;
    for line in body.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            name = Some(value.trim().to_owned());
        } else if let Some(data) = line.strip_prefix("data:") {
            events.push(Event {
                name: name.take(),
                data: data.trim().as_bytes().to_vec(),
            });
        }
    }
    events
}

/// A request of text turns and plain tools in the canonical form; `None` where it holds anything else.
fn canonical(request: &Value) -> Option<Value> {
    let mut canonical = serde_json::json!({ "max_tokens": request["max_tokens"], "messages": [] });
    let messages = canonical["messages"].as_array_mut()?;
    match &request["system"] {
        Value::Null => {}
        system => messages.push(serde_json::json!({ "role": "system", "content": system })),
    }
    for message in request["messages"].as_array()? {
        let is_text = |block: &Value| block["type"] == "text";
        match &message["content"] {
            Value::String(_) => {}
            Value::Array(blocks) if blocks.iter().all(is_text) => {}
            _ => return None,
        }
        messages.push(message.clone());
    }
    if let Some(tools) = request["tools"].as_array() {
        let tools: Option<Vec<Value>> = tools
            .iter()
            .map(|tool| {
                let mut function = serde_json::json!({ "name": tool["name"], "parameters": tool.get("input_schema")? });
                for member in ["description", "strict"] {
                    if let Some(value) = tool.get(member) {
                        function[member] = value.clone();
                    }
                }
                (tool.as_object()?.len() == function.as_object()?.len())
                    .then(|| serde_json::json!({ "type": "function", "function": function }))
            })
            .collect();
        canonical["tools"] = tools?.into();
    }
    if let Some(stops) = request.get("stop_sequences") {
        canonical["stop"] = stops.clone();
    }
    Some(canonical)
}

fn texts(messages: &Value) -> Vec<(String, String)> {
    let mut turns: Vec<(String, String)> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            blocks => blocks
                .as_array()
                .into_iter()
                .flatten()
                .map(|block| string(&block["text"]))
                .collect(),
        };
        match turns.last_mut() {
            Some((role, before)) if *role == string(&message["role"]) => before.push_str(&text),
            _ => turns.push((string(&message["role"]), text)),
        }
    }
    turns
}

fn recordings() -> Option<Vec<Recording>> {
    recordings_of("anthropic-messages")
}

fn recordings_of(wire: &str) -> Option<Vec<Recording>> {
    let root = shared()?.join("wire/fixtures");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let index: Value = serde_json::from_str(&read("index.json")).expect("the index is JSON");
    let entries = index["cases"].as_array().expect("the index lists cases");
    let wanted = entries.iter().filter(|entry| entry["wire"] == wire);
    let recording = |entry: &Value| Recording {
        id: string(&entry["id"]),
        is_streamed: entry["streamed"] == true,
        status: entry["status"].as_u64().expect("an entry has a status") as u16,
        case: serde_json::from_str(&read(&string(&entry["case"]))).expect("a case is JSON"),
        body: read(&string(&entry["body"])),
    };
    Some(wanted.map(recording).collect())
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("POINTSMAN_SHARED").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: there are no recordings at {}; set POINTSMAN_SHARED",
        folder.display()
    );
    None
}

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
        request_id: "request".to_owned(),
        now_ms: 1_750_000_000_000,
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
