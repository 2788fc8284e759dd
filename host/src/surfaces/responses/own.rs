//! An answer that passes in the words of OpenAI's Responses: what it used, whether it broke, and where it ends.

use bytes::Bytes;

use super::super::Heard;
use crate::json::{Document, Kind, Limits, Value};
use crate::money::{Service, Usage};

/// As deep as an answer may be.
const LIMITS: Limits = Limits { depth: 128 };

/// What has been said so far.
#[derive(Debug, Default)]
pub struct Hearing {
    usage: Option<Usage>,
}

impl Hearing {
    /// A whole answer.
    pub fn whole(&mut self, answer: &Document) -> Result<Heard, String> {
        let root = answer.root();
        if root.kind() != Kind::Object {
            return Err("the answer is not a JSON object".to_owned());
        }
        match root.field("error") {
            Some(error) => Ok(Heard::Error(error.raw().to_owned())),
            None => {
                self.read(root);
                Ok(Heard::Closing)
            }
        }
    }

    /// An event of a stream. Only those that can end it are looked into.
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) -> Result<Heard, String> {
        let may_end = |name: &str| {
            let ends = ["completed", "incomplete", "failed", "cancelled"];
            name == "error" || name.strip_prefix("response.").is_some_and(|word| ends.contains(&word))
        };
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Heard::Nothing);
        }
        if name.is_some_and(|name| !may_end(name)) {
            return Ok(Heard::Progress);
        }
        let event = Document::parse(Bytes::copy_from_slice(data), LIMITS);
        let event = event.map_err(|error| format!("a stream event is not JSON: {error}"))?;
        let root = event.root();
        let kind = root.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
        let response = root.field("response");
        Ok(match &*kind {
            "response.completed" | "response.incomplete" => {
                response.into_iter().for_each(|response| self.read(response));
                Heard::Closing
            }
            "response.failed" | "response.cancelled" => {
                response.into_iter().for_each(|response| self.read(response));
                let error = response.and_then(|response| response.field("error"));
                Heard::Error(error.unwrap_or(root).raw().to_owned())
            }
            "error" => Heard::Error(root.field("error").unwrap_or(root).raw().to_owned()),
            _ => Heard::Progress,
        })
    }

    /// As it is billed.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn read(&mut self, response: Value<'_>) {
        let Some(usage) = response.field("usage") else { return };
        let count =
            |object: Value<'_>, name: &str| object.field(name)?.as_u64().filter(|count| *count <= u32::MAX.into());
        let inside = |group: &str, name: &str| count(usage.field(group)?, name);
        let (Some(input), Some(output)) = (count(usage, "input_tokens"), count(usage, "output_tokens")) else {
            return;
        };
        let cache_read = inside("input_tokens_details", "cached_tokens").unwrap_or(0).min(input);
        let reasoning = inside("output_tokens_details", "reasoning_tokens")
            .unwrap_or(0)
            .min(output);
        let tier = response
            .get("service_tier")
            .and_then(|tier| tier.as_str().map(|tier| Service::of(&tier)));
        let items = response.field("output").into_iter().flat_map(|items| items.elements());
        self.usage = Some(Usage {
            input: input - cache_read,
            cache_read,
            output,
            reasoning,
            searches: items.filter(|item| is_search(*item)).count() as u64,
            service: tier.unwrap_or_default(),
            ..Usage::default()
        });
    }
}

/// A search of the web, and not a look at the pages that it found.
fn is_search(item: Value<'_>) -> bool {
    let is = |value: Option<Value<'_>>, word: &str| value.is_some_and(|value| value.is(word));
    let action = item.field("action").and_then(|action| action.field("type"));
    is(item.field("type"), "web_search_call") && (action.is_none() || is(action, "search"))
}
