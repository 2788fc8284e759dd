//! One text for all texts of one meaning: members in the order of their names, no white space, strings and numbers spelled
//! one way. For digests of requests; what is forwarded keeps its own spelling.

use super::{Kind, Value};

impl Value<'_> {
    /// Writes the value. Two values have the same text if and only if they mean the same: names and strings by their
    /// characters, numbers by their exact decimal value.
    pub fn write_canonical(&self, out: &mut String) {
        match self.kind() {
            Kind::Null | Kind::Bool => out.push_str(self.raw()),
            Kind::Number => number(self.raw(), out),
            Kind::String => out.push_str(&quoted(*self)),
            Kind::Array => {
                out.push('[');
                for (index, element) in self.elements().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element.write_canonical(out);
                }
                out.push(']');
            }
            Kind::Object => self.write_canonical_without(out, |_, _| false),
        }
    }

    /// Writes an object without the members of which this says so.
    pub fn write_canonical_without(&self, out: &mut String, is_left_out: impl Fn(&str, Value<'_>) -> bool) {
        let mut members: Vec<(String, Value<'_>)> = self
            .members()
            .filter(|(name, value)| !is_left_out(&name.as_str().unwrap_or_default(), *value))
            .map(|(name, value)| (quoted(name), value))
            .collect();
        members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        out.push('{');
        for (index, (name, value)) in members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            value.write_canonical(out);
        }
        out.push('}');
    }
}

/// A string as JSON, escaped where it has to be and nowhere else.
fn quoted(string: Value<'_>) -> String {
    serde_json::Value::from(string.as_str().unwrap_or_default()).to_string()
}

/// A number as its digits without zeros at either end, and a power of ten: `1.50`, `15e-1` and `0.15E+1` are `15e-1`.
fn number(text: &str, out: &mut String) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        out.push('0');
        return;
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).unwrap_or_default() - i64::try_from(fraction.len()).unwrap_or_default();
    let exponent = exponent
        .parse()
        .ok()
        .and_then(|exponent: i64| exponent.checked_add(shift));
    match exponent {
        Some(0) => out.extend([sign, significant]),
        Some(exponent) => out.push_str(&format!("{sign}{significant}e{exponent}")),
        // Nobody writes such a number twice in two ways.
        None => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::json::{Document, Limits};

    fn canonical(text: &str) -> String {
        let document = Document::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).expect(text);
        let mut out = String::new();
        document.root().write_canonical(&mut out);
        out
    }

    #[test]
    fn texts_of_one_meaning_have_one_canonical_text() {
        for (one, other) in [
            (r#"{"a": 1, "b": [true, null]}"#, "{\n\"b\":[true,null],\"a\":1}"),
            (r#"{"caf\u00e9": "\u0041\/\n"}"#, r#"{"café":"A/\n"}"#),
            (r#"["\ud83d\ude00"]"#, r#"["😀"]"#),
            ("[0, -0, 0.00, 0e9]", "[0,0,0,0]"),
            ("[1, 1.0, 10e-1, 0.1E+1]", "[1,1,1,1]"),
            ("[1500, 1.5e3, 15e2]", "[1500,1500,1500]"),
            ("[-0.250]", "[-2.5E-1]"),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one} {other}");
        }
    }

    #[test]
    fn what_means_something_else_has_another_text() {
        let texts = [
            "1",
            "-1",
            "10",
            "0.1",
            "\"1\"",
            "null",
            "[]",
            "{}",
            "[1]",
            "[1,1]",
            "[[1]]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"["a,b"]"#,
            r#"["a","b"]"#,
            "9007199254740993",
            "9007199254740992",
            "1e-400",
            "0",
            r#""\u0000""#,
            r#""\\u0000""#,
        ];
        for (index, one) in texts.iter().enumerate() {
            for other in &texts[index + 1..] {
                assert_ne!(canonical(one), canonical(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn members_can_be_left_out() {
        let text = r#"{"user": "me", "seed": 1, "stream": false}"#;
        let document = Document::parse(Bytes::from_static(text.as_bytes()), Limits::default()).unwrap();
        let mut out = String::new();
        document
            .root()
            .write_canonical_without(&mut out, |name, value| name == "user" || value.as_bool() == Some(false));
        assert_eq!(out, r#"{"seed":1}"#);
    }

    proptest! {
        #[test]
        fn a_number_keeps_its_value(digits in "[1-9][0-9]{0,8}", fraction in "[0-9]{0,6}", exponent in -20..20_i32) {
            let text = format!("{digits}.{fraction}0e{exponent}");
            let value: f64 = text.parse().unwrap();
            prop_assert_eq!(canonical(&text).parse::<f64>().unwrap(), value);
            prop_assert_eq!(canonical(&canonical(&text)), canonical(&text));
        }

        #[test]
        fn the_canonical_text_of_a_canonical_text_is_itself(text in ".{0,20}", number in any::<i64>()) {
            let once = canonical(&serde_json::json!({ "b": text, "a": [number, { "x": text }] }).to_string());
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
