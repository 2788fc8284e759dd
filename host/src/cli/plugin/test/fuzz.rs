//! Odd requests, answers and events: what clients and providers send once in a year. The same seed makes the same ones.

use serde_json::{Value, json};

/// Larger than what is compared with any context window, and still quick to send.
const HUGE: usize = 300_000;
/// As many candidates as a plan may have steps.
const MANY: u64 = 64;

const TEXTS: [&str; 12] = [
    "",
    " ",
    "\u{0}",
    "\u{feff}\u{200b}\u{200d}",
    "\u{202e}txet sdrawkcab\u{202c}",
    "e\u{301}\u{323} ﬁ İı ẞ Å",
    "👩‍👩‍👧‍👦🏳️‍🌈🇺🇦",
    "漢字ไทย한글",
    "\u{10ffff}\u{fffd}\u{1d11e}",
    "\r\n\t\u{b}\u{85}\u{2028}",
    "{\"messages\": []} [DONE] </s> ${x} %s \\u0000 \\",
    "ſtraße KELVIN \u{212a} python ",
];

/// A source of odd things.
pub(super) struct Odd(u64);

impl Odd {
    pub(super) fn new(seed: u64) -> Odd {
        Odd(seed)
    }

    /// SplitMix64, by Steele, Lea and Flood.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_of(&mut self, values: &[Value]) -> Value {
        let index = self.below(values.len() as u64) as usize;
        values.get(index).cloned().unwrap_or_default()
    }

    fn text(&mut self) -> String {
        match self.below(16) {
            0 => TEXTS[1].repeat(HUGE),
            1 => "ä🎲".repeat(HUGE / 6),
            2 => "a b ".repeat(1000),
            _ => {
                let parts = 1 + self.below(4);
                (0..parts)
                    .map(|_| TEXTS[self.below(TEXTS.len() as u64) as usize])
                    .collect()
            }
        }
    }

    /// A policy's case: one of its golden ones, or a plain one, with some parts made odd.
    pub(super) fn case(&mut self, golden: &[Value], round: u64) -> Value {
        let plain = json!({
            "request": { "messages": [{ "role": "user", "content": "hello" }] },
            "candidates": [{ "id": "a/x" }, { "id": "b/y", "tags": ["strong"] }],
        });
        let mut case = match golden.len() {
            0 => plain,
            _ if self.below(4) == 0 => plain,
            _ => self.one_of(golden),
        };
        if let Some(case) = case.as_object_mut() {
            for expectation in [
                "verdict",
                "state_after",
                "answer",
                "opinion",
                "asked",
                "replies",
                "grants",
            ] {
                case.remove(expectation);
            }
            case.insert("name".into(), format!("odd request {round}").into());
            case.insert("seed".into(), self.next().into());
        }
        for _ in 0..1 + self.below(4) {
            self.disturb(&mut case);
        }
        case
    }

    fn disturb(&mut self, case: &mut Value) {
        match self.below(12) {
            0..4 => case["request"]["messages"] = self.messages(),
            4 => case["candidates"] = json!([]),
            5 => case["candidates"] = (0..MANY).map(|index| self.candidate(index)).collect(),
            6 => {
                let few = 1 + self.below(4);
                case["candidates"] = (0..few).map(|index| self.candidate(index)).collect();
            }
            7 => {
                let fields = [
                    ("tools", json!([{ "type": "function", "function": { "name": "f" } }])),
                    ("tools", json!([])),
                    ("response_format", json!({ "type": "json_schema" })),
                    ("stream", json!(true)),
                    ("max_tokens", json!(0)),
                    ("max_completion_tokens", json!(u64::MAX)),
                    ("temperature", json!("hot")),
                    ("metadata", json!({ "a": [[[[[[[[{}]]]]]]]] })),
                    ("user", json!(null)),
                    ("model", json!(7)),
                ];
                let (name, value) = fields[self.below(fields.len() as u64) as usize].clone();
                case["request"][name] = value;
            }
            8 => case["labels"] = json!({ (self.text()): self.text() }),
            9 => case["headers"] = json!({ "x-session-id": self.text(), "user-agent": "" }),
            10 => case["now_ms"] = self.one_of(&[json!(0), json!(1), json!(4_102_444_800_000_u64), json!(1_u64 << 53)]),
            _ => {
                let field = ["session", "key_id", "team", "route"][self.below(4) as usize];
                case[field] = self.text().into();
            }
        }
    }

    fn messages(&mut self) -> Value {
        match self.below(10) {
            0 => json!([]),
            1 => json!(null),
            2 => json!([{ "role": "user", "content": null }]),
            3 => json!([{ "role": "user" }, {}, { "role": "", "content": 1 }]),
            4 => json!([{ "role": "user", "content": [] }]),
            5 => json!([{ "role": "user", "content": [
                { "type": "text", "text": self.text() }, { "type": "image_url", "image_url": { "url": "" } }, { "type": "?" },
            ] }]),
            6 => json!([
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{" } }] },
                { "role": "tool", "tool_call_id": "1", "content": self.text() },
            ]),
            7 => (0..500)
                .map(|index| json!({ "role": "user", "content": index.to_string() }))
                .collect(),
            8 => json!([{ "role": "system", "content": self.text() }, { "role": "developer", "content": self.text() }]),
            _ => json!([{ "role": "user", "content": self.text() }]),
        }
    }

    fn candidate(&mut self, index: u64) -> Value {
        let mut candidate = json!({ "id": format!("odd-{index}/{}", TEXTS[self.below(12) as usize]) });
        let counts = [json!(0), json!(1), json!(u32::MAX)];
        if self.below(2) == 0 {
            candidate["price"] = json!({ "input": 0, "output": self.one_of(&[json!(0), json!(0.15), json!(9e8)]) });
            candidate["estimated_cost_usd"] = self.one_of(&[json!(0), json!(0.001), json!(9e8)]);
            candidate["ceiling_cost_usd"] = self.one_of(&[json!(0), json!(0.001), json!(9e8)]);
        }
        if self.below(2) == 0 {
            candidate["tags"] = json!(["strong", "strong", self.text()]);
            candidate["weight"] = self.one_of(&counts);
            candidate["context_window"] = self.one_of(&counts);
        }
        if self.below(2) == 0 {
            candidate["health"] = json!({
                "first_token_ms": self.one_of(&counts), "total_ms": self.one_of(&counts), "error_permille": 1000,
                "in_flight": self.one_of(&counts), "cooling_ms": self.one_of(&counts), "tokens_left": u64::MAX,
            });
        }
        candidate
    }

    /// An adapter's case: odd requests, answers, errors and streams, in the form of its golden files.
    pub(super) fn exchange(&mut self, golden: &[Value], round: u64) -> Value {
        let mut case = match golden.len() {
            0 => json!({}),
            _ => self.one_of(golden),
        };
        if let Some(case) = case.as_object_mut() {
            for expectation in ["outgoing", "answer", "chunks", "failure"] {
                case.remove(expectation);
            }
        }
        match self.below(5) {
            0 => case = json!({ "encode": { "body": self.body(), "is_stream": self.below(2) == 0 } }),
            1 => case = json!({ "decode": { "body": self.body() } }),
            2 => {
                let status = self.one_of(&[json!(0), json!(302), json!(400), json!(429), json!(500), json!(65535)]);
                let headers =
                    json!({ "retry-after": self.one_of(&[json!("1e99"), json!("-1"), json!("NaN"), json!("9")]) });
                case = json!({ "explain": { "status": status, "headers": headers, "body": self.body() } });
            }
            3 => {
                let events: Vec<Value> = (0..self.below(5)).map(|_| json!({ "data": self.body() })).collect();
                case = json!({ "stream": { "events": events } });
            }
            // A golden case with its events in another number.
            _ => {
                if let Some(events) = case.pointer_mut("/stream/events").and_then(Value::as_array_mut) {
                    let keep = self.below(events.len() as u64 + 1) as usize;
                    events.truncate(keep);
                }
            }
        }
        case["name"] = format!("odd exchange {round}").into();
        case
    }

    fn body(&mut self) -> Value {
        let usage = json!({ "prompt_tokens": -1, "completion_tokens": 1.5, "prompt_tokens_details": null });
        match self.below(10) {
            0 => json!(null),
            1 => json!("[DONE]"),
            2 => json!("{\"choices\": [{\"delta\""),
            3 => json!([1]),
            4 => json!({ "choices": null, "usage": usage, "error": null }),
            5 => json!({ "choices": [null, 1, { "finish_reason": 7, "delta": null, "message": [] }], "usage": [] }),
            6 => json!({ "error": { "message": self.text(), "code": 429, "type": {} } }),
            7 => json!({ "error": self.text(), "usage": { "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX } }),
            8 => json!({ "messages": self.messages(), "model": self.text(), "max_tokens": "many", "stream": 1 }),
            _ => json!({ "messages": self.messages(), "max_completion_tokens": null, "tools": {}, "stop": [null] }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugin::test::case::Case;

    #[test]
    fn a_seed_makes_the_same_requests_and_each_is_a_case() {
        let (mut one, mut same, mut other) = (Odd::new(1), Odd::new(1), Odd::new(2));
        let mut differ = 0;
        for round in 0..200 {
            let case = one.case(&[], round);
            assert_eq!(case, same.case(&[], round));
            differ += usize::from(case != other.case(&[], round));
            let parsed: Result<Case, _> = serde_json::from_value(case);
            parsed.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        assert!(differ > 190);
    }
}
