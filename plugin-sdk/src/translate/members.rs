//! A JSON object whose values are left as the text that they are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Raw, read};
use crate::Failure;

/// The members of an object, in their order.
#[derive(Debug, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

#[derive(Debug)]
enum Value<'a> {
    Given(&'a RawValue),
    Made(String),
}

impl<'a> Members<'a> {
    /// The members of a request's body.
    pub fn of(body: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(body);
        let text = text.map_err(|error| super::refuse(format!("the request is not UTF-8: {error}")))?;
        serde_json::from_str(text).map_err(|error| super::refuse(format!("the request cannot be read: {error}")))
    }

    /// A member that the client wrote, by name.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().find_map(|(own, value)| match value {
            Value::Given(raw) if own == name => Some(*raw),
            _ => None,
        })
    }

    /// Takes a member out and reads it; `null` is as good as absent.
    pub fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        match self.take_raw(name) {
            Some(raw) => read(raw.get(), name).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a member out as it was written; `null` is as good as absent.
    pub fn take_raw(&mut self, name: &str) -> Option<Raw<'a>> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        match self.0.remove(at).1 {
            Value::Given(raw) => Some(raw).filter(|raw| raw.get() != "null"),
            Value::Made(_) => None,
        }
    }

    /// Leaves a member out; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(own, _)| own != name);
        self.0.len() < before
    }

    /// Calls a member by another name, unless that is taken.
    pub fn rename(&mut self, name: &str, other: &str) {
        if self.0.iter().any(|(own, _)| own == other) {
            self.remove(name);
        } else if let Some((own, _)) = self.0.iter_mut().find(|(own, _)| own == name) {
            *own = Cow::Owned(other.to_owned());
        }
    }

    /// Writes a member anew, at its place or at the end.
    pub fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, place)) => *place = Value::Made(json),
            None => self.0.push((Cow::Owned(name.to_owned()), Value::Made(json))),
        }
    }

    /// The members that the client wrote.
    pub fn given(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Given(raw) => Some((&**name, *raw)),
            Value::Made(_) => None,
        })
    }

    /// The names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The object again.
    pub fn into_json(self) -> String {
        let mut json = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(&serde_json::Value::from(&**name).to_string());
            json.push(':');
            json.push_str(match value {
                Value::Given(raw) => raw.get(),
                Value::Made(json) => json,
            });
        }
        json.push('}');
        json
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<super::Text<'de>, &'de RawValue>()? {
                    members.push((name.0, Value::Given(value)));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
