//! What clients of OpenAI's would not understand in an answer, put into OpenAI's words: reasoning under another name or among
//! the parts of the content, calls without a number, foreign reasons to finish. Most answers have nothing of the kind, and pass
//! with every byte as it was.

use crate::usage::Seen;
use pointsman_plugin::translate::{made_up_id, unreadable, upstream};
use pointsman_plugin::{Failure, Kind};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Calls as they have come so far.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<(u64, Begun)>);

/// Of one choice: the provider's number and id of each, in the order of ours.
type Begun = Vec<(Option<u64>, String)>;

impl Calls {
    fn of(&mut self, choice: u64) -> &mut Begun {
        let at = self.0.iter().position(|(known, _)| *known == choice);
        let at = at.unwrap_or_else(|| {
            self.0.push((choice, Begun::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, begun)| begun.is_empty())
    }
}

/// A whole answer.
pub(crate) fn answer<'a>(body: &'a [u8], seen: &Seen, request_id: &str) -> Result<Cow<'a, [u8]>, Failure> {
    if !needs(seen, false) {
        return Ok(Cow::Borrowed(body));
    }
    let mut answer: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let before = answer.clone();
    for choice in answer["choices"].as_array_mut().into_iter().flatten() {
        let Some(message) = choice["message"].as_object_mut() else {
            continue;
        };
        say(message);
        let has_calls = whole_calls(message, request_id);
        finish(choice, has_calls)?;
    }
    written(body, &before, &answer)
}

/// A piece of an answer; `calls` are those so far.
pub(crate) fn chunk<'a>(
    body: &'a [u8],
    seen: &Seen,
    calls: &mut Calls,
    request_id: &str,
) -> Result<Cow<'a, [u8]>, Failure> {
    if !needs(seen, !calls.is_empty()) {
        return Ok(Cow::Borrowed(body));
    }
    let mut piece: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let before = piece.clone();
    for choice in piece["choices"].as_array_mut().into_iter().flatten() {
        let begun = calls.of(choice["index"].as_u64().unwrap_or(0));
        if let Some(delta) = choice["delta"].as_object_mut() {
            say(delta);
            number(delta, begun, request_id);
        }
        finish(choice, !begun.is_empty())?;
    }
    written(body, &before, &piece)
}

/// Whether anything may have to be changed; after calls, also a finish that does not speak of them.
fn needs(seen: &Seen, has_calls: bool) -> bool {
    seen.choices.iter().flatten().any(|choice| {
        let is_ours = |word: &str| match word {
            "\"stop\"" => !has_calls,
            word => matches!(word, "null" | "\"length\"" | "\"tool_calls\"" | "\"content_filter\""),
        };
        let said = choice.delta.as_ref().or(choice.message.as_ref());
        choice.finish_reason.is_some_and(|word| !is_ours(word.get()))
            || said.is_some_and(|said| {
                let is_list = |content: &serde_json::value::RawValue| content.get().starts_with('[');
                said.reasoning.is_some() || said.tool_calls.is_some() || said.content.is_some_and(is_list)
            })
    })
}

fn written<'a>(body: &'a [u8], before: &Value, after: &Value) -> Result<Cow<'a, [u8]>, Failure> {
    if before == after {
        return Ok(Cow::Borrowed(body));
    }
    let text = serde_json::to_vec(after).map_err(|error| upstream(format!("the answer cannot be written: {error}")))?;
    Ok(Cow::Owned(text))
}

/// Reasoning goes where most clients look for it, and content is a text.
fn say(said: &mut Map<String, Value>) {
    let has_text = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if has_text(said.get("reasoning")) && !has_text(said.get("reasoning_content")) {
        let reasoning = said.remove("reasoning").unwrap_or_default();
        said.insert("reasoning_content".to_owned(), reasoning);
    }
    let Some(Value::Array(parts)) = said.get("content") else {
        return;
    };
    let (mut text, mut thought) = (String::new(), String::new());
    let mut citations = Vec::new();
    for part in parts {
        match part["type"].as_str() {
            Some("thinking") => {
                let inner = part["thinking"].as_array().into_iter().flatten();
                thought.extend(inner.filter_map(|inner| inner["text"].as_str()));
                thought.extend(part["thinking"].as_str());
            }
            Some("reference") => citations.push(part.clone()),
            _ => text.extend(part["text"].as_str()),
        }
    }
    if !citations.is_empty() {
        said.insert("citations".to_owned(), citations.into());
    }
    if !thought.is_empty() {
        said.insert("reasoning_content".to_owned(), thought.into());
    }
    said.insert("content".to_owned(), text.into());
}

/// Calls have a type, an id, and the text of an object; no calls are no list. Whether there are any.
fn whole_calls(message: &mut Map<String, Value>, request_id: &str) -> bool {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else {
        message.remove("tool_calls");
        return false;
    };
    for (index, call) in (0..).zip(calls.iter_mut()) {
        if !call.is_object() {
            continue;
        }
        if call["id"].as_str().is_none_or(str::is_empty) {
            call["id"] = made_up_id(request_id, index).into();
        }
        if call["type"].is_null() {
            call["type"] = "function".into();
        }
        let arguments = &mut call["function"]["arguments"];
        match arguments {
            Value::String(text) if !text.trim().is_empty() => {}
            Value::Object(object) => *arguments = Value::Object(std::mem::take(object)).to_string().into(),
            _ => *arguments = "{}".into(),
        }
    }
    let has_calls = !calls.is_empty();
    if !has_calls {
        message.remove("tool_calls");
    } else if !message.contains_key("content") {
        message.insert("content".to_owned(), Value::Null);
    }
    has_calls
}

/// Calls are numbered from 0 as they come, keep their first id, and are not begun anew by a piece that repeats it.
fn number(delta: &mut Map<String, Value>, begun: &mut Begun, request_id: &str) {
    let Some(Value::Array(pieces)) = delta.get_mut("tool_calls") else {
        delta.remove("tool_calls");
        return;
    };
    if pieces.is_empty() {
        delta.remove("tool_calls");
        return;
    }
    for piece in pieces {
        let Some(piece) = piece.as_object_mut() else { continue };
        let id = piece.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let named = piece.get("index").and_then(Value::as_u64);
        // A number may be one of blocks of any kind, or the same for all calls; an id that is new begins a call.
        let is_same = |(number, known): &(Option<u64>, String)| match (id, named) {
            (Some(id), _) => id == known,
            (None, Some(named)) => *number == Some(named),
            (None, None) => false,
        };
        let count = begun.len();
        let at = match begun.iter().rposition(is_same) {
            Some(at) => at,
            None if id.is_none() && named.is_none() => count.saturating_sub(1),
            None => count,
        };
        let is_new = at == count;
        if is_new {
            let id = id.map_or_else(|| made_up_id(request_id, at as u32), str::to_owned);
            piece.insert("id".to_owned(), id.as_str().into());
            piece.entry("type").or_insert("function".into());
            begun.push((named, id));
        } else {
            piece.remove("id");
        }
        piece.insert("index".to_owned(), at.into());
        let Some(function) = piece.get_mut("function").and_then(Value::as_object_mut) else {
            continue;
        };
        if function
            .get("name")
            .is_some_and(|name| name.is_null() || (!is_new && name == ""))
        {
            function.remove("name");
        }
        match function.get_mut("arguments") {
            Some(object @ Value::Object(_)) => *object = object.to_string().into(),
            Some(null @ Value::Null) => *null = "".into(),
            _ => {}
        }
    }
}

/// OpenAI's own four words; what ends no answer is a failure.
fn finish(choice: &mut Value, has_calls: bool) -> Result<(), Failure> {
    let Some(word) = choice["finish_reason"].as_str() else {
        return Ok(());
    };
    let ours = match word {
        "insufficient_system_resource" => {
            return Err(Failure::new(
                Kind::Overloaded,
                "the provider broke off the answer, for it has too much to do",
            ));
        }
        "stop" | "eos" | "end_turn" if has_calls => "tool_calls",
        "eos" | "end_turn" => "stop",
        "model_length" | "max_tokens" | "model_context_window_exceeded" => "length",
        "sensitive" | "content_filtered" => "content_filter",
        _ => return Ok(()),
    };
    choice["finish_reason"] = json!(ours);
    Ok(())
}
