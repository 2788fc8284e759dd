//! Answers that sixteen providers of this dialect really gave (and some that their documentation promises): what they say,
//! think and call, why they end, what they used and their errors have to come out as in a view that was made independently.
//! Where there is nothing that a client would not understand, every byte stays. The
//! recordings are not part of this repository: they are looked for where `POINTSMAN_SHARED` says, and without them these
//! tests say so and pass.

use adapter_openai::{OpenAi, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Event, Framing, Kind, Operation, Usage};
use serde_json::Value;
use std::collections::BTreeMap;

/// Azure's, which some are, have a chunk before the answer.
fn is_openais(recording: &Recording) -> bool {
    recording.provider == "openai" && !recording.id.contains("azure")
}

#[test]
fn every_recorded_answer_says_what_it_said_in_openais_words() {
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for recording in &recordings {
        *seen.entry(&recording.provider).or_default() += 1;
        match (recording.status, recording.is_streamed) {
            (200, false) => check_whole(recording),
            (200, true) => check_streamed(recording),
            _ => check_error(recording),
        }
    }
    assert_eq!(seen.values().sum::<usize>(), recordings.len());
    assert_eq!(
        (recordings.len(), seen.len()),
        (346, 16),
        "the index has other recordings than this test knows of: {seen:?}"
    );
}

#[test]
fn every_recorded_stream_that_is_cut_at_any_byte_fails_and_tells_nothing_else() {
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    for recording in recordings.iter().filter(|recording| recording.is_streamed) {
        recording.check_every_cut::<Stream>(Framing::ServerSentEvents, |event| {
            let chunk: Value = serde_json::from_slice(&event.data).unwrap_or_default();
            let mut choices = chunk["choices"].as_array().into_iter().flatten();
            choices.any(|choice| choice["finish_reason"].is_string())
        });
    }
}

#[test]
fn every_recorded_request_keeps_everything_but_the_model() {
    let Some(recordings) = Recording::of("openai-chat", 346) else {
        return;
    };
    let mut seen = 0;
    for recording in &recordings {
        let request = recording.request();
        if !request.is_object() {
            continue;
        }
        seen += 1;
        let outgoing = OpenAi::encode(
            Operation::Chat,
            &target("upstream-model"),
            false,
            request.to_string().as_bytes(),
        )
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
        let mut expected = request.clone();
        expected["model"] = "upstream-model".into();
        let body: Value = serde_json::from_slice(&outgoing.body).expect("a body is JSON");
        assert_eq!(
            (outgoing.path.as_str(), body),
            ("/chat/completions", expected),
            "{}",
            recording.id
        );
    }
    assert!(seen > 200, "only {seen} requests");
}

fn check_whole(recording: &Recording) {
    let answer = OpenAi::decode(Operation::Chat, &target("upstream-model"), &recording.body)
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
    let decoded: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    compare(recording, View::of_message(&decoded["choices"][0]));
    if is_openais(recording) {
        assert_eq!(answer.body, recording.body, "{}", recording.id);
    }
    compare_usage(recording, answer.usage.as_ref());
}

fn check_streamed(recording: &Recording) {
    let events = recording.events(Framing::ServerSentEvents);
    let is_chunk = |event: &&Event| event.data != b"[DONE]";
    let sent: Vec<&[u8]> = events
        .iter()
        .filter(is_chunk)
        .map(|event| event.data.as_slice())
        .collect();
    let expected = recording.expected();
    for at_once in [1, 3, events.len()] {
        let (chunks, end) = run::<Stream>(&events, at_once);
        if expected["finish"].is_string() {
            end.unwrap_or_else(|failure| panic!("{}: {failure:?}", recording.id));
            let got: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.data.as_slice()).collect();
            if is_openais(recording) {
                assert!(got == sent, "{}: bytes have changed", recording.id);
            }
            compare(recording, View::of_chunks(&got));
            compare_usage(recording, chunks.iter().rev().find_map(|chunk| chunk.usage.as_ref()));
        } else {
            let failure = end.expect_err("a stream without a finish is broken");
            assert_eq!(failure.kind, Kind::Upstream, "{}", recording.id);
            if let Some(message) = expected["error"]["message"].as_str() {
                assert_eq!(failure.message, message, "{}", recording.id);
            }
        }
    }
}

/// What the first choice of an answer comes to.
#[derive(Debug, Default, PartialEq)]
struct View {
    text: String,
    reasoning: String,
    /// Ids, names and arguments.
    calls: Vec<(String, String, Value)>,
    finish: String,
}

impl View {
    fn of_message(choice: &Value) -> View {
        let message = &choice["message"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let call = |call: &Value| {
            assert_eq!(call["type"], "function");
            let function = &call["function"];
            (
                text(&call["id"]),
                text(&function["name"]),
                arguments(&text(&function["arguments"])),
            )
        };
        View {
            text: text(&message["content"]),
            reasoning: text(&message["reasoning_content"]),
            calls: message["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(call)
                .collect(),
            finish: text(&choice["finish_reason"]),
        }
    }

    /// As a client puts it together: by number, with the id and the name of the first piece.
    fn of_chunks(chunks: &[&[u8]]) -> View {
        let (mut view, mut calls) = (View::default(), Vec::<(String, String, String)>::new());
        for chunk in chunks {
            let chunk: Value = serde_json::from_slice(chunk).expect("a chunk is JSON");
            let choice = &chunk["choices"][0];
            if choice.is_null() || choice["index"].as_u64().is_some_and(|index| index > 0) {
                continue;
            }
            let delta = &choice["delta"];
            view.text.extend(delta["content"].as_str());
            view.reasoning.extend(delta["reasoning_content"].as_str());
            for piece in delta["tool_calls"].as_array().into_iter().flatten() {
                let at = piece["index"].as_u64().expect("a piece of a call has a number") as usize;
                if at == calls.len() {
                    calls.push(Default::default());
                    calls[at].0.extend(piece["id"].as_str());
                } else {
                    assert!(piece["id"].is_null(), "a call has begun twice: {piece}");
                }
                calls[at].1.extend(piece["function"]["name"].as_str());
                calls[at].2.extend(piece["function"]["arguments"].as_str());
            }
            if let Some(finish) = choice["finish_reason"].as_str() {
                view.finish = finish.to_owned();
            }
        }
        view.calls = calls
            .into_iter()
            .map(|(id, name, text)| (id, name, arguments(&text)))
            .collect();
        view
    }
}

fn arguments(text: &str) -> Value {
    if text.is_empty() {
        return serde_json::json!({});
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The view has an object, or a text where the arguments are none.
fn given(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), arguments)
}

fn compare(recording: &Recording, got: View) {
    // What came before tools, for those who asked for it: passed on as it is.
    if recording.id.contains("function-calls-with-events") {
        return;
    }
    let expected = recording.expected();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = expected["tool_calls"].as_array().into_iter().flatten();
    let names: Vec<(String, Value)> = calls
        .map(|call| (text(&call["name"]), given(&call["arguments"])))
        .collect();
    let id = &recording.id;
    assert_eq!(got.text, text(&expected["text"]), "{id}: text");
    assert_eq!(got.reasoning, text(&expected["reasoning"]), "{id}: reasoning");
    let got_names: Vec<_> = got
        .calls
        .iter()
        .map(|(_, name, arguments)| (name.clone(), arguments.clone()))
        .collect();
    assert_eq!(got_names, names, "{id}: calls");
    assert!(
        got.calls.iter().all(|(id, ..)| !id.is_empty()),
        "{id}: a call has no id"
    );
    assert_eq!(got.finish, text(&expected["finish"]), "{id}: finish");
}

fn check_error(recording: &Recording) {
    let headers = recording.headers();
    let failure = OpenAi::explain(recording.status, &headers, &recording.body);
    let (kind, retry_after_ms) = expected_of(recording);
    assert_eq!(failure.kind, kind, "{}: {failure:?}", recording.id);
    assert_eq!(failure.retry_after_ms, retry_after_ms, "{}: {failure:?}", recording.id);
    let expected = &recording.expected()["error"]["message"].as_str().unwrap_or_default();
    if expected.starts_with('<') {
        assert_eq!(
            failure.message,
            format!("the provider answered with status {}", recording.status)
        );
    } else if let Ok(spelt) = serde_json::from_str::<Value>(expected) {
        assert_eq!(
            serde_json::from_str::<Value>(&failure.message).ok(),
            Some(spelt),
            "{}",
            recording.id
        );
    } else {
        assert_eq!(failure.message, expected.trim(), "{}", recording.id);
    }
}

/// What each recorded error means, read by a person: the status says it, but for these.
fn expected_of(recording: &Recording) -> (Kind, Option<u32>) {
    let by_name: [(&str, Kind, Option<u32>); 15] = [
        ("azure-doc-err-400-content-filter", Kind::ContentPolicy, None),
        ("azure-doc-err-429", Kind::RateLimited, Some(9000)),
        ("mistral-doc-err-404-model", Kind::NotFound, None),
        ("moonshot-doc-err-429", Kind::RateLimited, Some(1000)),
        ("ollama-real-error-scenarios", Kind::ContextLength, None),
        ("openai-doc-err-400-context", Kind::ContextLength, None),
        ("openai-doc-err-429-quota", Kind::QuotaExhausted, None),
        ("openai-doc-err-429-rate", Kind::RateLimited, Some(2400)),
        ("openrouter-real-error-scenarios", Kind::ContextLength, None),
        ("perplexity-real-error-scenarios", Kind::ContextLength, None),
        ("qwen-doc-err-400-inspection", Kind::ContentPolicy, None),
        ("vllm-doc-err-400-old", Kind::ContextLength, None),
        ("zhipu-doc-err-400-sensitive", Kind::ContentPolicy, None),
        ("zhipu-doc-err-429-balance", Kind::QuotaExhausted, None),
        ("zhipu-doc-err-429-concurrency", Kind::RateLimited, None),
    ];
    if let Some((_, kind, retry_after_ms)) = by_name.into_iter().find(|(start, ..)| recording.id.starts_with(start)) {
        return (kind, retry_after_ms);
    }
    let kind = match recording.status {
        400 | 422 => Kind::InvalidRequest,
        401 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        429 => Kind::RateLimited,
        503 => Kind::Overloaded,
        500 | 502 => Kind::Upstream,
        status => panic!("{}: no kind is known for status {status}", recording.id),
    };
    (kind, None)
}

/// Two exceptions, in which the view repeats what the provider says:
/// Azure's Grok claims more cached tokens than the prompt has; we count no more than the whole prompt, since nobody is billed
/// for tokens that were not there. xAI leaves reasoning out of the completion's tokens, as its total shows, and bills it.
fn compare_usage(recording: &Recording, usage: Option<&Usage>) {
    let expected = &recording.expected()["usage"];
    let id = &recording.id;
    if expected["prompt"].is_null() {
        assert_eq!(usage, None, "{id}: usage");
        return;
    }
    let usage = usage.unwrap_or_else(|| panic!("{id}: usage is missing"));
    let got = (
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
    );
    let count = |name: &str| expected[name].as_u64().unwrap_or(0);
    let (prompt, mut cached) = (count("prompt"), count("cached"));
    if cached > prompt {
        let is_known = id.starts_with("azure-") && id.contains("grok-4-1-fast");
        assert!(is_known, "{id}: {cached} cached tokens of {prompt}");
        cached = prompt;
    }
    let mut output = count("completion");
    if count("reasoning") > 0 && count("total") == prompt + output + count("reasoning") {
        assert!(
            recording.provider == "xai",
            "{id}: reasoning is not part of the completion"
        );
        output += count("reasoning");
    }
    let input = prompt - cached - count("cache_write");
    assert_eq!(
        got,
        (input, cached, count("cache_write"), output, count("reasoning")),
        "{id}: {expected}"
    );
}
