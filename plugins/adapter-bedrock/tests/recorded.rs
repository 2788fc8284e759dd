//! Answers that the provider really gave (and a few that its documentation promises), against a view of them that was made
//! independently: text, reasoning, calls, finish, usage, errors. The recordings are not part of this repository: they are looked
//! for where `POINTSMAN_SHARED` says, and without them these tests say so and pass.

use adapter_bedrock::{Bedrock, Stream};
use pointsman_plugin::{Adapter, AdapterStream, Chunk, Event, Failure, Kind, Operation, Target, Usage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Why a canonical request may be refused.
const REFUSED: [&str; 11] = [
    "is of type `input_audio`, which Bedrock does not take here",
    "is of type `image_url`, which Bedrock does not take here",
    "is of type `file`, which Bedrock does not take here",
    "is of type `document_url`, which Bedrock does not take here",
    "Bedrock fetches nothing but",
    "functions is not known to Bedrock",
    "Bedrock gives one answer per request",
    "Bedrock takes functions only",
    "cannot be asked of Bedrock",
    "has no file_data",
    "Bedrock takes PDF, CSV",
];

struct Recording {
    id: String,
    is_streamed: bool,
    status: u16,
    case: Value,
    body: Vec<u8>,
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
    let Some(recordings) = recordings_of("bedrock-converse") else {
        return;
    };
    for recording in &recordings {
        match (recording.status, recording.is_streamed) {
            (200, false) => check_whole(recording),
            (200, true) => check_streamed(recording),
            _ => check_error(recording),
        }
    }
    assert_eq!(
        recordings.len(),
        86,
        "the index has other recordings than this test knows of"
    );
}

/// Whatever byte a stream is cut at, what came of it is never taken for a whole answer.
#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails() {
    let Some(recordings) = recordings_of("bedrock-converse") else {
        return;
    };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        let whole = events(&recording.body);
        let Some(end) = whole.iter().position(is_end) else {
            continue;
        };
        let before = whole[..end].len();
        let step = (recording.body.len() / 400).max(1);
        for cut in (0..recording.body.len()).step_by(step) {
            let events = events(&recording.body[..cut]);
            if events.len() <= before {
                assert!(run(&events, 1).1.is_err(), "{}: cut after {cut} bytes", recording.id);
            }
        }
    }
}

/// What clients sent to other providers in the canonical form has to be translated here too, or be refused by name.
#[test]
fn every_recorded_canonical_request_is_translated_or_refused_by_name() {
    let Some(recordings) = recordings_of("openai-chat") else {
        return;
    };
    let (mut translated, mut refused, mut unknown) = (0, 0, Vec::new());
    for recording in &recordings {
        let request = &recording.case["request"]["body"];
        if request["messages"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        match Bedrock::encode(Operation::Chat, &target(), true, request.to_string().as_bytes()) {
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
    let answer = Bedrock::decode(Operation::Chat, &target(), &recording.body)
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
    let events = events(&recording.body);
    for at_once in [1, 3, events.len()] {
        let (chunks, outcome) = run(&events, at_once);
        if recording.case["expected"]["error"].is_null() {
            outcome.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
            compare(recording, &assemble(&recording.id, &chunks));
        } else {
            let failure = outcome.expect_err("an error inside a stream is a failure");
            let expected = &recording.case["expected"];
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
    let headers: Vec<(String, String)> = recording.case["response"]["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_ascii_lowercase(), string(value)))
        .collect();
    let failure = Bedrock::explain(recording.status, &headers, &recording.body);
    let message = string(&recording.case["expected"]["error"]["message"]);
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
    let (id, expected) = (&recording.id, &recording.case["expected"]);
    assert_eq!(view.text, text(recording), "{id}: text");
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

/// The view leaves out what stands in blocks with citations, which are parts of the sentence.
fn text(recording: &Recording) -> String {
    let body: Value = serde_json::from_slice(&recording.body).unwrap_or_default();
    let blocks = body["output"]["message"]["content"].as_array();
    let is_cited = |block: &Value| block["citationsContent"].is_object();
    if !blocks.is_some_and(|blocks| blocks.iter().any(is_cited)) {
        return string(&recording.case["expected"]["text"]);
    }
    let blocks = blocks.into_iter().flatten();
    blocks
        .map(|block| {
            let cited = block["citationsContent"]["content"].as_array().into_iter().flatten();
            let cited: String = cited.map(|inner| string(&inner["text"])).collect();
            string(&block["text"]) + &cited
        })
        .collect()
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

fn run(events: &[Event], at_once: usize) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut stream = Stream::begin(Operation::Chat, &target()).expect("a stream begins");
    let mut chunks = Vec::new();
    for read in events.chunks(at_once.max(1)) {
        match stream.push(read) {
            Ok(more) => chunks.extend(more),
            Err(failure) => return (chunks, Err(failure)),
        }
    }
    let end = stream.finish().map(|more| chunks.extend(more));
    (chunks, end)
}

fn is_end(event: &Event) -> bool {
    event.name.as_deref() == Some("messageStop")
}

/// As the gateway cuts them, without a look at the checksums: half a message is none.
fn events(mut body: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let number = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    while body.len() >= 12 && body.len() >= number(body) {
        let (message, rest) = body.split_at(number(body));
        let (mut headers, payload) = message[12..message.len() - 4].split_at(number(&message[4..]));
        let mut name = String::new();
        while !headers.is_empty() {
            let key = &headers[1..=headers[0] as usize];
            let value = &headers[key.len() + 2..];
            let length = u16::from_be_bytes([value[0], value[1]]) as usize;
            let text = String::from_utf8_lossy(&value[2..2 + length]);
            match key {
                b":event-type" => name = text.into_owned(),
                b":exception-type" => name = format!("exception:{text}"),
                _ => {}
            }
            headers = &value[2 + length..];
        }
        events.push(Event {
            name: Some(name),
            data: payload.to_vec(),
        });
        body = rest;
    }
    events
}

fn recordings_of(wire: &str) -> Option<Vec<Recording>> {
    let root = shared()?.join("wire/fixtures");
    let bytes = |path: &str| std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let index: Value = serde_json::from_slice(&bytes("index.json")).expect("the index is JSON");
    let entries = index["cases"].as_array().expect("the index lists cases");
    let wanted = entries.iter().filter(|entry| entry["wire"] == wire);
    let recording = |entry: &Value| Recording {
        id: string(&entry["id"]),
        is_streamed: entry["streamed"] == true,
        status: entry["status"].as_u64().expect("an entry has a status") as u16,
        case: serde_json::from_slice(&bytes(&string(&entry["case"]))).expect("a case is JSON"),
        body: bytes(&string(&entry["body"])),
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

fn target() -> Target {
    Target {
        model: "a-model".to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
        request_id: "request".to_owned(),
        now_ms: 1_750_000_000_000,
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
