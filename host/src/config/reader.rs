//! Reading TOML with every mistake kept: a section hands out typed values by key, notes what is wrong with its line and
//! column, and in the end names the keys that nobody asked for. It knows no setting by name.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1; 0 where the mistake has no place in the file.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Where in the configuration: `providers.deepseek`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "{}:{}: ", self.line, self.column)?;
        }
        let separator = if self.path.is_empty() { "" } else { ": " };
        write!(formatter, "{}{separator}{}", self.path, self.message)
    }
}

/// Where a text nests too deeply, which its reader does not say: the line with the most of what nests.
fn densest(text: &str) -> Option<Range<usize>> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let begin = end;
        end += line.len();
        (line.matches(['.', '[', '{']).count(), Reverse(begin))
    });
    lines.max().map(|(_, Reverse(begin))| begin..begin)
}

/// Where something was written, for those who find out later what is wrong with it. No setting: a configuration whose lines
/// have moved is still the same.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    line: usize,
    column: usize,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// The text that is read and what was found wrong with it.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Reader<'a> {
    /// Starts on a text.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            mistakes: RefCell::default(),
        }
    }

    /// Parses the text; syntax errors are noted and what could be read is handed on.
    pub fn table(&self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            match error.span() {
                Some(span) => self.note(Some(span), "", error.message().trim()),
                None => self.note(
                    densest(self.text),
                    "",
                    "tables, arrays or names with dots nest too deeply",
                ),
            }
        }
        table
    }

    /// Notes a mistake.
    pub fn note(&self, span: Option<Range<usize>>, path: &str, message: impl Into<String>) {
        let (line, column) = span.map_or((0, 0), |span| self.place(span.start));
        self.mistakes.borrow_mut().push(Mistake {
            line,
            column,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// All mistakes, in the order of the file.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        mistakes.dedup();
        mistakes
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

/// A value with the place where it was written.
pub type Placed<T> = (T, Range<usize>);

/// One table of the file, which may be absent.
#[derive(Debug)]
pub struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(reader: &'a Reader<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            reader,
            path: String::new(),
            span: 0..0,
            table: Some(table.get_ref()),
            asked: RefCell::default(),
        }
    }

    /// Where this section begins.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Its dotted name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the file has it.
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has this key in it.
    pub fn is_stated(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Where a value of this section stands.
    pub fn place(&self, span: Range<usize>) -> Place {
        let (line, column) = self.reader.place(span.start);
        Place { line, column }
    }

    /// Notes a mistake of the section or of a value in it.
    pub fn note(&self, span: Range<usize>, message: impl Into<String>) {
        self.reader.note(Some(span), &self.path, message);
    }

    /// Names the keys that were never asked for, and ends the reading.
    pub fn finish(self) {
        self.finish_ref();
    }

    /// As [`Self::finish`], for a section that somebody else holds.
    pub fn finish_ref(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !asked.contains(&name) {
                self.note(
                    key.span(),
                    format!("unknown key `{name}`{}", suggestion(name, asked.iter().copied())),
                );
            }
        }
    }

    /// A sub-table.
    pub fn section(&self, key: &'static str) -> Section<'a> {
        let found = self.find(key);
        let table = found.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.note(
                    value.span(),
                    format!("`{key}` must be a table, not {}", article(other.type_str())),
                );
                None
            }
        });
        let span = found.map_or(self.span.clone(), Spanned::span);
        Section {
            reader: self.reader,
            path: self.join(key),
            span,
            table,
            asked: RefCell::default(),
        }
    }

    /// A table of named tables: `[providers.a]`, `[providers.b]`.
    pub fn sections(&self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let parent = self.section(key);
        let mut sections = Vec::new();
        for (name, value) in parent.table.into_iter().flatten() {
            let DeValue::Table(table) = value.get_ref() else {
                parent.note(value.span(), format!("`{name}` must be a table", name = name.get_ref()));
                continue;
            };
            let name_text = name.get_ref().to_string();
            let path = parent.join(&name_text);
            let section = Section {
                reader: self.reader,
                path,
                span: name.span(),
                table: Some(table),
                asked: RefCell::default(),
            };
            sections.push((name_text, section));
        }
        sections
    }

    /// A string.
    pub fn string(&self, key: &'static str) -> Option<Placed<String>> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A string that must be there.
    pub fn required_string(&self, key: &'static str) -> Option<Placed<String>> {
        if self.find(key).is_none() {
            self.note(self.span.clone(), format!("`{key}` is missing"));
        }
        self.string(key)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        self.read(key, "true or false", DeValue::as_bool)
            .map_or(default, |(value, _)| value)
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &'static str, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let (value, span) = self.read(key, "a whole number", |value| {
            let integer = value.as_integer()?;
            i128::from_str_radix(integer.as_str(), integer.radix()).ok()
        })?;
        let within = u64::try_from(value).ok().filter(|value| bounds.contains(value));
        if within.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            self.note(span, format!("`{key}` is {value}; it must be from {low} to {high}"));
        }
        within
    }

    /// A number as it was written: money and shares are parsed by those who know them, never through a float.
    pub fn decimal(&self, key: &'static str) -> Option<Placed<String>> {
        self.read(key, "a number", |value| match value {
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            _ => None,
        })
    }

    /// A list of strings; absent counts as empty.
    pub fn strings(&self, key: &'static str) -> Vec<Placed<String>> {
        let mut strings = Vec::new();
        for item in self.items(key) {
            match item.get_ref().as_str() {
                Some(text) => strings.push((text.to_owned(), item.span())),
                None => self.note(item.span(), format!("`{key}` is a list of strings")),
            }
        }
        strings
    }

    /// A list's elements, or the one value standing for a list of one.
    pub fn items(&self, key: &'static str) -> Vec<&'a Spanned<DeValue<'a>>> {
        match self.find(key).map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Array(array))) => array.iter().collect(),
            Some((value, other)) => {
                self.note(
                    value.span(),
                    format!("`{key}` must be a list, not {}", article(other.type_str())),
                );
                Vec::new()
            }
        }
    }

    /// A list element that is a table.
    pub fn item_section(&self, key: &'static str, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let DeValue::Table(table) = value.get_ref() else {
            return None;
        };
        let path = self.join(key);
        Some(Section {
            reader: self.reader,
            path,
            span: value.span(),
            table: Some(table),
            asked: RefCell::default(),
        })
    }

    /// Anything, as JSON: what plugins get as their configuration. Absent counts as an empty object.
    pub fn json(&self, key: &'static str) -> serde_json::Value {
        self.find(key)
            .map_or_else(|| serde_json::json!({}), |value| to_json(value.get_ref()))
    }

    /// Any value, with its place.
    pub fn any(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.find(key)
    }

    /// A table of strings by free names, such as headers.
    pub fn string_map(&self, key: &'static str) -> Vec<(String, Placed<String>)> {
        let section = self.section(key);
        let mut entries = Vec::new();
        for (name, value) in section.table.into_iter().flatten() {
            match value.get_ref().as_str() {
                Some(text) => entries.push((name.get_ref().to_string(), (text.to_owned(), value.span()))),
                None => section.note(value.span(), format!("`{}` must be a string", name.get_ref())),
            }
        }
        entries
    }

    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<Placed<T>> {
        let value = self.find(key)?;
        let found = read(value.get_ref());
        if found.is_none() {
            let actual = article(value.get_ref().type_str());
            self.note(value.span(), format!("`{key}` must be {expected}, not {actual}"));
        }
        found.map(|found| (found, value.span()))
    }

    fn find(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table?.get(key)
    }

    fn join(&self, key: &str) -> String {
        let is_bare = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let key = if is_bare { key.to_owned() } else { format!("\"{key}\"") };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// `; did you mean …?` where a known name is near.
pub fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let likeness = |candidate: &str| strsim::jaro_winkler(name, candidate);
    let nearest = known
        .map(|known| (likeness(known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((score, known)) if score > 0.8 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

fn to_json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(serde_json::Value::Null, Into::into)
        }
        DeValue::Float(float) => float
            .as_str()
            .parse::<f64>()
            .map_or(serde_json::Value::Null, Into::into),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(array) => array.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => serde_json::Value::Object(
            table
                .iter()
                .map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref())))
                .collect(),
        ),
    }
}
