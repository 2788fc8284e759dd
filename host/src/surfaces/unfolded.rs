//! The members of other gateways' clients in a form, whose fields are texts: SDKs write `provider[only][]` for what is an object in
//! JSON, or JSON as a text. They become what they are in JSON, so that they are read as there; all else stays as it came.

use serde_json::{Map, Value as Json};

use crate::config::Extensions;
use crate::error::ApiError;
use crate::json::{Document, Edit, Kind, Limits, Value};

/// OpenRouter's members, and LiteLLM's, of which the last two are texts or hold them.
const OPENROUTER: [&str; 3] = ["models", "route", "provider"];
const LITELLM: [&str; 5] = ["fallbacks", "num_retries", "timeout", "mock_response", "metadata"];

/// A form's fields with these members as JSON has them.
pub(super) fn unfolded(document: Document, known: Extensions, limits: Limits) -> Result<Document, ApiError> {
    let mut made = Map::new();
    let mut gone = Vec::new();
    for (name, value) in document.root().members() {
        let Some(name) = name.as_str() else { continue };
        let (member, inside) = name.split_once('[').unwrap_or((&*name, ""));
        let is_known = known.openrouter && OPENROUTER.contains(&member) || known.litellm && LITELLM.contains(&member);
        // OpenAI's own metadata are texts.
        let is_theirs = member != "metadata" || inside.starts_with("tags]");
        let value = read(value).filter(|_| is_known && is_theirs && member != "mock_response");
        let Some(value) = value else { continue };
        let mut path: Vec<&str> = vec![member];
        path.extend(inside.split(['[', ']']).filter(|step| !step.is_empty()));
        put(&mut made, &path, value);
        if !inside.is_empty() {
            gone.push(format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        }
    }
    if made.is_empty() {
        return Ok(document);
    }
    let made: Vec<(String, String)> = made
        .into_iter()
        .map(|(name, value)| (format!("/{name}"), value.to_string()))
        .collect();
    let removed = gone.iter().map(|pointer| Edit { pointer, value: None });
    let added = made.iter().map(|(pointer, value)| Edit {
        pointer,
        value: Some(value),
    });
    let text = document.with(&removed.chain(added).collect::<Vec<_>>());
    let text = text.map_err(|error| ApiError::invalid("invalid_form", format!("the request body: {error}")))?;
    let document = Document::parse(text.into(), limits);
    document.map_err(|error| ApiError::invalid("invalid_form", format!("the request body: {error}")))
}

/// What a text says where it is JSON, and the text where it is none; nothing for a file.
fn read(value: Value<'_>) -> Option<Json> {
    match value.kind() {
        Kind::String => {
            let text = value.as_str()?;
            Some(serde_json::from_str(&text).unwrap_or_else(|_| Json::from(text.as_ref())))
        }
        Kind::Array => value.elements().map(read).collect::<Option<Vec<_>>>().map(Json::Array),
        _ => None,
    }
}

fn put(of: &mut Map<String, Json>, path: &[&str], value: Json) {
    match path {
        [] => {}
        [name] => {
            of.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let inner = of.entry(*name).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_of_other_gateways_become_what_they_are_in_json() {
        let fields = json!({
            "model": "a", "prompt": "[1]", "models": ["b", "c"], "num_retries": "2", "timeout": "1.5", "mock_response": "[7]",
            "provider[only]": ["p"], "provider[allow_fallbacks]": "false", "provider[max_price][prompt]": "1",
            "metadata[tags]": ["paid"], "metadata[who]": "me", "fallbacks": "[\"d\"]",
        });
        let unfold = |known| {
            let document = Document::parse(Bytes::from(fields.to_string()), Limits::default()).unwrap();
            let document = unfolded(document, known, Limits::default()).unwrap();
            serde_json::from_slice::<Json>(document.text()).unwrap()
        };
        let expected = json!({
            "model": "a", "prompt": "[1]", "models": ["b", "c"], "num_retries": 2, "timeout": 1.5, "mock_response": "[7]",
            "provider": { "only": ["p"], "allow_fallbacks": false, "max_price": { "prompt": 1 } },
            "metadata": { "tags": ["paid"] }, "metadata[who]": "me", "fallbacks": ["d"],
        });
        let known = |openrouter, litellm| Extensions { openrouter, litellm };
        assert_eq!(unfold(known(true, true)), expected);
        assert_eq!(unfold(known(false, false)), fields);
    }
}
