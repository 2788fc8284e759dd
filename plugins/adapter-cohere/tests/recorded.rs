//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are
//! looked for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.
//!
//! Two things are not in that view, and are taken from the recordings themselves: the plan before calls, which stands in
//! front of the text here, and the billed units.

#[path = "rules/validity.rs"]
mod validity;

use adapter_cohere::{Cohere, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Chunk, Failure, Framing, Kind, Operation, Usage};
use serde_json::{Value, json};

/// Why a canonical request may be refused.
const REFUSED: [&str; 9] = [
    "is of type `input_audio`, which Cohere does not take here",
    "is of type `image_url`, which Cohere does not take here",
    "is of type `file`, which Cohere does not take here",
    "is of type `document_url`, which Cohere does not take here",
    "functions is not known to Cohere",
    "audio cannot be asked of Cohere",
    "Cohere gives one answer per request",
    "Cohere takes functions only",
    "which is not among the tools",
];

/// What an answer comes to, whole or streamed.
#[derive(Default, Debug)]
struct View {
    text: String,
    reasoning: String,
    calls: Vec<(String, String, String)>,
    citations: usize,
    finish: Option<String>,
    counts: Value,
    usage: Option<Usage>,
}

#[test]
fn every_recorded_answer_decodes_to_its_view() {
    let Some(recordings) = Recording::of("cohere-v2-chat", 41) else {
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

#[test]
fn every_recorded_vector_and_order_decodes_to_its_view() {
    let Some(recordings) = Recording::of("cohere-embeddings", 2) else {
        return;
    };
    for recording in &recordings {
        let told = recording.expected()["usage"]["prompt"].as_u64();
        recording.check_vectors(
            Cohere::decode(Operation::Embedding, &target("embed"), &recording.body),
            told,
        );
        let request = recording.request();
        let ask = json!({ "input": request["texts"], "dimensions": request["output_dimension"], "input_type": request["input_type"], "truncate": request["truncate"] });
        let model = request["model"].as_str().unwrap_or("embed");
        let outgoing = Cohere::encode(Operation::Embedding, &target(model), false, ask.to_string().as_bytes());
        let outgoing = outgoing.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let sent: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        let mut expected = request.clone();
        expected["embedding_types"] = json!(["float"]);
        assert_eq!(sent, expected, "{}", recording.id);
    }
    let Some(recordings) = Recording::of("cohere-rerank", 2) else {
        return;
    };
    for recording in &recordings {
        let request = recording.request();
        let model = request["model"].as_str().unwrap_or_default();
        let outgoing = Cohere::encode(Operation::Rerank, &target(model), false, request.to_string().as_bytes());
        let outgoing = outgoing.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let sent: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        assert_eq!(
            (outgoing.path.as_str(), &sent),
            ("/v2/rerank", request),
            "{}",
            recording.id
        );
        let answer = Cohere::decode(Operation::Rerank, &target(model), &recording.body);
        let answer = answer.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        assert_eq!(answer.body, recording.body, "{}", recording.id);
        let given: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
        let searches = answer.usage.expect("searches are told").extras;
        let billed = given["meta"]["billed_units"]["search_units"].as_u64().expect("a count");
        assert_eq!(searches, [("search-units".to_owned(), billed)], "{}", recording.id);
    }
}

#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails_and_tells_nothing_else() {
    let Some(recordings) = Recording::of("cohere-v2-chat", 41) else {
        return;
    };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        recording.check_every_cut::<Stream>(Framing::ServerSentEvents, |event| {
            event.name.as_deref() == Some("message-end")
        });
    }
}

/// The provider's own requests, said in the canonical form and translated back.
#[test]
fn every_recorded_request_survives_the_way_there_and_back() {
    let Some(recordings) = Recording::of("cohere-v2-chat", 41) else {
        return;
    };
    let mut seen = 0;
    for recording in &recordings {
        let request = recording.request();
        let Some(model) = request["model"].as_str() else {
            continue;
        };
        seen += 1;
        let is_stream = request["stream"] == true;
        let body = canonical(request).to_string();
        let outgoing = Cohere::encode(Operation::Chat, &target(model), is_stream, body.as_bytes())
            .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        validity::check(&body).unwrap_or_else(|complaint| panic!("{}: {complaint}\n{body:#}", recording.id));
        assert_eq!(
            turns(&body["messages"]),
            turns(&request["messages"]),
            "{}",
            recording.id
        );
        for (member, value) in request.as_object().expect("a request is an object") {
            if member != "messages" {
                assert_eq!(&body[member], value, "{}: {member}", recording.id);
            }
        }
    }
    assert!(seen >= 25, "only {seen} requests are recorded");
}

/// What clients sent to other providers in the canonical form has to be valid here too, or be refused by name.
#[test]
fn every_recorded_canonical_request_becomes_a_valid_one_or_is_refused_by_name() {
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    let (mut translated, mut refused, mut unknown) = (0, 0, Vec::new());
    for recording in &recordings {
        let request = recording.request();
        if request["messages"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        for model in ["command-a-03-2025", "command-a-plus-05-2026"] {
            match Cohere::encode(Operation::Chat, &target(model), true, request.to_string().as_bytes()) {
                Ok(outgoing) => {
                    translated += 1;
                    let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
                    validity::check(&body)
                        .unwrap_or_else(|complaint| panic!("{}: {complaint}\n{body:#}", recording.id));
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
    }
    assert!(
        unknown.is_empty(),
        "refused for unknown reasons:\n{}",
        unknown.join("\n")
    );
    assert!(
        translated > 9 * refused,
        "{translated} requests translated, {refused} refused"
    );
}

fn check_whole(recording: &Recording) {
    let answer = Cohere::decode(Operation::Chat, &target("command"), &recording.body)
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
        citations: message["citations"].as_array().map_or(0, Vec::len),
        finish: body["choices"][0]["finish_reason"].as_str().map(str::to_owned),
        counts: body["usage"].clone(),
        usage: answer.usage,
    };
    let given: Value = serde_json::from_slice(&recording.body).expect("a recorded answer is JSON");
    let citations = given["message"]["citations"].as_array().map_or(0, Vec::len);
    let plan = string(&given["message"]["tool_plan"]);
    compare(recording, &view, &plan, &given["usage"], citations);
}

fn check_streamed(recording: &Recording) {
    let events = recording.events(Framing::ServerSentEvents);
    let expected = recording.expected();
    let data: Vec<Value> = events
        .iter()
        .filter_map(|event| serde_json::from_slice(&event.data).ok())
        .collect();
    let of_kind = |kind: &'static str| data.iter().filter(move |event| event["type"] == kind);
    let plan: String = of_kind("tool-plan-delta")
        .map(|event| string(&event["delta"]["message"]["tool_plan"]))
        .collect();
    let end = &of_kind("message-end").next().expect("a recorded stream ends")["delta"];
    for at_once in [1, 3, events.len()] {
        let (chunks, outcome) = run::<Stream>(&events, at_once);
        if end["finish_reason"] == "ERROR" {
            let failure = outcome.expect_err("an error inside a stream is a failure");
            assert_eq!(failure.kind, Kind::Upstream, "{}", recording.id);
            assert_eq!(failure.message, string(&end["error"]), "{}", recording.id);
            assert!(chunks.iter().all(|chunk| chunk.usage.is_none()), "{}", recording.id);
            if at_once == 1 {
                let view = assemble(&recording.id, &chunks);
                assert_eq!(view.text, string(&expected["text"]), "{}", recording.id);
            }
        } else {
            outcome.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
            let view = assemble(&recording.id, &chunks);
            let citations = of_kind("citation-start").count();
            compare(recording, &view, &plan, &end["usage"], citations);
        }
    }
}

fn check_error(recording: &Recording) {
    let headers = recording.headers();
    let failure = Cohere::explain(recording.status, &headers, &recording.body);
    let given: Value = serde_json::from_slice(&recording.body).expect("a recorded error is JSON");
    assert_eq!(
        failure.code.as_deref(),
        given["error_type"].as_str(),
        "{}",
        recording.id
    );
    assert_eq!(
        failure.message,
        string(&recording.expected()["error"]["message"]),
        "{}",
        recording.id
    );
    let kind = match recording.status {
        400 if failure.message.starts_with("too many tokens") => Kind::ContextLength,
        400 | 422 => Kind::InvalidRequest,
        401 => Kind::Authentication,
        404 => Kind::NotFound,
        429 => Kind::RateLimited,
        _ => Kind::Upstream,
    };
    assert_eq!(failure.kind, kind, "{}", recording.id);
}

fn compare(recording: &Recording, view: &View, plan: &str, given: &Value, citations: usize) {
    let (id, expected) = (&recording.id, recording.expected());
    assert_eq!(view.text, plan.to_owned() + &string(&expected["text"]), "{id}: text");
    assert_eq!(view.reasoning, string(&expected["reasoning"]), "{id}: reasoning");
    assert_eq!(view.finish.as_deref(), expected["finish"].as_str(), "{id}: finish");
    assert_eq!(view.citations, citations, "{id}: citations");
    let calls: &[Value] = expected["tool_calls"].as_array().map_or(&[], Vec::as_slice);
    assert_eq!(view.calls.len(), calls.len(), "{id}: calls");
    for ((call_id, name, arguments), call) in view.calls.iter().zip(calls) {
        assert_eq!(
            (call_id, name),
            (&string(&call["id"]), &string(&call["name"])),
            "{id}: a call"
        );
        let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
        let expected = match &call["arguments"] {
            Value::Null => json!({}),
            arguments => arguments.clone(),
        };
        assert_eq!(arguments, expected, "{id}: arguments");
    }
    let (counts, expected) = (&view.counts, &expected["usage"]);
    assert_eq!(counts["prompt_tokens"], expected["prompt"], "{id}: prompt tokens");
    assert_eq!(
        counts["completion_tokens"], expected["completion"],
        "{id}: completion tokens"
    );
    assert_eq!(counts["total_tokens"], expected["total"], "{id}: total tokens");
    let cached = counts["prompt_tokens_details"]["cached_tokens"].as_u64();
    assert_eq!(
        cached,
        Some(expected["cached"].as_u64().unwrap_or(0)),
        "{id}: cached tokens"
    );
    let usage = view.usage.as_ref().unwrap_or_else(|| panic!("{id}: usage is missing"));
    let billed = |name: &str| given["billed_units"][name].as_f64().map(|count| count as u64);
    assert_eq!(Some(usage.input), billed("input_tokens"), "{id}: billed input");
    assert_eq!(Some(usage.output), billed("output_tokens"), "{id}: billed output");
    assert_eq!(
        (usage.cache_read, usage.cache_write),
        (0, 0),
        "{id}: the cache costs nothing"
    );
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
        view.citations += delta["citations"].as_array().map_or(0, Vec::len);
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

/// The two members that have another word in the canonical form; the others have the same, or are the provider's own.
fn canonical(request: &Value) -> Value {
    let mut canonical = request.clone();
    if let Some(choice) = request["tool_choice"].as_str() {
        canonical["tool_choice"] = choice.to_lowercase().into();
    }
    if let Some(schema) = request["response_format"].get("json_schema") {
        canonical["response_format"] =
            json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    }
    canonical
}

/// Who says what, whichever way it is written: role, content or plan, calls, the call that is answered.
fn turns(messages: &Value) -> Vec<(String, Vec<Value>, Value, Value)> {
    let is_said = |part: &Value| part["text"].as_str() != Some("");
    let turn = |message: &Value| {
        let parts = match &message["content"] {
            Value::Null => Vec::new(),
            Value::Array(parts) => parts.clone(),
            text => vec![json!({ "type": "text", "text": text })],
        };
        (
            string(&message["role"]),
            parts.into_iter().filter(is_said).collect(),
            message["tool_calls"].clone(),
            message["tool_call_id"].clone(),
        )
    };
    messages.as_array().into_iter().flatten().map(turn).collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
