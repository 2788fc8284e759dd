//! `:embedContent` and `:batchEmbedContents`: texts as vectors, one or many. The canonical request has one size and one purpose for
//! all of its texts.

use bytes::Bytes;

use super::super::Canonical;
use super::super::chat::{missing, wrong_type};
use super::{LIMITS, camel, list_of, member};
use crate::error::{ApiError, printable};
use crate::json::{Document, Kind, Value, Writer};
use crate::money::Usage;

/// Members of a request, and their canonical names.
const NAMES: [(&str, &str); 3] = [
    ("taskType", "task_type"),
    ("title", "title"),
    ("outputDimensionality", "dimensions"),
];

/// The canonical request.
pub(in super::super) fn canonical(body: Value<'_>, model: &str, is_batch: bool) -> Result<Canonical, ApiError> {
    let requests: Vec<Value<'_>> = match is_batch {
        false => vec![body],
        true => {
            let requests = body.field("requests").ok_or_else(|| missing("requests"))?;
            if requests.kind() != Kind::Array || requests.elements().next().is_none() {
                return Err(wrong_type("requests", "an array of requests"));
            }
            requests.elements().collect()
        }
    };
    let mut lost = Vec::new();
    let mut to = Writer::with_capacity(body.raw().len());
    to.open('{');
    to.text("model", model);
    to.key("input");
    to.open('[');
    for (index, request) in requests.iter().enumerate() {
        let place = |name: &str| match is_batch {
            true => format!("requests[{index}].{name}"),
            false => name.to_owned(),
        };
        if request.kind() != Kind::Object {
            return Err(wrong_type(&format!("requests[{index}]"), "an object"));
        }
        to.string(&text(*request, &place)?);
        lose_unknown(*request, &mut lost);
    }
    to.close(']');
    for (name, canonical) in NAMES {
        let mut said = requests.iter().map(|request| setting(*request, name));
        let first = said.next().flatten();
        let is_one = said.all(|other| other.map(|value| value.raw()) == first.map(|value| value.raw()));
        match first {
            Some(value) if is_one => to.member(canonical, value.raw()),
            _ if is_one => {}
            // What it is called helps a little; another size or purpose is another vector.
            _ if name == "title" => lost.push(name.to_owned()),
            _ => {
                let message = format!("`{name}` must be the same in all requests of a batch");
                return Err(ApiError::invalid("invalid_value", message).with_param("requests"));
            }
        }
    }
    to.close('}');
    lost.sort();
    lost.dedup();
    Ok(Canonical {
        text: to.finish(),
        lost,
        needs: None,
    })
}

/// Its own, or that of its configuration, as newer clients have it.
fn setting<'a>(request: Value<'a>, name: &str) -> Option<Value<'a>> {
    let config = member(request, "embedContentConfig");
    member(request, name).or_else(|| member(config?, name))
}

/// All text of a content.
fn text(request: Value<'_>, place: &dyn Fn(&str) -> String) -> Result<String, ApiError> {
    let content = request.field("content").ok_or_else(|| missing(&place("content")))?;
    let mut said = String::new();
    let mut parts = list_of(content.field("parts")).peekable();
    if parts.peek().is_none() {
        return Err(missing(&place("content.parts")));
    }
    for part in parts {
        let text = part.field("text").and_then(|text| text.as_str());
        let text = text.ok_or_else(|| wrong_type(&place("content.parts"), "texts; other parts are not taken here"))?;
        said.push_str(&text);
    }
    Ok(said)
}

fn lose_unknown(request: Value<'_>, lost: &mut Vec<String>) {
    for (name, value) in request.members() {
        let name = camel(&name.as_str().unwrap_or_default());
        let is_known = ["model", "content", "requests", "embedContentConfig"].contains(&name.as_str())
            || NAMES.iter().any(|(known, _)| *known == name);
        if !is_known && !value.is_null() {
            lost.push(printable(&name, 60));
        }
    }
}

/// A canonical list of vectors as Gemini tells it.
pub(in super::super) fn whole(answer: Bytes, usage: Option<&Usage>, is_batch: bool) -> Bytes {
    let Ok(document) = Document::parse(answer.clone(), LIMITS) else {
        return answer;
    };
    let data = document.root().field("data");
    let mut vectors: Vec<Value<'_>> = data.into_iter().flat_map(|data| data.elements()).collect();
    vectors.sort_by_key(|vector| vector.field("index").and_then(|index| index.as_u64()));
    let mut to = Writer::with_capacity(answer.len());
    to.open('{');
    let vector = |to: &mut Writer, vector: Value<'_>| {
        to.open('{');
        to.member("values", vector.field("embedding").map_or("[]", |values| values.raw()));
        to.close('}');
    };
    if is_batch {
        to.key("embeddings");
        to.open('[');
        vectors.into_iter().for_each(|one| vector(&mut to, one));
        to.close(']');
    } else if let Some(one) = vectors.into_iter().next() {
        to.key("embedding");
        vector(&mut to, one);
    }
    if let Some(usage) = usage {
        to.key("usageMetadata");
        to.open('{');
        to.number("promptTokenCount", usage.all_input());
        to.close('}');
    }
    to.close('}');
    to.finish().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(body: &Json, is_batch: bool) -> Result<(Json, Vec<String>), String> {
        let document = Document::parse(Bytes::from(body.to_string()), LIMITS).unwrap();
        let read = canonical(document.root(), "m", is_batch).map_err(|error| error.message)?;
        Ok((serde_json::from_slice(&read.text).unwrap(), read.lost))
    }

    #[test]
    fn texts_become_inputs_of_one_size() {
        let one = |text: &str| json!({ "model": "models/m", "content": { "parts": [{ "text": text }] }, "outputDimensionality": 9 });
        let mut single = one("a");
        single["embedContentConfig"] = json!({ "task_type": "CLUSTERING" });
        single["tomorrow"] = json!(1);
        let expected = json!({ "model": "m", "input": ["a"], "task_type": "CLUSTERING", "dimensions": 9 });
        assert_eq!(read(&single, false), Ok((expected, vec!["tomorrow".to_owned()])));
        let batch = json!({ "requests": [one("a"), one("b")] });
        let expected = json!({ "model": "m", "input": ["a", "b"], "dimensions": 9 });
        assert_eq!(read(&batch, true), Ok((expected, Vec::new())));
        let mut other = batch.clone();
        other["requests"][1]["outputDimensionality"] = json!(8);
        assert!(
            read(&other, true)
                .unwrap_err()
                .contains("`outputDimensionality` must be the same")
        );
        let image = json!({ "content": { "parts": [{ "inlineData": {} }] } });
        assert!(
            read(&image, false)
                .unwrap_err()
                .contains("`content.parts` must be texts")
        );
        assert!(read(&json!({}), true).is_err() && read(&json!({ "requests": [1] }), true).is_err());
    }

    #[test]
    fn vectors_are_told_in_their_order() {
        let list = json!({ "data": [{ "index": 1, "embedding": [2] }, { "index": 0, "embedding": [1, 0.5] }] });
        let tell = |is_batch| -> Json {
            let told = whole(
                Bytes::from(list.to_string()),
                Some(&Usage {
                    input: 3,
                    ..Usage::default()
                }),
                is_batch,
            );
            serde_json::from_slice(&told).unwrap()
        };
        let used = json!({ "promptTokenCount": 3 });
        let expected = json!({ "embeddings": [{ "values": [1, 0.5] }, { "values": [2] }], "usageMetadata": used });
        assert_eq!(tell(true), expected);
        assert_eq!(
            tell(false),
            json!({ "embedding": { "values": [1, 0.5] }, "usageMetadata": used })
        );
    }
}
