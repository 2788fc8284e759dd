//! Finds many words and phrases in one pass over a text, without a copy of it.

use std::ops::ControlFlow;

/// When a term counts as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matching {
    /// Only where no letter or digit touches it: `add` is not in `address`. A side on which the term itself ends in
    /// something else (`c++`) may touch anything, and scripts that put no spaces between words have no such sides.
    pub whole_words: bool,
    /// `Python` is `python`.
    pub ignore_case: bool,
}

/// Words and phrases to look for, made once when a policy is configured.
#[derive(Debug, Clone)]
pub struct Terms {
    matching: Matching,
    terms: Vec<Term>,
    // The terms' indices, grouped by their first byte; group `b` is `order[starts[b]..starts[b + 1]]`.
    order: Vec<u16>,
    starts: Vec<u16>,
    /// For each byte the bytes after it, by their lower six bits, with which it may begin a term. Looked at for eight bytes
    /// together, it passes over most of a text.
    beginnings: Box<[u64; 256]>,
}

#[derive(Debug, Clone)]
struct Term {
    text: String,
    begins_word: bool,
    ends_word: bool,
}

/// The group of all terms that do not begin with an ASCII character: one letter may have several first bytes. (Two letters
/// cross the border with their case, the Turkish `İ` and the Kelvin sign; a term that begins with them is not found.)
const BEYOND_ASCII: usize = 0x80;

/// How many bytes are looked at together.
const STRETCH: usize = 8;

impl Terms {
    /// Refuses the empty term, which is everywhere, by its place in the list.
    pub fn new<T: AsRef<str>>(terms: &[T], matching: Matching) -> Result<Self, String> {
        if terms.len() > usize::from(u16::MAX) {
            return Err(format!(
                "{} terms are too many, expected at most {}",
                terms.len(),
                u16::MAX
            ));
        }
        if let Some(index) = terms.iter().position(|term| term.as_ref().trim().is_empty()) {
            return Err(format!(
                "term {} is empty, which would be found in every text",
                index + 1
            ));
        }
        let terms: Vec<Term> = terms.iter().map(|term| Term::new(term.as_ref(), matching)).collect();
        let mut order: Vec<u16> = (0..terms.len() as u16).collect();
        order.sort_by_key(|&index| terms[usize::from(index)].group());
        let starts = (0..=BEYOND_ASCII + 1)
            .map(|group| order.partition_point(|&index| terms[usize::from(index)].group() < group) as u16)
            .collect();
        let mut terms = Terms {
            matching,
            terms,
            order,
            starts,
            beginnings: Box::new([0; 256]),
        };
        for byte in 0..=u8::MAX {
            let group = terms
                .group_of(byte)
                .iter()
                .map(|&index| &terms.terms[usize::from(index)]);
            let seconds = group.fold(0, |seconds, term| seconds | term.seconds(matching));
            terms.beginnings[usize::from(byte)] = seconds;
        }
        Ok(terms)
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// A term by its place in the list, in lower case where case is ignored.
    pub fn term(&self, index: usize) -> Option<&str> {
        self.terms.get(index).map(|term| term.text.as_str())
    }

    /// Which of the terms are in the text, by their places in the list.
    pub fn found_in(&self, text: &str) -> Vec<bool> {
        let mut found = vec![false; self.terms.len()];
        let _ = self.each_in(text, |term| {
            found[term] = true;
            ControlFlow::Continue(())
        });
        found
    }

    /// Whether any of the terms is in the text.
    pub fn any_in(&self, text: &str) -> bool {
        self.each_in(text, |_| ControlFlow::Break(())).is_break()
    }

    /// How many different terms are in the text; it need not be read further than to `enough`.
    pub fn distinct_in(&self, text: &str, enough: usize) -> usize {
        let mut found = vec![false; self.terms.len()];
        let mut count = 0;
        let _ = self.each_in(text, |term| {
            count += usize::from(!std::mem::replace(&mut found[term], true));
            if count < enough {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        count
    }

    /// How often terms are in the text, each time counted.
    pub fn count_in(&self, text: &str) -> usize {
        let mut count = 0;
        let _ = self.each_in(text, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        count
    }

    /// Calls `found` with a term's place in the list for each time that it is in the text, from left to right.
    pub fn each_in(&self, text: &str, mut found: impl FnMut(usize) -> ControlFlow<()>) -> ControlFlow<()> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(stretch) = bytes.get(at..at + STRETCH + 1)
                && !self.may_begin_in(stretch)
            {
                at += STRETCH;
                continue;
            }
            let after = bytes.get(at + 1).copied();
            if after.is_none_or(|after| self.may_begin(byte, after)) {
                for &index in self.group_of(byte) {
                    if self.is_at(&self.terms[usize::from(index)], text, at) {
                        found(usize::from(index))?;
                    }
                }
            }
            at += 1;
        }
        ControlFlow::Continue(())
    }

    /// Whether a term may begin at any byte of a stretch but the last. Without a branch for each byte.
    fn may_begin_in(&self, stretch: &[u8]) -> bool {
        let pairs = stretch.iter().zip(&stretch[1..]);
        pairs.fold(false, |any, (&byte, &after)| any | self.may_begin(byte, after))
    }

    /// Whether a term may begin with these two bytes.
    fn may_begin(&self, byte: u8, after: u8) -> bool {
        self.beginnings[usize::from(byte)] & second(after) != 0
    }

    /// The terms that may begin with this byte: none for the later bytes of a character.
    fn group_of(&self, byte: u8) -> &[u16] {
        let group = match byte {
            0..0x80 if self.matching.ignore_case => usize::from(byte.to_ascii_lowercase()),
            0..0x80 => usize::from(byte),
            0x80..0xC0 => return &[],
            0xC0.. => BEYOND_ASCII,
        };
        &self.order[usize::from(self.starts[group])..usize::from(self.starts[group + 1])]
    }

    fn is_at(&self, term: &Term, text: &str, at: usize) -> bool {
        let Some(length) = self.length_at(&term.text, &text[at..]) else {
            return false;
        };
        if !self.matching.whole_words {
            return true;
        }
        let touches_before = term.begins_word && text[..at].chars().next_back().is_some_and(is_word);
        let touches_after = term.ends_word && text[at + length..].chars().next().is_some_and(is_word);
        !touches_before && !touches_after
    }

    /// How many bytes of the text are the term, where it begins with it.
    fn length_at(&self, term: &str, text: &str) -> Option<usize> {
        if !self.matching.ignore_case {
            return text.starts_with(term).then_some(term.len());
        }
        if term.is_ascii() {
            let head = text.as_bytes().get(..term.len())?;
            return head.eq_ignore_ascii_case(term.as_bytes()).then_some(term.len());
        }
        // Letters may change their length with their case, so beyond ASCII the two are walked side by side.
        let mut wanted = term.chars();
        for (at, letter) in text.char_indices() {
            if wanted.as_str().is_empty() {
                return Some(at);
            }
            if letter
                .to_lowercase()
                .any(|letter| wanted.next().map(folded) != Some(folded(letter)))
            {
                return None;
            }
        }
        wanted.as_str().is_empty().then_some(text.len())
    }
}

impl Term {
    fn new(text: &str, matching: Matching) -> Self {
        let text = if matching.ignore_case {
            text.to_lowercase()
        } else {
            text.to_owned()
        };
        Term {
            begins_word: text.chars().next().is_some_and(is_word),
            ends_word: text.chars().next_back().is_some_and(is_word),
            text,
        }
    }

    /// The bytes that may come second where this term is found.
    fn seconds(&self, matching: Matching) -> u64 {
        match self.text.as_bytes() {
            [_, byte, ..] if !matching.ignore_case => second(*byte),
            [_, byte, ..] if self.text.is_ascii() => second(*byte) | second(byte.to_ascii_uppercase()),
            // Whatever comes after the term, and letters that have other bytes in the other case.
            _ => u64::MAX,
        }
    }

    fn group(&self) -> usize {
        usize::from(self.text.as_bytes()[0]).min(BEYOND_ASCII)
    }
}

/// A byte's place among those that may come second.
fn second(byte: u8) -> u64 {
    1 << (byte & 63)
}

/// A lower-case letter in the form in which letters are compared. A word's last sigma looks otherwise, and capitals have but one.
fn folded(letter: char) -> char {
    if letter == 'ς' { 'σ' } else { letter }
}

fn is_word(letter: char) -> bool {
    match letter {
        '\0'..='\x7f' => letter.is_ascii_alphanumeric() || letter == '_',
        // Thai, Lao, Myanmar, Khmer; Chinese and Japanese; their extensions: written without spaces between words.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => false,
        '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => false,
        letter => letter.is_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Matching = Matching {
        whole_words: true,
        ignore_case: true,
    };
    const PARTS: Matching = Matching {
        whole_words: false,
        ignore_case: true,
    };

    fn found(terms: &[&str], matching: Matching, text: &str) -> Vec<bool> {
        Terms::new(terms, matching).unwrap().found_in(text)
    }

    #[test]
    fn whole_words_are_not_found_inside_others() {
        let terms = ["add", "script"];
        assert_eq!(found(&terms, WORDS, "an address in javascript"), [false, false]);
        assert_eq!(found(&terms, PARTS, "an address in javascript"), [true, true]);
        assert_eq!(found(&terms, WORDS, "Add a script."), [true, true]);
        assert_eq!(found(&terms, WORDS, "add_two scripts"), [false, false]);
    }

    #[test]
    fn a_term_that_ends_in_a_sign_may_touch_anything_there() {
        assert_eq!(found(&["c++", ".net"], WORDS, "from c++17 to ASP.NET"), [true, true]);
        assert_eq!(found(&["c++"], WORDS, "abc++"), [false]);
    }

    #[test]
    fn case_counts_only_where_it_is_asked_for() {
        let exact = Matching {
            whole_words: true,
            ignore_case: false,
        };
        assert_eq!(found(&["SQL", "Go"], exact, "sql and Go"), [false, true]);
        assert_eq!(found(&["SQL", "Go"], WORDS, "sql and go"), [true, true]);
    }

    #[test]
    fn letters_beyond_ascii_have_cases_and_words_as_well() {
        assert_eq!(
            found(&["größe", "été", "straße"], WORDS, "Die GRÖßE, l'ÉTÉ, Straßenbahn"),
            [true, true, false]
        );
        assert_eq!(found(&["é"], WORDS, "été"), [false]);
        for text in ["ΟΔΟΣ", "οδος", "Οδοσ", "μια ΟΔΟΣ."] {
            assert_eq!(found(&["οδος", "ΟΔΟΣ", "Οδοσ"], WORDS, text), [true; 3], "{text}");
        }
        assert_eq!(found(&["ΣΟΦΟΣ"], WORDS, "ο σοφός, ο σοφος"), [true]);
    }

    #[test]
    fn scripts_without_spaces_are_searched_without_words() {
        assert_eq!(
            found(&["代码", "コード"], WORDS, "请修改代码吧、このコードを直して"),
            [true, true]
        );
    }

    #[test]
    fn phrases_are_found_and_a_text_may_end_in_the_midst_of_one() {
        let terms = ["step by step", "steps"];
        assert_eq!(found(&terms, WORDS, "Think STEP by step"), [true, false]);
        assert_eq!(found(&terms, WORDS, "think step by ste"), [false, false]);
    }

    #[test]
    fn occurrences_and_different_terms_are_counted_apart() {
        let terms = Terms::new(&["debug", "refactor", "test"], WORDS).unwrap();
        let text = "debug, debug, refactor";
        assert_eq!(
            (
                terms.count_in(text),
                terms.distinct_in(text, 9),
                terms.distinct_in(text, 1)
            ),
            (3, 2, 1)
        );
        assert!(terms.any_in(text) && !terms.any_in("nothing of it") && !terms.any_in(""));
    }

    #[test]
    fn a_term_is_found_wherever_in_a_text_it_stands() {
        let terms = ["debug", "c", "ée", "k9"];
        let padding = "lorem ipsum dolor sit amet ";
        for (index, term) in terms.iter().enumerate() {
            for at in 0..=padding.len() {
                for end in 0..=9 {
                    let text = format!("{} {} {}", &padding[..at], term.to_uppercase(), &padding[..end]);
                    assert!(found(&terms, WORDS, &text)[index], "{text:?}");
                }
                let text = format!("{} {term}", &padding[..at]);
                assert!(found(&terms, WORDS, &text)[index], "{text:?}");
            }
        }
    }

    #[test]
    fn an_empty_term_is_refused_by_its_place() {
        let error = Terms::new(&["a", " "], WORDS).unwrap_err();
        assert_eq!(error, "term 2 is empty, which would be found in every text");
    }
}
