//! The text inside strings and numbers: what a slice of an accepted JSON text means.

pub(super) fn is_finite(number: &[u8]) -> bool {
    let value: Option<f64> = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    value.is_some_and(f64::is_finite)
}

/// Where the first control character stands. The usual answer, none, is found without a branch per byte.
pub(super) fn control_character(text: &[u8]) -> Option<usize> {
    let any = text.iter().fold(false, |any, byte| any | (*byte < 0x20));
    if any {
        text.iter().position(|byte| *byte < 0x20)
    } else {
        None
    }
}

pub(super) fn hex_value(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| {
        value * 16 + (*digit as char).to_digit(16).unwrap_or_default()
    })
}

/// Decodes the inside of a string that the parser has accepted.
pub(super) fn unescape(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(backslash) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..backslash]);
        let escape = rest.as_bytes().get(backslash + 1).copied();
        let mut length = 2;
        text.push(match escape {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => {
                let unit = |at: usize| rest.as_bytes().get(at..at + 4).map_or(0xFFFD, hex_value);
                let first = unit(backslash + 2);
                length = 6;
                if (0xD800..0xDC00).contains(&first) {
                    length = 12;
                    let second = unit(backslash + 8);
                    let joined = 0x10000 + ((first - 0xD800) << 10) + (second.wrapping_sub(0xDC00) & 0x3FF);
                    char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER)
                } else {
                    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            Some(other) => other as char,
            None => break,
        });
        rest = rest.get(backslash + length..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}
