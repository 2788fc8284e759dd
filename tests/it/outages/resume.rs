//! Streams that break before they have shown anything, on routes that want another candidate to follow: `resume = "restart"`.

use serde_json::{Value, json};
use tests::answer::End;
use tests::config::{anthropic, openai, route};
use tests::{Answer, Ending, Event, FakeProvider, Gateway};

use super::two;
use crate::ledger::books;

fn ask() -> Value {
    json!({ "model": "auto", "stream": true, "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] })
}

fn delta(delta: Value) -> String {
    json!({ "id": "1", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta }] }).to_string()
}

/// What a client would show.
fn text(events: &[Event]) -> String {
    let chunks = events.iter().filter(|event| event.data != "[DONE]").map(Event::json);
    let pieces = chunks.map(|chunk| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    pieces.collect()
}

/// A stream of these, and then the connection is reset.
fn broken(deltas: &[Value]) -> Answer {
    let mut events: Vec<String> = deltas.iter().cloned().map(delta).collect();
    events.push(delta(json!({ "content": "never" })));
    Answer::events(events.iter().map(String::as_str)).cut_after_pieces(deltas.len(), End::Reset)
}

const RESTART: &str = "resume = \"restart\"";

#[tokio::test]
async fn a_stream_that_breaks_while_it_reasons_begins_anew_with_the_next_candidate() {
    let thinking = [
        json!({ "role": "assistant", "content": "" }),
        json!({ "reasoning_content": "let me see" }),
    ];
    let (first, second, gateway) = two(broken(&thinking), Answer::chat_stream(["one ", "two"]), RESTART, "").await;
    let stream = gateway.data().chat_stream(&ask()).await;
    assert_eq!(stream.header("x-pointsman-model"), Some("p1/model"));
    let (events, ending) = stream.rest().await;
    assert_eq!(
        (text(&events).as_str(), ending),
        ("one two", Ending::Whole),
        "{events:?}"
    );
    assert_eq!(events.last().unwrap().data, "[DONE]");
    assert_eq!((first.journal().len(), second.journal().len()), (1, 1));
    gateway.logged(&["begins anew", "p2/model"]).await;
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let lines: Vec<_> = books(&home)
        .into_iter()
        .map(|line| (line.tags.model.to_string(), line.outcome))
        .collect();
    let line = |model: &str, outcome: &str| (model.to_owned(), outcome.to_owned());
    assert_eq!(lines, [line("p1/model", "stream_broken"), line("p2/model", "answered")]);
}

#[tokio::test]
async fn a_stream_that_has_shown_something_is_never_continued_by_another_model() {
    for shown in [
        json!({ "content": "one" }),
        json!({ "tool_calls": [{ "index": 0, "id": "call" }] }),
    ] {
        let answers = (broken(std::slice::from_ref(&shown)), Answer::chat_stream(["other"]));
        let (_first, second, gateway) = two(answers.0, answers.1, RESTART, "").await;
        let (events, ending) = gateway.data().chat_stream(&ask()).await.rest().await;
        assert_eq!(ending, Ending::Aborted, "{shown}");
        assert_eq!(
            events.last().unwrap().json()["error"]["code"],
            "upstream_error",
            "{shown}"
        );
        assert_eq!(second.journal().len(), 0, "{shown}");
    }
}

#[tokio::test]
async fn nothing_begins_anew_where_the_route_does_not_say_so_or_nobody_is_left() {
    let thinking = || broken(&[json!({ "reasoning_content": "let me see" })]);
    let (_first, second, gateway) = two(thinking(), Answer::chat_stream(["other"]), "", "").await;
    let (_, ending) = gateway.data().chat_stream(&ask()).await.rest().await;
    assert_eq!((ending, second.journal().len()), (Ending::Aborted, 0));
    let (first, second, gateway) = two(thinking(), thinking(), RESTART, "").await;
    let (events, ending) = gateway.data().chat_stream(&ask()).await.rest().await;
    assert_eq!(ending, Ending::Aborted);
    assert_eq!(events.last().unwrap().json()["error"]["code"], "upstream_error");
    assert_eq!((first.journal().len(), second.journal().len()), (1, 1));
}

/// What is asked in the words of a surface, and what its events say in all: the beginning of the stream, its thoughts and its text.
struct Surface {
    path: &'static str,
    body: fn() -> Value,
    begins: &'static str,
    ends: &'static str,
    text: fn(&Value) -> Option<&str>,
}

const SURFACES: [Surface; 3] = [
    Surface {
        path: "/v1/messages",
        body: || json!({ "model": "auto", "stream": true, "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] }),
        begins: "message_start",
        ends: "message_stop",
        text: |event| event["delta"]["text"].as_str(),
    },
    Surface {
        path: "/v1/responses",
        body: || json!({ "model": "auto", "stream": true, "store": false, "input": "hello" }),
        begins: "response.created",
        ends: "response.completed",
        text: |event| {
            event["delta"]
                .as_str()
                .filter(|_| event["type"] == "response.output_text.delta")
        },
    },
    Surface {
        path: "/v1beta/models/auto:streamGenerateContent?alt=sse",
        body: || json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] }),
        begins: "",
        ends: "",
        text: |event| event["candidates"][0]["content"]["parts"][0]["text"].as_str(),
    },
];

#[tokio::test]
async fn in_the_words_of_other_surfaces_the_same_message_goes_on_with_the_next_candidates_answer() {
    let thinking = [
        json!({ "role": "assistant" }),
        json!({ "reasoning_content": "let me see" }),
    ];
    let whole = [
        json!({ "reasoning_content": "so" }),
        json!({ "content": "one " }),
        json!({ "content": "two" }),
    ];
    let mut events: Vec<String> = whole.into_iter().map(delta).collect();
    let end = json!({ "id": "2", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    events.extend([end.to_string(), "[DONE]".to_owned()]);
    let whole = Answer::events(events.iter().map(String::as_str));
    let (_first, second, gateway) = two(broken(&thinking), whole, RESTART, "").await;
    for (number, surface) in SURFACES.iter().enumerate() {
        let path = surface.path;
        let (events, ending) = gateway.data().stream(path, &(surface.body)()).await.rest().await;
        assert_eq!(
            (second.journal().len(), ending),
            (number + 1, Ending::Whole),
            "{path}: {events:?}"
        );
        let said: Vec<Value> = events.iter().map(Event::json).collect();
        let text: String = said.iter().filter_map(surface.text).collect();
        assert_eq!(text, "one two", "{path}: {said:?}");
        let times = |kind: &str| said.iter().filter(|event| event["type"] == kind).count();
        if !surface.begins.is_empty() {
            assert_eq!((times(surface.begins), times(surface.ends)), (1, 1), "{path}: {said:?}");
        }
        match number {
            // Two thoughts and a text, each in its block.
            0 => assert_eq!(
                (times("content_block_start"), times("content_block_stop")),
                (3, 3),
                "{said:?}"
            ),
            1 => {
                let numbers: Vec<_> = said
                    .iter()
                    .map(|event| event["sequence_number"].as_u64().unwrap())
                    .collect();
                assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
                let output = said.last().unwrap()["response"]["output"].as_array().unwrap();
                let kinds: Vec<_> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
                assert_eq!(kinds, ["reasoning", "reasoning", "message"]);
            }
            _ => assert_eq!(
                said.last().unwrap()["candidates"][0]["finishReason"],
                "STOP",
                "{said:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_completion_goes_on_with_the_next_candidate_where_it_is_translated() {
    let (first, second, own) = (
        FakeProvider::chatting([broken(&[json!({ "content": "\n " })])]).await,
        FakeProvider::chatting([Answer::chat_stream(["one ", "two"])]).await,
        FakeProvider::start().await,
    );
    let piece =
        |text: &str| json!({ "id": "1", "object": "text_completion", "choices": [{ "index": 0, "text": text }] });
    let pieces = ["\n ", "never"].map(|text| piece(text).to_string());
    let cut = Answer::events(pieces.iter().map(String::as_str)).cut_after_pieces(1, End::Reset);
    own.on("/v1/completions", [cut]);
    // Of these only `openai` is sent completions as they came.
    let translated = |name, provider: &FakeProvider| {
        openai(name, &provider.url()).replace("adapter = \"openai\"", "adapter = \"deepseek\"")
    };
    let config = [
        translated("p1", &first),
        translated("p2", &second),
        openai("p3", &own.url()),
        route("auto", &["p1", "p2"], RESTART),
        route("own", &["p3", "p2"], RESTART),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let ask = async |model: &str| {
        let body = json!({ "model": model, "stream": true, "max_tokens": 100, "prompt": "hello" });
        let stream = gateway.data().stream("/v1/completions", &body).await;
        let (events, ending) = stream.rest().await;
        let events = events.iter().filter(|event| event.data != "[DONE]").map(Event::json);
        let texts = events.map(|event| event["choices"][0]["text"].as_str().unwrap_or_default().to_owned());
        (texts.collect::<String>().trim().to_owned(), ending)
    };
    assert_eq!(ask("auto").await, ("one two".to_owned(), Ending::Whole));
    assert_eq!(ask("own").await, (String::new(), Ending::Aborted));
    assert_eq!(
        [&first, &second, &own].map(|provider| provider.journal().len()),
        [1, 1, 1]
    );
}

#[tokio::test]
async fn what_passes_in_its_providers_own_words_does_not_begin_anew_and_what_follows_others_is_translated() {
    let message = json!({ "type": "message_start", "message": { "id": "m", "type": "message", "role": "assistant", "model": "m",
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } } });
    let said = [
        message.clone(),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "own" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 2 } }),
        json!({ "type": "message_stop" }),
    ];
    let (claude, other) = (FakeProvider::start().await, FakeProvider::start().await);
    let cut = Answer::typed_events([&message]).cut_after_pieces(1, End::Reset);
    claude.on("/v1/messages", [cut, Answer::typed_events(&said)]);
    let thinking = [json!({ "reasoning_content": "let me see" })];
    other.on("/v1/chat/completions", [broken(&thinking)]);
    let config = [
        anthropic("claude", &claude.url()),
        openai("other", &other.url()),
        route("own", &["claude", "other"], RESTART),
        route("auto", &["other", "claude"], RESTART),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut body = (SURFACES[0].body)();
    body["model"] = json!("own");
    let (_, ending) = gateway.data().stream("/v1/messages", &body).await.rest().await;
    assert_eq!((ending, other.journal().len()), (Ending::Aborted, 0));
    body["model"] = json!("auto");
    let (events, ending) = gateway.data().stream("/v1/messages", &body).await.rest().await;
    let names: Vec<_> = events.iter().filter_map(|event| event.name.as_deref()).collect();
    assert_eq!(ending, Ending::Whole, "{names:?}");
    let begun = names.iter().filter(|name| **name == "message_start").count();
    assert_eq!((begun, names.last()), (1, Some(&"message_stop")), "{names:?}");
    assert!(events.iter().any(|event| event.json()["delta"]["text"] == "own"));
}
