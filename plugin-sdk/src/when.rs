//! Conditions on what comes with a request's text: a header, a field, a label, who asks. Each costs, when it is looked at, one
//! call of the host for a header or a field, and nothing for the others.

use std::{borrow::Cow, fmt};

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize,
    de::{self, Deserializer, Visitor},
};
use serde_json::Value;

use crate::Request;

/// One condition: what is looked at, and what must hold of it. Of what is not there only `not` and `exists = false` hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Fields")]
#[schemars(with = "Fields")]
pub struct Condition(Fields);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// What is looked at: `header:NAME`, `field:POINTER` (a JSON pointer into the request, `field:/metadata/plan` say),
    /// `label:NAME`, `key`, `team`, `session`, `route` or `model` (as the client named it).
    of: Source,
    /// It is one of these.
    is: Option<Vec<Scalar>>,
    /// It is none of these.
    not: Option<Vec<Scalar>>,
    /// It is a list with one of these in it: a JSON list, or a text with commas.
    has: Option<Vec<Scalar>>,
    /// It is a number, and no less.
    at_least: Option<f64>,
    /// It is a number, and more.
    above: Option<f64>,
    /// It is a number, and no more.
    at_most: Option<f64>,
    /// It is a number, and less.
    below: Option<f64>,
    /// It is a text in which this expression is found.
    regex: Option<Pattern>,
    /// Whether it is there.
    exists: Option<bool>,
}

impl TryFrom<Fields> for Condition {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let lists = [("is", &fields.is), ("not", &fields.not), ("has", &fields.has)];
        if let Some((name, _)) = lists.iter().find(|(_, list)| list.as_ref().is_some_and(Vec::is_empty)) {
            return Err(format!("`{name}` is empty, expected at least one value"));
        }
        let has_bound = fields.bounds().iter().any(|(bound, _)| bound.is_some());
        let has_list = lists.iter().any(|(_, list)| list.is_some());
        if !has_bound && !has_list && fields.regex.is_none() && fields.exists.is_none() {
            return Err(format!(
                "nothing must hold of `{}`, expected one of `is`, `not`, `has`, `at_least`, `above`, `at_most`, `below`, \
                 `regex` and `exists`",
                fields.of.name
            ));
        }
        Ok(Condition(fields))
    }
}

impl Condition {
    /// What is looked at, as the configuration names it.
    pub fn subject(&self) -> &str {
        &self.0.of.name
    }

    /// Whether it holds of the request.
    pub fn holds(&self, request: &Request) -> bool {
        let Condition(fields) = self;
        let found = fields.of.find(request);
        if fields.exists.is_some_and(|exists| exists != found.is_some()) {
            return false;
        }
        let is_one = |list: &[Scalar]| found.as_ref().is_some_and(|found| found.is_one_of(list));
        fields.is.as_deref().is_none_or(is_one)
            && !fields.not.as_deref().is_some_and(is_one)
            && fields
                .has
                .as_deref()
                .is_none_or(|list| found.as_ref().is_some_and(|found| found.has_one_of(list)))
            && fields.regex.as_ref().is_none_or(|pattern| {
                let text = found.as_ref().and_then(Found::text);
                text.is_some_and(|text| pattern.0.is_match(text))
            })
            && fields.bounds().into_iter().all(|(bound, is_kept)| {
                bound.is_none_or(|bound| {
                    let number = found.as_ref().and_then(Found::number);
                    number.is_some_and(|number| is_kept(&number, &bound))
                })
            })
    }
}

type Bound = (Option<f64>, fn(&f64, &f64) -> bool);

impl Fields {
    fn bounds(&self) -> [Bound; 4] {
        [
            (self.at_least, f64::ge),
            (self.above, f64::gt),
            (self.at_most, f64::le),
            (self.below, f64::lt),
        ]
    }
}

/// What a condition looks at.
#[derive(Debug)]
struct Source {
    name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Header(String),
    Field(String),
    Label(String),
    Key,
    Team,
    Session,
    Route,
    Model,
}

impl Source {
    fn find<'a>(&self, request: &'a Request) -> Option<Found<'a>> {
        let text = match &self.place {
            Place::Header(name) => Cow::Owned(request.header(name)?),
            Place::Field(pointer) => return Found::json(&request.get(pointer)?),
            Place::Label(name) => Cow::Borrowed(request.label(name)?),
            Place::Key => Cow::Borrowed(&*request.key_id),
            Place::Team => Cow::Borrowed(request.team.as_deref()?),
            Place::Session => Cow::Borrowed(request.session.as_deref()?),
            Place::Route => Cow::Borrowed(&*request.route),
            Place::Model => Cow::Borrowed(&*request.model),
        };
        Some(Found::Text(text))
    }
}

/// What there is.
enum Found<'a> {
    Text(Cow<'a, str>),
    Json(Value),
}

impl Found<'_> {
    /// `null` counts as nothing.
    fn json(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Value::Null => None,
            Value::String(text) => Some(Found::Text(text.into())),
            value => Some(Found::Json(value)),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Found::Text(text) => Some(text),
            Found::Json(_) => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Found::Text(text) => text.trim().parse().ok(),
            Found::Json(value) => value.as_f64(),
        }
    }

    fn is_one_of(&self, list: &[Scalar]) -> bool {
        list.iter().any(|scalar| match self {
            Found::Text(text) => scalar.is_text(text),
            Found::Json(value) => scalar.is_value(value),
        })
    }

    fn has_one_of(&self, list: &[Scalar]) -> bool {
        match self {
            Found::Text(text) => text
                .split(',')
                .any(|item| list.iter().any(|scalar| scalar.is_text(item.trim()))),
            Found::Json(Value::Array(items)) => {
                items.iter().any(|item| list.iter().any(|scalar| scalar.is_value(item)))
            }
            Found::Json(_) => false,
        }
    }
}

/// A value that something can be.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Text(String),
    Number(f64),
    Flag(bool),
}

impl Scalar {
    /// Headers and labels have texts alone, so a text may be meant as a number or a flag.
    fn is_text(&self, text: &str) -> bool {
        match self {
            Scalar::Text(own) => own == text,
            Scalar::Number(own) => text.parse().is_ok_and(|number: f64| number == *own),
            Scalar::Flag(own) => text.parse().is_ok_and(|flag: bool| flag == *own),
        }
    }

    fn is_value(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::String(text)) => self.is_text(text),
            (Scalar::Number(own), Value::Number(number)) => number.as_f64() == Some(*own),
            (Scalar::Flag(own), Value::Bool(flag)) => flag == own,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Pattern(Regex);

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let place = match (name.as_str(), name.split_once(':')) {
            ("key", _) => Place::Key,
            ("team", _) => Place::Team,
            ("session", _) => Place::Session,
            ("route", _) => Place::Route,
            ("model", _) => Place::Model,
            (_, Some(("header", header))) if !header.is_empty() => Place::Header(header.to_owned()),
            (_, Some(("field", pointer))) if pointer.starts_with('/') => Place::Field(pointer.to_owned()),
            (_, Some(("label", label))) if !label.is_empty() => Place::Label(label.to_owned()),
            _ => {
                return Err(de::Error::custom(format!(
                    "nothing of a request is called `{name}`, expected `header:NAME`, `field:/POINTER`, `label:NAME`, \
                     `key`, `team`, `session`, `route` or `model`"
                )));
            }
        };
        Ok(Source { name, place })
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(key|team|session|route|model|header:.+|field:/.*|label:.+)$",
        })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextNumberOrFlag;
        impl Visitor<'_> for TextNumberOrFlag {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar::Flag(flag))
            }
        }
        deserializer.deserialize_any(TextNumberOrFlag)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let regex = Regex::new(&text).map_err(de::Error::custom)?;
        // The first search allocates what all later ones need: here, so that it is in the memory image.
        regex.is_match("");
        Ok(Pattern(regex))
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A regular expression" })
    }
}
