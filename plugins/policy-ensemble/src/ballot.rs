//! When two answers count as the same: each is brought to what it comes to, and that is compared.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// JSON where the whole answer is an object or a list; else the final answer, if one is marked, or the whole text.
    #[default]
    Auto,
    /// The last number, of the final answer if one is marked.
    Number,
    /// A letter that stands for an option, `C` or `(c)`.
    Option,
    /// JSON, whatever the order of its keys.
    Json,
    /// The words of the whole answer.
    Text,
}

/// How a vote went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Election {
    /// The first of the answers that agree, by its place.
    pub(crate) winner: usize,
    pub(crate) votes: usize,
}

impl Election {
    /// Answers that come to nothing that can be compared abstain. Of several that are equally many, the first.
    pub(crate) fn of(answers: &[String], kind: Kind) -> Election {
        let ballots: Vec<Option<String>> = answers.iter().map(|answer| ballot(answer, kind)).collect();
        let mut best = Election { winner: 0, votes: 0 };
        for (index, ballot) in ballots.iter().enumerate() {
            let votes = ballots
                .iter()
                .filter(|other| ballot.is_some() && *other == ballot)
                .count();
            if votes > best.votes {
                best = Election { winner: index, votes };
            }
        }
        best
    }
}

/// What an answer comes to; none where nothing can be compared.
fn ballot(answer: &str, kind: Kind) -> Option<String> {
    let answer = match answer.rsplit_once("</think>") {
        Some((_, said)) => said,
        None => answer,
    };
    let core = final_answer(answer).unwrap_or(answer);
    match kind {
        Kind::Json => json(answer),
        Kind::Number => last_number(core),
        Kind::Option => option(core),
        Kind::Text => words(answer),
        Kind::Auto => {
            let is_structure = unfenced(answer).starts_with(['{', '[']);
            let structure = if is_structure { json(answer) } else { None };
            structure
                .or_else(|| whole_number(core))
                .or_else(|| option(core))
                .or_else(|| words(core))
        }
    }
}

/// What follows the last mark of a final answer: `\boxed{…}`, `####`, `answer is` or `answer:`.
fn final_answer(answer: &str) -> Option<&str> {
    let lower = answer.to_ascii_lowercase();
    let ends =
        [r"\boxed{", "####", "answer is", "answer:"].map(|mark| lower.rfind(mark).map(|at| (at + mark.len(), mark)));
    let (end, mark) = ends.into_iter().flatten().max()?;
    let rest = &answer[end..];
    if mark == r"\boxed{" {
        return boxed(rest);
    }
    let is_said = |line: &&str| !bare(line).is_empty();
    let line = rest.lines().find(is_said)?;
    Some(line.trim().trim_start_matches([':', ' ', '*']))
}

/// Up to the brace that closes what was opened.
fn boxed(text: &str) -> Option<&str> {
    let mut depth = 1;
    for (at, sign) in text.char_indices() {
        depth += match sign {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
    None
}

/// Without the signs that stand around an answer.
fn bare(text: &str) -> &str {
    text.trim_matches(|sign: char| sign.is_whitespace() || "*_`\"'“”$.,;:!?()[]".contains(sign))
}

fn words(text: &str) -> Option<String> {
    let text = bare(text).to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The letter, where there is nothing else or a bracket, a colon or a full stop behind it.
fn option(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches(['(', '[', '*', ' ']);
    let letter = text.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = &text[1..];
    let is_alone = bare(rest).is_empty() || rest.starts_with([')', ']', ':', '.', '*']);
    is_alone.then(|| letter.to_ascii_uppercase().to_string())
}

fn whole_number(text: &str) -> Option<String> {
    let text = bare(text).trim_end_matches('%');
    let (number, rest) = number_at(text)?;
    rest.is_empty().then_some(number)
}

fn last_number(text: &str) -> Option<String> {
    let (mut from, mut last) = (0, None);
    while let Some(at) = text[from..].find(|sign: char| sign.is_ascii_digit()) {
        let at = from + at;
        // In 10-20 the sign belongs to nobody.
        let before = text[..at].strip_suffix('-');
        let is_negative = before.is_some_and(|before| !before.ends_with(char::is_alphanumeric));
        let (number, rest) = number_at(&text[at - usize::from(is_negative)..])?;
        (from, last) = (text.len() - rest.len(), Some(number));
    }
    last
}

/// A number at the beginning and what follows it. Digits may be grouped by commas; zeros that say nothing go, so that 1,000.50
/// is 1000.5.
fn number_at(text: &str) -> Option<(String, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let is_digit = |sign: char| sign.is_ascii_digit();
    let end = digits
        .find(|sign: char| !is_digit(sign) && sign != ',')
        .unwrap_or(digits.len());
    let whole = digits[..end].trim_end_matches(',');
    let mut rest = &digits[whole.len()..];
    let mut fraction = "";
    if let Some(behind) = rest.strip_prefix('.') {
        let end = behind.find(|sign: char| !is_digit(sign)).unwrap_or(behind.len());
        if end > 0 {
            (fraction, rest) = (behind[..end].trim_end_matches('0'), &behind[end..]);
        }
    }
    let whole = whole.replace(',', "");
    if whole.is_empty() {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    Some((format!("{sign}{whole}{point}{fraction}"), rest))
}

fn json(text: &str) -> Option<String> {
    let value = serde_json::from_str(unfenced(text)).ok()?;
    let mut canonical = String::new();
    write(&value, &mut canonical);
    Some(canonical)
}

/// The inside of a code fence that is all there is.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let Some(inside) = inside else { return text };
    inside.split_once('\n').map_or(inside, |(_, lines)| lines).trim()
}

/// JSON with its keys in order and its numbers in one form.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in members {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(elements) => {
            text.push('[');
            for value in elements {
                write(value, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Number(number) => {
            let number = number.to_string();
            text.push_str(&whole_number(&number).unwrap_or(number));
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line's answers come to the same, and no two lines do.
    fn classes(kind: Kind, lines: &[&[&str]]) {
        let mut seen = Vec::new();
        for line in lines {
            let ballots: Vec<_> = line.iter().map(|answer| ballot(answer, kind)).collect();
            assert!(
                ballots.iter().all(|ballot| ballot.is_some() && *ballot == ballots[0]),
                "{line:?}: {ballots:?}"
            );
            assert!(!seen.contains(&ballots[0]), "{line:?}: {:?} again", ballots[0]);
            seen.push(ballots[0].clone());
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        classes(
            Kind::Number,
            &[
                &[
                    "42",
                    "It is 42.",
                    "6 * 7 = 42",
                    "#### 42",
                    r"so \boxed{42} of 100",
                    "**Answer:** 42.00 apples",
                    "answer is: $42",
                ],
                &["-42", "The answer is -42"],
                &["1,234.50", "1234.5", "0001234.5"],
                &["0", "-0", "0.00"],
                &["2024", "10-2024"],
                &[
                    "123456789012345678901234567890",
                    "123,456,789,012,345,678,901,234,567,890.",
                ],
            ],
        );
        assert_eq!(ballot("no number at all", Kind::Number), None);
    }

    #[test]
    fn options_are_compared_by_their_letter() {
        classes(
            Kind::Option,
            &[
                &[
                    "C",
                    "(c)",
                    "C) because it is",
                    "**C**",
                    "The answer is (C).",
                    "Thinking.\nAnswer: C",
                    r"\boxed{C}",
                    "C: Paris",
                ],
                &["A", "a.", "Final answer:\nA"],
            ],
        );
        for none in ["A cat is one of them", "Paris", "", "42"] {
            assert_eq!(ballot(none, Kind::Option), None, "{none}");
        }
    }

    #[test]
    fn json_is_compared_whatever_its_order_and_its_numbers_form() {
        classes(
            Kind::Json,
            &[
                &[
                    r#"{"a": 1, "b": [true, "x"]}"#,
                    "```json\n{\"b\":[true,\"x\"],\"a\":1.0}\n```",
                ],
                &[r#"{"a": 1, "b": ["x", true]}"#],
                &["[]", " [ ] "],
            ],
        );
        assert_eq!(ballot("a = 1", Kind::Json), None);
    }

    #[test]
    fn texts_are_compared_by_their_words() {
        classes(
            Kind::Text,
            &[
                &["Paris", " **paris**.", "PARIS!"],
                &["in Paris", "In\n  Paris"],
                &["c++"],
                &["c"],
            ],
        );
        assert_eq!(ballot(" ... ", Kind::Text), None);
    }

    #[test]
    fn left_to_itself_it_compares_what_the_answer_is() {
        classes(
            Kind::Auto,
            &[
                &[
                    "Let me see.\nThe answer is 1,000.",
                    "#### 1000",
                    "1000",
                    "<think>900?</think>1000",
                ],
                &[r#"{"x": 1}"#, "{\"x\":1.0}"],
                &["B", "Answer: (B)"],
                &["The final answer is Paris.", "paris"],
                &["The capital of France is Paris."],
            ],
        );
    }

    #[test]
    fn the_most_votes_win_and_who_cannot_be_read_abstains() {
        let answers = ["7", "I do not know", "8", "It is 8", "7.0", "8"].map(str::to_owned);
        assert_eq!(Election::of(&answers, Kind::Number), Election { winner: 2, votes: 3 });
        assert_eq!(Election::of(&answers[1..2], Kind::Number).votes, 0);
    }
}
