//! Numbers as people write them: with a sign, a currency, commas between thousands, words such as `million`, and a unit.

use std::fmt;

/// A number and, in a word, what it counts, where that is said. What one counts and the other leaves open makes no difference.
#[derive(Debug, Clone)]
pub struct Number {
    value: f64,
    /// The value where it is whole: a long one has more digits than the other holds.
    whole: Option<i128>,
    unit: Option<String>,
}

const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];

/// Words that multiply the number before them. In other languages they count as what is counted.
const SCALES: [(&str, u64); 9] = [
    ("dozen", 12),
    ("hundred", 100),
    ("thousand", 1_000),
    ("lakh", 100_000),
    ("million", 1_000_000),
    ("crore", 10_000_000),
    ("billion", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
    ("quadrillion", 1_000_000_000_000_000),
];

/// Other names of units, as [`singular`] leaves them.
const UNITS: [(&str, &str); 9] = [
    ("dollar", "$"),
    ("usd", "$"),
    ("us$", "$"),
    ("euro", "€"),
    ("eur", "€"),
    ("pound", "£"),
    ("gbp", "£"),
    ("yen", "¥"),
    ("percent", "%"),
];

impl Number {
    /// The number that a text is, behind its last equals sign if it has one. What could be a calculation, a range or a date is
    /// no number.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.rsplit('=').next()?.trim().trim_end_matches(['.', ',', '!']);
        let is_negative = text.starts_with(['-', '−']);
        let amount = text.trim_start_matches(['-', '−', '+']);
        let currency = amount.chars().next().filter(|letter| CURRENCIES.contains(letter));
        let unsigned = amount.trim_start_matches(CURRENCIES).trim_start();
        let end = unsigned.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ','));
        let (digits, rest) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let is_unit = rest.is_empty()
            || rest.starts_with(['%', ' ', '€', '°'])
                && !rest.contains(|c: char| c.is_ascii_digit() || "/^*+-=:\\".contains(c));
        let (value, whole) = value(digits).filter(|_| is_unit)?;
        let (factor, unit) = counted(rest);
        let sign = if is_negative { -1 } else { 1 };
        let number = Number {
            value: value * f64::from(sign),
            whole: whole.map(|whole| whole * i128::from(sign)),
            unit: unit.or_else(|| currency.map(String::from)),
        };
        Some(number.times(factor))
    }

    /// The last number in a text, with the words behind it that multiply it.
    pub(super) fn last_in(text: &str) -> Option<Self> {
        let mut factor = 1;
        for token in text.split_whitespace().rev() {
            let token = bare(token);
            if let Some(number) = Number::read(token) {
                return Some(number.times(factor));
            }
            factor = scale(token).map_or(1, |scale| factor.saturating_mul(scale));
        }
        None
    }

    fn times(self, factor: u64) -> Self {
        Number {
            value: self.value * factor as f64,
            whole: self.whole.and_then(|whole| whole.checked_mul(factor.into())),
            unit: self.unit,
        }
    }

    /// The number, whatever it counts.
    pub(super) fn bare(self) -> Self {
        Number { unit: None, ..self }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        let is_same_unit = match (&self.unit, &other.unit) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let is_same_value = match (self.whole, other.whole) {
            (Some(one), Some(other)) => one == other,
            _ => is_same(self.value, other.value),
        };
        is_same_unit && is_same_value
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        match &self.unit {
            Some(unit) => write!(f, " {unit}"),
            None => Ok(()),
        }
    }
}

/// Equal but for what is lost in writing a number down.
pub(super) fn is_same(one: f64, other: f64) -> bool {
    // The difference of two that are infinite is no number.
    one == other || (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

/// A word without the signs around it; the point before a fraction belongs to it.
fn bare(token: &str) -> &str {
    let is_edge = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '-' | '−' | '%');
    let token = token.trim_end_matches(is_edge);
    let inner = token.trim_start_matches(is_edge);
    let before = &token[..token.len() - inner.len()];
    let is_fraction =
        before.ends_with('.') && !before.ends_with("..") && inner.starts_with(|c: char| c.is_ascii_digit());
    if is_fraction { &token[before.len() - 1..] } else { inner }
}

/// Digits with a point, with or without commas between thousands; and what they are where that is whole.
fn value(digits: &str) -> Option<(f64, Option<i128>)> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let leads = groups
        .next()
        .is_some_and(|group| group.len() <= 3 || !whole.contains(','));
    let is_grouped = leads && groups.all(|group| group.len() == 3);
    if !is_grouped || fraction.contains(['.', ',']) || !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    let exact = is_whole.then(|| whole.replace(',', "").parse().ok()).flatten();
    Some((digits.replace(',', "").parse().ok()?, exact))
}

/// What the words behind a number multiply it by, and the first word of what it counts.
fn counted(rest: &str) -> (u64, Option<String>) {
    let rest = rest.replace("per cent", "percent");
    let mut factor = 1_u64;
    for word in rest.split_whitespace() {
        let word = word.trim_matches(|letter: char| ".,;!?()\"'".contains(letter));
        if let Some(scale) = scale(word) {
            factor = factor.saturating_mul(scale);
        } else if !word.is_empty() {
            return (factor, Some(singular(word)));
        }
    }
    (factor, None)
}

fn scale(word: &str) -> Option<u64> {
    let word = word.strip_suffix(['s', 'S']).unwrap_or(word);
    let known = SCALES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, scale)| *scale)
}

/// A unit in lower case, without the `s` of the plural, by its usual sign where there is one.
fn singular(word: &str) -> String {
    let word = word.to_lowercase();
    let word = match word.strip_suffix('s') {
        Some(single) if single.chars().count() > 1 => single,
        _ => &word,
    };
    let known = UNITS.iter().find(|(name, _)| *name == word);
    known.map_or(word, |(_, sign)| sign).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Number::read(text).map_or("none".into(), |number| number.to_string())
    }

    #[test]
    fn words_multiply_and_units_have_one_name() {
        for (text, expected) in [
            ("1.4 million", "1400000"),
            ("2 hundred thousand miles", "200000 mile"),
            ("3 dozens", "36"),
            ("$5 billion", "5000000000 $"),
            ("18 dollars", "18 $"),
            ("-7 USD.", "-7 $"),
            ("50%", "50 %"),
            ("50 percent", "50 %"),
            ("50 per cent", "50 %"),
            ("5 lbs", "5 lb"),
            ("5 ms", "5 ms"),
            ("20°", "20 °"),
            ("4 p.m.", "4 p.m"),
            ("1.4M", "none"),
            ("5 km/h", "none"),
            ("3 to 4", "none"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_number_has_its_words() {
        let last = |text: &str| Number::last_in(text).map(|number| number.value);
        assert_eq!(last("between 3 and 1.4 million, more or less"), Some(1.4e6));
        assert_eq!(last("2 million in 1999"), Some(1999.0));
        assert_eq!(last("3 of a million"), Some(3.0));
        assert_eq!(last("millions"), None);
        assert_eq!(last("it is (.5)."), Some(0.5));
        assert_eq!(last("wait... it is ...5"), Some(5.0));
    }
}
