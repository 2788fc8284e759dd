//! A provider's words, as far as they may be shown: no keys, and not too many of them.

/// More than this of a message helps nobody, and a body may be a whole page.
const LONGEST: usize = 2000;

/// How keys and tokens begin: those of providers, and those of the gateways that may stand before them.
const PREFIXES: [&str; 14] = [
    "sk-", "sk_", "gsk_", "xai-", "pplx-", "csk-", "hf_", "nvapi-", "AIza", "ya29", "eyJ", "AKIA", "ASIA", "ABSK",
];

/// A text without keys. `is_about_keys` for a message that may repeat one: then every long random word is taken for a key.
pub fn redact(text: &str, is_about_keys: bool) -> String {
    let mut clean = String::with_capacity(text.len().min(LONGEST));
    for piece in text.split_inclusive(|letter| !is_of_key(letter)) {
        let word = piece.trim_end_matches(|letter| !is_of_key(letter));
        let shown = match is_key(word) || (is_about_keys && is_random(word)) {
            true => "[redacted]",
            false => word,
        };
        if clean.len() + shown.len() + piece.len() - word.len() > LONGEST {
            clean.push('…');
            break;
        }
        clean.push_str(shown);
        clean.push_str(&piece[word.len()..]);
    }
    clean
}

fn is_of_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

/// By its beginning, or as long a run of letters and digits, with a digit, as no word, name of a model or piece of an id has.
fn is_key(word: &str) -> bool {
    let has_prefix = word.len() >= 12 && PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let is_long = |run: &str| {
        let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
        run.len() >= 36 && has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
    };
    has_prefix || word.split(['-', '_']).any(is_long)
}

/// Words of a language, and names of models, have no run of twenty letters and digits.
fn is_random(word: &str) -> bool {
    word.split(['-', '_'])
        .any(|run| run.len() >= 20 && run.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_cut_out_and_names_of_models_are_not() {
        for (text, expected) in [
            (
                "bad key 'sk-proj-abcdefgh', model gpt-4o-mini-2024-07-18 (0123456789abcdef0123456789abcdef).",
                "bad key '[redacted]', model gpt-4o-mini-2024-07-18 ([redacted]).",
            ),
            (
                "?key=AIzaSyA-abcdefgh, model gemini-2.5-flash-preview-09-2025 (AQ.0123456789abcdef01234567)",
                "?key=[redacted], model gemini-2.5-flash-preview-09-2025 (AQ.[redacted])",
            ),
            ("bad key (sk-ant-api03-abcdefgh), sorry", "bad key ([redacted]), sorry"),
        ] {
            assert_eq!(redact(text, true), expected);
        }
        let bare = "token 'aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hL3oR6uX9b' (c167e04b-cfc2-44a9-927c-6d78c47fb5fe)";
        assert_eq!(
            redact(bare, false),
            "token '[redacted]' (c167e04b-cfc2-44a9-927c-6d78c47fb5fe)"
        );
        let id = "id 0123456789abcdef0123456789abcdef";
        assert_eq!(redact(id, false), id);
    }

    #[test]
    fn an_endless_message_is_cut() {
        assert!(redact(&"wörd ".repeat(10_000), false).len() <= LONGEST + '…'.len_utf8());
        assert_eq!(redact(&"x".repeat(10_000), false), "…");
    }
}
