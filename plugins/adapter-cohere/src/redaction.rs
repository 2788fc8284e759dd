//! The provider's words, as far as they may be shown: no keys, and not too many of them.

/// More than this of a message helps nobody, and a body may be a whole page.
const LONGEST: usize = 2000;

/// The provider's keys are forty letters and digits without a mark of their own. Words of a language, names of models and
/// the pieces of an id have no run of that length.
const SHORTEST_KEY: usize = 32;

pub(crate) fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(LONGEST));
    for piece in text.split_inclusive(|letter| !is_of_key(letter)) {
        let word = piece.trim_end_matches(|letter| !is_of_key(letter));
        let shown = if is_key(word) { "[redacted]" } else { word };
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
    let is_long = |run: &str| run.len() >= SHORTEST_KEY;
    (word.len() >= 12 && word.starts_with("sk-")) || word.split(['-', '_']).any(is_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_cut_out_and_names_of_models_and_ids_are_not() {
        let key = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hL3oR6uX9b";
        let text = format!("token '{key}' may not use command-a-03-2025 (c167e04b-cfc2-44a9-927c-6d78c47fb5fe).");
        let expected = "token '[redacted]' may not use command-a-03-2025 (c167e04b-cfc2-44a9-927c-6d78c47fb5fe).";
        assert_eq!(redact(&text), expected);
    }

    #[test]
    fn an_endless_message_is_cut() {
        assert!(redact(&"wörd ".repeat(10_000)).len() <= LONGEST + '…'.len_utf8());
        assert_eq!(redact(&"x ".repeat(10_000)).chars().last(), Some('…'));
    }
}
