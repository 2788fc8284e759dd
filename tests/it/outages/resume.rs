//! Streams that break before they have shown anything, on routes that want another candidate to follow: `resume = "restart"`.

use serde_json::{Value, json};
use tests::answer::End;
use tests::{Answer, Ending, Event};

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
