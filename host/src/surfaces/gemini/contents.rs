//! What is said in a conversation: Gemini's contents become canonical messages. SDKs send a streamed answer back in as many contents as
//! it came in events, so what the model says in a row is one message; results of functions, which are parts of a user's content
//! there, are messages of their own. A call need not have an id, and a result without one belongs to the first call of its name.

use std::borrow::Cow;

use super::super::chat::{missing, wrong_type};
use super::{list_of, member, signed, standard};
use crate::error::{ApiError, printable};
use crate::json::{Kind, Value, Writer};

/// The messages under way.
pub(super) struct Conversation<'t, 'v> {
    to: &'t mut Writer,
    /// What has no canonical words.
    lost: &'t mut Vec<String>,
    turn: Turn<'v>,
    /// Ids and names of calls that have no result yet.
    open: Vec<(String, String)>,
    /// Calls so far.
    calls: usize,
    is_begun: bool,
}

/// What the model did since somebody else spoke.
#[derive(Default)]
struct Turn<'v> {
    text: String,
    thoughts: String,
    /// JSON of blocks that a provider has signed, in a signature of this gateway's.
    signed: Vec<String>,
    /// A signature of Gemini's own.
    signature: Option<Cow<'v, str>>,
    calls: Vec<Call<'v>>,
    is_open: bool,
}

struct Call<'v> {
    id: String,
    name: Value<'v>,
    arguments: &'v str,
    signature: Option<Cow<'v, str>>,
}

type Place<'p> = &'p dyn Fn() -> String;

impl<'t, 'v> Conversation<'t, 'v> {
    pub(super) fn new(to: &'t mut Writer, lost: &'t mut Vec<String>) -> Self {
        Self {
            to,
            lost,
            turn: Turn::default(),
            open: Vec::new(),
            calls: 0,
            is_begun: false,
        }
    }

    /// What the model is told before anything else: text alone.
    pub(super) fn system(&mut self, content: Option<Value<'v>>) -> Result<(), ApiError> {
        let texts: Vec<Value<'v>> = list_of(content.and_then(|content| content.field("parts")))
            .filter_map(|part| part.field("text").filter(|text| text.kind() == Kind::String))
            .collect();
        if content.is_some_and(|content| content.kind() != Kind::Object) {
            return Err(wrong_type("systemInstruction", "a content with `parts`"));
        }
        if texts.is_empty() {
            return Ok(());
        }
        self.begin("system");
        match &*texts {
            [only] => self.to.raw(only.raw()),
            several => {
                self.to.open('[');
                several.iter().for_each(|text| said(self.to, *text));
                self.to.close(']');
            }
        }
        self.to.close('}');
        Ok(())
    }

    pub(super) fn content(&mut self, content: Value<'v>, place: Place<'_>) -> Result<(), ApiError> {
        if content.kind() != Kind::Object {
            return Err(wrong_type(&place(), "an object with `parts`"));
        }
        let role = content.field("role").and_then(|role| role.as_str());
        let is_models = match role.as_deref() {
            None | Some("" | "user" | "function" | "tool") => false,
            Some("model") => true,
            Some(_) => return Err(wrong_type(&format!("{}.role", place()), "`user` or `model`")),
        };
        let parts = content.field("parts");
        if parts.is_some_and(|parts| !matches!(parts.kind(), Kind::Array | Kind::Object)) {
            return Err(wrong_type(&format!("{}.parts", place()), "an array of parts"));
        }
        let parts: Vec<Value<'v>> = list_of(parts).collect();
        if let Some(index) = parts.iter().position(|part| part.kind() != Kind::Object) {
            return Err(wrong_type(&format!("{}.parts[{index}]", place()), "an object"));
        }
        if is_models {
            for (index, part) in parts.into_iter().enumerate() {
                self.did(part, &|| format!("{}.parts[{index}]", place()))?;
            }
            return Ok(());
        }
        self.end_turn();
        self.user(&parts, place)
    }

    /// Ends the last message. Whether there was any beside the system's.
    pub(super) fn end(mut self) -> bool {
        self.end_turn();
        self.is_begun
    }

    fn begin(&mut self, role: &str) {
        self.is_begun |= role != "system";
        self.to.open('{');
        self.to.text("role", role);
        self.to.key("content");
    }

    /// What the user says and what functions brought, each in a message of its own, in the order of the parts.
    fn user(&mut self, parts: &[Value<'v>], place: Place<'_>) -> Result<(), ApiError> {
        let mut is_open = false;
        for (index, part) in parts.iter().enumerate() {
            let place = || format!("{}.parts[{index}]", place());
            let result = member(*part, "functionResponse");
            if result.is_some() && std::mem::take(&mut is_open) {
                self.to.close(']');
                self.to.close('}');
            }
            if let Some(result) = result {
                self.result(result, &|| format!("{}.functionResponse", place()))?;
                continue;
            }
            if !std::mem::replace(&mut is_open, true) {
                self.begin("user");
                self.to.open('[');
            }
            self.part(*part, &place)?;
        }
        if is_open {
            self.to.close(']');
            self.to.close('}');
        }
        Ok(())
    }

    /// A part of what the model did.
    fn did(&mut self, part: Value<'v>, place: Place<'_>) -> Result<(), ApiError> {
        self.turn.is_open = true;
        let signature = member(part, "thoughtSignature").and_then(|signature| signature.as_str());
        let own = signature.as_deref().and_then(signed);
        let blocks = own.iter().flat_map(|own| own.root().elements());
        let blocks = blocks.filter(|block| block.kind() == Kind::Object);
        self.turn.signed.extend(blocks.map(|block| block.raw().to_owned()));
        let signature = signature.filter(|_| own.is_none());
        if let Some(call) = member(part, "functionCall") {
            return self.called(call, signature, &|| format!("{}.functionCall", place()));
        }
        self.turn.signature = signature.or(self.turn.signature.take());
        let is_thought = part.field("thought").and_then(|is| is.as_bool()) == Some(true);
        match part.field("text") {
            Some(text) => {
                let text = text
                    .as_str()
                    .ok_or_else(|| wrong_type(&format!("{}.text", place()), "a text"))?;
                let to = if is_thought {
                    &mut self.turn.thoughts
                } else {
                    &mut self.turn.text
                };
                to.push_str(&text);
            }
            None => self.lose(part),
        }
        Ok(())
    }

    fn called(&mut self, call: Value<'v>, signature: Option<Cow<'v, str>>, place: Place<'_>) -> Result<(), ApiError> {
        let name = required(call, "name", place)?;
        self.calls += 1;
        let id = call.field("id").and_then(|id| id.as_str()).filter(|id| !id.is_empty());
        let id = id.map_or_else(|| format!("call_{}", self.calls), Cow::into_owned);
        self.open
            .push((id.clone(), name.as_str().unwrap_or_default().into_owned()));
        let arguments = call.field("args").filter(|arguments| arguments.kind() == Kind::Object);
        self.turn.calls.push(Call {
            id,
            name,
            arguments: arguments.map_or("{}", |arguments| arguments.raw()),
            signature,
        });
        Ok(())
    }

    /// Writes what the model did as one message.
    fn end_turn(&mut self) {
        let turn = std::mem::take(&mut self.turn);
        if !turn.is_open {
            return;
        }
        self.begin("assistant");
        match turn.text.is_empty() && !turn.calls.is_empty() {
            true => self.to.raw("null"),
            false => self.to.string(&turn.text),
        }
        if !turn.thoughts.is_empty() {
            self.to.text("reasoning_content", &turn.thoughts);
        }
        if !turn.signed.is_empty() {
            self.to.key("thinking_blocks");
            self.to.open('[');
            turn.signed.iter().for_each(|block| self.to.raw(block));
            self.to.close(']');
        }
        self.sign(turn.signature.as_deref());
        if !turn.calls.is_empty() {
            self.to.key("tool_calls");
            self.to.open('[');
            for call in &turn.calls {
                self.to.open('{');
                self.to.text("id", &call.id);
                self.to.text("type", "function");
                self.to.key("function");
                self.to.open('{');
                self.to.member("name", call.name.raw());
                self.to.text("arguments", call.arguments);
                self.to.close('}');
                self.sign(call.signature.as_deref());
                self.to.close('}');
            }
            self.to.close(']');
        }
        self.to.close('}');
    }

    /// A signature goes back as it came, in the place where Google's own OpenAI endpoint has it.
    fn sign(&mut self, signature: Option<&str>) {
        let Some(signature) = signature else { return };
        self.to.key("extra_content");
        self.to.open('{');
        self.to.key("google");
        self.to.open('{');
        self.to.text("thought_signature", signature);
        self.to.close('}');
        self.to.close('}');
    }

    fn result(&mut self, result: Value<'v>, place: Place<'_>) -> Result<(), ApiError> {
        let name = required(result, "name", place)?.as_str().unwrap_or_default();
        let given = result
            .field("id")
            .and_then(|id| id.as_str())
            .filter(|id| !id.is_empty());
        let of_id = given
            .as_ref()
            .and_then(|given| self.open.iter().position(|(id, _)| id == given));
        let found = of_id.or_else(|| self.open.iter().position(|(_, called)| *called == name));
        let id = match (found, given) {
            (Some(found), _) => self.open.remove(found).0,
            (None, Some(given)) => given.into_owned(),
            (None, None) => {
                let message = format!(
                    "`{}` is the result of `{}`, which no call before it has the name of",
                    place(),
                    printable(&name, 60)
                );
                return Err(ApiError::invalid("invalid_value", message).with_param(place()));
            }
        };
        self.begin("tool");
        let said = result.field("response").map_or("{}", |response| response.raw());
        let media: Vec<Value<'v>> = list_of(result.field("parts")).collect();
        if media.is_empty() {
            self.to.string(said);
        } else {
            self.to.open('[');
            self.to.open('{');
            self.to.text("type", "text");
            self.to.text("text", said);
            self.to.close('}');
            for part in media {
                self.part(part, place)?;
            }
            self.to.close(']');
        }
        self.to.text("tool_call_id", &id);
        self.to.close('}');
        Ok(())
    }

    /// A text, an image, a recording or a file, as a part.
    fn part(&mut self, part: Value<'v>, place: Place<'_>) -> Result<(), ApiError> {
        if let Some(text) = part.field("text") {
            if text.kind() != Kind::String {
                return Err(wrong_type(&format!("{}.text", place()), "a text"));
            }
            said(self.to, text);
        } else if let Some(blob) = member(part, "inlineData") {
            let place = || format!("{}.inlineData", place());
            let kind = media_type(blob).ok_or_else(|| missing(&format!("{}.mimeType", place())))?;
            let data = required(blob, "data", &place)?.as_str().unwrap_or_default();
            self.data(&kind, &standard(&data), blob);
        } else if let Some(file) = member(part, "fileData") {
            let uri = member(file, "fileUri").and_then(|uri| uri.as_str());
            let uri = uri.ok_or_else(|| missing(&format!("{}.fileData.fileUri", place())))?;
            self.located(&media_type(file).unwrap_or_default(), &uri, file);
        } else {
            self.lose(part);
        }
        Ok(())
    }

    fn data(&mut self, kind: &str, data: &str, blob: Value<'_>) {
        let sound = kind.strip_prefix("audio/").map(|format| match format {
            "mpeg" | "mp3" => "mp3",
            "wave" | "x-wav" | "vnd.wave" => "wav",
            other => other,
        });
        let Some(format) = sound else {
            return self.located(kind, &format!("data:{kind};base64,{data}"), blob);
        };
        self.to.open('{');
        self.to.text("type", "input_audio");
        self.to.key("input_audio");
        self.to.open('{');
        self.to.text("data", data);
        self.to.text("format", format);
        self.to.close('}');
        self.to.close('}');
    }

    fn located(&mut self, kind: &str, url: &str, source: Value<'_>) {
        let word = match kind {
            _ if kind.starts_with("image/") => "image_url",
            _ if kind.starts_with("video/") => "video_url",
            _ => "file",
        };
        self.to.open('{');
        self.to.text("type", word);
        self.to.key(word);
        self.to.open('{');
        if word == "file" {
            self.to.text("file_data", url);
            let name = member(source, "displayName").and_then(|name| name.as_str());
            name.into_iter().for_each(|name| self.to.text("filename", &name));
        } else {
            self.to.text("url", url);
        }
        self.to.close('}');
        self.to.close('}');
    }

    /// Names what a part is that has no canonical words.
    fn lose(&mut self, part: Value<'_>) {
        let beside = [
            "thought",
            "thoughtSignature",
            "thought_signature",
            "videoMetadata",
            "video_metadata",
        ];
        let names = part.members().filter_map(|(name, _)| name.as_str());
        let kinds = names.filter(|name| !beside.contains(&&**name));
        let kinds: Vec<Cow<'_, str>> = kinds.collect();
        if let Some(kind) = kinds.first() {
            self.lost.push(format!("parts of type {}", printable(kind, 60)));
        }
    }
}

fn said(to: &mut Writer, text: Value<'_>) {
    to.open('{');
    to.text("type", "text");
    to.member("text", text.raw());
    to.close('}');
}

fn media_type(data: Value<'_>) -> Option<String> {
    member(data, "mimeType").and_then(|kind| kind.as_str().map(|kind| kind.to_ascii_lowercase()))
}

fn required<'a>(object: Value<'a>, name: &str, place: Place<'_>) -> Result<Value<'a>, ApiError> {
    let value = object.field(name).filter(|value| value.kind() == Kind::String);
    value.ok_or_else(|| missing(&format!("{}.{name}", place())))
}
