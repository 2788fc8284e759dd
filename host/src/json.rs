//! One strict reading of a JSON text, kept as spans: what was checked is what is routed on and what is forwarded.
//!
//! The text is validated once (grammar, UTF-8, depth, duplicate keys, numbers that no double can hold) into a flat list
//! of nodes; values are read from it on demand and changes are splices of the original bytes. Nothing is re-serialised,
//! so no field is lost or rewritten, and no other parser can read the forwarded text differently.
//! What is put together from such values is written by `write`; building JSON from nothing is `serde_json`'s work.

mod canonical;
mod edit;
mod parse;
mod text;
mod write;

use std::borrow::Cow;

use bytes::Bytes;

pub use edit::{Edit, EditError};
pub use parse::{JsonError, Limits};
pub use write::Writer;

/// A validated JSON text.
#[derive(Debug, Clone)]
pub struct Document {
    text: Bytes,
    nodes: Vec<Node>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number; its text is kept.
    Number,
    /// A string; `escaped` inside the node says whether decoding has to allocate.
    String,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

/// A value's place in the text, and where the value after it stands in the list. An object's members lie behind it as
/// key, value, key, value; an array's elements one after the other.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    escaped: bool,
    start: u32,
    end: u32,
    next: u32,
}

impl Document {
    /// Validates a text. Costs one pass over it and one node of 16 bytes for every value and key.
    pub fn parse(text: Bytes, limits: Limits) -> Result<Self, JsonError> {
        let nodes = parse::parse(&text, limits)?;
        Ok(Self { text, nodes })
    }

    /// The text as it came.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            index: 0,
        }
    }

    /// The value that an RFC 6901 pointer names.
    pub fn pointer(&self, pointer: &str) -> Option<Value<'_>> {
        pointer_tokens(pointer)?.try_fold(self.root(), |value, token| value.child(&token))
    }

    fn str(&self, start: u32, end: u32) -> &str {
        // The parser has checked the whole text, and tokens begin and end at ASCII characters.
        std::str::from_utf8(&self.text[start as usize..end as usize]).unwrap_or_default()
    }
}

/// One value inside a [`Document`]; copying it costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    document: &'a Document,
    index: u32,
}

impl<'a> Value<'a> {
    fn node(&self) -> &'a Node {
        &self.document.nodes[self.index as usize]
    }

    /// What the value is.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// The value's JSON text.
    pub fn raw(&self) -> &'a str {
        let node = self.node();
        self.document.str(node.start, node.end)
    }

    /// A string's text, decoded; borrowed where it has no escapes.
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        let node = self.node();
        (node.kind == Kind::String).then(|| {
            let inner = self.document.str(node.start + 1, node.end - 1);
            if node.escaped {
                Cow::Owned(text::unescape(inner))
            } else {
                Cow::Borrowed(inner)
            }
        })
    }

    /// How many bytes a string's decoded text has at most; exact where it has no escapes. Reads nothing.
    pub fn str_len(&self) -> usize {
        let node = self.node();
        (node.end - node.start).saturating_sub(2) as usize
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// A number that is a non-negative integer.
    pub fn as_u64(&self) -> Option<u64> {
        (self.kind() == Kind::Number).then(|| self.raw().parse().ok()).flatten()
    }

    /// Any number.
    pub fn as_f64(&self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.raw().parse().ok()).flatten()
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// An object's member.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.members().find(|(name, _)| name.is(key)).map(|(_, value)| value)
    }

    /// An object's member, unless it is `null`: what most optional fields mean.
    pub fn field(&self, key: &str) -> Option<Value<'a>> {
        self.get(key).filter(|value| !value.is_null())
    }

    /// An object's members in order; none for anything else.
    pub fn members(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let document = self.document;
        let children = self.children(Kind::Object);
        let mut keys = children;
        std::iter::from_fn(move || {
            let key = keys.next()?;
            let value = keys.next()?;
            Some((Value { document, index: key }, Value { document, index: value }))
        })
    }

    /// An array's elements in order; none for anything else.
    pub fn elements(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let document = self.document;
        self.children(Kind::Array).map(move |index| Value { document, index })
    }

    /// Whether a string's decoded text is this one.
    pub fn is(&self, text: &str) -> bool {
        let node = self.node();
        if node.escaped {
            return self.as_str().is_some_and(|own| own == text);
        }
        // Asked of every member on the way to one: bytes are compared, since that they are text was found out before.
        let inner = node.start as usize + 1..node.end as usize - 1;
        node.kind == Kind::String && self.document.text[inner] == *text.as_bytes()
    }

    fn child(&self, token: &str) -> Option<Value<'a>> {
        match self.kind() {
            Kind::Object => self.get(token),
            Kind::Array => array_index(token).and_then(|index| self.elements().nth(index)),
            _ => None,
        }
    }

    fn children(&self, kind: Kind) -> Children<'a> {
        let node = self.node();
        let end = if node.kind == kind { node.next } else { self.index + 1 };
        Children {
            nodes: &self.document.nodes,
            at: self.index + 1,
            end,
        }
    }
}

struct Children<'a> {
    nodes: &'a [Node],
    at: u32,
    end: u32,
}

impl Iterator for Children<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let index = self.at;
        (index < self.end).then(|| {
            self.at = self.nodes[index as usize].next;
            index
        })
    }
}

/// RFC 6901: an index has no leading zero and no sign.
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| token.parse().ok()).flatten()
}

/// The decoded reference tokens of a pointer; `None` where it is not one.
fn pointer_tokens(pointer: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let decoded = |token| match str::contains(token, '~') {
        true => Cow::Owned(token.replace("~1", "/").replace("~0", "~")),
        false => Cow::Borrowed(token),
    };
    (pointer.is_empty() || pointer.starts_with('/')).then(|| pointer.split('/').skip(1).map(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        Document::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).expect(text)
    }

    #[test]
    fn values_are_read_where_a_pointer_leads() {
        let document = read(r#"{"a": [1, {"b/c": "x\n\u00e9", "~": null}], "": true}"#);
        let at = |pointer: &str| document.pointer(pointer).map(|value| value.raw().to_owned());
        assert_eq!(at("/a/0").as_deref(), Some("1"));
        assert_eq!(at("/a/1/b~1c").as_deref(), Some(r#""x\n\u00e9""#));
        assert_eq!(document.pointer("/a/1/b~1c").unwrap().as_str().unwrap(), "x\né");
        assert_eq!(at("/a/1/~0").as_deref(), Some("null"));
        assert_eq!(at("/").as_deref(), Some("true"));
        assert_eq!(at(""), Some(document.root().raw().to_owned()));
        for absent in ["/a/2", "/a/01", "/a/-", "/b", "a", "/a/0/0"] {
            assert_eq!(at(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_null_field_counts_as_absent_for_field_and_present_for_get() {
        let document = read(r#"{"a": null}"#);
        assert!(document.root().get("a").is_some());
        assert!(document.root().field("a").is_none());
    }
}
