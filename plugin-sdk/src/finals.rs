//! The final answer of a text, in a form in which two of them can be compared: a number, an option's letter, JSON, or words.
//! For policies that hold answers against each other. How numbers are read is in `finals/number.rs`.

mod number;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use number::Number;

/// What of two texts is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// JSON where the text is that; else what the text marks as its answer; else a text of one short line.
    #[default]
    Auto,
    /// The number that the text marks as its answer, else the last one in it.
    Number,
    /// The letter, `A` to `J`, that the text marks as its answer, begins with, or puts into brackets last.
    Option,
    /// A JSON object or list, in a code fence or without.
    Json,
    /// All words.
    Text,
}

/// A final answer. Two are equal if they mean the same.
#[derive(Debug, Clone)]
pub enum Final {
    /// A number with what it counts.
    Number(Number),
    /// `A` to `J`.
    Option(char),
    /// A capital with a full stop and words behind it, and those words: an option with what it says, or a name with its initial.
    /// Equal to the option alone, and to the same words.
    Labelled(char, String),
    /// An object or a list, equal by value.
    Json(Value),
    /// Words in lower case, without punctuation around them.
    Text(String),
}

/// A text that is no longer may be an answer as it stands, and a mark's answer goes no further.
const SHORT_BYTES: usize = 80;

impl Compare {
    /// The final answer of a text; none where there is nothing to be compared.
    pub fn find(self, text: &str) -> Option<Final> {
        let text = spoken(text).trim();
        match self {
            Compare::Auto => json(text).or_else(|| marked(text).or_else(|| short(text)).and_then(|it| classify(&it))),
            Compare::Number => marked(text)
                .and_then(|it| Number::read(&it))
                .or_else(|| Number::last_in(text))
                .map(|number| Final::Number(number.bare())),
            Compare::Option => marked(text)
                .and_then(|it| option(&it, Follows::Anything))
                .or_else(|| option(text, Follows::Anything))
                .or_else(|| last_option(text))
                .map(Final::Option),
            Compare::Json => json(text),
            Compare::Text => words(text),
        }
    }
}

/// An answer without the thoughts that some models put before it: nothing of one that is cut off amid them.
pub fn spoken(answer: &str) -> &str {
    match answer.rsplit_once("</think>") {
        Some((_, said)) => said.trim_start(),
        None if answer.trim_start().starts_with("<think>") => "",
        None => answer,
    }
}

impl Final {
    /// What kind of answer it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Final::Number(_) => "number",
            Final::Option(_) => "option",
            Final::Json(_) => "JSON",
            Final::Labelled(..) | Final::Text(_) => "text",
        }
    }
}

impl PartialEq for Final {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Final::Number(one), Final::Number(other)) => one == other,
            (Final::Option(one), Final::Option(other)) => one == other,
            (Final::Json(one), Final::Json(other)) => same_json(one, other),
            (Final::Labelled(one, _), Final::Option(other)) | (Final::Option(one), Final::Labelled(other, _)) => {
                one == other
            }
            (Final::Labelled(_, one) | Final::Text(one), Final::Labelled(_, other) | Final::Text(other)) => {
                one == other
            }
            _ => false,
        }
    }
}

/// Equal by value: `1` is `1.0`, and the order of an object's members counts nothing.
fn same_json(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let are_floats = a.is_f64() || b.is_f64();
            a == b || (are_floats && a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| number::is_same(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b)))
        }
        _ => one == other,
    }
}

fn classify(answer: &str) -> Option<Final> {
    let letter = option(answer, Follows::Nothing).map(Final::Option);
    letter.or_else(|| Number::read(answer).map(Final::Number)).or_else(|| {
        match (option(answer, Follows::Anything), words(answer)?) {
            (Some(letter), Final::Text(words)) => Some(Final::Labelled(letter, words)),
            (_, words) => Some(words),
        }
    })
}

/// An object or a list; a lone number or string is an answer of another kind.
fn json(text: &str) -> Option<Final> {
    let fenced = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let inner = fenced.map_or(text, |fenced| fenced.split_once('\n').map_or(fenced, |(_, body)| body));
    let value: Value = serde_json::from_str(inner).ok()?;
    matches!(value, Value::Object(_) | Value::Array(_)).then_some(Final::Json(value))
}

/// What a text says is its answer: in `\boxed{…}`, behind `####` if that is a number, or behind the last `answer is` or
/// `answer:`, to the end of the sentence.
fn marked(text: &str) -> Option<String> {
    let plain = plain(text);
    boxed(&plain).or_else(|| hashed(&plain)).or_else(|| named(&plain))
}

/// A text without the signs of Markdown and of formulas. A star between two digits multiplies them.
fn plain(text: &str) -> String {
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let mut before = None;
    let mut letters = text.chars().peekable();
    let mut plain = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        let is_product = letter == '*' && is_digit(before) && is_digit(letters.peek().copied());
        if is_product || !matches!(letter, '*' | '`' | '$') {
            plain.push(letter);
        }
        before = Some(letter);
    }
    plain
}

fn boxed(text: &str) -> Option<String> {
    const MARK: &str = "\\boxed{";
    let inner = &text[text.rfind(MARK)? + MARK.len()..];
    let mut depth = 1_u32;
    let end = inner.char_indices().find_map(|(at, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    let inner = inner[..end].trim();
    // `\text{B}` is how an option or a word is written in a formula.
    let text = inner.strip_prefix("\\text{").and_then(|text| text.strip_suffix('}'));
    Some(text.unwrap_or(inner).trim().to_owned())
}

fn hashed(text: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once("####")?;
    let line = rest.lines().next()?.trim();
    // With anything else behind it, the mark is a heading.
    Number::read(line).map(|_| line.to_owned())
}

fn named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let ends = ["answer is", "answer:"].map(|mark| lower.rfind(mark).map(|at| at + mark.len()));
    let at = ends.into_iter().flatten().max()?;
    let rest = text[at..].trim_start_matches(|letter: char| letter.is_whitespace() || letter == ':');
    let line = rest.lines().next()?;
    let mut stops = line.match_indices(". ").map(|(at, _)| &line[..at]);
    let answer = stops.find(|head| ends_sentence(head)).unwrap_or(line).trim();
    (!answer.is_empty() && answer.len() <= SHORT_BYTES).then(|| answer.to_owned())
}

/// Whether a full stop behind this ends a sentence: not behind an initial, nor behind what is usually cut short before a name.
fn ends_sentence(head: &str) -> bool {
    const SHORT_FORMS: [&str; 11] = ["Dr", "Mr", "Mrs", "Ms", "Prof", "St", "Sr", "Jr", "Mt", "Ft", "vs"];
    let word = head.rsplit([' ', '(']).next().unwrap_or(head);
    let is_initial = word.chars().all(char::is_alphabetic) && word.chars().count() == 1 || word.contains('.');
    !SHORT_FORMS.contains(&word) && (!is_initial || word.contains(|letter: char| letter.is_ascii_digit()))
}

fn short(text: &str) -> Option<String> {
    let plain = plain(text);
    (plain.len() <= SHORT_BYTES && plain.lines().count() == 1).then_some(plain)
}

/// What may stand behind an option's letter and its full stop: a name begins like that as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Nothing,
    Anything,
}

/// A letter on its own, in brackets, or with a bracket, colon or full stop behind it.
fn option(text: &str, follows: Follows) -> Option<char> {
    let text = text.trim_start_matches(['*', ' ']);
    let lead = ["option ", "choice "].into_iter().find(|lead| {
        text.get(..lead.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(lead))
    });
    let mut letters = text[lead.map_or(0, str::len)..].chars().filter(|letter| *letter != '*');
    let first = letters.next()?;
    let is_bracketed = matches!(first, '(' | '[');
    let letter = if is_bracketed { letters.next()? } else { first };
    let is_closed = match letters.next() {
        None => !is_bracketed,
        Some(')' | ']') => true,
        Some(':') => !is_bracketed && letter.is_ascii_uppercase(),
        Some('.') => {
            let next = letters.next();
            let is_free = follows == Follows::Anything || lead.is_some();
            let is_stop = next.is_none() || (is_free && next.is_some_and(char::is_whitespace));
            !is_bracketed && letter.is_ascii_uppercase() && is_stop
        }
        Some(_) => false,
    };
    let is_option = is_closed && matches!(letter.to_ascii_uppercase(), 'A'..='J');
    is_option.then(|| letter.to_ascii_uppercase())
}

fn last_option(text: &str) -> Option<char> {
    let mut brackets = text.rmatch_indices('(');
    brackets.find_map(|(at, _)| option(&text[at..], Follows::Anything))
}

/// The words of a text without case, punctuation around them, and the spaces between them.
fn words(text: &str) -> Option<Final> {
    let lower = text.to_lowercase();
    let words = lower
        .split_whitespace()
        .map(|word| word.trim_matches(|letter: char| ".,;:!?*_`\"'“”‘’()".contains(letter)))
        .filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join(" ");
    (!joined.is_empty()).then_some(Final::Text(joined))
}

#[cfg(test)]
mod tests;
