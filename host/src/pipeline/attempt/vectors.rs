//! Vectors of an answer that was translated: adapters write lists of numbers, and a client that asked for base64, as OpenAI's SDKs
//! do by themselves, gets the same numbers as little-endian bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Failure;
use crate::json::{Document, Edit, Kind, Limits, Value};

/// Whether a request wants its vectors so.
pub(super) fn are_packed(request: &Document) -> bool {
    let format = request.root().field("encoding_format");
    format.is_some_and(|format| format.is("base64"))
}

/// The answer with its lists of numbers in base64; what is no such list stays as it is.
pub(super) fn packed(answer: Bytes) -> Result<Bytes, Failure> {
    let document = Document::parse(answer, Limits::default());
    let document = document.map_err(|error| Failure::fault(&format!("the answer is not JSON: {error}")))?;
    let vectors = document
        .root()
        .field("data")
        .into_iter()
        .flat_map(|data| data.elements());
    let vectors = vectors.enumerate().filter_map(|(index, vector)| {
        let bytes = little_endian(vector.field("embedding")?)?;
        Some((
            format!("/data/{index}/embedding"),
            format!("\"{}\"", STANDARD.encode(bytes)),
        ))
    });
    let vectors: Vec<(String, String)> = vectors.collect();
    let edits: Vec<Edit> = vectors
        .iter()
        .map(|(pointer, text)| Edit {
            pointer,
            value: Some(text),
        })
        .collect();
    let packed = document
        .with(&edits)
        .map_err(|error| Failure::fault(&error.to_string()))?;
    Ok(packed.into())
}

fn little_endian(vector: Value<'_>) -> Option<Vec<u8>> {
    if vector.kind() != Kind::Array {
        return None;
    }
    let numbers = vector.elements().map(|number| Some(number.as_f64()? as f32));
    let bytes = numbers.map(|number| Some(number?.to_le_bytes()));
    Some(bytes.collect::<Option<Vec<_>>>()?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_become_base64_and_nothing_else_does() {
        let answer = r#"{"data":[{"embedding":[0.5,-1]},{"embedding":"AAA="},{"embedding":[null]}],"model":"m"}"#;
        let packed = packed(Bytes::from(answer)).unwrap();
        let expected =
            r#"{"data":[{"embedding":"AAAAPwAAgL8="},{"embedding":"AAA="},{"embedding":[null]}],"model":"m"}"#;
        assert_eq!(std::str::from_utf8(&packed).unwrap(), expected);
    }
}
