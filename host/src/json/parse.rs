//! The strict reader: bytes to nodes, one pass, no recursion.
//! Stricter than RFC 8259 where parsers differ: duplicate keys (also when spelled with escapes), lone surrogates, numbers
//! beyond a double, and nesting beyond a limit are refused.

use std::collections::HashSet;

use thiserror::Error;

use super::text::{control_character, hex_value, is_finite, unescape};
use super::{Kind, Node};

/// What a text may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arrays and objects inside one another.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64 }
    }
}

/// Digits beyond this many carry nothing that any reader keeps.
const NUMBER_BYTES: usize = 1024;

/// Up to so many members, comparing each key with each is cheaper than hashing them.
const FEW_MEMBERS: usize = 16;

/// Why a text is not acceptable, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason} at line {line} column {column}")]
pub struct JsonError {
    /// What is wrong, in words for the caller.
    pub reason: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
}

pub(super) fn parse(text: &[u8], limits: Limits) -> Result<Vec<Node>, JsonError> {
    let mut parser = Parser {
        text,
        at: 0,
        nodes: Vec::with_capacity(16 + text.len() / 24),
        open: Vec::new(),
        limits,
    };
    parser.document().map_err(|reason| locate(text, parser.at, reason))?;
    Ok(parser.nodes)
}

fn locate(text: &[u8], at: usize, reason: String) -> JsonError {
    let before = &text[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.len()
        - before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1)
        + 1;
    JsonError { reason, line, column }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The containers that are not closed yet.
    open: Vec<u32>,
    limits: Limits,
}

type Step<T = ()> = Result<T, String>;

impl Parser<'_> {
    fn document(&mut self) -> Step {
        if self.text.len() > u32::MAX as usize {
            return Err("a text of over 4 GiB".to_owned());
        }
        if let Err(error) = std::str::from_utf8(self.text) {
            self.at = error.valid_up_to();
            return Err("invalid UTF-8".to_owned());
        }
        self.blank();
        self.value()?;
        while let Some(container) = self.open.last().copied() {
            self.blank();
            match self.nodes[container as usize].kind {
                Kind::Object => self.member(container)?,
                _ => self.element(container)?,
            }
        }
        self.blank();
        if self.at < self.text.len() {
            Err("something after the end of the JSON value".to_owned())
        } else {
            Ok(())
        }
    }

    /// After `{` or a member: the next member, or the end.
    fn member(&mut self, container: u32) -> Step {
        let is_first = self.nodes.len() as u32 == container + 1;
        match (self.peek(), is_first) {
            (Some(b'}'), _) => return self.close(container),
            (Some(b','), false) => {
                self.at += 1;
                self.blank();
            }
            (_, true) => {}
            (_, false) => return Err("expected `,` or `}`".to_owned()),
        }
        if self.peek() != Some(b'"') {
            return Err("expected a key in double quotes".to_owned());
        }
        self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err("expected `:`".to_owned());
        }
        self.at += 1;
        self.blank();
        self.value()
    }

    /// After `[` or an element: the next element, or the end.
    fn element(&mut self, container: u32) -> Step {
        let is_first = self.nodes.len() as u32 == container + 1;
        match (self.peek(), is_first) {
            (Some(b']'), _) => return self.close(container),
            (Some(b','), false) => {
                self.at += 1;
                self.blank();
            }
            (_, true) => {}
            (_, false) => return Err("expected `,` or `]`".to_owned()),
        }
        self.value()
    }

    fn close(&mut self, container: u32) -> Step {
        if self.nodes[container as usize].kind == Kind::Object {
            self.refuse_duplicates(container)?;
        }
        self.at += 1;
        self.open.pop();
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[container as usize];
        node.end = self.at as u32;
        node.next = next;
        Ok(())
    }

    fn value(&mut self) -> Step {
        match self.peek() {
            Some(b'{') => self.open(Kind::Object),
            Some(b'[') => self.open(Kind::Array),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Kind::Bool),
            Some(b'f') => self.word("false", Kind::Bool),
            Some(b'n') => self.word("null", Kind::Null),
            Some(_) => Err("expected a JSON value".to_owned()),
            None => Err("the text ends where a JSON value should follow".to_owned()),
        }
    }

    fn open(&mut self, kind: Kind) -> Step {
        if self.open.len() == self.limits.depth {
            return Err(format!("nesting deeper than {} levels", self.limits.depth));
        }
        self.open.push(self.nodes.len() as u32);
        self.push(kind, self.at, false);
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, kind: Kind) -> Step {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(format!("expected `{word}`"));
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, false);
        Ok(())
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        self.skip(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        let length = self.at - start;
        if length > NUMBER_BYTES {
            return Err(format!("a number of over {NUMBER_BYTES} characters"));
        }
        if (has_exponent || length > 300) && !is_finite(&self.text[start..self.at]) {
            return Err("a number beyond the range of a double".to_owned());
        }
        self.push(Kind::Number, start, false);
        Ok(())
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err("expected a digit".to_owned())
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Step {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err("a string without its closing quote".to_owned());
            };
            if let Some(control) = control_character(&rest[..stop]) {
                self.at += control;
                return Err("a control character inside a string (write it as an escape)".to_owned());
            }
            self.at += stop + 1;
            if rest[stop] == b'"' {
                self.push(Kind::String, start, escaped);
                return Ok(());
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// After the backslash.
    fn escape(&mut self) -> Step {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                match self.hex()? {
                    0xD800..=0xDBFF if self.skip(b'\\') && self.skip(b'u') => match self.hex()? {
                        0xDC00..=0xDFFF => Ok(()),
                        _ => Err("a lone surrogate".to_owned()),
                    },
                    0xD800..=0xDFFF => Err("a lone surrogate".to_owned()),
                    _ => Ok(()),
                }
            }
            _ => Err("an unknown escape in a string".to_owned()),
        }
    }

    fn hex(&mut self) -> Step<u32> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.ok_or("expected four hexadecimal digits")?;
        self.at += 4;
        Ok(hex_value(digits))
    }

    fn refuse_duplicates(&mut self, container: u32) -> Step {
        let mut keys = Vec::new();
        let mut index = container + 1;
        while (index as usize) < self.nodes.len() {
            keys.push(self.nodes[index as usize]);
            index = self.nodes[index as usize + 1].next;
        }
        let text = |key: &Node| &self.text[key.start as usize + 1..key.end as usize - 1];
        let repeated = if keys.iter().any(|key| key.escaped) {
            let mut seen = HashSet::with_capacity(keys.len());
            keys.iter()
                .find(|key| !seen.insert(unescape(&String::from_utf8_lossy(text(key)))))
        } else if keys.len() > FEW_MEMBERS {
            let mut seen = HashSet::with_capacity(keys.len());
            keys.iter().find(|key| !seen.insert(text(key)))
        } else {
            keys.iter()
                .enumerate()
                .find(|(n, key)| keys[..*n].iter().any(|k| text(k) == text(key)))
                .map(|(_, k)| k)
        };
        match repeated {
            None => Ok(()),
            Some(key) => {
                let name: String = String::from_utf8_lossy(text(key)).chars().take(64).collect();
                self.at = key.start as usize;
                Err(format!("the key `{name}` appears twice in one object"))
            }
        }
    }

    fn push(&mut self, kind: Kind, start: usize, escaped: bool) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node {
            kind,
            escaped,
            start: start as u32,
            end: self.at as u32,
            next,
        });
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::Document;
    use super::*;

    fn refusal(text: &[u8]) -> String {
        match Document::parse(Bytes::copy_from_slice(text), Limits::default()) {
            Ok(_) => panic!("accepted {}", String::from_utf8_lossy(text)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_parsers_read_differently_is_refused_with_its_place() {
        for (text, expected) in [
            (
                &br#"{"a":1,"a":2}"#[..],
                "the key `a` appears twice in one object at line 1 column 8",
            ),
            (br#"{"model":1,"\u006dodel":2}"#, "appears twice"),
            (br#"{"x":{"b":1,"b":2}}"#, "appears twice"),
            (b"{\"a\":1e400}", "beyond the range"),
            (b"\"\\ud800\"", "lone surrogate"),
            (b"\"\\udc00\"", "lone surrogate"),
            (b"\"\\ud800\\u0041\"", "lone surrogate"),
            (b"\xef\xbb\xbf{}", "expected a JSON value"),
            (b"\"\xff\"", "invalid UTF-8 at line 1 column 2"),
            (b"\"a\nb\"", "control character"),
            (b"{} {}", "after the end"),
            (b"", "the text ends"),
            (b"[1,]", "expected a JSON value"),
            (b"{\"a\":1,}", "expected a key"),
            (b"{'a':1}", "expected a key"),
            (b"[01]", "expected `,` or `]`"),
            (b"[+1]", "expected a JSON value"),
            (b"[1.]", "expected a digit"),
            (b"[.5]", "expected a JSON value"),
            (b"nul", "expected `null`"),
            (b"\"abc", "closing quote"),
            (b"\"\\x\"", "unknown escape"),
            (b"{\n  \"a\" 1}", "expected `:` at line 2 column 7"),
        ] {
            let message = refusal(text);
            assert!(
                message.contains(expected),
                "{}: {message}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn nesting_and_digits_are_bounded() {
        let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(Document::parse(nested(64).into(), Limits::default()).is_ok());
        assert!(refusal(&nested(65)).contains("deeper than 64 levels"));
        assert!(refusal(&nested(1_000_000)).contains("deeper than 64 levels"));
        assert!(refusal(&b"9".repeat(2_000_000)).contains("characters"));
    }

    #[test]
    fn many_members_are_compared_in_linear_time() {
        let members: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\":0")).collect();
        let text = format!("{{{},\"k77\":1}}", members.join(","));
        assert!(refusal(text.as_bytes()).contains("`k77` appears twice"));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<i32>().prop_map(|eighths| serde_json::Value::from(f64::from(eighths) / 8.0)),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_is_read_with_the_same_meaning(value in json()) {
            let text = serde_json::to_vec(&value).unwrap();
            let document = Document::parse(text.into(), Limits::default()).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(document.root().raw()).unwrap(), value.clone());
            if let serde_json::Value::Object(members) = &value {
                for (key, member) in members {
                    let found = document.root().get(key).unwrap();
                    if let Some(text) = member.as_str() {
                        prop_assert_eq!(found.as_str().unwrap(), text);
                    }
                }
            }
        }

        #[test]
        fn nothing_is_accepted_that_serde_refuses(text in "[\\[\\]{}\",:0-9eE+.\\-tfnrualse\\\\ ]{0,24}") {
            let accepted = Document::parse(Bytes::from(text.clone().into_bytes()), Limits::default()).is_ok();
            prop_assert!(!accepted || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn any_bytes_are_accepted_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Document::parse(bytes.into(), Limits::default());
        }
    }
}
