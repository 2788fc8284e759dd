//! The simulated provider's answers that are no text: vectors, verdicts, and texts in order. A vector counts a text's words, each at
//! a place that its hash says, so that texts with the same words are near to each other, as they would be with a real model.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{fnv, tokens};
use crate::json::{Kind, Value};

/// Of a vector where the request does not say.
const DIMENSIONS: u64 = 256;
/// More than any model has.
const MOST_DIMENSIONS: u64 = 8192;
/// Those that OpenAI's clients know.
const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// `/v1/embeddings`
pub(super) fn embeddings(body: Value<'_>, model: &str) -> (Json, u64) {
    let dimensions = body.field("dimensions").and_then(|value| value.as_u64());
    let dimensions = dimensions.unwrap_or(DIMENSIONS).clamp(1, MOST_DIMENSIONS) as usize;
    let is_packed = body.field("encoding_format").is_some_and(|format| format.is("base64"));
    let texts = texts(body, "input");
    let vectors = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let embedding = if is_packed {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            STANDARD.encode(bytes).into()
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data: Vec<Json> = vectors.collect();
    (json!({ "object": "list", "model": model, "data": data }), read(&texts))
}

/// `/v1/moderations`: nothing is ever harmful.
pub(super) fn moderation(body: Value<'_>, model: &str, request_id: &str) -> (Json, u64) {
    let texts = texts(body, "input");
    let all = |value: Json| -> Json {
        CATEGORIES
            .iter()
            .map(|name| ((*name).to_owned(), value.clone()))
            .collect()
    };
    // Parts of one input, texts and images, have one verdict.
    let is_one = body.field("input").is_some_and(|input| {
        let first = input.elements().next();
        input.kind() == Kind::String || first.is_some_and(|first| first.kind() == Kind::Object)
    });
    let count = if is_one { 1 } else { texts.len() };
    let result = json!({ "flagged": false, "categories": all(false.into()), "category_scores": all(0.0.into()) });
    let answer = json!({ "id": format!("modr-{request_id}"), "model": model, "results": vec![result; count] });
    (answer, read(&texts))
}

/// `/v1/rerank`, in the words of Cohere and Jina.
pub(super) fn rerank(body: Value<'_>, model: &str, request_id: &str) -> (Json, u64) {
    let query = body.field("query").and_then(|query| query.as_str()).unwrap_or_default();
    let documents = texts(body, "documents");
    let wanted = vector(&query, DIMENSIONS as usize);
    let score = |text: &str| -> f32 {
        let vector = vector(text, DIMENSIONS as usize);
        vector.iter().zip(&wanted).map(|(one, other)| one * other).sum()
    };
    let mut scored: Vec<(usize, f32)> = documents.iter().map(|text| score(text)).enumerate().collect();
    scored.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let most = body.field("top_n").and_then(|value| value.as_u64());
    scored.truncate(most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)));
    let results: Vec<Json> = scored
        .into_iter()
        .map(|(index, score)| json!({ "index": index, "relevance_score": score }))
        .collect();
    let answer = json!({ "id": format!("rerank-{request_id}"), "model": model, "results": results });
    (answer, tokens(&query) + read(&documents))
}

fn read(texts: &[Cow<'_, str>]) -> u64 {
    texts.iter().map(|text| tokens(text)).sum()
}

/// The texts of an input; numbers of tokens are texts like any other.
fn texts<'a>(body: Value<'a>, field: &str) -> Vec<Cow<'a, str>> {
    let text = |value: Value<'a>| match value.as_str().or_else(|| value.get("text")?.as_str()) {
        Some(text) => text,
        None => Cow::Borrowed(value.raw()),
    };
    let Some(input) = body.field(field) else {
        return Vec::new();
    };
    let is_one = input.elements().next().is_none_or(|first| first.kind() == Kind::Number);
    if is_one {
        return vec![text(input)];
    }
    input.elements().map(text).collect()
}

/// Of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0f32; dimensions];
    let words = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in words {
        let hash = fnv(word.to_lowercase().as_bytes());
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        vector[(hash >> 1) as usize % dimensions] += sign;
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    match length > 0.0 {
        true => vector.iter_mut().for_each(|number| *number /= length),
        false => vector[0] = 1.0,
    }
    vector
}
