//! The final answer of a text, in a form in which two of them can be compared: a number, an option's letter, JSON, or words.
//! For policies that hold answers against each other.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

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
    /// Equal but for what is lost in writing a number down.
    Number(f64),
    /// `A` to `J`.
    Option(char),
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
        let text = text.trim();
        match self {
            Compare::Auto => json(text).or_else(|| marked(text).or_else(|| short(text)).and_then(|it| classify(&it))),
            Compare::Number => marked(text)
                .and_then(|it| number(&it))
                .or_else(|| last_number(text))
                .map(Final::Number),
            Compare::Option => marked(text)
                .and_then(|it| option(&it))
                .or_else(|| option(text))
                .or_else(|| last_option(text))
                .map(Final::Option),
            Compare::Json => json(text),
            Compare::Text => words(text),
        }
    }
}

impl Final {
    /// What kind of answer it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Final::Number(_) => "number",
            Final::Option(_) => "option",
            Final::Json(_) => "JSON",
            Final::Text(_) => "text",
        }
    }
}

impl PartialEq for Final {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Final::Number(one), Final::Number(other)) => same_number(*one, *other),
            (Final::Option(one), Final::Option(other)) => one == other,
            (Final::Json(one), Final::Json(other)) => same_json(one, other),
            (Final::Text(one), Final::Text(other)) => one == other,
            _ => false,
        }
    }
}

/// Equal but for what is lost in writing a number down.
fn same_number(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

/// Equal by value: `1` is `1.0`, and the order of an object's members counts nothing.
fn same_json(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => same_number(a, b),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b)))
        }
        _ => one == other,
    }
}

fn classify(answer: &str) -> Option<Final> {
    let letter = option(answer).map(Final::Option);
    letter
        .or_else(|| number(answer).map(Final::Number))
        .or_else(|| words(answer))
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
    let plain = text.replace(['*', '`', '$'], "");
    boxed(&plain).or_else(|| hashed(&plain)).or_else(|| named(&plain))
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
    number(line).map(|_| line.to_owned())
}

fn named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let ends = ["answer is", "answer:"].map(|mark| lower.rfind(mark).map(|at| at + mark.len()));
    let at = ends.into_iter().flatten().max()?;
    let rest = text[at..].trim_start_matches(|letter: char| letter.is_whitespace() || letter == ':');
    let line = rest.lines().next()?;
    let sentence = line.split_once(". ").filter(|(head, _)| head.len() > 1);
    let answer = sentence.map_or(line, |(head, _)| head).trim();
    (!answer.is_empty() && answer.len() <= SHORT_BYTES).then(|| answer.to_owned())
}

fn short(text: &str) -> Option<String> {
    let plain = text.replace(['*', '`', '$'], "");
    (plain.len() <= SHORT_BYTES && plain.lines().count() == 1).then_some(plain)
}

/// A number with or without sign, currency, commas between thousands, and a unit after a space. Behind an equals sign it
/// is the number there. What could be a calculation, a range or a date is no number.
fn number(text: &str) -> Option<f64> {
    let text = text.rsplit('=').next()?.trim().trim_end_matches(['.', ',', '!']);
    let is_negative = text.starts_with(['-', '−']);
    let unsigned = text
        .trim_start_matches(['-', '−', '+', '$', '€', '£', '¥'])
        .trim_start();
    let end = unsigned.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ','));
    let (digits, unit) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let is_unit = unit.is_empty()
        || unit.starts_with(['%', ' ', '€', '°'])
            && !unit.contains(|c: char| c.is_ascii_digit() || "/^*+-=:\\".contains(c));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let leads = groups
        .next()
        .is_some_and(|group| group.len() <= 3 || !whole.contains(','));
    let is_grouped = leads && groups.all(|group| group.len() == 3);
    if !is_unit || !is_grouped || fraction.contains(['.', ',']) || !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value: f64 = digits.replace(',', "").parse().ok()?;
    Some(if is_negative { -value } else { value })
}

fn last_number(text: &str) -> Option<f64> {
    let is_edge = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '-' | '−' | '%');
    let mut tokens = text.split_whitespace().rev();
    tokens.find_map(|token| number(token.trim_matches(is_edge)))
}

/// A letter on its own, in brackets, or with a bracket, colon or full stop behind it.
fn option(text: &str) -> Option<char> {
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
        Some('.' | ':') => !is_bracketed && letter.is_ascii_uppercase(),
        Some(_) => false,
    };
    let is_option = is_closed && matches!(letter.to_ascii_uppercase(), 'A'..='J');
    is_option.then(|| letter.to_ascii_uppercase())
}

fn last_option(text: &str) -> Option<char> {
    let mut brackets = text.rmatch_indices('(');
    brackets.find_map(|(at, _)| option(&text[at..]))
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
mod tests {
    use super::*;

    fn shown(compare: Compare, text: &str) -> String {
        match compare.find(text) {
            Some(Final::Number(number)) => format!("number {number}"),
            Some(Final::Option(letter)) => format!("option {letter}"),
            Some(Final::Json(value)) => format!("json {value}"),
            Some(Final::Text(text)) => format!("text {text}"),
            None => "nothing".into(),
        }
    }

    #[test]
    fn a_text_is_compared_by_what_it_says_is_its_answer() {
        for (text, expected) in [
            ("6 × 7 is 42, so\n#### 42", "number 42"),
            ("We get \\boxed{\\frac{1}{2}}.", "text \\frac{1}{2}"),
            ("Hence $\\boxed{1,250}$", "number 1250"),
            ("\\boxed{\\text{C}}", "option C"),
            ("Adding up, the answer is **$18**.", "number 18"),
            ("The answer is 18. That is because 3 times 6 is 18.", "number 18"),
            ("**Answer:** (B) Paris", "option B"),
            ("Answer: x = -2.50", "number -2.5"),
            ("The final answer is:\n\n7 apples", "number 7"),
            ("The answer is Apollo 11", "text apollo 11"),
            ("The answer is 3/4", "text 3/4"),
            ("First I thought that the answer is A.\nBut the answer is D", "option D"),
        ] {
            assert_eq!(shown(Compare::Auto, text), expected, "{text}");
        }
    }

    #[test]
    fn a_short_text_is_its_own_answer_and_a_long_one_is_none() {
        for (text, expected) in [
            ("Paris.", "text paris"),
            ("b)", "option B"),
            ("A", "option A"),
            ("A dog", "text a dog"),
            ("-3", "number -3"),
            ("2024-05-01", "text 2024-05-01"),
            ("3,5", "text 3,5"),
            ("{\"a\": [1, 2.0]}", "json {\"a\":[1,2.0]}"),
            ("```json\n[1]\n```", "json [1]"),
            ("", "nothing"),
            ("#### Results\nIt depends.\nOn much.", "nothing"),
        ] {
            assert_eq!(shown(Compare::Auto, text), expected, "{text}");
        }
        let essay = "It depends on the weather, ".repeat(5);
        assert_eq!(shown(Compare::Auto, &essay), "nothing");
    }

    #[test]
    fn a_kind_that_is_named_is_looked_for_in_the_whole_text() {
        let essay = "It was (A) at first, and in 1969 it rained for 12.5 days, so take (c), said she.";
        assert_eq!(shown(Compare::Number, essay), "number 12.5");
        assert_eq!(shown(Compare::Option, essay), "option C");
        assert_eq!(shown(Compare::Json, essay), "nothing");
        assert_eq!(shown(Compare::Text, "  So, IT is: \"this\"!"), "text so it is this");
        assert_eq!(shown(Compare::Number, "None at all"), "nothing");
        assert_eq!(shown(Compare::Number, "It costs $1,080.00."), "number 1080");
        assert_eq!(shown(Compare::Option, "C. Because it is so"), "option C");
        assert_eq!(shown(Compare::Option, "Certainly"), "nothing");
    }

    #[test]
    fn what_means_the_same_is_equal() {
        let same = |one: &str, other: &str| Compare::Auto.find(one) == Compare::Auto.find(other);
        assert!(same("$18.00", "The answer is 18 dollars"));
        assert!(same(
            "{\"a\": 1, \"b\": [true]}",
            "```\n{\"b\": [true], \"a\": 1.0}\n```"
        ));
        assert!(same("(B) Paris", "b"));
        assert!(same("Yes.", "YES"));
        assert!(!same("18", "-18"));
        assert!(!same("{\"a\": 1}", "{\"a\": 1, \"b\": 2}"));
        assert!(!same("[1, 2]", "[2, 1]"));
        assert!(!same("1", "A"));
    }

    /// Texts of pieces that mean something here, put together by a fixed sequence.
    #[test]
    fn no_text_is_too_odd() {
        let pieces = [
            "\\boxed{",
            "}",
            "{",
            "####",
            "answer is",
            "Answer:",
            ".",
            ",",
            "-",
            "−",
            "=",
            "(",
            ")",
            "[",
            "é",
            "option ",
            "ü",
            "```",
            "\n",
            " ",
            "\u{a0}",
            "١٢",
            "🦀",
            "1",
            "234",
            "%",
            "$",
            "€",
            "A",
            "b",
            "**",
            "\\text{",
            "\"",
            ":",
            "İ",
        ];
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let text: String = (0..next(9)).map(|_| pieces[next(pieces.len())]).collect();
            for compare in [
                Compare::Auto,
                Compare::Number,
                Compare::Option,
                Compare::Json,
                Compare::Text,
            ] {
                let found = compare.find(&text);
                assert_eq!(found, compare.find(&format!(" {text}\n")), "{text:?}");
            }
        }
    }
}
