//! Reads a model's answer. Models that cannot be held to a schema wrap it in prose, in fences, or in their thoughts.

use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Value};

use crate::config::Class;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The class by its place in the configuration.
    pub(crate) class: usize,
    pub(crate) confidence: Option<f64>,
}

/// Braces at which JSON is looked for, so that an answer of nothing else costs little.
const BRACES: usize = 20;

/// None where the answer names no class, or several. A name is one of the configured ones or it is none.
pub(crate) fn read(answer: &str, is_whole: bool, classes: &[Class]) -> Option<Found> {
    let answer = match answer.rsplit_once("</think>") {
        Some((_, said)) => said,
        None => answer,
    };
    if answer.contains("<think>") {
        return None;
    }
    if let Some(object) = object(answer) {
        return Some(Found {
            class: place(object["class"].as_str()?, classes)?,
            confidence: confidence(&object["confidence"]),
        });
    }
    // Of prose that was cut off nobody knows where it was going.
    let class = is_whole.then(|| place(answer, classes).or_else(|| mentioned(answer, classes)))??;
    Some(Found {
        class,
        confidence: None,
    })
}

/// The first JSON object with a class, wherever it stands.
fn object(answer: &str) -> Option<Value> {
    let braces = answer.match_indices('{').take(BRACES);
    let mut objects =
        braces.filter_map(|(at, _)| Deserializer::from_str(&answer[at..]).into_iter::<Value>().next()?.ok());
    objects.find(|object| !object["class"].is_null())
}

/// The class with this name, whatever its case and the signs around it.
fn place(name: &str, classes: &[Class]) -> Option<usize> {
    let bare = |text: &str| text.trim_matches(|sign: char| !sign.is_alphanumeric()).to_lowercase();
    let exact = classes
        .iter()
        .position(|class| class.name.to_lowercase() == name.trim().to_lowercase());
    exact.or_else(|| {
        classes
            .iter()
            .position(|class| !bare(name).is_empty() && bare(&class.name) == bare(name))
    })
}

/// The one class whose name is in the text as words of its own. Of two names of which one is part of the other, the
/// longer one is meant.
fn mentioned(text: &str, classes: &[Class]) -> Option<usize> {
    let text = text.to_lowercase();
    let names: Vec<String> = classes.iter().map(|class| class.name.to_lowercase()).collect();
    let found: Vec<usize> = (0..names.len())
        .filter(|&index| has_words(&text, &names[index]))
        .collect();
    let is_part = |index: usize| {
        found
            .iter()
            .any(|&other| other != index && names[other].contains(&names[index]))
    };
    let mut longest = found.iter().filter(|&&index| !is_part(index));
    match (longest.next(), longest.next()) {
        (Some(&class), None) => Some(class),
        _ => None,
    }
}

fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// A share of 1, or one of 100 as some models put it: with a sign that says so, or beyond 1.
fn confidence(value: &Value) -> Option<f64> {
    let number: f64 = match value {
        Value::String(text) => match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim_end().parse::<f64>().ok()? / 100.0,
            None => text.trim().parse().ok()?,
        },
        value => value.as_f64()?,
    };
    match number {
        0.0..=1.0 => Some(number),
        1.0..=100.0 => Some(number / 100.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes() -> Vec<Class> {
        let names = ["coding", "code review", "code", "c++", "Small talk"];
        serde_json::from_value(json!(names.map(|name| json!({ "name": name })))).unwrap()
    }

    fn class(answer: &str) -> Option<String> {
        let classes = classes();
        read(answer, true, &classes).map(|found| classes[found.class].name.clone())
    }

    #[test]
    fn json_is_found_wherever_it_stands() {
        for answer in [
            r#"{"class": "coding"}"#,
            "```json\n{\"class\": \"Coding\"}\n```",
            "Sure! {\"class\":\" coding \"} I hope that helps.",
            "<think>small talk? {\"class\": \"code\"} no</think>\n{\"class\": \"coding\"}",
            r#"{ broken {"why": {"a": 1}, "class": "coding", "more": []}"#,
        ] {
            assert_eq!(class(answer).as_deref(), Some("coding"), "{answer}");
        }
    }

    #[test]
    fn a_bare_name_or_one_name_in_a_sentence_will_do() {
        for (answer, expected) in [
            ("coding", "coding"),
            ("**Coding**.", "coding"),
            ("\"small talk\"", "Small talk"),
            ("c++", "c++"),
            ("The class is Small Talk.", "Small talk"),
            ("I would say: code review", "code review"),
        ] {
            assert_eq!(class(answer).as_deref(), Some(expected), "{answer}");
        }
    }

    #[test]
    fn what_names_no_class_or_several_is_no_answer() {
        for answer in [
            "",
            "{}",
            "I cannot say.",
            "coding or small talk",
            "codingcode",
            r#"{"class": "poetry"}"#,
            r#"{"class": 3}"#,
            r#"{"class": ["coding"]}"#,
            "<think>it is about coding",
            &"{".repeat(100_000),
        ] {
            assert_eq!(class(answer), None, "{answer:.50}");
        }
    }

    #[test]
    fn an_answer_that_was_cut_off_counts_if_its_json_is_whole() {
        let read = |answer| read(answer, false, &classes()).map(|found| found.class);
        assert_eq!(read(r#"{"class": "coding"} because"#), Some(0));
        assert_eq!(read("It is not coding but"), None);
        assert_eq!(read(r#"{"class": "cod"#), None);
    }

    #[test]
    fn no_answer_is_too_odd() {
        for answer in [
            "<think>",
            "</think>",
            "{",
            "{\"class\"",
            "ÇODING",
            "c++c++",
            "ß coding",
            "coding\u{301}",
            "\u{0}",
            "{{{}}}",
            "[1]",
            "null",
        ] {
            for is_whole in [true, false] {
                let _ = read(answer, is_whole, &classes());
            }
        }
        // Nobody has to answer for a class whose name is lost in lower case.
        let odd: Vec<Class> = serde_json::from_value(json!([{ "name": "İ" }, { "name": "++" }])).unwrap();
        assert_eq!(read("++", true, &odd).map(|found| found.class), Some(1));
        assert_eq!(read("i̇", true, &odd).map(|found| found.class), Some(0));
    }

    #[test]
    fn confidence_is_a_share_of_one_or_of_a_hundred() {
        for (value, expected) in [
            (json!(0.5), Some(0.5)),
            (json!(1), Some(1.0)),
            (json!("0.25"), Some(0.25)),
            (json!("75%"), Some(0.75)),
            (json!("1%"), Some(0.01)),
            (json!("0.5 %"), Some(0.005)),
            (json!("100%"), Some(1.0)),
            (json!(80), Some(0.8)),
            (json!(-1), None),
            (json!(101), None),
            (json!("high"), None),
            (Value::Null, None),
        ] {
            assert_eq!(confidence(&value), expected, "{value}");
        }
    }
}
