//! Finds the built-in classes in one pass over a text. A table says at which bytes something of a wanted class may begin; only
//! there it is looked closer, by `scan/numbers.rs` and `scan/words.rs`. What is found is counted and never kept.

mod numbers;
mod words;

use std::borrow::Cow;

/// The built-in classes, by name. Their places are their numbers.
pub(crate) const CLASSES: [&str; 15] = [
    "email",
    "phone",
    "credit-card",
    "iban",
    "us-ssn",
    "uk-nino",
    "de-tax-id",
    "fr-nir",
    "es-dni",
    "it-codice-fiscale",
    "pl-pesel",
    "br-cpf",
    "in-aadhaar",
    "private-key",
    "api-token",
];

/// Names that mean several classes.
pub(crate) const GROUPS: [(&str, &[&str]); 2] = [
    (
        "national-id",
        &[
            "us-ssn",
            "uk-nino",
            "de-tax-id",
            "fr-nir",
            "es-dni",
            "it-codice-fiscale",
            "pl-pesel",
            "br-cpf",
            "in-aadhaar",
        ],
    ),
    ("secret", &["private-key", "api-token"]),
];

const EMAIL: usize = 0;
const PHONE: usize = 1;
const CREDIT_CARD: usize = 2;
const IBAN: usize = 3;
const US_SSN: usize = 4;
const UK_NINO: usize = 5;
const DE_TAX_ID: usize = 6;
const FR_NIR: usize = 7;
const ES_DNI: usize = 8;
const IT_CODICE_FISCALE: usize = 9;
const PL_PESEL: usize = 10;
const BR_CPF: usize = 11;
const IN_AADHAAR: usize = 12;
const PRIVATE_KEY: usize = 13;
const API_TOKEN: usize = 14;

/// Where something ends that begins at a place, if it is there.
type Finder = fn(&[u8], usize) -> Option<usize>;

/// How often each built-in class was found.
pub(crate) type Counts = [u32; CLASSES.len()];

/// What is looked for, and where it may begin.
#[derive(Debug)]
pub(crate) struct Scanner {
    wanted: [bool; CLASSES.len()],
    triggers: Box<[Trigger; 256]>,
}

/// What a byte may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Nothing,
    /// The middle of an address.
    At,
    /// A number, or a word that begins with one.
    Digit,
    Letter,
    /// A telephone number.
    Dial,
    /// The line before a key.
    Dash,
}

impl Scanner {
    /// For the classes with these numbers.
    pub(crate) fn new(classes: impl IntoIterator<Item = usize>) -> Self {
        let mut wanted = [false; CLASSES.len()];
        classes.into_iter().for_each(|class| wanted[class] = true);
        let wants = |classes: &[usize]| classes.iter().any(|class| wanted[*class]);
        let begins_with_digit = [
            PHONE,
            CREDIT_CARD,
            US_SSN,
            DE_TAX_ID,
            FR_NIR,
            ES_DNI,
            PL_PESEL,
            BR_CPF,
            IN_AADHAAR,
        ];
        let has_digits = wants(&begins_with_digit);
        let has_letters = wants(&[IBAN, UK_NINO, ES_DNI, IT_CODICE_FISCALE, API_TOKEN]);
        let mut triggers = Box::new([Trigger::Nothing; 256]);
        for byte in 0..=u8::MAX {
            triggers[usize::from(byte)] = match byte {
                b'@' if wanted[EMAIL] => Trigger::At,
                b'+' | b'(' if wanted[PHONE] => Trigger::Dial,
                b'-' if wanted[PRIVATE_KEY] => Trigger::Dash,
                // A word that begins with a digit has to be passed over as a whole wherever words are looked at.
                b'0'..=b'9' if has_digits || has_letters => Trigger::Digit,
                b'A'..=b'Z' | b'a'..=b'z' if has_digits || has_letters => Trigger::Letter,
                _ => Trigger::Nothing,
            };
        }
        Scanner { wanted, triggers }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_idle(&self) -> bool {
        !self.wanted.contains(&true)
    }

    /// How often each class is in the text.
    pub(crate) fn count(&self, text: &str) -> Counts {
        let text = with_plain_signs(text);
        let bytes = text.as_bytes();
        let mut counts = [0; CLASSES.len()];
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at = match self.triggers[usize::from(byte)] {
                Trigger::Nothing => at + 1,
                Trigger::At => {
                    counts[EMAIL] += u32::from(words::is_email(bytes, at));
                    at + 1
                }
                Trigger::Dial => self
                    .tally(PHONE, numbers::phone(bytes, at), &mut counts)
                    .unwrap_or(at + 1),
                Trigger::Dash => self
                    .tally(PRIVATE_KEY, words::private_key(bytes, at), &mut counts)
                    .unwrap_or(at + 1),
                Trigger::Digit => self.number(bytes, at, &mut counts),
                Trigger::Letter => self.word(bytes, at, &mut counts),
            };
        }
        counts
    }

    /// Where to go on behind something that begins with a digit. What several classes could mean counts for each.
    fn number(&self, bytes: &[u8], at: usize, counts: &mut Counts) -> usize {
        let mut end = words::end_of(bytes, at);
        if numbers::is_start(bytes, at) {
            let finders: [(usize, Finder); 9] = [
                (PHONE, numbers::phone),
                (CREDIT_CARD, numbers::credit_card),
                (US_SSN, numbers::us_ssn),
                (DE_TAX_ID, numbers::de_tax_id),
                (FR_NIR, numbers::fr_nir),
                (ES_DNI, words::es_dni),
                (PL_PESEL, numbers::pl_pesel),
                (BR_CPF, numbers::br_cpf),
                (IN_AADHAAR, numbers::in_aadhaar),
            ];
            for (class, find) in finders.into_iter().filter(|(class, _)| self.wanted[*class]) {
                end = self
                    .tally(class, find(bytes, at), counts)
                    .map_or(end, |found| end.max(found));
            }
        }
        end
    }

    /// Where to go on behind something that begins with a letter.
    fn word(&self, bytes: &[u8], at: usize, counts: &mut Counts) -> usize {
        let end = words::end_of(bytes, at);
        if words::is_ordinary(bytes, at, end) {
            return end;
        }
        let finders: [(usize, Finder); 5] = [
            (IBAN, words::iban),
            (UK_NINO, words::uk_nino),
            (ES_DNI, words::es_dni),
            (IT_CODICE_FISCALE, words::it_codice_fiscale),
            (API_TOKEN, words::api_token),
        ];
        let found = finders
            .into_iter()
            .filter(|(class, _)| self.wanted[*class])
            .filter_map(|(class, find)| self.tally(class, find(bytes, at), counts));
        found.fold(end, usize::max)
    }

    fn tally(&self, class: usize, found: Option<usize>, counts: &mut Counts) -> Option<usize> {
        counts[class] += u32::from(found.is_some());
        found
    }
}

/// The text with the spaces and dashes that word processors write as those of keyboards.
fn with_plain_signs(text: &str) -> Cow<'_, str> {
    let plain = |letter: char| match letter {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => Some('-'),
        _ => None,
    };
    if text.is_ascii() || !text.chars().any(|letter| plain(letter).is_some()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|letter| plain(letter).unwrap_or(letter)).collect())
}

#[cfg(test)]
mod tests;
