//! The input of a request: a text, or items. What the model reasoned, said and called stands in items of its own there, and in one
//! canonical message.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::chat::{missing, wrong_type};
use super::{CUSTOM_INPUT, SIGNED, made};
use crate::error::{ApiError, printable};
use crate::json::{Document, Kind, Limits, Value, Writer};

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// The messages under way.
pub(super) struct Items<'t, 'v> {
    to: &'t mut Writer,
    /// What has no canonical words.
    lost: &'t mut Vec<String>,
    /// What a translation cannot do without.
    pub(super) needs: Option<&'static str>,
    turn: Turn<'v>,
}

/// What the model did since somebody else spoke.
#[derive(Default)]
struct Turn<'v> {
    texts: Vec<Value<'v>>,
    reasoning: String,
    /// JSON of signed blocks.
    signed: Vec<String>,
    calls: Vec<Value<'v>>,
    /// In base64.
    images: Vec<Cow<'v, str>>,
}

impl<'t, 'v> Items<'t, 'v> {
    pub(super) fn new(to: &'t mut Writer, lost: &'t mut Vec<String>) -> Self {
        Self {
            to,
            lost,
            needs: None,
            turn: Turn::default(),
        }
    }

    /// All messages of a request.
    pub(super) fn all(&mut self, body: Value<'v>) -> Result<(), ApiError> {
        if let Some(instructions) = body.field("instructions") {
            match instructions.kind() {
                Kind::String => self.plain("system", instructions),
                Kind::Array => self.list(instructions, "instructions")?,
                _ => return Err(wrong_type("instructions", "a text")),
            }
        }
        match body.field("input") {
            Some(input) if input.kind() == Kind::String => self.plain("user", input),
            Some(input) if input.kind() == Kind::Array => self.list(input, "input")?,
            Some(_) => return Err(wrong_type("input", "a text or an array of items")),
            // A stored prompt may be all that there is.
            None if body.field("prompt").is_some() || body.field("previous_response_id").is_some() => {
                self.to.raw(r#"{"role":"user","content":""}"#);
            }
            None => return Err(missing("input")),
        }
        self.end_turn();
        Ok(())
    }

    fn plain(&mut self, role: &str, content: Value<'_>) {
        self.to.open('{');
        self.to.text("role", role);
        self.to.member("content", content.raw());
        self.to.close('}');
    }

    fn list(&mut self, items: Value<'v>, field: &str) -> Result<(), ApiError> {
        for (index, item) in items.elements().enumerate() {
            self.item(item, &|| format!("{field}[{index}]"))?;
        }
        Ok(())
    }

    fn item(&mut self, item: Value<'v>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
        if item.kind() != Kind::Object {
            return Err(wrong_type(&place(), "an object"));
        }
        let kind = item.field("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            None | Some("message") => self.message(item, place)?,
            Some("function_call") => {
                for name in ["call_id", "name", "arguments"] {
                    required(item, name, place)?;
                }
                self.turn.calls.push(item);
            }
            Some("custom_tool_call") => {
                for name in ["call_id", "name", "input"] {
                    required(item, name, place)?;
                }
                self.turn.calls.push(item);
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                self.end_turn();
                self.result(item, place)?;
            }
            Some("reasoning") => self.reasoning(item),
            Some("image_generation_call") if item.field("result").is_some_and(|made| made.str_len() > 0) => {
                let made = item.field("result").and_then(|made| made.as_str());
                self.turn.images.extend(made);
            }
            Some("item_reference") => self.needs = Some("item_reference"),
            Some(other) => self.lost.push(format!("items of type {}", printable(other, 60))),
        }
        Ok(())
    }

    fn message(&mut self, item: Value<'v>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
        let role = required(item, "role", place)?.as_str().unwrap_or_default();
        let content = item.field("content");
        let content = content.ok_or_else(|| missing(&format!("{}.content", place())))?;
        if !matches!(content.kind(), Kind::String | Kind::Array) {
            return Err(wrong_type(
                &format!("{}.content", place()),
                "a text or an array of parts",
            ));
        }
        match &*role {
            "assistant" => {
                if !self.turn.calls.is_empty() {
                    // What is said after a call is a new turn.
                    self.end_turn();
                }
                self.turn.texts.push(content);
            }
            "user" | "system" | "developer" => {
                self.end_turn();
                self.to.open('{');
                self.to.text("role", &role);
                self.to.key("content");
                self.content(content, place)?;
                self.to.close('}');
            }
            _ => {
                return Err(wrong_type(
                    &format!("{}.role", place()),
                    "`user`, `assistant`, `system` or `developer`",
                ));
            }
        }
        Ok(())
    }

    /// A text as it is, also where it is the only part; else parts.
    fn content(&mut self, content: Value<'_>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
        let mut parts = content.elements();
        match (content.kind(), parts.next(), parts.next()) {
            (Kind::String, ..) => self.to.raw(content.raw()),
            (_, Some(only), None) if said(only).is_some() => {
                self.to.raw(said(only).map_or("\"\"", |text| text.raw()));
            }
            _ => {
                self.to.open('[');
                for (index, part) in content.elements().enumerate() {
                    self.part(part, &|| format!("{}.content[{index}]", place()))?;
                }
                self.to.close(']');
            }
        }
        Ok(())
    }

    fn part(&mut self, part: Value<'_>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
        if let Some(text) = said(part) {
            self.to.open('{');
            self.to.text("type", "text");
            self.to.member("text", text.raw());
            self.to.close('}');
            return Ok(());
        }
        let kind = part.get("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            Some("input_image") if part.field("image_url").is_some() => {
                let url = required(part, "image_url", place)?;
                self.to.open('{');
                self.to.text("type", "image_url");
                self.to.key("image_url");
                self.to.open('{');
                self.to.member("url", url.raw());
                self.to.take("detail", part, "detail");
                self.to.close('}');
                self.to.close('}');
            }
            Some("input_image" | "input_file") => {
                self.to.open('{');
                self.to.text("type", "file");
                self.to.key("file");
                self.to.open('{');
                self.to.take("file_id", part, "file_id");
                self.to.take("filename", part, "filename");
                match part.field("file_data").or_else(|| part.field("file_url")) {
                    Some(data) => self.to.member("file_data", data.raw()),
                    None if part.field("file_id").is_some() => {}
                    None => return Err(missing(&format!("{}.file_data", place()))),
                }
                self.to.close('}');
                self.to.close('}');
            }
            Some("input_audio") => self.to.raw(part.raw()),
            Some(other) => self.lost.push(format!("content of type {}", printable(other, 60))),
            None => return Err(missing(&format!("{}.type", place()))),
        }
        Ok(())
    }

    fn result(&mut self, item: Value<'_>, place: &dyn Fn() -> String) -> Result<(), ApiError> {
        let id = required(item, "call_id", place)?;
        let output = item
            .field("output")
            .ok_or_else(|| missing(&format!("{}.output", place())))?;
        self.to.open('{');
        self.to.text("role", "tool");
        self.to.member("tool_call_id", id.raw());
        self.to.key("content");
        match output.kind() {
            Kind::String | Kind::Array => self.content(output, &|| format!("{}.output", place()))?,
            _ => self.to.string(output.raw()),
        }
        self.to.close('}');
        Ok(())
    }

    /// The model's reasoning: what it showed of it, and what its provider signed.
    fn reasoning(&mut self, item: Value<'_>) {
        let own = item.field("encrypted_content").and_then(|own| own.as_str());
        let own = own.as_deref().and_then(|own| own.strip_prefix(SIGNED));
        let own = own.and_then(|own| STANDARD.decode(own).ok());
        let blocks = own.and_then(|own| Document::parse(Bytes::from(own), LIMITS).ok());
        if let Some(blocks) = blocks {
            let blocks = blocks.root().elements().filter(|block| block.kind() == Kind::Object);
            self.turn.signed.extend(blocks.map(|block| block.raw().to_owned()));
        }
        let parts = ["content", "summary"].into_iter().find_map(|name| {
            let parts = item.field(name)?;
            parts.elements().next().map(|_| parts)
        });
        for part in parts.into_iter().flat_map(|parts| parts.elements()) {
            if let Some(text) = part.field("text").and_then(|text| text.as_str()) {
                self.turn.reasoning.push_str(&text);
            }
        }
    }

    /// Writes what the model did as one message.
    fn end_turn(&mut self) {
        let Turn {
            texts,
            reasoning,
            signed,
            calls,
            images,
        } = std::mem::take(&mut self.turn);
        if texts.is_empty() && calls.is_empty() && images.is_empty() {
            return;
        }
        let to = &mut *self.to;
        to.open('{');
        to.text("role", "assistant");
        to.key("content");
        let texts: String = texts.into_iter().map(text).collect();
        match texts.is_empty() && !calls.is_empty() {
            true => to.raw("null"),
            false => to.string(&texts),
        }
        if !reasoning.is_empty() {
            to.text("reasoning_content", &reasoning);
        }
        if !signed.is_empty() {
            to.member("thinking_blocks", &format!("[{}]", signed.join(",")));
        }
        made::write(to, &images);
        if !calls.is_empty() {
            to.key("tool_calls");
            to.open('[');
            for call in calls {
                to.open('{');
                to.take("id", call, "call_id");
                to.text("type", "function");
                to.key("function");
                to.open('{');
                to.take("name", call, "name");
                match call.field("input") {
                    Some(input) => to.text("arguments", &format!("{{\"{CUSTOM_INPUT}\":{}}}", input.raw())),
                    None => to.take("arguments", call, "arguments"),
                }
                to.close('}');
                to.close('}');
            }
            to.close(']');
        }
        to.close('}');
    }
}

/// The text of a part that is one.
fn said(part: Value<'_>) -> Option<Value<'_>> {
    let kind = part.get("type")?.as_str()?;
    let member = match &*kind {
        "input_text" | "output_text" | "text" | "summary_text" => "text",
        "refusal" => "refusal",
        _ => return None,
    };
    part.field(member).filter(|text| text.kind() == Kind::String)
}

/// All text of a content.
fn text(content: Value<'_>) -> Cow<'_, str> {
    if let Some(text) = content.as_str() {
        return text;
    }
    let texts = content.elements().filter_map(|part| said(part)?.as_str());
    Cow::Owned(texts.collect())
}

fn required<'a>(object: Value<'a>, name: &str, place: &dyn Fn() -> String) -> Result<Value<'a>, ApiError> {
    let value = object.field(name).filter(|value| value.kind() == Kind::String);
    value.ok_or_else(|| missing(&format!("{}.{name}", place())))
}
