//! What translation costs: one call of each adapter in the box whose provider has words of its own. Untranslated, none of this is
//! done, so each figure is what a translated call adds.

use anyhow::Result;
use bytes::Bytes;
use pointsman::plugins::words::{Event, Operation, Target};
use pointsman::plugins::{Adapter, AdapterSpec, Engine, Limits};

use crate::plugins::{MICRO, Row, finish, source, timed};

/// An adapter, and what its provider says.
struct Translating {
    name: &'static str,
    /// A model that it has settings for by its name.
    model: &'static str,
    answer: &'static str,
    /// The events of a stream before its text, by name and data.
    beginning: &'static [(&'static str, &'static str)],
    delta: (&'static str, &'static str),
}

const TRANSLATING: [Translating; 5] = [
    Translating {
        name: "anthropic",
        model: "claude-haiku-4-5",
        answer: r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Trains run every ten minutes, and the last one leaves at midnight."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":15}}"#,
        beginning: &[
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":1}}}"#,
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            ),
        ],
        delta: (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" midnight"}}"#,
        ),
    },
    Translating {
        name: "gemini",
        model: "gemini-2.5-flash",
        answer: r#"{"candidates":[{"content":{"parts":[{"text":"Trains run every ten minutes, and the last one leaves at midnight."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":15,"totalTokenCount":35},"modelVersion":"m","responseId":"r"}"#,
        beginning: &[],
        delta: (
            "",
            r#"{"candidates":[{"content":{"parts":[{"text":" midnight"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":15,"totalTokenCount":35},"modelVersion":"m","responseId":"r"}"#,
        ),
    },
    Translating {
        name: "bedrock",
        model: "amazon.nova-lite-v1:0",
        answer: r#"{"output":{"message":{"role":"assistant","content":[{"text":"Trains run every ten minutes, and the last one leaves at midnight."}]}},"stopReason":"end_turn","usage":{"inputTokens":20,"outputTokens":15,"totalTokens":35},"metrics":{"latencyMs":100}}"#,
        beginning: &[("messageStart", r#"{"role":"assistant"}"#)],
        delta: (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":" midnight"}}"#,
        ),
    },
    Translating {
        name: "cohere",
        model: "command-a-03-2025",
        answer: r#"{"id":"1","message":{"role":"assistant","content":[{"type":"text","text":"Trains run every ten minutes, and the last one leaves at midnight."}]},"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":20,"output_tokens":15},"tokens":{"input_tokens":20,"output_tokens":15}}}"#,
        beginning: &[
            (
                "message-start",
                r#"{"type":"message-start","id":"1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
            ),
            (
                "content-start",
                r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
            ),
        ],
        delta: (
            "content-delta",
            r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":" midnight"}}}}"#,
        ),
    },
    Translating {
        name: "ollama",
        model: "qwen3",
        answer: r#"{"model":"qwen3","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Trains run every ten minutes, and the last one leaves at midnight."},"done":true,"done_reason":"stop","prompt_eval_count":20,"eval_count":15}"#,
        beginning: &[],
        delta: (
            "",
            r#"{"model":"qwen3","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":" midnight"},"done":false}"#,
        ),
    },
];

/// The goals are for a whole call and for an event of a stream at the median.
pub(crate) fn rows(engine: &Engine, calls: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for translating in &TRANSLATING {
        rows.extend(of(translating, engine, calls)?);
    }
    Ok(rows)
}

fn of(translating: &Translating, engine: &Engine, calls: usize) -> Result<Vec<Row>> {
    let name = translating.name;
    let spec = AdapterSpec {
        source: source("adapter", name)?,
        limits: Limits::adapter(),
    };
    let adapter = Adapter::load(engine, spec)?;
    let target = target(translating.model);
    let answer = Bytes::from_static(translating.answer.as_bytes());
    let there_and_back = |request: &Bytes| {
        finish(adapter.encode(Operation::Chat, &target, false, request))?;
        finish(adapter.decode(Operation::Chat, &target, &answer)).map(drop)
    };
    let row = |what: &str, goal: u64, calls: usize, one: &mut dyn FnMut() -> Result<()>| {
        timed(format!("{name}: {what}"), Some(MICRO(goal)), calls, one)
    };
    let (small, large) = (Bytes::from(conversation(2 << 10)), Bytes::from(conversation(200 << 10)));
    let small = row("a request of 2 KB and its answer", 120, calls, &mut || {
        there_and_back(&small)
    })?;
    let large = row(
        "a conversation of 200 KB and its answer",
        5_000,
        calls / 20,
        &mut || there_and_back(&large),
    )?;
    let place = adapter.place()?;
    let mut stream = finish(adapter.stream(place, Operation::Chat, &target))?;
    for (name, data) in translating.beginning {
        finish(stream.push(vec![event(name, data)]))?;
    }
    let delta = event(translating.delta.0, translating.delta.1);
    let one = row("one stream event, alone", 5, calls, &mut || {
        finish(stream.push(vec![delta.clone()])).map(drop)
    })?;
    let mut many = row("one stream event, of 50 that came together", 2, calls / 10, &mut || {
        finish(stream.push(vec![delta.clone(); 50])).map(drop)
    })?;
    (many.p50, many.p99) = (many.p50 / 50, many.p99 / 50);
    Ok(vec![small, large, one, many])
}

fn event(name: &str, data: &str) -> Event {
    Event {
        name: (!name.is_empty()).then(|| name.to_owned()),
        data: data.as_bytes().to_vec(),
    }
}

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: Some(64_000),
        request_id: "req-bench".to_owned(),
        now_ms: 0,
    }
}

/// Turns of 1 KB, after what the operator says.
fn conversation(bytes: usize) -> String {
    let text = "When does the next train leave, and from which platform? ".repeat(17);
    let turns = (bytes / text.len()).max(1);
    let mut messages = vec![serde_json::json!({ "role": "system", "content": "You answer travellers." })];
    for turn in 0..turns {
        let role = if turn % 2 == turns.saturating_sub(1) % 2 {
            "user"
        } else {
            "assistant"
        };
        messages.push(serde_json::json!({ "role": role, "content": text }));
    }
    serde_json::json!({ "model": "auto", "max_tokens": 200, "messages": messages }).to_string()
}
