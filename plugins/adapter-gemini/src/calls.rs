//! Calls of functions. They come whole, with or without an id; a proxy may have asked for their arguments in pieces, each
//! with the path of its place, and then they are put together here.

use pointsman_plugin::translate::{self, Raw, Text, ToolCall, upstream};
use pointsman_plugin::{Failure, Target};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Lists grow to the place that a piece names, so no piece may name just any.
const LONGEST_LIST: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Given<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<Raw<'a>>,
    #[serde(borrow)]
    partial_args: Option<Vec<Piece<'a>>>,
    will_continue: Option<bool>,
}

/// A piece of one value. A text may come in several, which follow each other.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow)]
    json_path: Text<'a>,
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    #[serde(borrow)]
    number_value: Option<Raw<'a>>,
    bool_value: Option<bool>,
}

/// The calls of one answer.
pub(crate) struct Calls {
    /// The ids that are made up begin with a digest of the request, so that no two turns have the same.
    digest: u64,
    made: u32,
    open: Option<Open>,
}

struct Open {
    id: Option<String>,
    name: String,
    arguments: Value,
    signature: Option<String>,
}

impl Calls {
    pub(crate) fn of(target: &Target) -> Self {
        let bytes: Vec<u8> = target.request_id.bytes().chain(target.now_ms.to_le_bytes()).collect();
        let digest = translate::digest(&bytes);
        Calls {
            digest,
            made: 0,
            open: None,
        }
    }

    /// A whole call, or the end of one that came in pieces; nothing while it goes on.
    pub(crate) fn take<'a>(
        &mut self,
        given: Given<'a>,
        signature: Option<Cow<'a, str>>,
    ) -> Result<Option<ToolCall<'a>>, Failure> {
        let goes_on = given.will_continue == Some(true);
        if self.open.is_none() && !goes_on && given.partial_args.is_none() {
            let Some(name) = given.name else {
                return Err(broken("has no name"));
            };
            let arguments = translate::arguments(given.args.map(|args| args.get()));
            return Ok(Some(self.call(
                given.id.map(|id| id.0),
                name.0,
                arguments.into(),
                signature,
            )));
        }
        let open = self.open.get_or_insert_with(|| Open {
            id: None,
            name: String::new(),
            arguments: Value::Object(Map::new()),
            signature: None,
        });
        if let Some(name) = given.name {
            open.name = name.0.into_owned();
        }
        open.id = given.id.map(|id| id.0.into_owned()).or(open.id.take());
        open.signature = signature.map(Cow::into_owned).or(open.signature.take());
        for piece in given.partial_args.into_iter().flatten() {
            piece.put(&mut open.arguments)?;
        }
        if goes_on { Ok(None) } else { self.close() }
    }

    /// The call that is still open, if there is one.
    pub(crate) fn close(&mut self) -> Result<Option<ToolCall<'static>>, Failure> {
        let Some(open) = self.open.take() else { return Ok(None) };
        if open.name.is_empty() {
            return Err(broken("has no name"));
        }
        let arguments = open.arguments.to_string();
        Ok(Some(self.call(
            open.id.map(Cow::Owned),
            open.name.into(),
            arguments.into(),
            open.signature.map(Cow::Owned),
        )))
    }

    fn call<'a>(
        &mut self,
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        arguments: Cow<'a, str>,
        signature: Option<Cow<'a, str>>,
    ) -> ToolCall<'a> {
        let id = id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("call_{:016x}_{}", self.digest, self.made).into());
        self.made += 1;
        ToolCall::new(id, name, arguments).signed(signature)
    }
}

impl Piece<'_> {
    fn put(self, arguments: &mut Value) -> Result<(), Failure> {
        let unknown = || broken(&format!("has arguments at `{}`, which is no path", self.json_path.0));
        let place = find(arguments, &self.json_path.0).ok_or_else(unknown)?;
        match (self.string_value, self.number_value, self.bool_value) {
            (Some(more), ..) => match place {
                Value::String(text) => text.push_str(&more.0),
                place => *place = Value::from(more.0),
            },
            (None, Some(number), _) => {
                *place = serde_json::from_str(number.get()).map_err(|_| broken("has a number that is none"))?;
            }
            (None, None, Some(is_so)) => *place = Value::Bool(is_so),
            (None, None, None) => {}
        }
        Ok(())
    }
}

/// The place of `$.stops[2].name`, made where it is not there yet.
fn find<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut place = value;
    let mut rest = path.strip_prefix('$')?;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            place = member(place, &after[..end])?;
            rest = &after[end..];
        } else {
            let (step, after) = rest.strip_prefix('[')?.split_once(']')?;
            let name = step
                .strip_prefix(['\'', '"'])
                .and_then(|step| step.strip_suffix(['\'', '"']));
            place = match name {
                Some(name) => member(place, name)?,
                None => element(place, step.parse().ok()?)?,
            };
            rest = after;
        }
    }
    Some(place)
}

fn member<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    Some(value.as_object_mut()?.entry(name).or_insert(Value::Null))
}

fn element(value: &mut Value, index: usize) -> Option<&mut Value> {
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    let list = value.as_array_mut().filter(|_| index < LONGEST_LIST)?;
    if list.len() <= index {
        list.resize(index + 1, Value::Null);
    }
    list.get_mut(index)
}

fn broken(what: &str) -> Failure {
    upstream(format!("a call in the provider's answer {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pieces_find_their_places() {
        let mut arguments = json!({});
        for (path, value) in [
            ("$.stops[1].name", "Oslo"),
            ("$.stops[1].name", " S"),
            ("$['a b']", "c"),
        ] {
            let piece = Piece {
                json_path: Text(path.into()),
                string_value: Some(Text(value.into())),
                number_value: None,
                bool_value: None,
            };
            piece.put(&mut arguments).expect("the path is one");
        }
        assert_eq!(arguments, json!({ "stops": [null, { "name": "Oslo S" }], "a b": "c" }));
        for path in ["", "stops", "$[", "$[x]", "$.stops[99999999999]", "$.stops.name"] {
            assert!(find(&mut arguments, path).is_none(), "{path}");
        }
    }
}
