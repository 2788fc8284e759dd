//! A request in Gemini's words becomes a canonical one. What only an adapter of its dialect understands keeps Gemini's names, as the
//! canonical form does; `plain` leaves it out for other providers.

use bytes::Bytes;

use super::super::Canonical;
use super::super::chat::{missing, wrong_type};
use super::super::strictness::is_strict;
use super::contents::Conversation;
use super::{LIMITS, camel, list_of, member, schema};
use crate::error::{ApiError, printable};
use crate::json::{Document, Kind, Value, Writer};

/// Members that are translated, or that change nothing about an answer.
const KNOWN: [&str; 9] = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "serviceTier",
];
/// The same of `generationConfig`.
const CONFIG: [&str; 21] = [
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "stopSequences",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseModalities",
    "thinkingConfig",
    "mediaResolution",
    "speechConfig",
    "imageConfig",
    "audioTimestamp",
];
/// Members of `generationConfig` that mean the same under another name.
const RENAMED: [(&str, &str); 6] = [
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("seed", "seed"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
    ("responseLogprobs", "logprobs"),
];
/// Members of `generationConfig` that only adapters of this dialect know.
const OWN: [(&str, &str); 3] = [
    ("mediaResolution", "media_resolution"),
    ("speechConfig", "speech_config"),
    ("imageConfig", "image_config"),
];

/// What a client asks for, as its path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Method {
    Generate,
    Stream,
    Count,
}

/// The canonical request.
pub(in super::super) fn canonical(body: Value<'_>, model: &str, method: Method) -> Result<Canonical, ApiError> {
    let nested = member(body, "generateContentRequest").filter(|_| method == Method::Count);
    let body = nested.unwrap_or(body);
    if body.kind() != Kind::Object {
        return Err(wrong_type("generateContentRequest", "an object"));
    }
    let mut reading = Reading {
        to: Writer::with_capacity(body.raw().len() + body.raw().len() / 8),
        lost: Vec::new(),
        needs: None,
    };
    reading.to.open('{');
    reading.to.text("model", model);
    if method == Method::Stream {
        reading.to.member("stream", "true");
        reading.to.member("stream_options", r#"{"include_usage":true}"#);
    }
    reading.lose_unknown(body, &KNOWN, "");
    if let Some(config) = object(body, "generationConfig")? {
        reading.lose_unknown(config, &CONFIG, "generationConfig.");
        reading.config(config)?;
    }
    reading.tools(body)?;
    reading.choice(body)?;
    if let Some(settings) = member(body, "safetySettings").filter(|settings| settings.raw() != "[]") {
        reading.to.member("safety_settings", settings.raw());
    }
    if member(body, "cachedContent").is_some() {
        reading.needs = Some("cachedContent");
    }
    reading.tier(body);
    let Reading {
        mut to,
        mut lost,
        needs,
    } = reading;
    to.key("messages");
    to.open('[');
    let mut conversation = Conversation::new(&mut to, &mut lost);
    conversation.system(member(body, "systemInstruction"))?;
    let contents = member(body, "contents").ok_or_else(|| missing("contents"))?;
    if !matches!(contents.kind(), Kind::Array | Kind::Object) {
        return Err(wrong_type("contents", "an array of contents"));
    }
    for (index, content) in list_of(Some(contents)).enumerate() {
        conversation.content(content, &|| format!("contents[{index}]"))?;
    }
    if !conversation.end() {
        return Err(
            ApiError::invalid("invalid_value", "`contents` must hold at least one part").with_param("contents"),
        );
    }
    to.close(']');
    to.close('}');
    lost.sort();
    lost.dedup();
    Ok(Canonical {
        text: to.finish(),
        lost,
        needs,
    })
}

/// A member that must be an object.
fn object<'a>(body: Value<'a>, name: &str) -> Result<Option<Value<'a>>, ApiError> {
    match member(body, name) {
        Some(value) if value.kind() != Kind::Object => Err(wrong_type(name, "an object")),
        found => Ok(found),
    }
}

struct Reading {
    to: Writer,
    lost: Vec<String>,
    needs: Option<&'static str>,
}

impl Reading {
    fn lose_unknown(&mut self, object: Value<'_>, known: &[&str], place: &str) {
        for (name, value) in object.members() {
            let name = name.as_str().unwrap_or_default();
            let is_known = known.contains(&&*name) || known.contains(&&*camel(&name));
            if !is_known && !value.is_null() {
                self.lost.push(printable(&format!("{place}{name}"), 80));
            }
        }
    }

    fn config(&mut self, config: Value<'_>) -> Result<(), ApiError> {
        for (name, canonical) in RENAMED {
            if let Some(value) = member(config, name) {
                self.to.member(canonical, value.raw());
            }
        }
        for (name, canonical) in [("candidateCount", "n"), ("maxOutputTokens", "max_completion_tokens")] {
            let Some(count) = member(config, name) else { continue };
            let count = count.as_u64().filter(|count| *count > 0);
            let count =
                count.ok_or_else(|| wrong_type(&format!("generationConfig.{name}"), "a positive whole number"))?;
            self.to.number(canonical, count);
        }
        // SDKs write a number with a point, and everybody else reads a whole one.
        if let Some(most) = member(config, "topK")
            .and_then(|most| most.as_f64())
            .filter(|most| *most >= 1.0)
        {
            self.to.number("top_k", most as u64);
        }
        if member(config, "responseLogprobs").is_some_and(|wish| wish.as_bool() == Some(true))
            && let Some(most) = member(config, "logprobs")
        {
            self.to.member("top_logprobs", most.raw());
        }
        if let Some(stops) = member(config, "stopSequences") {
            if stops.kind() != Kind::Array {
                return Err(wrong_type("generationConfig.stopSequences", "an array of texts"));
            }
            if stops.elements().next().is_some() {
                self.to.member("stop", stops.raw());
            }
        }
        self.thinking(config);
        self.format(config)?;
        self.modalities(config);
        self.own(config);
        Ok(())
    }

    /// How much the model thinks: a word, or a number of tokens. A negative one leaves it to the model.
    fn thinking(&mut self, config: Value<'_>) {
        let Some(thinking) = member(config, "thinkingConfig") else {
            return;
        };
        let level = member(thinking, "thinkingLevel").and_then(|level| level.as_str());
        let level = level.map(|level| level.to_ascii_lowercase());
        let budget = member(thinking, "thinkingBudget").and_then(|budget| budget.as_f64());
        match (level.as_deref(), budget) {
            (Some(level @ ("minimal" | "low" | "medium" | "high")), _) => self.to.text("reasoning_effort", level),
            (_, Some(0.0)) => self.to.member("thinking", r#"{"type":"disabled"}"#),
            (_, Some(budget)) if budget >= 1.0 => {
                self.to.key("thinking");
                self.to.open('{');
                self.to.text("type", "enabled");
                self.to.number("budget_tokens", budget as u64);
                self.to.close('}');
            }
            _ if member(thinking, "includeThoughts").is_some_and(|wish| wish.as_bool() == Some(true)) => {
                self.to.member("thinking_config", r#"{"includeThoughts":true}"#);
            }
            _ => {}
        }
    }

    /// Which form the answer has. Types of media other than JSON ask for nothing that other providers know.
    fn format(&mut self, config: Value<'_>) -> Result<(), ApiError> {
        let json = ["responseJsonSchema", "_responseJsonSchema"];
        let json = json.into_iter().find_map(|name| member(config, name));
        let subset = member(config, "responseSchema");
        let schema = match (json, subset) {
            (Some(schema), _) => Some(schema.raw().to_owned()),
            (None, Some(subset)) => Some(schema::json(subset, "generationConfig.responseSchema")?),
            (None, None) => None,
        };
        let kind = member(config, "responseMimeType").and_then(|kind| kind.as_str());
        match (schema, kind.as_deref()) {
            (Some(schema), Some("application/json") | None) => {
                let read = Document::parse(Bytes::copy_from_slice(schema.as_bytes()), LIMITS);
                let is_strict = read.is_ok_and(|schema| is_strict(schema.root()));
                self.to.key("response_format");
                self.to.open('{');
                self.to.text("type", "json_schema");
                self.to.key("json_schema");
                self.to.open('{');
                self.to.text("name", "answer");
                if is_strict {
                    self.to.member("strict", "true");
                }
                self.to.member("schema", &schema);
                self.to.close('}');
                self.to.close('}');
            }
            (None, Some("application/json")) => self.to.member("response_format", r#"{"type":"json_object"}"#),
            (_, None | Some("text/plain")) => {}
            (_, Some(_)) => self.lost.push("generationConfig.responseMimeType".to_owned()),
        }
        Ok(())
    }

    /// Sound has no place in the canonical form's answers.
    fn modalities(&mut self, config: Value<'_>) {
        let modalities: Vec<String> = list_of(member(config, "responseModalities"))
            .filter_map(|modality| modality.as_str().map(|modality| modality.to_ascii_lowercase()))
            .collect();
        if modalities.iter().any(|modality| modality == "audio") {
            self.needs = Some("generationConfig.responseModalities");
        } else if modalities.iter().any(|modality| modality == "image") {
            self.to.member("modalities", r#"["text","image"]"#);
        }
    }

    fn own(&mut self, config: Value<'_>) {
        let mut own = OWN
            .iter()
            .filter_map(|(name, canonical)| Some((canonical, member(config, name)?)))
            .peekable();
        if own.peek().is_none() {
            return;
        }
        self.to.key("generation_config");
        self.to.open('{');
        for (canonical, value) in own {
            self.to.member(canonical, value.raw());
        }
        self.to.close('}');
    }

    /// Functions are described in OpenAI's way; Google's own tools, which it runs itself, keep their words.
    fn tools(&mut self, body: Value<'_>) -> Result<(), ApiError> {
        let mut tools: Vec<String> = Vec::new();
        for (index, tool) in list_of(member(body, "tools")).enumerate() {
            if tool.kind() != Kind::Object {
                return Err(wrong_type(&format!("tools[{index}]"), "an object"));
            }
            for (name, value) in tool.members() {
                let name = name.as_str().unwrap_or_default();
                if camel(&name) == "functionDeclarations" {
                    for (place, function) in list_of(Some(value)).enumerate() {
                        let place = format!("tools[{index}].functionDeclarations[{place}]");
                        tools.push(declaration(function, &place)?);
                    }
                } else if !value.is_null() {
                    tools.push(format!("{{{}:{}}}", serde_json::Value::from(&*name), value.raw()));
                }
            }
        }
        if !tools.is_empty() {
            self.to.key("tools");
            self.to.open('[');
            tools.iter().for_each(|tool| self.to.raw(tool));
            self.to.close(']');
        }
        Ok(())
    }

    fn choice(&mut self, body: Value<'_>) -> Result<(), ApiError> {
        let config = object(body, "toolConfig")?.and_then(|config| member(config, "functionCallingConfig"));
        let Some(config) = config else { return Ok(()) };
        let mode = member(config, "mode").and_then(|mode| mode.as_str());
        let mode = match mode.as_deref() {
            Some("ANY" | "any") => "required",
            Some("NONE" | "none") => {
                self.to.text("tool_choice", "none");
                return Ok(());
            }
            Some("AUTO" | "auto" | "VALIDATED" | "validated" | "MODE_UNSPECIFIED") | None => "auto",
            Some(_) => {
                let place = "toolConfig.functionCallingConfig.mode";
                return Err(wrong_type(place, "`AUTO`, `ANY`, `NONE` or `VALIDATED`"));
            }
        };
        let names: Vec<Value<'_>> = list_of(member(config, "allowedFunctionNames")).collect();
        self.to.key("tool_choice");
        match names.as_slice() {
            [] => self.to.string(mode),
            [only] if mode == "required" => function_by(&mut self.to, *only),
            several => {
                self.to.open('{');
                self.to.text("type", "allowed_tools");
                self.to.key("allowed_tools");
                self.to.open('{');
                self.to.text("mode", mode);
                self.to.key("tools");
                self.to.open('[');
                several.iter().for_each(|name| function_by(&mut self.to, *name));
                self.to.close(']');
                self.to.close('}');
                self.to.close('}');
            }
        }
        Ok(())
    }

    fn tier(&mut self, body: Value<'_>) {
        let tier = member(body, "serviceTier").and_then(|tier| tier.as_str().map(|tier| tier.to_ascii_lowercase()));
        match tier.as_deref() {
            Some("standard") => self.to.text("service_tier", "default"),
            Some(tier @ ("flex" | "priority")) => self.to.text("service_tier", tier),
            Some("unspecified" | "service_tier_unspecified") | None => {}
            Some(_) => self.lost.push("serviceTier".to_owned()),
        }
    }
}

/// A function as a choice names it.
fn function_by(to: &mut Writer, name: Value<'_>) {
    to.open('{');
    to.text("type", "function");
    to.key("function");
    to.open('{');
    to.member("name", name.raw());
    to.close('}');
    to.close('}');
}

fn declaration(function: Value<'_>, place: &str) -> Result<String, ApiError> {
    let name = function.field("name").filter(|name| name.kind() == Kind::String);
    let name = name.ok_or_else(|| wrong_type(&format!("{place}.name"), "a text"))?;
    let mut to = Writer::default();
    to.open('{');
    to.text("type", "function");
    to.key("function");
    to.open('{');
    to.member("name", name.raw());
    to.take("description", function, "description");
    match (member(function, "parametersJsonSchema"), function.field("parameters")) {
        (Some(schema), _) => to.member("parameters", schema.raw()),
        (None, Some(subset)) => to.member("parameters", &schema::json(subset, &format!("{place}.parameters"))?),
        (None, None) => {}
    }
    to.close('}');
    to.close('}');
    Ok(String::from_utf8(to.finish()).unwrap_or_default())
}
