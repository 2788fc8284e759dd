//! Requests as JSON: whatever the strict reader takes, another reader reads alike, and what it makes of it (values, edits,
//! the one text for digests) says the same as that reader's. What it refuses beyond the grammar is one of four things.

use bytes::Bytes;
use pointsman::json::{Document, Edit, Kind, Limits, Value};
use pointsman::operation::Operation;
use pointsman::surfaces::chat::Ask;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Other;

/// What may be refused although its grammar is right.
const STRICTER: [&str; 3] = ["nest", "number", "twice"];

pub(super) fn check(data: &[u8]) {
    let ours = Document::parse(Bytes::copy_from_slice(data), Limits::default());
    let other: Result<Other, _> = serde_json::from_slice(data);
    match (&ours, other) {
        (Ok(ours), Ok(other)) => {
            assert!(
                serde_json::from_slice::<Unique>(data).is_ok(),
                "a key that stands there twice was taken"
            );
            agree(ours.root(), &other);
            canonical(ours);
            edits(ours, &other);
            read(ours);
        }
        (Ok(_), Err(error)) => panic!("only we take it: {error}"),
        (Err(error), Ok(_)) => {
            let is_stricter = STRICTER.iter().any(|word| error.reason.contains(word));
            assert!(is_stricter, "only we refuse it: {error}");
            let is_unique = serde_json::from_slice::<Unique>(data).is_ok();
            assert!(
                !error.reason.contains("twice") || !is_unique,
                "no key stands there twice"
            );
        }
        (Err(_), Err(_)) => {}
    }
}

/// The same values in the same places.
fn agree(ours: Value<'_>, other: &Other) {
    match other {
        Other::Null => assert!(ours.is_null()),
        Other::Bool(value) => assert_eq!(ours.as_bool(), Some(*value)),
        Other::String(value) => assert_eq!(ours.as_str().as_deref(), Some(value.as_str())),
        Other::Number(number) => {
            if let Some(whole) = number.as_u64() {
                assert_eq!(ours.as_u64(), Some(whole));
            }
            let (one, two) = (ours.as_f64().unwrap(), number.as_f64().unwrap());
            let apart = (one - two).abs();
            assert!(apart <= one.abs() * 1e-14 || apart < 1e-300, "{one} is not {two}");
        }
        Other::Array(values) => {
            assert_eq!(ours.kind(), Kind::Array);
            assert_eq!(ours.elements().count(), values.len());
            ours.elements().zip(values).for_each(|(one, two)| agree(one, two));
        }
        Other::Object(members) => {
            assert_eq!(ours.kind(), Kind::Object);
            assert_eq!(ours.members().count(), members.len());
            for (name, value) in ours.members() {
                agree(value, &members[&*name.as_str().unwrap()]);
            }
        }
    }
}

/// Two texts of ours that mean the same; members may stand in another order.
fn same(one: Value<'_>, two: Value<'_>) {
    assert_eq!(one.kind(), two.kind());
    match one.kind() {
        Kind::Null | Kind::Bool => assert_eq!(one.raw(), two.raw()),
        Kind::Number => assert_eq!(one.as_f64(), two.as_f64()),
        Kind::String => assert_eq!(one.as_str(), two.as_str()),
        Kind::Array => {
            assert_eq!(one.elements().count(), two.elements().count());
            one.elements().zip(two.elements()).for_each(|(one, two)| same(one, two));
        }
        Kind::Object => {
            assert_eq!(one.members().count(), two.members().count());
            for (name, value) in one.members() {
                same(value, two.get(&name.as_str().unwrap()).unwrap());
            }
        }
    }
}

fn canonical(document: &Document) {
    let text = |document: &Document| {
        let mut text = String::new();
        document.root().write_canonical(&mut text);
        text
    };
    let first = text(document);
    let again = parsed(first.as_bytes());
    same(document.root(), again.root());
    assert_eq!(text(&again), first);
}

/// Some places, each replaced and each removed; and a member more.
fn edits(document: &Document, other: &Other) {
    const NEW: &str = r#"{"n":[1,"\u00e9"]}"#;
    let new: Other = serde_json::from_str(NEW).unwrap();
    let mut places = Vec::new();
    collect(other, String::new(), &mut places);
    for place in places.iter().step_by(1 + places.len() / 6) {
        let edit = |value| Edit { pointer: place, value };
        let mut expected = other.clone();
        *expected.pointer_mut(place).unwrap() = new.clone();
        made(document, &[edit(Some(NEW))], &expected);

        let (parent, token) = place.rsplit_once('/').unwrap();
        let mut expected = other.clone();
        match expected.pointer_mut(parent).unwrap() {
            Other::Object(members) => drop(members.remove(&token.replace("~1", "/").replace("~0", "~"))),
            Other::Array(values) => drop(values.remove(token.parse().unwrap())),
            _ => unreachable!("a value without parts has no part"),
        }
        made(document, &[edit(None)], &expected);
    }
    if let Other::Object(members) = other
        && !members.contains_key("a new one")
    {
        let mut expected = members.clone();
        expected.insert("a new one".to_owned(), new);
        let edit = Edit {
            pointer: "/a new one",
            value: Some(NEW),
        };
        made(document, &[edit], &Other::Object(expected));
    }
    let everything: Vec<Edit<'_>> = match other {
        Other::Object(_) => places.iter().filter(|place| place[1..].find('/').is_none()),
        _ => return,
    }
    .map(|place| Edit {
        pointer: place,
        value: None,
    })
    .collect();
    made(document, &everything, &Other::Object(serde_json::Map::new()));
}

fn made(document: &Document, edits: &[Edit<'_>], expected: &Other) {
    let text = document.with(edits).unwrap();
    agree(parsed(&text).root(), expected);
}

fn collect(value: &Other, place: String, places: &mut Vec<String>) {
    let mut part = |token: &str, value: &Other| {
        let place = format!("{place}/{}", token.replace('~', "~0").replace('/', "~1"));
        places.push(place.clone());
        collect(value, place, places);
    };
    match value {
        Other::Array(values) => values
            .iter()
            .enumerate()
            .for_each(|(at, value)| part(&at.to_string(), value)),
        Other::Object(members) => members.iter().for_each(|(name, value)| part(name, value)),
        _ => {}
    }
}

/// What is asked for is read of any JSON without harm, and counted within what it can be.
fn read(document: &Document) {
    for operation in [
        Operation::Chat,
        Operation::Embedding,
        Operation::Moderation,
        Operation::Rerank,
    ] {
        if let Ok(ask) = Ask::read(document, operation) {
            assert!(!ask.model.is_empty());
            assert!(ask.most_input_tokens(Some(8_192)) > 0);
            let _ = ask.estimated_input_tokens();
        }
    }
}

/// An edit may nest deeper than a request.
fn parsed(text: &[u8]) -> Document {
    let limits = Limits { depth: 128 };
    Document::parse(Bytes::copy_from_slice(text), limits).unwrap_or_else(|error| panic!("{error}"))
}

/// Any JSON in which no object has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON without a key that stands there twice")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Unique, A::Error> {
        while values.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut known = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Unique>()?;
            if !known.insert(name) {
                return Err(serde::de::Error::custom("a key stands there twice"));
            }
        }
        Ok(Unique)
    }
}
