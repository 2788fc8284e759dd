//! How a request in words that its provider speaks goes out: where to, and with which name of the model.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::json::{Document, Edit, EditError};
use crate::operation::Door;

/// What of a model's name means something in a path.
const MEANINGFUL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@');
/// Where a path has the model's name.
const MODEL: &str = "{model}";

/// The path and the body for a model that the provider calls so. The name stands in one of them.
pub(super) fn through(door: &Door, own: &Document, model: &str, is_stream: bool) -> Result<(String, Bytes), EditError> {
    let path = door.streamed.as_ref().filter(|_| is_stream).unwrap_or(&door.path);
    let name = serde_json::Value::from(model).to_string();
    let pointers: Vec<String> = door.members.iter().map(|(name, _)| format!("/{name}")).collect();
    let members = pointers.iter().zip(&door.members).map(|(pointer, (_, value))| Edit {
        pointer,
        value: Some(value),
    });
    let model_edit = Edit {
        pointer: "/model",
        value: (!path.contains(MODEL)).then_some(&*name),
    };
    let edits: Vec<Edit<'_>> = [model_edit].into_iter().chain(members).collect();
    let body = own.with(&edits)?;
    let path = path.replace(MODEL, &utf8_percent_encode(model, MEANINGFUL).to_string());
    Ok((path, body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Limits;

    #[test]
    fn a_models_name_stands_in_the_path_or_in_the_body() {
        let own = Bytes::from_static(br#"{"max_tokens": 5, "model": "auto"}"#);
        let own = Document::parse(own, Limits { depth: 8 }).unwrap();
        let mut door = Door {
            path: "/v1/messages".to_owned(),
            ..Door::default()
        };
        let of = |door: &Door, is_stream| {
            let (path, body) = through(door, &own, "a/b@1", is_stream).unwrap();
            (path, String::from_utf8(body.to_vec()).unwrap())
        };
        let body = r#"{"max_tokens": 5, "model": "a/b@1"}"#.to_owned();
        assert_eq!(of(&door, true), ("/v1/messages".to_owned(), body));
        door.path = "/models/{model}:ask".to_owned();
        door.streamed = Some("/models/{model}:tell".to_owned());
        door.members = vec![("version".to_owned(), "\"2\"".to_owned())];
        let body = r#"{"max_tokens": 5,"version":"2"}"#.to_owned();
        assert_eq!(of(&door, false), ("/models/a%2Fb@1:ask".to_owned(), body.clone()));
        assert_eq!(of(&door, true), ("/models/a%2Fb@1:tell".to_owned(), body));
    }
}
