//! The three scores: from a text to a tier, and to what is shown of the way there.

use std::ops::Range;

use pointsman_plugin::terms::{Matching, Terms};

use crate::{
    config::{Config, Score, Weights},
    lists,
};

/// What a text was measured to be.
pub(crate) struct Measured {
    pub(crate) tier: &'static str,
    /// For people.
    pub(crate) shown: String,
}

/// A score with its terms, ready to measure.
pub(crate) enum Scorer {
    Density {
        technical: Terms,
        thresholds: [f64; 3],
    },
    Indicators {
        lists: Glossary<3>,
        lengths: [u32; 2],
    },
    SevenSignals {
        lists: Glossary<4>,
        thresholds: [f64; 3],
        tokens: [u32; 2],
        weights: Weights,
    },
}

/// Several lists of terms that are looked for in one pass.
pub(crate) struct Glossary<const N: usize> {
    terms: Terms,
    ranges: [Range<usize>; N],
}

impl Scorer {
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let Config {
            score,
            thresholds,
            lengths,
            tokens,
            weights,
            terms,
            whole_words,
            ..
        } = config;
        let matching = Matching {
            whole_words: whole_words.unwrap_or(score != Score::Indicators),
            ignore_case: true,
        };
        let list = |given: Option<Vec<String>>, own: &str| given.unwrap_or_else(|| lists::terms(own));
        Ok(match score {
            Score::Density => Scorer::Density {
                technical: named(
                    "technical",
                    Terms::new(&list(terms.technical, lists::TECHNICAL), matching),
                )?,
                thresholds: thresholds.unwrap_or([0.3, 0.6, 0.8]),
            },
            Score::Indicators => Scorer::Indicators {
                lists: Glossary::new(
                    [
                        ("coding", list(terms.coding, lists::CODING)),
                        ("complex", list(terms.complex, lists::COMPLEX)),
                        ("creative", list(terms.creative, lists::CREATIVE)),
                    ],
                    matching,
                )?,
                lengths,
            },
            Score::SevenSignals => Scorer::SevenSignals {
                lists: Glossary::new(
                    [
                        ("code", list(terms.code, lists::CODE)),
                        ("reasoning", list(terms.reasoning, lists::REASONING)),
                        ("technical", list(terms.technical, lists::ENGINEERING)),
                        ("simple", list(terms.simple, lists::SIMPLE)),
                    ],
                    matching,
                )?,
                thresholds: thresholds.unwrap_or([0.15, 0.35, 0.6]),
                tokens,
                weights,
            },
        })
    }

    pub(crate) fn measure(&self, text: &str) -> Measured {
        match self {
            Scorer::Density { technical, thresholds } => density(text, technical, thresholds),
            Scorer::Indicators { lists, lengths } => indicators(text, lists, *lengths),
            Scorer::SevenSignals {
                lists,
                thresholds,
                tokens,
                weights,
            } => seven_signals(text, lists, thresholds, *tokens, weights),
        }
    }
}

/// How many runs of characters that are not white space. Most text is ASCII, where a byte is a character.
fn words(text: &str) -> usize {
    if !text.is_ascii() {
        return text.split_whitespace().count();
    }
    let mut was_blank = true;
    let mut count = 0;
    for eight in eights(text) {
        let blank = blanks(eight);
        // A word begins where a byte is not blank and the one before it is.
        let begins = !blank & HIGH & (blank << 8 | u64::from(was_blank) << 7);
        count += begins.count_ones() as usize;
        was_blank = blank >> 63 == 1;
    }
    count
}

/// A text's bytes, eight at a time and the last filled up with spaces: a component walks a text several times as fast so.
fn eights(text: &str) -> impl Iterator<Item = u64> + '_ {
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    eights.iter().copied().chain([last]).map(u64::from_le_bytes)
}

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of each of eight bytes; below, they say of which of the eight something holds.
const HIGH: u64 = each(0x80);

/// Which of eight bytes are this one. No sum crosses into the byte beside, here and below.
fn equal(bytes: u64, byte: u8) -> u64 {
    let differs = bytes ^ each(byte);
    !(((differs & !HIGH) + !HIGH) | differs) & HIGH
}

/// Which of eight ASCII bytes are white space.
fn blanks(bytes: u64) -> u64 {
    let from = |least: u8| bytes + each(0x80 - least);
    let is_control = from(b'\t') & !from(b'\r' + 1) & HIGH;
    is_control | equal(bytes, b' ')
}

fn density(text: &str, technical: &Terms, thresholds: &[f64; 3]) -> Measured {
    let words = words(text) as f64;
    let technical = technical.count_in(text) as f64;
    let questions = question_marks(text) as f64;
    let score = (words / 100.0 * 0.3 + technical / 5.0 * 0.4 + questions / 3.0 * 0.3).min(1.0);
    let tier = tier_of(score, thresholds);
    Measured {
        tier,
        shown: format!("density {}: {tier}", two_decimals(score)),
    }
}

fn indicators(text: &str, lists: &Glossary<3>, [moderate, complex]: [u32; 2]) -> Measured {
    let [coding, complexity, creative] = lists.distinct_in(text);
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let tier = if coding > 0 {
        "coding"
    } else if complexity >= 2 || length > complex {
        "complex"
    } else if complexity == 1 || length > moderate {
        "moderate"
    } else if creative > 0 {
        "creative"
    } else {
        "simple"
    };
    let shown =
        format!("indicators coding {coding}, complex {complexity}, creative {creative}, {length} characters: {tier}");
    Measured { tier, shown }
}

fn seven_signals(
    text: &str,
    lists: &Glossary<4>,
    thresholds: &[f64; 3],
    tokens: [u32; 2],
    weights: &Weights,
) -> Measured {
    let [code, reasoning, technical, simple] = lists.distinct_in(text);
    let score = weights.tokens * length_signal(u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX), tokens)
        + weights.code * [0.0, 0.5, 1.0][code.min(2)]
        + weights.reasoning * [0.0, 0.7, 1.0][reasoning.min(2)]
        + weights.technical * [0.0, 0.0, 0.5, 0.5, 1.0][technical.min(4)]
        + weights.simple * [0.0, -1.0][simple.min(1)]
        + weights.steps * if has_several_steps(text) { 0.5 } else { 0.0 }
        + weights.questions * if question_marks(text) > 3 { 0.5 } else { 0.0 };
    let tier = if reasoning >= 2 {
        "reasoning"
    } else {
        tier_of(score, thresholds)
    };
    let score = two_decimals(score);
    let shown = format!("seven-signals {score}, code {code}, reasoning {reasoning}, technical {technical}: {tier}");
    Measured { tier, shown }
}

fn length_signal(tokens: u32, [short, long]: [u32; 2]) -> f64 {
    if tokens < short {
        -1.0
    } else if tokens > long {
        1.0
    } else {
        0.0
    }
}

/// Numbered lines, `step 1`, or `first` with a `then` after it.
fn has_several_steps(text: &str) -> bool {
    let is_numbered = |line: &&str| {
        let rest = line
            .trim_start()
            .trim_start_matches(|letter: char| letter.is_ascii_digit());
        rest.len() < line.trim_start().len() && rest.starts_with(['.', ')'])
    };
    if text.lines().filter(is_numbered).nth(1).is_some() {
        return true;
    }
    let mut words = text
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut has_first = false;
    while let Some(word) = words.next() {
        has_first |= word.eq_ignore_ascii_case("first");
        if has_first && word.eq_ignore_ascii_case("then") {
            return true;
        }
        let is_step = word.eq_ignore_ascii_case("step");
        if is_step
            && words
                .clone()
                .next()
                .is_some_and(|next| next.starts_with(|letter: char| letter.is_ascii_digit()))
        {
            return true;
        }
    }
    false
}

fn question_marks(text: &str) -> usize {
    eights(text).map(|eight| equal(eight, b'?').count_ones() as usize).sum()
}

fn tier_of(score: f64, thresholds: &[f64; 3]) -> &'static str {
    let reached = thresholds.iter().filter(|&&threshold| score >= threshold).count();
    ["simple", "medium", "complex", "reasoning"][reached]
}

/// In whole hundredths, which spares the component the printing of floating-point numbers.
fn two_decimals(score: f64) -> String {
    let hundredths = (score * 100.0).round() as i64;
    let sign = if hundredths < 0 { "-" } else { "" };
    let hundredths = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

fn named(name: &str, terms: Result<Terms, String>) -> Result<Terms, String> {
    terms.map_err(|error| format!("`terms.{name}`: {error}"))
}

impl<const N: usize> Glossary<N> {
    fn new(lists: [(&str, Vec<String>); N], matching: Matching) -> Result<Self, String> {
        let mut all: Vec<String> = Vec::new();
        let mut ranges = std::array::from_fn(|_| 0..0);
        for (range, (name, list)) in ranges.iter_mut().zip(lists) {
            if let Some(empty) = list.iter().position(|term| term.trim().is_empty()) {
                return Err(format!(
                    "`terms.{name}[{empty}]` is empty, which would be found in every text"
                ));
            }
            *range = all.len()..all.len() + list.len();
            all.extend(list);
        }
        Ok(Glossary {
            terms: Terms::new(&all, matching)?,
            ranges,
        })
    }

    /// How many different terms of each list are in the text.
    fn distinct_in(&self, text: &str) -> [usize; N] {
        let found = self.terms.found_in(text);
        std::array::from_fn(|list| {
            found[self.ranges[list].clone()]
                .iter()
                .filter(|&&is_found| is_found)
                .count()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{question_marks, words};

    #[test]
    fn words_are_counted_alike_in_ascii_and_beyond() {
        for text in [
            "",
            " ",
            "one",
            " two  words ",
            "a\tb\nc\r\nd\u{b}e\u{c}f",
            "\u{1c}x\u{1f}y",
            "ein schöner Tag",
        ] {
            assert_eq!(words(text), text.split_whitespace().count(), "{text:?}");
        }
        for letter in '\0'..='\x7f' {
            for at in 0..9 {
                let text = format!("{}{letter}b {letter}", &"abcdefgh"[..at.min(8)]);
                assert_eq!(words(&text), text.split_whitespace().count(), "{text:?}");
            }
        }
    }

    #[test]
    fn question_marks_are_counted_among_all_bytes() {
        let text = "?\u{bf}¿é??\u{7f}\0>@?".repeat(3);
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(question_marks(&text[at..]), text[at..].matches('?').count());
        }
    }
}
