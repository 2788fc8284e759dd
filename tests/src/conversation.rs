//! A provider that holds a conversation, in whatever words it speaks: it reads what the gateway sent as its own kind of request,
//! answers what the last message asks for, and complains of what it does not understand, as a provider would. So one set of
//! scenes is played by every provider, and what an application sees of each can be compared with one table.
//!
//! `cast.rs` has who there is; each other file here is one provider's words, read and written.

mod anthropic;
mod bedrock;
mod cast;
mod cohere;
mod gemini;
mod ollama;
mod openai;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::Answer;

pub use cast::{CAST, Part, Stage};

/// What every answer took, and what it was, whatever the provider calls it.
const INPUT: u64 = 11;
const OUTPUT: u64 = 5;

/// A request, whoever's words it came in.
#[derive(Debug, Default)]
struct Asked {
    model: String,
    turns: Vec<Turn>,
    /// Tools by their names, with the schema of what they take.
    tools: Vec<(String, Value)>,
    /// What the answer has to fit.
    schema: Option<Value>,
    is_json: bool,
    is_stream: bool,
}

#[derive(Debug)]
struct Turn {
    is_models: bool,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Image { kind: String, bytes: Vec<u8> },
    Call { id: String, name: String, arguments: Value },
    Result { id: String, text: String },
}

/// What the provider says to it.
#[derive(Debug)]
enum Said {
    Text(String),
    Calls(Vec<Call>),
    Refusal(Refusal),
}

/// A call of a tool; providers that have ids give it this one.
#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: Value,
}

/// Why there is no answer. Each provider has a status and words of its own for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// The gateway's key is wrong.
    Key,
    /// There is no such model.
    Unknown,
    /// Too many requests; come back after so many milliseconds.
    Limited(u64),
    /// More than the model's context.
    TooLong,
    /// No room for anybody.
    Overloaded,
    /// The request is not as it has to be.
    Wrong(String),
}

/// Which scenes have been played that differ when they are played again.
#[derive(Debug, Default)]
struct Memory(Mutex<HashSet<String>>);

impl Memory {
    fn is_new(&self, text: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text.to_owned())
    }
}

/// The scene that the conversation is in.
fn reply(asked: &Asked, memory: &Memory) -> Said {
    let last = asked
        .turns
        .iter()
        .rposition(|turn| turn.is_models)
        .map_or(0, |at| at + 1);
    let (said, new) = asked.turns.split_at(last);
    let new: Vec<&Piece> = new.iter().flat_map(|turn| &turn.pieces).collect();
    let text: String = asked
        .turns
        .iter()
        .flat_map(|turn| &turn.pieces)
        .filter_map(text_of)
        .collect();
    if let Some(refusal) = refusal_of(&text, asked, memory) {
        return Said::Refusal(refusal);
    }
    if new.iter().any(|piece| matches!(piece, Piece::Result { .. })) {
        // SDKs give back a streamed answer in as many turns as it had events.
        let called = said
            .iter()
            .rev()
            .take_while(|turn| turn.is_models)
            .flat_map(|turn| turn.pieces.iter().rev());
        let mut called: Vec<&Piece> = called.collect();
        called.reverse();
        return told(&called, &new);
    }
    if let Some((name, schema)) = asked.tools.first() {
        return calls(name, schema);
    }
    if asked.is_json || asked.schema.is_some() {
        return match asked
            .schema
            .as_ref()
            .map_or(Ok(()), |schema| has_members(schema, &["city", "degrees"]))
        {
            Ok(()) => Said::Text(READING.to_owned()),
            Err(refusal) => Said::Refusal(refusal),
        };
    }
    let image = new.iter().find_map(|piece| match piece {
        Piece::Image { kind, bytes } => Some(format!(
            "{kind} of {} bytes, {:08x}",
            bytes.len(),
            crc32fast::hash(bytes)
        )),
        _ => None,
    });
    let busy = text.contains("Busy once");
    Said::Text(image.unwrap_or_else(|| if busy { "At last" } else { "Hello there" }.to_owned()))
}

const READING: &str = r#"{"city":"Köln","degrees":21}"#;

fn text_of(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Text(text) => Some(text),
        _ => None,
    }
}

/// Failures are asked for by a word, and by the model where the gateway remembers them.
fn refusal_of(text: &str, asked: &Asked, memory: &Memory) -> Option<Refusal> {
    let is_busy = text.contains("Busy once") && memory.is_new(&format!("{} {text}", asked.model));
    if is_busy {
        return Some(Refusal::Limited(20));
    }
    let scenes = [
        ("wrong key", Refusal::Key),
        ("no such model", Refusal::Unknown),
        ("too many requests", Refusal::Limited(7000)),
        ("too long", Refusal::TooLong),
        ("no room", Refusal::Overloaded),
    ];
    let (_, word) = text.split_once("Fail: ")?;
    let found = scenes.into_iter().find(|(name, _)| word.starts_with(name));
    Some(found.map_or(Refusal::Wrong(format!("no scene `{word}`")), |(_, refusal)| refusal))
}

/// Two calls at one time of a tool that knows the weather, or one of a tool whose arguments are the object that is wanted.
fn calls(name: &str, schema: &Value) -> Said {
    let call = |number: usize, arguments: Value| Call {
        // Some providers want nine letters and digits.
        id: format!("called00{number}"),
        name: name.to_owned(),
        arguments,
    };
    let city = |number: usize, city: &str| call(number, json!({ "city": city }));
    let is_reading = has_members(schema, &["degrees"]).is_ok();
    let wanted = if is_reading {
        &["city", "degrees"][..]
    } else {
        &["city"]
    };
    match has_members(schema, wanted) {
        Ok(()) if is_reading => Said::Calls(vec![call(1, json!({ "city": "Köln", "degrees": 21 }))]),
        Ok(()) => Said::Calls(vec![city(1, "Köln"), city(2, "Bonn")]),
        Err(refusal) => Said::Refusal(refusal),
    }
}

/// Whether each call has its result, in the order of the calls.
fn told(called: &[&Piece], new: &[&Piece]) -> Said {
    let calls = called.iter().filter_map(|piece| match piece {
        Piece::Call { id, name, arguments } => Some((id.as_str(), name.as_str(), arguments["city"].as_str()?)),
        _ => None,
    });
    let results = new.iter().filter_map(|piece| match piece {
        Piece::Result { id, text } => Some((id.as_str(), text.as_str())),
        _ => None,
    });
    let (calls, results): (Vec<_>, Vec<_>) = (calls.collect(), results.collect());
    let fits = |((id, name, city), (other, text)): (&(&str, &str, &str), &(&str, &str))| {
        // What was JSON at the client may have its letters written as numbers.
        let text = serde_json::from_str::<Value>(text).map_or_else(|_| (*text).to_owned(), |json| json.to_string());
        id == other && *name == "weather" && text.contains(&format!("sunny in {city}"))
    };
    if calls.len() == 2 && results.len() == 2 && calls.iter().zip(&results).all(fits) {
        return Said::Text("Both are sunny".to_owned());
    }
    Said::Text(format!("{calls:?} have other results: {results:?}"))
}

/// Whether a schema came with its members.
fn has_members(schema: &Value, names: &[&str]) -> Result<(), Refusal> {
    let has = |name: &str| schema["properties"][name].is_object();
    match names.iter().all(|name| has(name)) {
        true => Ok(()),
        false => Err(Refusal::Wrong(format!(
            "the schema lacks a member of {names:?}: {schema}"
        ))),
    }
}

/// The pieces that a text is streamed in; none of them cuts a character.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|piece| piece.iter().collect()).collect()
}

/// The vector of a text: how long it is says which one it belongs to.
fn vector(text: &Value) -> Result<Vec<f32>, String> {
    let text = text.as_str().ok_or_else(|| format!("{text} is no text"))?;
    Ok(vec![text.chars().count() as f32 + 0.5, 0.25])
}

/// One text or several.
fn texts(input: &Value) -> Vec<Value> {
    input.as_array().cloned().unwrap_or_else(|| vec![input.clone()])
}

/// A member that must be a text.
fn string(value: &Value, what: &str) -> Result<String, String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("{what} is {value}, which is no text"))
}

fn list<'v>(value: &'v Value, what: &str) -> Result<&'v Vec<Value>, String> {
    value
        .as_array()
        .ok_or_else(|| format!("{what} is {value}, which is no list"))
}

fn bytes(data: &Value) -> Result<Vec<u8>, String> {
    let data = string(data, "the image's data")?;
    STANDARD
        .decode(&data)
        .map_err(|error| format!("the image's data is no Base64: {error}"))
}

/// What stands behind `data:` in an address.
fn image(url: &str) -> Result<Piece, String> {
    let rest = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (kind, data) = rest.ok_or_else(|| format!("no image is at {url}"))?;
    Ok(Piece::Image {
        kind: kind.to_owned(),
        bytes: bytes(&data.into())?,
    })
}

/// The seconds of `retry-after`, and beside them what some SDKs read first.
fn with_time(answer: Answer, refusal: &Refusal) -> Answer {
    let Refusal::Limited(after) = refusal else {
        return answer;
    };
    let seconds = after.div_ceil(1000).to_string();
    answer
        .header("retry-after", &seconds)
        .header("retry-after-ms", &after.to_string())
}
