//! What is said in a conversation: Anthropic's content blocks become canonical messages. Results of tools, which are blocks of a
//! user's message there, are messages of their own; calls and thinking, blocks of an assistant's, are members of its message.

use std::borrow::Cow;

use super::super::chat::missing;
use super::request::check_content;
use crate::error::{ApiError, printable};
use crate::json::{Kind, Value, Writer};

/// The messages under way.
pub(super) struct Conversation<'t> {
    pub(super) to: &'t mut Writer,
    /// What has no canonical words.
    pub(super) lost: &'t mut Vec<String>,
}

type Place<'p> = &'p dyn Fn() -> String;

/// The type of a block.
pub(super) fn kind(block: Value<'_>) -> Option<Cow<'_, str>> {
    block.get("type").and_then(|kind| kind.as_str())
}

impl Conversation<'_> {
    /// A message of nothing but text, a system prompt say. None where nothing is said.
    pub(super) fn said(&mut self, role: &str, content: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        check_content(content, place)?;
        let is_text = |block: &Value<'_>| kind(*block).is_some_and(|kind| kind == "text");
        let texts: Vec<Value<'_>> = content.elements().filter(is_text).collect();
        if content.kind() == Kind::Array && texts.is_empty() {
            return Ok(());
        }
        self.begin(role);
        self.to.key("content");
        match (content.kind(), &*texts) {
            (Kind::Array, texts) => self.texts(texts, place)?,
            _ => self.to.raw(content.raw()),
        }
        self.to.close('}');
        Ok(())
    }

    /// What the user says and what tools brought, each in a message of its own, in the order of the blocks.
    pub(super) fn user(&mut self, content: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        check_content(content, place)?;
        if content.kind() == Kind::String {
            self.begin("user");
            self.to.member("content", content.raw());
            self.to.close('}');
            return Ok(());
        }
        let mut is_open = false;
        for (index, block) in content.elements().enumerate() {
            let place = || format!("{}[{index}]", place());
            let is_result = kind(block).is_some_and(|kind| kind == "tool_result");
            if is_result && std::mem::take(&mut is_open) {
                self.to.close(']');
                self.to.close('}');
            }
            if is_result {
                self.result(block, &place)?;
                continue;
            }
            if !std::mem::replace(&mut is_open, true) {
                self.begin("user");
                self.to.key("content");
                self.to.open('[');
            }
            self.part(block, &place)?;
        }
        if is_open {
            self.to.close(']');
            self.to.close('}');
        }
        Ok(())
    }

    /// What the model said, thought and called.
    pub(super) fn assistant(&mut self, content: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        check_content(content, place)?;
        self.begin("assistant");
        self.to.key("content");
        if content.kind() == Kind::String {
            self.to.raw(content.raw());
            self.to.close('}');
            return Ok(());
        }
        let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for block in content.elements() {
            match kind(block).as_deref() {
                Some("text") => texts.push(block),
                Some("thinking" | "redacted_thinking") => thoughts.push(block),
                Some("tool_use") => calls.push(block),
                other => self.lose(other),
            }
        }
        match texts.is_empty() {
            true => self.to.raw("null"),
            false => self.texts(&texts, place)?,
        }
        self.thoughts(&thoughts);
        self.calls(&calls, place)?;
        self.to.close('}');
        Ok(())
    }

    fn begin(&mut self, role: &str) {
        self.to.open('{');
        self.to.text("role", role);
    }

    /// One text as it is, several as parts.
    fn texts(&mut self, texts: &[Value<'_>], place: Place<'_>) -> Result<(), ApiError> {
        if let [only] = texts
            && only.field("cache_control").is_none()
        {
            let text = required(*only, "text", place)?;
            self.to.raw(text.raw());
            return Ok(());
        }
        self.to.open('[');
        for text in texts {
            self.part(*text, place)?;
        }
        self.to.close(']');
        Ok(())
    }

    /// Thinking goes back as it came: for its own provider signed, for others as text.
    fn thoughts(&mut self, thoughts: &[Value<'_>]) {
        if thoughts.is_empty() {
            return;
        }
        let texts = thoughts.iter().filter_map(|block| block.field("thinking")?.as_str());
        let text: String = texts.collect();
        if !text.is_empty() {
            self.to.text("reasoning_content", &text);
        }
        self.to.key("thinking_blocks");
        self.to.open('[');
        for block in thoughts {
            self.to.raw(block.raw());
        }
        self.to.close(']');
    }

    fn calls(&mut self, calls: &[Value<'_>], place: Place<'_>) -> Result<(), ApiError> {
        if calls.is_empty() {
            return Ok(());
        }
        self.to.key("tool_calls");
        self.to.open('[');
        for call in calls {
            self.to.open('{');
            self.to.member("id", required(*call, "id", place)?.raw());
            self.to.text("type", "function");
            self.to.key("function");
            self.to.open('{');
            self.to.member("name", required(*call, "name", place)?.raw());
            let input = call.field("input").map_or("{}", |input| input.raw());
            self.to.text("arguments", input);
            self.to.close('}');
            self.to.take("cache_control", *call, "cache_control");
            self.to.close('}');
        }
        self.to.close(']');
        Ok(())
    }

    fn result(&mut self, block: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        self.begin("tool");
        let id = required(block, "tool_use_id", place)?;
        self.to.member("tool_call_id", id.raw());
        self.to.key("content");
        // Nobody else has a word for a result that is a failure.
        let is_error = block.field("is_error").and_then(|error| error.as_bool()) == Some(true);
        match block.field("content") {
            None => self.to.string(if is_error { "Error" } else { "" }),
            Some(content) => {
                let place = || format!("{}.content", place());
                check_content(content, &place)?;
                match content.as_str() {
                    Some(text) if is_error => self.to.string(&format!("Error: {text}")),
                    Some(_) => self.to.raw(content.raw()),
                    None => {
                        self.to.open('[');
                        if is_error {
                            self.to.raw(r#"{"type":"text","text":"Error:"}"#);
                        }
                        for part in content.elements() {
                            self.part(part, &place)?;
                        }
                        self.to.close(']');
                    }
                }
            }
        }
        self.to.take("cache_control", block, "cache_control");
        self.to.close('}');
        Ok(())
    }

    /// A text, an image or a document, as a part.
    fn part(&mut self, block: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        let source = || required_object(block, "source", place);
        match kind(block).as_deref() {
            Some("text") => {
                let text = required(block, "text", place)?;
                self.text(text.raw(), block);
            }
            Some("image") => self.image(source()?, block),
            Some("document") => self.document(source()?, block, place)?,
            Some("search_result") => {
                let title = block
                    .field("title")
                    .and_then(|title| title.as_str())
                    .unwrap_or_default();
                let address = block
                    .field("source")
                    .and_then(|source| source.as_str())
                    .unwrap_or_default();
                let texts = block
                    .field("content")
                    .into_iter()
                    .flat_map(|content| content.elements());
                let texts = texts.filter_map(|text| text.field("text")?.as_str());
                let lines: Vec<Cow<'_, str>> = [title, address].into_iter().chain(texts).collect();
                self.text(&serde_json::Value::from(lines.join("\n")).to_string(), block);
            }
            other => self.lose(other),
        }
        Ok(())
    }

    fn text(&mut self, json: &str, block: Value<'_>) {
        self.to.open('{');
        self.to.text("type", "text");
        self.to.member("text", json);
        self.to.take("cache_control", block, "cache_control");
        self.to.close('}');
    }

    fn image(&mut self, source: Value<'_>, block: Value<'_>) {
        let Some(url) = address(source, "image/png") else {
            return self.file(source, block);
        };
        self.to.open('{');
        self.to.text("type", "image_url");
        self.to.key("image_url");
        self.to.open('{');
        self.to.text("url", &url);
        self.to.close('}');
        self.to.take("cache_control", block, "cache_control");
        self.to.close('}');
    }

    fn document(&mut self, source: Value<'_>, block: Value<'_>, place: Place<'_>) -> Result<(), ApiError> {
        if block
            .field("citations")
            .and_then(|citations| citations.field("enabled")?.as_bool())
            == Some(true)
        {
            self.lost.push("citations".to_owned());
        }
        match kind(source).as_deref() {
            Some("text") => {
                let text = required(source, "data", place)?;
                self.text(text.raw(), block);
            }
            Some("content") => match source.field("content") {
                Some(text) if text.kind() == Kind::String => self.text(text.raw(), block),
                content => {
                    for part in content.into_iter().flat_map(|content| content.elements()) {
                        self.part(part, place)?;
                    }
                }
            },
            _ => self.file(source, block),
        }
        Ok(())
    }

    fn file(&mut self, source: Value<'_>, block: Value<'_>) {
        self.to.open('{');
        self.to.text("type", "file");
        self.to.key("file");
        self.to.open('{');
        match address(source, "application/pdf") {
            Some(data) => self.to.text("file_data", &data),
            None => self.to.take("file_id", source, "file_id"),
        }
        self.to.take("filename", block, "title");
        self.to.close('}');
        self.to.take("cache_control", block, "cache_control");
        self.to.close('}');
    }

    fn lose(&mut self, kind: Option<&str>) {
        let kind = printable(kind.unwrap_or_default(), 60);
        self.lost.push(format!("content of type {kind}"));
    }
}

/// Where data is, or the data itself; none where it is kept at a provider.
fn address<'a>(source: Value<'a>, usual: &str) -> Option<Cow<'a, str>> {
    if let Some(url) = source.field("url") {
        return url.as_str();
    }
    let data = source.field("data")?.as_str()?;
    let media_type = source.field("media_type").and_then(|media_type| media_type.as_str());
    let media_type = media_type.unwrap_or(Cow::Borrowed(usual));
    Some(Cow::Owned(format!("data:{media_type};base64,{data}")))
}

fn required<'a>(object: Value<'a>, name: &str, place: Place<'_>) -> Result<Value<'a>, ApiError> {
    let value = object.field(name).filter(|value| value.kind() == Kind::String);
    value.ok_or_else(|| missing(&format!("{}.{name}", place())))
}

fn required_object<'a>(object: Value<'a>, name: &str, place: Place<'_>) -> Result<Value<'a>, ApiError> {
    let value = object.field(name).filter(|value| value.kind() == Kind::Object);
    value.ok_or_else(|| missing(&format!("{}.{name}", place())))
}
