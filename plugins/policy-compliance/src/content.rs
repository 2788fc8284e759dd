//! What a request's text has in it: from names of classes to what is searched for, and from a text to the classes in it.

use std::collections::BTreeMap;

use pointsman_plugin::{
    Request,
    terms::{Matching, Terms},
};
use regex_lite::{Regex, RegexBuilder};
use serde_json::Value;

use crate::{
    config::{Custom, Place},
    scan::{CLASSES, GROUPS, Scanner},
};

/// Not a class of text: whether the request has images, in which nothing can be found.
const IMAGE: &str = "image";

/// What rules look for. A class has a place in `classes`, and rules know theirs by it.
pub(crate) struct Content {
    classes: Vec<Class>,
    scanner: Scanner,
    place: Place,
    /// As it is configured: in a component a `usize` has as many bits, so that nothing can be added to it.
    read_at_most: u32,
}

struct Class {
    name: String,
    kind: Kind,
    at_least: u32,
}

enum Kind {
    /// By its number among the built-in ones.
    BuiltIn(usize),
    Custom(Option<Terms>, Vec<Regex>),
    Image,
}

/// What was found: by class, whether it is there.
pub(crate) struct Found {
    is_there: Vec<bool>,
    /// Whether there was more than was read.
    pub(crate) is_cut: bool,
}

impl Content {
    pub(crate) fn new(place: Place, read_at_most: u32) -> Self {
        Content {
            classes: Vec::new(),
            scanner: Scanner::new([]),
            place,
            read_at_most,
        }
    }

    /// The places of the classes that a name means. A name that means none is an error.
    pub(crate) fn add(&mut self, name: &str, customs: &BTreeMap<String, Custom>) -> Result<Vec<usize>, String> {
        if let Some((_, members)) = GROUPS.iter().find(|(group, _)| *group == name) {
            return members.iter().try_fold(Vec::new(), |mut places, member| {
                places.extend(self.add(member, customs)?);
                Ok(places)
            });
        }
        if let Some(known) = self.classes.iter().position(|class| class.name == name) {
            return Ok(vec![known]);
        }
        let kind = match (CLASSES.iter().position(|class| *class == name), customs.get(name)) {
            (Some(number), _) => Kind::BuiltIn(number),
            (None, Some(custom)) => custom.compile().map_err(|error| format!("`classes.{name}.{error}"))?,
            (None, None) if name == IMAGE => Kind::Image,
            (None, None) => return Err(unknown(name, customs)),
        };
        self.classes.push(Class {
            name: name.to_owned(),
            kind,
            at_least: 1,
        });
        self.scanner = Scanner::new(self.classes.iter().filter_map(|class| match class.kind {
            Kind::BuiltIn(number) => Some(number),
            _ => None,
        }));
        Ok(vec![self.classes.len() - 1])
    }

    /// Asks for a class to be found so often. The error says what is wrong with the name.
    pub(crate) fn at_least(&mut self, name: &str, count: u32) -> Result<(), String> {
        if count == 0 {
            return Err("0 times is found in every text, expected at least 1".into());
        }
        if let Some((_, members)) = GROUPS.iter().find(|(group, _)| *group == name) {
            let members = members.join(", ");
            return Err(format!(
                "it means several classes, expected a number for each: {members}"
            ));
        }
        let class = self.classes.iter_mut().find(|class| class.name == name);
        let class = class.ok_or_else(|| format!("no rule looks for a class `{name}`"))?;
        class.at_least = count;
        Ok(())
    }

    /// Whether some rule looks for the class.
    pub(crate) fn looks_for(&self, name: &str) -> bool {
        self.classes.iter().any(|class| class.name == name)
    }

    /// The names of the classes that were found, in the order in which rules first name them.
    pub(crate) fn names<'a>(&'a self, found: &'a Found) -> impl Iterator<Item = &'a str> {
        let classes = self.classes.iter().zip(&found.is_there);
        classes
            .filter(|(_, is_there)| **is_there)
            .map(|(class, _)| &*class.name)
    }

    /// Reads the request's text and looks for all classes.
    pub(crate) fn look(&self, request: &Request) -> Found {
        let is_text = |class: &Class| !matches!(class.kind, Kind::Image);
        let (text, is_cut) = if self.classes.iter().any(is_text) {
            self.read(request)
        } else {
            (String::new(), false)
        };
        let counts = if self.scanner.is_idle() {
            Default::default()
        } else {
            self.scanner.count(&text)
        };
        let is_there = self.classes.iter().map(|class| {
            let count = match &class.kind {
                Kind::BuiltIn(number) => counts[*number],
                Kind::Custom(terms, regexes) => {
                    let words = terms.as_ref().map_or(0, |terms| terms.count_in(&text));
                    let matches: usize = regexes.iter().map(|regex| regex.find_iter(&text).count()).sum();
                    u32::try_from(words + matches).unwrap_or(u32::MAX)
                }
                Kind::Image if request.has_images => u32::MAX,
                Kind::Image => 0,
            };
            count >= class.at_least
        });
        Found {
            is_there: is_there.collect(),
            is_cut,
        }
    }

    /// The text, and whether there is more of it.
    fn read(&self, request: &Request) -> (String, bool) {
        let mut text = match self.place {
            Place::LastUser => request.last_user_text(),
            Place::System => request.system_text(),
            // A few bytes more than are wanted show whether there are more.
            Place::All => request.all_text(self.read_at_most.saturating_add(4)),
        };
        let at_most = self.read_at_most as usize;
        if self.place == Place::All {
            for index in 0..request.message_count {
                // The second is how functions were called before there were tools.
                for field in ["tool_calls", "function_call"] {
                    if text.len() > at_most {
                        break;
                    }
                    let calls = request.get(&format!("/messages/{index}/{field}"));
                    if let Some(calls) = calls.and_then(|calls| serde_json::from_str(&calls).ok()) {
                        gather(&calls, &mut text);
                    }
                }
            }
        }
        let is_cut = text.len() > at_most;
        if is_cut {
            text.truncate(text.floor_char_boundary(at_most));
        }
        (text, is_cut)
    }
}

impl Found {
    pub(crate) fn has_any(&self, classes: &[usize]) -> bool {
        classes.iter().any(|class| self.is_there[*class])
    }
}

impl Custom {
    /// The error begins with the field's name and a closing backtick.
    fn compile(&self) -> Result<Kind, String> {
        if self.words.is_empty() && self.regex.is_empty() {
            return Err("words` and `regex` are both empty, expected something to look for".into());
        }
        let matching = Matching {
            whole_words: true,
            ignore_case: self.ignore_case,
        };
        let terms = Terms::new(&self.words, matching).map_err(|error| format!("words`: {error}"))?;
        let regexes = self.regex.iter().enumerate().map(|(place, pattern)| {
            let regex = RegexBuilder::new(pattern).case_insensitive(self.ignore_case).build();
            let regex = regex.map_err(|error| format!("regex[{place}]`: {error}"))?;
            // The first search allocates what all later ones need: here, so that it is in the memory image.
            if regex.is_match("") {
                return Err(format!("regex[{place}]` matches the empty text, and so every text"));
            }
            Ok(regex)
        });
        let regexes = regexes.collect::<Result<_, String>>()?;
        Ok(Kind::Custom((!terms.is_empty()).then_some(terms), regexes))
    }
}

/// Adds every string of a JSON value to the text, a line each. A string that is JSON itself, as a function's arguments are, is
/// taken apart: in its escaped form words would run together.
fn gather(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => match serde_json::from_str(string) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => gather(&inner, text),
            _ => {
                text.push('\n');
                text.push_str(string);
            }
        },
        Value::Number(number) => {
            text.push('\n');
            text.push_str(&number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, text)),
        Value::Object(fields) => fields.values().for_each(|field| gather(field, text)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn unknown(name: &str, customs: &BTreeMap<String, Custom>) -> String {
    let groups = GROUPS.iter().map(|(group, _)| *group);
    let known: Vec<&str> = CLASSES
        .into_iter()
        .chain(groups)
        .chain([IMAGE])
        .chain(customs.keys().map(String::as_str))
        .collect();
    format!("there is no class `{name}`, expected one of {}", known.join(", "))
}

/// Whether a name is taken by what is built in.
pub(crate) fn is_built_in(name: &str) -> bool {
    name == IMAGE || CLASSES.contains(&name) || GROUPS.iter().any(|(group, _)| *group == name)
}
