//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are
//! looked for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.

#[path = "rules/validity.rs"]
mod validity;

use std::collections::BTreeSet;

use adapter_gemini::{Gemini, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Chunk, Framing, Kind, Operation, Usage};
use serde_json::{Value, json};

/// The last event of this stream tells no count of the text that came before it. The view adds the earlier count to the
/// parts, as is done here, but not to the total.
const UNCOUNTED: &str = "gemini-native-output-with-builtin-tools-stream-s-5bbc4a";

/// Why a canonical request may be refused.
const REFUSED: [&str; 7] = [
    "is of type `document_url`, which Gemini does not take here",
    "file_id must be the URI of a file that Gemini keeps",
    "audio` cannot be asked of Gemini",
    "functions is not known to Gemini",
    "Gemini takes functions and its own tools",
    "which no call before it has",
    "refers to itself, or is too large",
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
    let Some(recordings) = Recording::of("gemini-generate", 116) else {
        return;
    };
    for recording in &recordings {
        match (recording.status, recording.expected()["finish"].as_str()) {
            (200, Some("error")) => check_broken(recording),
            (200, _) if is_stream(recording) => check_streamed(recording),
            (200, _) => check_whole(recording),
            _ => check_error(recording),
        }
    }
}

#[test]
fn every_recorded_count_of_tokens_is_told_to_the_client() {
    let Some(recordings) = Recording::of("gemini-count-tokens", 2) else {
        return;
    };
    for recording in &recordings {
        let told: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
        let answer = Gemini::decode(Operation::CountTokens, &target("gemini"), &recording.body);
        let body = answer
            .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id))
            .body;
        let body: Value = serde_json::from_slice(&body).expect("an answer is JSON");
        assert_eq!(body["input_tokens"], told["totalTokens"], "{}", recording.id);
    }
}

#[test]
fn every_recorded_vector_decodes_to_its_view() {
    let Some(recordings) = Recording::of("gemini-embeddings", 2) else {
        return;
    };
    for recording in &recordings {
        let request = recording.request();
        let texts: Vec<&Value> = (request["requests"].as_array().into_iter().flatten())
            .map(|one| &one["content"]["parts"][0]["text"])
            .collect();
        let ask = json!({ "input": texts, "dimensions": request["requests"][0]["outputDimensionality"] });
        let model = string(&request["requests"][0]["model"]);
        let outgoing = Gemini::encode(Operation::Embedding, &target(&model), false, ask.to_string().as_bytes());
        let outgoing = outgoing.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let sent: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        assert_eq!(
            (outgoing.path, &sent),
            (format!("/{model}:batchEmbedContents"), request),
            "{}",
            recording.id
        );
        // The view does not read them.
        let body: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
        recording.check_vectors(
            Gemini::decode(Operation::Embedding, &target(&model), &recording.body),
            body["usageMetadata"]["promptTokenCount"].as_u64(),
        );
    }
}

/// By the name that it is listed with, whole.
#[test]
fn every_model_that_the_provider_lists_can_be_asked() {
    let Some(recordings) = Recording::of("gemini-models", 1) else {
        return;
    };
    let mut seen = 0;
    for recording in &recordings {
        let list: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
        for model in list["models"].as_array().expect("a list of models") {
            let name = string(&model["name"]);
            for (operation, method, body) in [
                (
                    Operation::Chat,
                    "generateContent",
                    json!({ "messages": [{ "role": "user", "content": "Go." }] }),
                ),
                (
                    Operation::CountTokens,
                    "countTokens",
                    json!({ "messages": [{ "role": "user", "content": "Go." }] }),
                ),
                (Operation::Embedding, "batchEmbedContents", json!({ "input": "Go." })),
            ] {
                let outgoing = Gemini::encode(operation, &target(&name), false, body.to_string().as_bytes());
                let path = outgoing.unwrap_or_else(|failure| panic!("{name}: {failure:?}")).path;
                assert_eq!(path, format!("/{name}:{method}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} models");
}

#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails_and_tells_nothing_else() {
    let Some(recordings) = Recording::of("gemini-generate", 116) else {
        return;
    };
    for recording in recordings.iter().filter(|recording| is_stream(recording)) {
        recording.check_every_cut::<Stream>(framing(recording), |event| {
            let event: Value = serde_json::from_slice(&event.data).expect("an event is JSON");
            event["candidates"][0]["finishReason"].is_string()
        });
    }
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
        for (model, major) in [
            ("gemini-2.0-flash", 2),
            ("gemini-2.5-pro", 2),
            ("gemini-3-flash-preview", 3),
        ] {
            match Gemini::encode(Operation::Chat, &target(model), true, request.to_string().as_bytes()) {
                Ok(outgoing) => {
                    translated += 1;
                    let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
                    validity::check(&body, major)
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

/// Some streams were asked for as a list of answers; as events they are the same.
/// Without `alt=sse` a stream is a list.
/// What the provider says of where it looked things up, read without the adapter: each page with the stretch that rests on it.
#[test]
fn every_recorded_page_is_an_annotation_of_the_stretch_that_rests_on_it() {
    let Some(recordings) = Recording::of("gemini-generate", 116) else {
        return;
    };
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| recording.status == 200) {
        let told: Vec<Value> = match is_stream(recording) {
            true => (recording.events(framing(recording)).iter())
                .filter_map(|event| serde_json::from_slice(&event.data).ok())
                .collect(),
            false => vec![serde_json::from_slice(&recording.body).expect("a body is JSON")],
        };
        let mut expected = BTreeSet::new();
        for grounding in told.iter().map(|told| &told["candidates"][0]["groundingMetadata"]) {
            for support in grounding["groundingSupports"].as_array().into_iter().flatten() {
                for index in support["groundingChunkIndices"].as_array().into_iter().flatten() {
                    let page = &grounding["groundingChunks"][index.as_u64().unwrap_or(0) as usize]["web"]["uri"];
                    expected.extend(
                        page.as_str()
                            .map(|page| (page.to_owned(), string(&support["segment"]["text"]))),
                    );
                }
            }
        }
        let (text, annotations) = match is_stream(recording) {
            true => {
                let (chunks, _) = run::<Stream>(&recording.events(framing(recording)), 2);
                told_in(chunks.iter().map(|chunk| &chunk.data[..]), "delta")
            }
            false => match Gemini::decode(Operation::Chat, &target("gemini"), &recording.body) {
                Ok(answer) => told_in([&answer.body[..]].into_iter(), "message"),
                Err(_) => continue,
            },
        };
        let characters: Vec<char> = text.chars().collect();
        let cited = annotations.iter().map(|annotation| &annotation["url_citation"]);
        let found: BTreeSet<(String, String)> = cited
            .map(|cited| {
                let at = |name: &str| cited[name].as_u64().expect("a place is a number") as usize;
                (
                    string(&cited["url"]),
                    characters[at("start_index")..at("end_index")].iter().collect(),
                )
            })
            .collect();
        assert_eq!(found, expected, "{}", recording.id);
        seen += found.len();
    }
    assert!(seen >= 5, "only {seen} pages were cited");
}

/// All text and all annotations of the first choice.
fn told_in<'b>(bodies: impl Iterator<Item = &'b [u8]>, member: &str) -> (String, Vec<Value>) {
    let (mut text, mut annotations) = (String::new(), Vec::new());
    for body in bodies {
        let body: Value = serde_json::from_slice(body).expect("an answer is JSON");
        let said = &body["choices"][0][member];
        text.push_str(said["content"].as_str().unwrap_or_default());
        annotations.extend(said["annotations"].as_array().into_iter().flatten().cloned());
    }
    (text, annotations)
}

fn framing(recording: &Recording) -> Framing {
    match recording.body.trim_ascii_start().starts_with(b"[") {
        true => Framing::JsonArray,
        false => Framing::ServerSentEvents,
    }
}

fn is_stream(recording: &Recording) -> bool {
    recording.is_streamed || framing(recording) == Framing::JsonArray
}

fn check_whole(recording: &Recording) {
    let answer = Gemini::decode(Operation::Chat, &target("gemini"), &recording.body)
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
    check_logprobs(recording, &body["choices"][0]["logprobs"]);
}

fn check_logprobs(recording: &Recording, logprobs: &Value) {
    let told: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
    let tokens = told["candidates"][0]["logprobsResult"]["chosenCandidates"].as_array();
    assert_eq!(
        logprobs["content"].as_array().map(Vec::len),
        tokens.map(Vec::len),
        "{}",
        recording.id
    );
}

fn check_streamed(recording: &Recording) {
    let events = recording.events(framing(recording));
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

/// An answer that the provider itself calls unusable.
fn check_broken(recording: &Recording) {
    let failure = Gemini::decode(Operation::Chat, &target("gemini"), &recording.body)
        .expect_err("an unusable answer is a failure");
    let expected = &recording.expected()["native_finish"];
    assert_eq!(failure.kind, Kind::Upstream, "{}", recording.id);
    assert_eq!(failure.code.as_deref(), expected.as_str(), "{}", recording.id);
}

fn check_error(recording: &Recording) {
    let headers = recording.headers();
    let failure = Gemini::explain(recording.status, &headers, &recording.body);
    let expected = &recording.expected()["error"];
    assert_eq!(failure.code.as_deref(), expected["type"].as_str(), "{}", recording.id);
    assert_eq!(failure.message, string(&expected["message"]), "{}", recording.id);
    let kind = match recording.status {
        400 if failure.message.starts_with("API key") => Kind::Authentication,
        400 if failure.message.starts_with("The input token count") => Kind::ContextLength,
        400 => Kind::InvalidRequest,
        403 => Kind::Authentication,
        404 => Kind::NotFound,
        429 => Kind::RateLimited,
        500 => Kind::Upstream,
        503 => Kind::Overloaded,
        status => panic!("{}: no kind is known for status {status}", recording.id),
    };
    assert_eq!(failure.kind, kind, "{}", recording.id);
    assert_eq!(
        failure.retry_after_ms.is_some(),
        recording.status == 429,
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
    for (at, ((call_id, name, arguments), call)) in view.calls.iter().zip(calls).enumerate() {
        match call["id"].as_str() {
            Some(given) => assert_eq!(call_id, given, "{id}: id of a call"),
            None => assert!(
                call_id.starts_with("call_") && view.calls[..at].iter().all(|(other, ..)| other != call_id),
                "{id}: the id {call_id} of a call is made up, and its own"
            ),
        }
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
    if id != UNCOUNTED {
        assert_eq!(view.counts["total_tokens"], expected["total"], "{id}: total tokens");
    }
    assert_eq!(usage.input, count("prompt") - count("cached"), "{id}: input");
    assert_eq!(usage.cache_read, count("cached"), "{id}: cache reads");
    assert_eq!(usage.cache_write, 0, "{id}: cache writes");
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
            assert_eq!(call["index"], view.calls.len(), "{id}: calls are numbered from 0");
            let function = &call["function"];
            view.calls.push((
                string(&call["id"]),
                string(&function["name"]),
                string(&function["arguments"]),
            ));
        }
    }
    view
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
