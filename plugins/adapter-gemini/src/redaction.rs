//! The provider's words, as far as they may be shown: no keys, and not too many of them.

/// More than this of a message helps nobody, and a body may be a whole page.
const LONGEST: usize = 2000;

/// How keys and access tokens of Google's begin, and those of the gateways that may stand before it.
const PREFIXES: [&str; 4] = ["AIza", "ya29", "sk-", "eyJ"];

/// `is_about_keys` for a message that may repeat one: then every long random word is taken for a key.
pub(crate) fn redact(text: &str, is_about_keys: bool) -> String {
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

fn is_key(word: &str) -> bool {
    word.len() >= 12 && PREFIXES.iter().any(|prefix| word.starts_with(prefix))
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
        let text = "?key=AIzaSyA-abcdefgh, model gemini-2.5-flash-preview-09-2025 (AQ.0123456789abcdef01234567)";
        let expected = "?key=[redacted], model gemini-2.5-flash-preview-09-2025 (AQ.[redacted])";
        assert_eq!(redact(text, true), expected);
    }

    #[test]
    fn an_endless_message_is_cut() {
        assert!(redact(&"wörd ".repeat(10_000), false).len() <= LONGEST + '…'.len_utf8());
        assert_eq!(redact(&"x".repeat(10_000), false), "…");
    }
}
