//! A whole canonical answer as one of OpenAI's responses: of several choices, the first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::made::{self, annotations};
use super::{CUSTOM_INPUT, SIGNED, Turn};
use crate::json::{Document, Kind, Limits, Value, Writer};
use crate::money::Usage;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// What a response repeats of its request, as members.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Echo {
    members: String,
    /// What the response is called, without `resp_`, where it is not the answer's own id.
    id: Option<String>,
    /// Names of tools that take a text.
    custom: Vec<String>,
}

/// Members that are repeated, with what they are where the request does not say.
const REPEATED: [(&str, &str); 16] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("service_tier", "\"default\""),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

impl Echo {
    /// Of this request. Where it is no turn of a conversation that is kept, nothing is, whatever it asks for.
    pub(in super::super) fn of(request: Option<&Document>, turn: Option<&Turn>) -> Self {
        let mut members = format!("\"store\":{}", turn.is_some_and(|turn| turn.is_kept));
        let previous = turn.and_then(|turn| turn.previous.as_deref());
        let previous = previous.map(|previous| serde_json::Value::from(previous).to_string());
        for (name, otherwise) in REPEATED {
            let said = request.and_then(|request| request.root().field(name));
            let value = match (name, &previous) {
                ("previous_response_id", Some(previous)) => previous,
                _ => said.map_or(otherwise, |value| value.raw()),
            };
            // A stream writes it on one line, where line feeds stand between values only.
            let value = value.replace(['\r', '\n'], " ");
            members.push_str(&format!(",\"{name}\":{value}"));
        }
        let id = turn.map(|turn| turn.id.trim_start_matches("resp_").to_owned());
        let tools = request.and_then(|request| request.root().field("tools"));
        let custom = tools.into_iter().flat_map(|tools| tools.elements());
        let custom = custom.filter(|tool| tool.field("type").is_some_and(|kind| kind.is("custom")));
        let custom = custom.filter_map(|tool| Some(tool.field("name")?.as_str()?.into_owned()));
        Self {
            members,
            id,
            custom: custom.collect(),
        }
    }

    /// Whether this, a name as JSON, is that of a tool that takes a text.
    pub(super) fn is_custom(&self, name: &str) -> bool {
        let name: Option<String> = serde_json::from_str(name).ok();
        name.is_some_and(|name| self.custom.contains(&name))
    }
}

/// What a response is known by.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Without `resp_`.
    pub(super) id: String,
    /// JSON.
    model: String,
    created: u64,
}

impl Head {
    pub(super) fn of(answer: Value<'_>, echo: &Echo) -> Self {
        let id = answer.field("id").and_then(|id| id.as_str()).unwrap_or_default();
        Self {
            id: echo
                .id
                .clone()
                .unwrap_or_else(|| id.trim_start_matches("chatcmpl-").to_owned()),
            model: answer.field("model").map_or("\"\"", |model| model.raw()).to_owned(),
            created: answer
                .field("created")
                .and_then(|created| created.as_u64())
                .unwrap_or(0),
        }
    }
}

/// How far a response is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status<'a> {
    InProgress,
    /// With the reason to finish, and what was used.
    Ended(Option<&'a str>, Option<&'a Usage>),
}

impl Status<'_> {
    /// Why it is not all that could have been said.
    pub(super) fn incomplete(self) -> Option<&'static str> {
        match self {
            Self::Ended(Some("length"), _) => Some("max_output_tokens"),
            Self::Ended(Some("content_filter"), _) => Some("content_filter"),
            _ => None,
        }
    }
}

/// The response. An answer that cannot be read, of which there is none, passes as it came.
pub(in super::super) fn whole(answer: Bytes, usage: Option<&Usage>, echo: &Echo) -> Bytes {
    let Ok(document) = Document::parse(answer.clone(), LIMITS) else {
        return answer;
    };
    let root = document.root();
    let is_first = |choice: &Value<'_>| choice.get("index").is_none_or(|index| index.as_u64() == Some(0));
    let choices = root.field("choices");
    let choice = choices.and_then(|choices| choices.elements().find(is_first));
    let head = Head::of(root, echo);
    let said = choice.and_then(|choice| choice.field("message"));
    let logprobs = choice.and_then(|choice| choice.field("logprobs")?.field("content"));
    let logprobs = logprobs.map_or("[]", |logprobs| logprobs.raw());
    let items = said.map_or_else(Vec::new, |said| items(said, logprobs, &head.id, echo));
    let finish = choice.and_then(|choice| choice.field("finish_reason")?.as_str());
    let mut to = Writer::with_capacity(answer.len() + 512);
    response(&mut to, &head, Status::Ended(finish.as_deref(), usage), &items, echo);
    to.finish().into()
}

fn items(said: Value<'_>, logprobs: &str, id: &str, echo: &Echo) -> Vec<String> {
    let mut items = Vec::new();
    let told = said.field("reasoning_content").or_else(|| said.field("reasoning"));
    let told = told.and_then(|told| told.as_str()).unwrap_or_default();
    let signed = said.field("thinking_blocks").map(|blocks| blocks.raw());
    if !told.is_empty() || signed.is_some() {
        items.push(reasoning(&format!("rs_{id}"), &told, signed));
    }
    let text = |name: &str| {
        said.field(name)
            .and_then(|text| text.as_str())
            .filter(|text| !text.is_empty())
    };
    if let Some(text) = text("content") {
        let annotations = annotations(said, 0).collect::<Vec<_>>();
        items.push(message(
            &format!("msg_{id}"),
            &Said::Text(&text, logprobs, &annotations),
        ));
    } else if let Some(refusal) = text("refusal") {
        items.push(message(&format!("msg_{id}"), &Said::Refusal(&refusal)));
    }
    for (index, image) in made::images(said).enumerate() {
        items.push(made::item_of(&format!("ig_{id}_{index}"), Some(&image)));
    }
    let calls = said.field("tool_calls").into_iter().flat_map(|calls| calls.elements());
    for (index, called) in calls.enumerate() {
        let Some(function) = called.field("function") else {
            continue;
        };
        let json = |value: Option<Value<'_>>| value.map_or("\"\"", |value| value.raw()).to_owned();
        let arguments = function.field("arguments").and_then(|arguments| arguments.as_str());
        let names = (&*json(called.field("id")), &*json(function.field("name")));
        if echo.is_custom(names.1) {
            let input = arguments.as_deref().map_or_else(String::new, custom_input);
            items.push(custom_call(&format!("ctc_{id}_{index}"), names, &input, true));
            continue;
        }
        items.push(call(
            &format!("fc_{id}_{index}"),
            names,
            arguments.as_deref().unwrap_or("{}"),
            true,
        ));
    }
    items
}

/// Reasoning with what its provider signed, for the next turn.
pub(super) fn reasoning(id: &str, text: &str, signed: Option<&str>) -> String {
    item(|to| {
        to.text("id", id);
        to.text("type", "reasoning");
        to.key("summary");
        to.open('[');
        if !text.is_empty() {
            to.open('{');
            to.text("type", "summary_text");
            to.text("text", text);
            to.close('}');
        }
        to.close(']');
        if let Some(signed) = signed {
            to.text("encrypted_content", &format!("{SIGNED}{}", STANDARD.encode(signed)));
        }
    })
}

/// What a message says.
pub(super) enum Said<'a> {
    /// Nothing yet.
    Nothing,
    /// With JSON of how likely its tokens were, and of what it rests on.
    Text(&'a str, &'a str, &'a [String]),
    Refusal(&'a str),
}

impl Said<'_> {
    /// As a part of a content.
    pub(super) fn part(&self) -> String {
        item(|to| match self {
            Self::Nothing => {}
            Self::Text(text, logprobs, annotations) => {
                to.text("type", "output_text");
                to.text("text", text);
                to.key("annotations");
                to.open('[');
                annotations.iter().for_each(|annotation| to.raw(annotation));
                to.close(']');
                to.member("logprobs", logprobs);
            }
            Self::Refusal(text) => {
                to.text("type", "refusal");
                to.text("refusal", text);
            }
        })
    }
}

pub(super) fn message(id: &str, said: &Said<'_>) -> String {
    let is_begun = matches!(said, Said::Nothing);
    item(|to| {
        to.text("id", id);
        to.text("type", "message");
        to.text("status", if is_begun { "in_progress" } else { "completed" });
        to.text("role", "assistant");
        to.key("content");
        to.open('[');
        if !is_begun {
            to.raw(&said.part());
        }
        to.close(']');
    })
}

/// A call by its id and name, both JSON.
pub(super) fn call(id: &str, (call_id, name): (&str, &str), arguments: &str, is_whole: bool) -> String {
    item(|to| {
        to.text("id", id);
        to.text("type", "function_call");
        to.text("status", if is_whole { "completed" } else { "in_progress" });
        to.member("call_id", call_id);
        to.member("name", name);
        to.text("arguments", arguments);
    })
}

/// The call of a tool that takes a text.
pub(super) fn custom_call(id: &str, (call_id, name): (&str, &str), input: &str, is_whole: bool) -> String {
    item(|to| {
        to.text("id", id);
        to.text("type", "custom_tool_call");
        to.text("status", if is_whole { "completed" } else { "in_progress" });
        to.member("call_id", call_id);
        to.member("name", name);
        to.text("input", input);
    })
}

/// The text in the arguments of a function that stands for such a tool; all of them where a model has not kept to it.
pub(super) fn custom_input(arguments: &str) -> String {
    let read = Document::parse(Bytes::copy_from_slice(arguments.as_bytes()), LIMITS).ok();
    let input = read.and_then(|read| Some(read.root().field(CUSTOM_INPUT)?.as_str()?.into_owned()));
    input.unwrap_or_else(|| arguments.to_owned())
}

pub(super) fn item(write: impl FnOnce(&mut Writer)) -> String {
    let mut to = Writer::default();
    to.open('{');
    write(&mut to);
    to.close('}');
    String::from_utf8(to.finish()).unwrap_or_default()
}

/// The response as an object.
pub(super) fn response(to: &mut Writer, head: &Head, status: Status<'_>, items: &[String], echo: &Echo) {
    let incomplete = status.incomplete();
    to.open('{');
    to.text("id", &format!("resp_{}", head.id));
    to.text("object", "response");
    to.number("created_at", head.created);
    let word = match (status, incomplete) {
        (Status::InProgress, _) => "in_progress",
        (_, Some(_)) => "incomplete",
        (_, None) => "completed",
    };
    to.text("status", word);
    to.member("error", "null");
    to.key("incomplete_details");
    match incomplete {
        Some(reason) => {
            to.open('{');
            to.text("reason", reason);
            to.close('}');
        }
        None => to.raw("null"),
    }
    to.member("model", &head.model);
    to.key("output");
    to.open('[');
    items.iter().for_each(|item| to.raw(item));
    to.close(']');
    to.key("usage");
    match status {
        Status::Ended(_, Some(usage)) => write_usage(to, usage),
        _ => to.raw("null"),
    }
    to.raw(&echo.members);
    to.close('}');
}

fn write_usage(to: &mut Writer, usage: &Usage) {
    let input = usage.all_input();
    to.open('{');
    to.number("input_tokens", input);
    to.key("input_tokens_details");
    to.open('{');
    to.number("cached_tokens", usage.cache_read);
    to.close('}');
    to.number("output_tokens", usage.output);
    to.key("output_tokens_details");
    to.open('{');
    to.number("reasoning_tokens", usage.reasoning);
    to.close('}');
    to.number("total_tokens", input.saturating_add(usage.output));
    to.close('}');
}

/// Whether a value is a text with anything in it.
pub(super) fn has_text(value: &Value<'_>) -> bool {
    value.kind() == Kind::String && value.str_len() > 0
}
