//! What providers say that was used, and what they leave out: never nothing, never twice, and marked where nobody said it.

use pointsman::store::Line;
use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway};

use super::{ANSWER, ask, stopped};

/// An answer of so much text, with this in the place of its usage.
fn whole(usage: &str) -> Answer {
    let text = "x".repeat(40);
    let message =
        format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}"#);
    Answer::new(
        200,
        "application/json",
        format!(r#"{{"id":"1","object":"chat.completion","choices":[{message}]{usage}}}"#),
    )
}

/// The same in three pieces, each with what is said of usage at its place.
fn stream(usage: &str) -> Answer {
    let chunk = |content: &str, usage: &str| {
        format!(
            r#"{{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{content}"}}}}]{usage}}}"#
        )
    };
    let last = format!(r#"{{"object":"chat.completion.chunk","choices":[]{usage}}}"#);
    let events = [
        chunk("one", ""),
        chunk("two", ""),
        chunk("three", ""),
        last,
        "[DONE]".to_owned(),
    ];
    Answer::events(events.iter().map(String::as_str))
}

/// The lines of these answers, in order.
async fn lines(answers: Vec<Answer>, is_stream: bool) -> Vec<Line> {
    let count = answers.len();
    let provider = FakeProvider::chatting(answers).await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    for _ in 0..count {
        if is_stream {
            gateway.data().chat_stream(&ask("p1/model", true)).await.rest().await;
        } else {
            assert_eq!(gateway.data().chat(&ask("p1/model", false)).await.status, 200);
        }
    }
    let lines = stopped(gateway, count).await;
    assert_eq!(lines.len(), count);
    lines
}

/// What nobody can bill by.
const NONSENSE: &[&str] = &[
    "",
    r#","usage":null"#,
    r#","usage":{}"#,
    r#","usage":[]"#,
    r#","usage":"many""#,
    r#","usage":{"prompt_tokens":-10,"completion_tokens":-5}"#,
    r#","usage":{"prompt_tokens":10,"completion_tokens":-5}"#,
    r#","usage":{"prompt_tokens":1e30,"completion_tokens":1e30}"#,
    r#","usage":{"prompt_tokens":9000000000000000,"completion_tokens":5}"#,
    r#","usage":{"prompt_tokens":"10","completion_tokens":"5"}"#,
    r#","usage":{"prompt_tokens":0,"completion_tokens":0}"#,
    r#","usage":{"prompt_tokens":10.5,"completion_tokens":null}"#,
];

#[tokio::test]
async fn usage_that_makes_no_sense_is_counted_and_marked() {
    for is_stream in [false, true] {
        let answers = NONSENSE
            .iter()
            .map(|usage| if is_stream { stream(usage) } else { whole(usage) });
        let lines = lines(answers.collect(), is_stream).await;
        for (line, usage) in lines.iter().zip(NONSENSE) {
            let used = line.usage;
            assert!(line.is_estimated, "{usage}: {line:?}");
            // Input is guessed from what was asked, output counted as it came: neither is nothing, and neither is wild.
            assert!((1..1_000).contains(&used.all_input()), "{usage}: {line:?}");
            assert!((3..1_000).contains(&used.output), "{usage}: {line:?}");
            assert!(line.cost.is_some_and(|cost| cost.0 > 0), "{usage}: {line:?}");
        }
    }
}

#[tokio::test]
async fn usage_that_is_said_twice_counts_once() {
    let said = r#""usage":{"prompt_tokens":10,"completion_tokens":5}"#;
    let choice =
        format!(r#"{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop",{said}}}"#);
    let answer = format!(r#"{{"object":"chat.completion","choices":[{choice}],{said}}}"#);
    let whole = lines(vec![Answer::new(200, "application/json", answer)], false).await;
    assert_eq!((whole[0].cost.unwrap().0, whole[0].is_estimated), (ANSWER, false));
    let cost = format!(r#"{{"object":"chat.completion.chunk","choices":[],{said}}}"#);
    let text = r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    let stream = lines(vec![Answer::events([text, &cost, &cost, "[DONE]"])], true).await;
    assert_eq!((stream[0].cost.unwrap().0, stream[0].is_estimated), (ANSWER, false));
}

#[tokio::test]
async fn an_answer_that_has_a_key_twice_is_not_believed_and_costs_all_that_it_can() {
    let said = r#","usage":{"prompt_tokens":10,"completion_tokens":5}"#;
    let provider = FakeProvider::chatting([whole(&format!("{said}{said}"))]).await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let ask = ask("p1/model", false);
    gateway.data().chat(&ask).await.refused(502, "upstream_error");
    let lines = stopped(gateway, 1).await;
    assert_eq!((lines[0].cost, lines[0].is_estimated), (Some(lines[0].ceiling), true));
}
