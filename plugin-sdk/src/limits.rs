//! What the host takes of a policy: of labels, error codes and its store. For policies that refuse at load what could not be said
//! or kept later; the test host holds verdicts and state to the same.

use std::borrow::Cow;

/// Bytes of a label's name, and of its value.
pub const LABEL_BYTES: usize = 256;
/// Labels of one plan.
pub const LABELS: usize = 32;
/// Edits of one plan, and of one ask.
pub const EDITS: usize = 32;
/// Bytes of an edit's pointer.
pub const POINTER_BYTES: usize = 1 << 10;
/// Steps of one plan.
pub const STEPS: usize = 64;
/// Bytes of a rejection's code.
pub const CODE_BYTES: usize = 64;
/// Bytes of a key of the store.
pub const STATE_KEY_BYTES: usize = 256;
/// Bytes of a value in the store.
pub const STATE_VALUE_BYTES: usize = 64 << 10;
/// Keys of one plugin's store. What was not touched for longest makes room.
pub const STATE_KEYS: usize = 10_000;
/// Bytes of all keys and values of one plugin's store.
pub const STATE_BYTES: usize = 16 << 20;

/// Whether a text can be a label's value, and its name unless it is empty: no control characters, and not too long.
pub fn is_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES && !text.chars().any(char::is_control)
}

/// Whether a text can be a rejection's code: letters, digits, `_`, `-` and `.`, and not too long.
pub fn is_code(text: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    text.len() <= CODE_BYTES && text.chars().all(is_word)
}

/// A text from outside as a label takes it: at most so many bytes, with a space for each control character.
pub fn printable(text: &str, at_most: usize) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(at_most)];
    match text.contains(char::is_control) {
        true => Cow::Owned(text.replace(char::is_control, " ")),
        false => Cow::Borrowed(text),
    }
}

/// Names as one label, with commas between them: the first ones, as many as fit.
pub fn listed(names: &[&str]) -> String {
    let mut list = String::new();
    for name in names {
        let comma = if list.is_empty() { "" } else { "," };
        if list.len() + comma.len() + name.len() > LABEL_BYTES {
            break;
        }
        list.push_str(comma);
        list.push_str(name);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_codes_are_held_to_what_the_host_takes() {
        assert!(is_label("") && is_label("größer, weiter") && is_label(&"x".repeat(256)));
        assert!(!is_label("a\nb") && !is_label("a\u{85}b") && !is_label(&"x".repeat(257)));
        assert!(is_code("no_cards-2.1") && is_code(&"x".repeat(64)));
        assert!(!is_code("no cards") && !is_code("nö") && !is_code(&"x".repeat(65)));
    }

    #[test]
    fn a_text_from_outside_becomes_a_label_on_a_characters_edge() {
        assert_eq!(printable("plain", 200), "plain");
        assert_eq!(printable("a\r\nb\u{7f}", 200), "a  b ");
        assert_eq!(printable("ääää", 5), "ää");
    }

    #[test]
    fn a_label_lists_as_many_names_as_fit() {
        let name = "n".repeat(64);
        assert_eq!(listed(&[name.as_str(); 5]).len(), 3 * 64 + 2);
        assert_eq!(listed(&["a", "b"]), "a,b");
        assert_eq!(listed(&[&"n".repeat(256)]).len(), 256);
    }
}
