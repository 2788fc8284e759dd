//! An answer that passes in Anthropic's own words: what it used, whether it broke, and where it ends. Counts that make no sense
//! are left unknown: the answer is served all the same.

use bytes::Bytes;

use super::super::Heard;
use crate::json::{Document, Kind, Limits, Value};
use crate::money::Usage;

/// As deep as an answer may be.
const LIMITS: Limits = Limits { depth: 128 };

/// What has been said so far. In a stream counts come in pieces, each cumulative.
#[derive(Debug, Default)]
pub struct Hearing {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
}

impl Hearing {
    /// A whole answer.
    pub fn whole(&mut self, answer: &Document) -> Result<Heard, String> {
        let root = answer.root();
        if root.kind() != Kind::Object {
            return Err("the answer is not a JSON object".to_owned());
        }
        if let Some(error) = root.field("error") {
            return Ok(Heard::Error(error.raw().to_owned()));
        }
        self.read(root.field("usage"));
        Ok(Heard::Closing)
    }

    /// An event of a stream. Those that carry nothing but content are not looked into.
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) -> Result<Heard, String> {
        match name {
            Some("content_block_start" | "content_block_delta" | "content_block_stop") => return Ok(Heard::Progress),
            Some("ping") => return Ok(Heard::Nothing),
            _ => {}
        }
        let event = Document::parse(Bytes::copy_from_slice(data), LIMITS);
        let event = event.map_err(|error| format!("a stream event is not JSON: {error}"))?;
        let root = event.root();
        if let Some(error) = root.field("error") {
            return Ok(Heard::Error(error.raw().to_owned()));
        }
        let kind = root.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
        Ok(match &*kind {
            "ping" => Heard::Nothing,
            "message_stop" => Heard::Closing,
            "message_start" => {
                self.read(root.field("message").and_then(|message| message.field("usage")));
                Heard::Progress
            }
            _ => {
                self.read(root.field("usage"));
                Heard::Progress
            }
        })
    }

    /// As it is billed; none where nothing was said, which is not the same as nothing used.
    pub fn usage(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let output = self.output.unwrap_or(0);
        let cache_write = self.cache_write.unwrap_or(0);
        Some(Usage {
            input: self.input.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(0).min(cache_write),
            output,
            reasoning: self.thinking.unwrap_or(0).min(output),
            searches: self.searches.unwrap_or(0),
            ..Usage::default()
        })
    }

    fn read(&mut self, usage: Option<Value<'_>>) {
        let Some(usage) = usage else { return };
        let count =
            |object: Value<'_>, name: &str| object.field(name)?.as_u64().filter(|count| *count <= u32::MAX.into());
        let inside = |group: &str, name: &str| count(usage.field(group)?, name);
        let told = [
            (&mut self.input, count(usage, "input_tokens")),
            (&mut self.output, count(usage, "output_tokens")),
            (&mut self.cache_read, count(usage, "cache_read_input_tokens")),
            (&mut self.cache_write, count(usage, "cache_creation_input_tokens")),
            (
                &mut self.cache_write_1h,
                inside("cache_creation", "ephemeral_1h_input_tokens"),
            ),
            (&mut self.thinking, inside("output_tokens_details", "thinking_tokens")),
            (&mut self.searches, inside("server_tool_use", "web_search_requests")),
        ];
        for (known, later) in told {
            *known = later.or(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_heard_to_its_end() {
        let mut hearing = Hearing::default();
        let mut hear = |name, data: &str| hearing.event(name, data.as_bytes());
        let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1,
            "cache_read_input_tokens":100,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_1h_input_tokens":5}}}}"#;
        assert_eq!(hear(Some("message_start"), start), Ok(Heard::Progress));
        assert_eq!(hear(Some("ping"), "{\"type\":\"ping\"}"), Ok(Heard::Nothing));
        assert_eq!(hear(Some("content_block_delta"), "anything"), Ok(Heard::Progress));
        let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":40,"server_tool_use":{"web_search_requests":3}}}"#;
        assert_eq!(hear(None, delta), Ok(Heard::Progress));
        assert_eq!(
            hear(Some("message_stop"), "{\"type\":\"message_stop\"}"),
            Ok(Heard::Closing)
        );
        let expected = Usage {
            input: 9,
            cache_read: 100,
            cache_write: 20,
            cache_write_1h: 5,
            output: 40,
            searches: 3,
            ..Usage::default()
        };
        assert_eq!(hearing.usage(), Some(expected));
    }

    #[test]
    fn a_break_is_heard_and_nonsense_is_unknown() {
        let mut hearing = Hearing::default();
        let error = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert_eq!(
            hearing.event(Some("error"), error),
            Ok(Heard::Error(
                r#"{"type":"overloaded_error","message":"Overloaded"}"#.to_owned()
            ))
        );
        let odd = br#"{"type":"message_delta","usage":{"output_tokens":-1,"input_tokens":"many"}}"#;
        assert_eq!(hearing.event(None, odd), Ok(Heard::Progress));
        assert_eq!(hearing.usage(), None);
        assert!(hearing.event(None, b"no json").is_err());
    }
}
