//! What an answer in the canonical form says, whole or in the chunks of a stream: of several choices, the first.

use crate::json::{Document, Value};

/// An answer as somebody would judge it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// Empty where there is none.
    pub(super) text: String,
    /// The model's own words where it declined.
    pub(super) refusal: Option<String>,
    /// Empty where the provider did not say.
    pub(super) finish_reason: String,
    /// Names and arguments of the functions to be called.
    pub(super) tool_calls: Vec<(String, String)>,
    logprob_sum: f64,
    logprobs: u32,
}

impl Reading {
    /// Reads a whole answer.
    pub(super) fn of(answer: &Document) -> Self {
        let mut reading = Self::default();
        reading.read(answer, "message");
        reading
    }

    /// Whether there is anything of a model in a whole answer, in whichever choice and member.
    pub(super) fn says_anything(answer: &Document) -> bool {
        let choices = answer.root().field("choices").into_iter();
        let messages = choices
            .flat_map(|choices| choices.elements())
            .filter_map(|choice| choice.field("message"));
        let mut members = messages.flat_map(|message| message.members());
        members.any(|(name, value)| !name.is("role") && !matches!(value.raw(), "null" | "\"\"" | "[]" | "{}"))
    }

    /// Reads one more chunk of a stream.
    pub(super) fn chunk(&mut self, chunk: &Document) {
        self.read(chunk, "delta");
    }

    /// The mean natural logarithm of the tokens' probabilities, where there are any.
    pub(super) fn mean_logprob(&self) -> Option<f64> {
        (self.logprobs > 0).then(|| self.logprob_sum / f64::from(self.logprobs))
    }

    fn read(&mut self, document: &Document, message: &str) {
        let choices = document.root().field("choices");
        let is_first = |choice: &Value<'_>| choice.get("index").is_none_or(|index| index.as_u64() == Some(0));
        let Some(choice) = choices.and_then(|choices| choices.elements().find(is_first)) else {
            return;
        };
        if let Some(message) = choice.field(message) {
            self.message(message);
        }
        if let Some(reason) = string(choice, "finish_reason") {
            self.finish_reason = reason;
        }
        let logprobs = choice.field("logprobs");
        let tokens = logprobs.and_then(|logprobs| logprobs.field("content").or(logprobs.field("refusal")));
        for token in tokens.into_iter().flat_map(|tokens| tokens.elements()) {
            if let Some(logprob) = token.get("logprob").and_then(|logprob| logprob.as_f64()) {
                self.logprob_sum += logprob;
                self.logprobs += 1;
            }
        }
    }

    fn message(&mut self, message: Value<'_>) {
        if let Some(text) = string(message, "content") {
            self.text.push_str(&text);
        }
        if let Some(refusal) = string(message, "refusal") {
            self.refusal.get_or_insert_default().push_str(&refusal);
        }
        let calls = message.field("tool_calls");
        for (place, call) in calls.into_iter().flat_map(|calls| calls.elements()).enumerate() {
            let Some(function) = call.field("function") else {
                continue;
            };
            // A stream says which call a piece belongs to; a whole answer lists them in order.
            let index = call.get("index").and_then(|index| index.as_u64());
            let index = index.and_then(|index| usize::try_from(index).ok()).unwrap_or(place);
            let index = index.min(self.tool_calls.len());
            if index == self.tool_calls.len() {
                self.tool_calls.push(Default::default());
            }
            let (name, arguments) = &mut self.tool_calls[index];
            name.push_str(&string(function, "name").unwrap_or_default());
            arguments.push_str(&string(function, "arguments").unwrap_or_default());
        }
    }
}

fn string(object: Value<'_>, key: &str) -> Option<String> {
    object.field(key)?.as_str().map(String::from)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::Limits;

    fn document(value: &Json) -> Document {
        Document::parse(Bytes::from(value.to_string()), Limits::default()).unwrap()
    }

    #[test]
    fn an_answer_without_a_word_of_the_model_says_nothing() {
        let says =
            |message: Json| Reading::says_anything(&document(&json!({ "choices": [{}, { "message": message }] })));
        assert!(!says(
            json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [] })
        ));
        assert!(!says(json!({ "role": "assistant", "content": "" })));
        for said in [
            json!({ "content": "x" }),
            json!({ "refusal": "no" }),
            json!({ "reasoning_content": "hm" }),
            json!({ "content": null, "tool_calls": [{}] }),
        ] {
            assert!(says(said.clone()), "{said}");
        }
    }

    #[test]
    fn a_stream_reads_as_the_whole_answer_that_it_makes() {
        let logprobs = |values: &[f64]| json!({ "content": values.iter().map(|value| json!({ "token": "t", "logprob": value })).collect::<Vec<_>>() });
        let call = |name, arguments| json!({ "function": { "name": name, "arguments": arguments } });
        let whole = json!({ "choices": [{
            "index": 0, "finish_reason": "tool_calls", "logprobs": logprobs(&[-1.0, -2.0, -3.0]),
            "message": { "content": "one two", "refusal": null, "tool_calls": [call("f", "{\"a\":1}"), call("g", "{}")] },
        }] });
        let chunk = |delta, more: Json| {
            let mut choice = json!({ "index": 0, "delta": delta });
            choice
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({ "choices": [{ "index": 1, "delta": { "content": "another" } }, choice] })
        };
        let piece = |index, function: Json| json!({ "tool_calls": [{ "index": index, "function": function }] });
        let chunks = [
            chunk(json!({ "content": "one " }), json!({ "logprobs": logprobs(&[-1.0]) })),
            chunk(
                json!({ "content": "two" }),
                json!({ "logprobs": logprobs(&[-2.0, -3.0]) }),
            ),
            chunk(piece(0, json!({ "name": "f", "arguments": "{\"a\"" })), json!({})),
            chunk(piece(0, json!({ "arguments": ":1}" })), json!({})),
            chunk(piece(1, json!({ "name": "g", "arguments": "{}" })), json!({})),
            chunk(json!({}), json!({ "finish_reason": "tool_calls" })),
            json!({ "choices": [], "usage": {} }),
        ];
        let mut streamed = Reading::default();
        chunks.iter().for_each(|chunk| streamed.chunk(&document(chunk)));
        let whole = Reading::of(&document(&whole));
        assert_eq!(streamed, whole);
        assert_eq!(whole.mean_logprob(), Some(-2.0));
        assert_eq!(
            whole.tool_calls,
            [("f".into(), "{\"a\":1}".into()), ("g".into(), "{}".into())]
        );
    }

    #[test]
    fn what_an_answer_does_not_say_is_empty() {
        for odd in [
            json!({}),
            json!({ "choices": [] }),
            json!({ "choices": [{ "message": { "content": [1] } }] }),
            json!([]),
        ] {
            assert_eq!(Reading::of(&document(&odd)), Reading::default(), "{odd}");
        }
        let refused = json!({ "choices": [{ "message": { "content": null, "refusal": "no" } }] });
        let reading = Reading::of(&document(&refused));
        assert_eq!((reading.text.as_str(), reading.refusal.as_deref()), ("", Some("no")));
        assert_eq!(reading.mean_logprob(), None);
    }
}
