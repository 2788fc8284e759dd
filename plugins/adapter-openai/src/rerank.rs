//! Rerankers, which OpenAI has none of: most providers answer as Cohere does, with `results`; some call them `data`, or send nothing but
//! the list.

use crate::{errors, usage};
use pointsman_plugin::translate::{Raw, read, unreadable, upstream};
use pointsman_plugin::{Answer, Failure};
use serde_json::{Map, Value, json};

/// An answer that has `results` keeps its bytes.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Failure> {
    let answer: Raw = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let answer = answer.get();
    if answer.starts_with('[') {
        let list: Vec<Value> = read(answer, "the answer").map_err(|failure| upstream(failure.message))?;
        let results: Vec<Value> = list.into_iter().map(result).collect();
        return Ok(Answer {
            body: json!({ "results": results }).to_string().into_bytes(),
            usage: None,
        });
    }
    let seen = usage::Seen::read(body).map_err(|error| unreadable(&error))?;
    if seen.error.is_some() {
        return Err(errors::explain_inside(body));
    }
    let used = seen.usage();
    let mut members: Map<String, Value> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let body = match (members.contains_key("results"), members.get("data")) {
        (false, Some(Value::Array(_))) => {
            let results = members.remove("data").unwrap_or_default();
            members.insert("results".to_owned(), results);
            Value::Object(members).to_string().into_bytes()
        }
        _ => body.to_vec(),
    };
    Ok(Answer { body, usage: used })
}

fn result(given: Value) -> Value {
    let Value::Object(mut given) = given else {
        return given;
    };
    if let Some(score) = given.remove("score") {
        given.entry("relevance_score").or_insert(score);
    }
    if let Some(Value::String(text)) = given.get("document") {
        given["document"] = json!({ "text": text });
    }
    given.into()
}
