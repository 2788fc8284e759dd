//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are
//! looked for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.

#[path = "rules/validity.rs"]
mod validity;

use adapter_anthropic::{Anthropic, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Chunk, Event, Framing, Kind, Operation, Usage};
use serde_json::Value;

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
    let Some(recordings) = Recording::of("anthropic-messages", 100) else {
        return;
    };
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
fn every_recorded_count_of_tokens_is_the_clients_as_it_came() {
    let Some(recordings) = Recording::of("anthropic-count-tokens", 5) else {
        return;
    };
    for recording in &recordings {
        let answer = Anthropic::decode(Operation::CountTokens, &target("claude"), &recording.body);
        let answer = answer.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let count: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        assert!(count["input_tokens"].is_u64(), "{}", recording.id);
        assert_eq!(
            (answer.body, answer.usage),
            (recording.body.clone(), None),
            "{}",
            recording.id
        );
    }
}

#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails_and_tells_nothing_else() {
    let Some(recordings) = Recording::of("anthropic-messages", 100) else {
        return;
    };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        recording.check_every_cut::<Stream>(Framing::ServerSentEvents, |event| {
            event.name.as_deref() == Some("message_stop")
        });
    }
}

/// The provider's own requests, as far as they can be said in the canonical form: said so, and translated back.
#[test]
fn every_recorded_request_survives_the_way_there_and_back() {
    let Some(recordings) = Recording::of("anthropic-messages", 100) else {
        return;
    };
    let mut seen = 0;
    for recording in &recordings {
        let request = recording.request();
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
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    let (mut translated, mut refused) = (0, Vec::new());
    for recording in &recordings {
        let request = recording.request();
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
    let answer = Anthropic::decode(Operation::Chat, &target("claude"), &recording.body)
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
    compare(&recording.id, &view, recording.expected());
}

fn check_streamed(recording: &Recording) {
    let events = recording.events(Framing::ServerSentEvents);
    let expected = recording.expected();
    for at_once in [1, 3, events.len().max(1)] {
        let (chunks, end) = run::<Stream>(&events, at_once);
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
    let events = recording.events(Framing::ServerSentEvents);
    let expected = recording.expected();
    let is_start = |event: &Event| event.name.as_deref() == Some("message_start");
    let starts: Vec<usize> = (0..events.len()).filter(|at| is_start(&events[*at])).collect();
    let mut views = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(events.len());
        let (chunks, outcome) = run::<Stream>(&events[*start..end], 1);
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
    let headers = recording.headers();
    let failure = Anthropic::explain(recording.status, &headers, &recording.body);
    let expected = &recording.expected()["error"];
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

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
