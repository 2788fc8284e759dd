//! `POST /v1/embeddings`, `/v1/moderations` and `/v1/rerank`: texts go in, and what comes back is no text. What is checked of such a
//! request, and what the gateway knows of it, in the words that it has for conversations: each input counts as a message.

use super::chat::{Ask, missing, model, wrong_type};
use crate::error::ApiError;
use crate::json::{Document, Kind, Value};
use crate::operation::Operation;

/// The model that OpenAI takes where a request for moderation names none.
const MODERATION_MODEL: &str = "omni-moderation-latest";
/// What a token is counted as where a request gives tokens instead of text.
const TOKEN_BYTES: u64 = 4;

/// Reads a request; the error names the field that is wrong.
pub(super) fn read(document: &Document, operation: Operation) -> Result<Ask, ApiError> {
    let body = document.root();
    let model = match operation {
        Operation::Moderation if body.field("model").is_none() => MODERATION_MODEL.to_owned(),
        _ => model(body)?,
    };
    let mut ask = Ask {
        operation,
        body_bytes: document.text().len() as u64,
        // Nothing is written, and nothing may be billed for it.
        max_output_tokens: Some(0),
        ..Ask::empty(model)
    };
    match operation {
        Operation::Rerank => {
            let query = body.field("query").ok_or_else(|| missing("query"))?;
            if query.kind() != Kind::String {
                return Err(wrong_type("query", "a string"));
            }
            let documents = body.field("documents").ok_or_else(|| missing("documents"))?;
            if documents.kind() != Kind::Array {
                return Err(wrong_type("documents", "an array of texts"));
            }
            inputs(&mut ask, "documents", documents)?;
            // What is asked comes last, as in a conversation.
            one(&mut ask, "query", query)?;
            ask.searches = most_searches(query, documents);
        }
        _ => inputs(&mut ask, "input", body.field("input").ok_or_else(|| missing("input"))?)?,
    }
    Ok(ask)
}

/// The most that Cohere counts: a search has up to 100 documents, of which one of more than 500 tokens, the query included, counts as
/// several. <https://docs.cohere.com/docs/how-does-cohere-pricing-work>
fn most_searches(query: Value<'_>, documents: Value<'_>) -> u64 {
    // A token is a byte at least.
    let room = 500_u64.saturating_sub(query.raw().len() as u64).max(50);
    let pieces = documents
        .elements()
        .map(|document| (document.raw().len() as u64).div_ceil(room).max(1));
    pieces.sum::<u64>().div_ceil(100)
}

fn inputs(ask: &mut Ask, field: &str, input: Value<'_>) -> Result<(), ApiError> {
    match input.kind() {
        Kind::String => one(ask, field, input)?,
        Kind::Array if is_tokens(input) => one(ask, field, input)?,
        Kind::Array => {
            for (index, input) in input.elements().enumerate() {
                one(ask, &format!("{field}[{index}]"), input)?;
            }
        }
        _ => return Err(wrong_type(field, "a string or an array")),
    }
    if ask.messages == 0 {
        let message = format!("`{field}` must hold at least one text");
        return Err(ApiError::invalid("invalid_value", message).with_param(field));
    }
    Ok(())
}

/// One input: a text, the numbers of its tokens, or an object with a text or an image.
fn one(ask: &mut Ask, field: &str, input: Value<'_>) -> Result<(), ApiError> {
    ask.messages += 1;
    ask.text_bytes += match input.kind() {
        Kind::String => input.str_len() as u64,
        Kind::Array if ask.operation == Operation::Embedding && is_tokens(input) => {
            TOKEN_BYTES * input.elements().count() as u64
        }
        Kind::Object if ask.operation != Operation::Embedding => {
            let url = input.field("image_url").and_then(|image| image.field("url"));
            ask.images += u32::from(url.is_some());
            ask.image_url_bytes += url.map_or(0, |url| url.str_len() as u64);
            input.field("text").map_or(0, |text| text.str_len() as u64)
        }
        _ => {
            let expected = match ask.operation {
                Operation::Embedding => "a string or an array of tokens",
                _ => "a string or an object with a `text`",
            };
            return Err(wrong_type(field, expected));
        }
    };
    Ok(())
}

fn is_tokens(input: Value<'_>) -> bool {
    input
        .elements()
        .next()
        .is_some_and(|first| first.kind() == Kind::Number)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::json::Limits;

    fn read(operation: Operation, body: &str) -> Result<Ask, String> {
        let document = Document::parse(Bytes::copy_from_slice(body.as_bytes()), Limits::default()).unwrap();
        Ask::read(&document, operation)
            .map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
    }

    #[test]
    fn inputs_are_counted_however_they_are_written() {
        use Operation::{Embedding, Moderation, Rerank};
        for (operation, body, messages, text_bytes) in [
            (Embedding, r#"{"model":"m","input":"four"}"#, 1, 4),
            (Embedding, r#"{"model":"m","input":["four","five5"]}"#, 2, 9),
            (Embedding, r#"{"model":"m","input":[1,2,3]}"#, 1, 12),
            (Embedding, r#"{"model":"m","input":[[1,2],[3]]}"#, 2, 12),
            (Moderation, r#"{"input":"four"}"#, 1, 4),
            (
                Moderation,
                r#"{"input":[{"type":"text","text":"four"},{"type":"image_url","image_url":{"url":"data:"}}]}"#,
                2,
                4,
            ),
            (
                Rerank,
                r#"{"model":"m","query":"four","documents":["five5",{"text":"six"}]}"#,
                3,
                12,
            ),
        ] {
            let ask = read(operation, body).unwrap();
            assert_eq!((ask.messages, ask.text_bytes), (messages, text_bytes), "{body}");
            assert_eq!((ask.operation, ask.max_output_tokens), (operation, Some(0)), "{body}");
        }
        let ask = read(Moderation, r#"{"input":"four"}"#).unwrap();
        assert_eq!(ask.model, "omni-moderation-latest");
    }

    #[test]
    fn what_is_wrong_is_named() {
        use Operation::{Embedding, Moderation, Rerank};
        for (operation, body, expected) in [
            (Embedding, r#"{"input":"a"}"#, "`model` is missing [model]"),
            (Embedding, r#"{"model":"m"}"#, "`input` is missing [input]"),
            (
                Embedding,
                r#"{"model":"m","input":7}"#,
                "`input` must be a string or an array [input]",
            ),
            (
                Embedding,
                r#"{"model":"m","input":[]}"#,
                "`input` must hold at least one text [input]",
            ),
            (
                Embedding,
                r#"{"model":"m","input":["a",{}]}"#,
                "`input[1]` must be a string or an array of tokens [input[1]]",
            ),
            (
                Moderation,
                r#"{"input":[7]}"#,
                "`input` must be a string or an object with a `text` [input]",
            ),
            (Rerank, r#"{"model":"m","documents":[]}"#, "`query` is missing [query]"),
            (
                Rerank,
                r#"{"model":"m","query":"q"}"#,
                "`documents` is missing [documents]",
            ),
            (
                Rerank,
                r#"{"model":"m","query":"q","documents":"d"}"#,
                "`documents` must be an array of texts [documents]",
            ),
        ] {
            assert_eq!(read(operation, body).unwrap_err(), expected, "{body}");
        }
    }
}
