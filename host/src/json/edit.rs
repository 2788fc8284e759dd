//! Changes to a validated text, as splices: everything that is not changed keeps its very bytes.

use std::ops::Range;

use thiserror::Error;

use super::{Document, Kind, Value, array_index, pointer_tokens};

/// One change.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// RFC 6901; a last token of `-` appends to an array. Parents must exist.
    pub pointer: &'a str,
    /// JSON text, which the caller has validated; `None` removes what is there.
    pub value: Option<&'a str>,
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// Not RFC 6901, or the whole document.
    #[error("`{0}` is not a JSON pointer to a member or an element")]
    Pointer(String),
    /// Nothing to hold the new value.
    #[error("`{0}` has no parent in the request")]
    NoParent(String),
    /// Two changes at one place.
    #[error("`{0}` is changed twice")]
    Overlap(String),
}

/// A stretch of the old text and what stands there in the new one.
struct Splice<'a> {
    range: Range<usize>,
    before: String,
    value: &'a str,
    pointer: &'a str,
}

impl Document {
    /// The text with all changes made, each against the text as it is now. Costs one copy of the text.
    pub fn with(&self, edits: &[Edit<'_>]) -> Result<Vec<u8>, EditError> {
        let removals = edits.iter().filter(|edit| edit.value.is_none());
        let removed: Vec<u32> = removals
            .filter_map(|edit| Some(self.pointer(edit.pointer)?.index))
            .collect();
        let mut splices = Vec::with_capacity(edits.len());
        for edit in edits {
            splices.extend(self.splice(edit, &removed)?);
        }
        // Stable, so that several values added to one object keep their order.
        splices.sort_by_key(|splice| splice.range.start);
        let grown: usize = splices
            .iter()
            .map(|splice| splice.before.len() + splice.value.len())
            .sum();
        let mut text = Vec::with_capacity(self.text.len() + grown);
        let mut at = 0;
        for (index, splice) in splices.iter().enumerate() {
            if splice.range.start < at {
                return Err(EditError::Overlap(splice.pointer.to_owned()));
            }
            text.extend_from_slice(&self.text[at..splice.range.start]);
            // A second value added at the same place follows the first, whatever the object held before.
            let follows = index > 0 && splice.range.is_empty() && splices[index - 1].range == splice.range;
            if follows && !splice.before.starts_with(',') {
                text.push(b',');
            }
            text.extend_from_slice(splice.before.as_bytes());
            text.extend_from_slice(splice.value.as_bytes());
            at = splice.range.end;
        }
        text.extend_from_slice(&self.text[at..]);
        Ok(text)
    }

    fn splice<'a>(&self, edit: &Edit<'a>, removed: &[u32]) -> Result<Option<Splice<'a>>, EditError> {
        let pointer = edit.pointer;
        let Some((parent, _)) = pointer.rsplit_once('/') else {
            return Err(EditError::Pointer(pointer.to_owned()));
        };
        let token = pointer_tokens(pointer).and_then(Iterator::last);
        let token = token.ok_or_else(|| EditError::Pointer(pointer.to_owned()))?;
        let parent = self
            .pointer(parent)
            .ok_or_else(|| EditError::NoParent(pointer.to_owned()))?;
        let at = |range: Range<usize>, before: String, value: &'a str| {
            Some(Splice {
                range,
                before,
                value,
                pointer,
            })
        };
        match (parent.child(&token), edit.value) {
            (Some(old), Some(value)) => Ok(at(old.span(), String::new(), value)),
            (Some(old), None) => Ok(at(self.removal(parent, old, removed), String::new(), "")),
            (None, None) => Ok(None),
            (None, Some(value)) => {
                let end = parent.span().end - 1;
                let comma = if self.children(parent).iter().all(|index| removed.contains(index)) {
                    ""
                } else {
                    ","
                };
                let before = match parent.kind() {
                    Kind::Object => format!("{comma}{}:", serde_json::Value::from(token)),
                    Kind::Array if token == "-" || array_index(&token) == Some(parent.elements().count()) => {
                        comma.to_owned()
                    }
                    _ => return Err(EditError::NoParent(pointer.to_owned())),
                };
                Ok(at(end..end, before, value))
            }
        }
    }

    /// The values that an object or an array holds.
    fn children(&self, parent: Value<'_>) -> Vec<u32> {
        match parent.kind() {
            Kind::Object => parent.members().map(|(_, value)| value.index).collect(),
            _ => parent.elements().map(|value| value.index).collect(),
        }
    }

    /// A value with its key and a comma: the one before it where a sibling that stays is before it, else the one behind.
    /// So the stretches of neighbours that go together touch, and do not overlap.
    fn removal(&self, parent: Value<'_>, old: Value<'_>, removed: &[u32]) -> Range<usize> {
        let step = if parent.kind() == Kind::Object { 1 } else { 0 };
        let siblings = self.children(parent);
        let at = siblings
            .iter()
            .position(|index| *index == old.index)
            .unwrap_or_default();
        let head = |index: u32| self.nodes[(index - step) as usize].start as usize;
        let end = |index: u32| self.nodes[index as usize].end as usize;
        if siblings[..at].iter().any(|index| !removed.contains(index)) {
            return end(siblings[at - 1])..end(old.index);
        }
        head(old.index)..siblings.get(at + 1).map_or(end(old.index), |next| head(*next))
    }
}

impl Value<'_> {
    fn span(&self) -> Range<usize> {
        self.node().start as usize..self.node().end as usize
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::{btree_map, vec};
    use proptest::{option, prop_assert_eq, proptest};

    use super::super::Limits;
    use super::*;

    fn edited(text: &str, edits: &[(&str, Option<&str>)]) -> Result<String, EditError> {
        let document = Document::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap();
        let edits: Vec<Edit<'_>> = edits
            .iter()
            .map(|(pointer, value)| Edit { pointer, value: *value })
            .collect();
        document.with(&edits).map(|text| {
            Document::parse(Bytes::copy_from_slice(&text), Limits::default()).expect("an edited text is valid");
            String::from_utf8(text).unwrap()
        })
    }

    #[test]
    fn only_what_is_named_changes() {
        let text = r#"{ "model" : "a", "x":1.00, "messages":[ ] }"#;
        for (edits, expected) in [
            (
                &[("/model", Some("\"b\""))][..],
                r#"{ "model" : "b", "x":1.00, "messages":[ ] }"#,
            ),
            (
                &[("/y", Some("2"))],
                r#"{ "model" : "a", "x":1.00, "messages":[ ] ,"y":2}"#,
            ),
            (
                &[("/y", Some("2")), ("/z", Some("3"))],
                r#"{ "model" : "a", "x":1.00, "messages":[ ] ,"y":2,"z":3}"#,
            ),
            (
                &[("/messages/-", Some("1")), ("/messages/-", Some("2"))],
                r#"{ "model" : "a", "x":1.00, "messages":[ 1,2] }"#,
            ),
            (&[("/model", None)], r#"{ "x":1.00, "messages":[ ] }"#),
            (&[("/messages", None)], r#"{ "model" : "a", "x":1.00 }"#),
            (&[("/absent", None)], text),
            (&[], text),
        ] {
            assert_eq!(edited(text, edits).unwrap(), expected, "{edits:?}");
        }
        assert_eq!(
            edited("{}", &[("/a", Some("1")), ("/b", Some("2"))]).unwrap(),
            r#"{"a":1,"b":2}"#
        );
        assert_eq!(edited(r#"{"a":1}"#, &[("/a", None)]).unwrap(), "{}");
        assert_eq!(edited("[1,2]", &[("/0", None)]).unwrap(), "[2]");
    }

    #[test]
    fn any_members_may_go_together() {
        let text = r#"{"a":1, "b":2 ,"c":3,"d":4}"#;
        for removed in 0..16_u32 {
            let gone = ["/a", "/b", "/c", "/d"]
                .into_iter()
                .enumerate()
                .filter(|(n, _)| removed & (1 << n) != 0);
            let edits: Vec<(&str, Option<&str>)> = gone.map(|(_, pointer)| (pointer, None)).collect();
            let left = edited(text, &edits).unwrap();
            let left: serde_json::Value = serde_json::from_str(&left).expect(&left);
            assert_eq!(left.as_object().unwrap().len(), 4 - edits.len(), "{left}");
            assert!(
                edits.iter().all(|(pointer, _)| left.pointer(pointer).is_none()),
                "{left}"
            );
        }
        assert_eq!(edited("[1,2,3]", &[("/1", None), ("/2", None)]).unwrap(), "[1]");
    }

    proptest! {
        #[test]
        fn members_may_come_while_others_change_or_go(
            text in "\\{( ?\"a\" ?: ?1)?\\}|\\{ ?\"a\":1 ?, ?\"b\" : 2( ?,\"c\":3 ?)?( ?, ?\"d\":4)?\\}",
            edits in btree_map("/[a-f]", option::of("[0-9]"), 0..6),
        ) {
            let mut expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
            for (pointer, value) in &edits {
                match value {
                    Some(value) => expected.insert(pointer[1..].to_owned(), value.parse::<u32>().unwrap().into()),
                    None => expected.remove(&pointer[1..]),
                };
            }
            let edits: Vec<(&str, Option<&str>)> =
                edits.iter().map(|(pointer, value)| (pointer.as_str(), value.as_deref())).collect();
            let nested = format!("{{\"x\":{text}}}");
            let deep: Vec<String> = edits.iter().map(|(pointer, _)| format!("/x{pointer}")).collect();
            let deep: Vec<_> = deep.iter().zip(&edits).map(|(pointer, (_, value))| (pointer.as_str(), *value)).collect();
            let is = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
            prop_assert_eq!(is(edited(&text, &edits).unwrap()), serde_json::json!(expected));
            prop_assert_eq!(is(edited(&nested, &deep).unwrap()), serde_json::json!({ "x": expected }));
        }

        #[test]
        fn elements_may_come_while_others_change_or_go(
            elements in vec("[0-9]", 0..5),
            changes in vec(option::of(option::of("[0-9]")), 5),
            more in vec("[0-9]", 0..3),
        ) {
            let text = format!("[{}]", elements.join(" , "));
            let pointers: Vec<String> = (0..5).map(|index| format!("/{index}")).collect();
            let mut edits = Vec::new();
            let mut expected = Vec::new();
            for ((element, change), pointer) in elements.iter().zip(&changes).zip(&pointers) {
                match change {
                    None => expected.push(element.clone()),
                    Some(value) => {
                        edits.push((pointer.as_str(), value.as_deref()));
                        expected.extend(value.clone());
                    }
                }
            }
            for value in &more {
                edits.push(("/-", Some(value.as_str())));
                expected.push(value.clone());
            }
            let left: serde_json::Value = serde_json::from_str(&edited(&text, &edits).unwrap()).unwrap();
            let expected: Vec<u32> = expected.iter().map(|value| value.parse().unwrap()).collect();
            prop_assert_eq!(left, serde_json::json!(expected));
        }
    }

    #[test]
    fn a_member_may_take_the_place_of_all_others() {
        assert_eq!(
            edited(
                r#"{"metadata":{"a":1}}"#,
                &[("/metadata/a", None), ("/metadata/b", Some("2"))]
            )
            .unwrap(),
            r#"{"metadata":{"b":2}}"#
        );
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        assert_eq!(edited("{}", &[("", Some("1"))]), Err(EditError::Pointer(String::new())));
        assert_eq!(
            edited("{}", &[("/a/b", Some("1"))]),
            Err(EditError::NoParent("/a/b".into()))
        );
        assert_eq!(
            edited("[]", &[("/5", Some("1"))]),
            Err(EditError::NoParent("/5".into()))
        );
        let twice = edited(r#"{"a":{"b":1}}"#, &[("/a", Some("1")), ("/a/b", Some("2"))]);
        assert_eq!(twice, Err(EditError::Overlap("/a/b".into())));
    }
}
