//! Words: addresses, account numbers and ids with letters, tokens and keys. Each function looks whether its word begins at a
//! place (an address: has its `@` there) and returns where it ends.

use crate::checks;

/// Where the letters and digits end that begin here.
pub(super) fn end_of(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    at + length
}

/// Whether a word can be nothing that is looked for: what is, has a digit early, has one or two letters, is long, or goes on
/// behind a sign. Most words of a text end here.
pub(super) fn is_ordinary(bytes: &[u8], at: usize, end: usize) -> bool {
    let word = &bytes[at..end];
    (3..16).contains(&word.len())
        && !word.iter().take(4).any(u8::is_ascii_digit)
        && !matches!(bytes.get(end), Some(b'-' | b'_' | b'.'))
}

/// Whether an address has its `@` here: something before it, and behind it labels with points between them of which the last
/// has letters (RFC 5321, without quoted names and addresses in brackets).
pub(super) fn is_email(bytes: &[u8], at: usize) -> bool {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"._%+-'=~#&*/!?^`{|}$".contains(byte);
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b'-';
    let local = bytes[..at]
        .iter()
        .rev()
        .take(65)
        .take_while(|byte| is_local(byte))
        .count();
    let is_named = (1..=64).contains(&local) && bytes[at - 1] != b'.';
    let rest = &bytes[at + 1..];
    let length = rest
        .iter()
        .take(254)
        .take_while(|byte| is_label(byte) || **byte == b'.')
        .count();
    let mut labels = rest[..length]
        .split(|byte| *byte == b'.')
        .filter(|label| !label.is_empty());
    let (first, last) = (labels.next(), labels.next_back());
    let is_top = |label: &[u8]| {
        let letters = label
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80)
            .count();
        label.len() >= 2 && (letters == label.len() || label.starts_with(b"xn--"))
    };
    is_named && first.is_some() && last.is_some_and(is_top) && rest.first() != Some(&b'.')
}

/// Country codes with the length of their IBANs (SWIFT's IBAN registry).
const IBANS: &[u8] = b"AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27\
    GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30\
    NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

pub(super) fn iban(bytes: &[u8], at: usize) -> Option<usize> {
    let check_digits = bytes.get(at + 2..at + 4)?;
    if !check_digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let country = [bytes[at].to_ascii_uppercase(), bytes.get(at + 1)?.to_ascii_uppercase()];
    let entry = IBANS.chunks_exact(4).find(|entry| entry[..2] == country)?;
    let length = usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0');
    let (characters, end) = grouped(bytes, at, length, 4)?;
    checks::is_iban(&characters[..length]).then_some(end)
}

pub(super) fn uk_nino(bytes: &[u8], at: usize) -> Option<usize> {
    if !bytes.get(at..at + 2)?.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let (characters, end) = grouped(bytes, at, 9, 2)?;
    checks::is_uk_nino(&characters[..9]).then_some(end)
}

pub(super) fn it_codice_fiscale(bytes: &[u8], at: usize) -> Option<usize> {
    let end = end_of(bytes, at);
    checks::is_it_codice_fiscale(&bytes[at..end]).then_some(end)
}

/// Eight digits and a letter, or X, Y or Z, seven digits and a letter; a dash may stand before the last letter, and behind the
/// first.
pub(super) fn es_dni(bytes: &[u8], at: usize) -> Option<usize> {
    let mut values = [0; 8];
    let (start, known) = match bytes[at].to_ascii_uppercase() {
        letter @ b'X'..=b'Z' => {
            values[0] = letter - b'X';
            (at + 1 + usize::from(bytes.get(at + 1) == Some(&b'-')), 1)
        }
        _ => (at, 0),
    };
    let place = start + 8 - known;
    for (value, byte) in values[known..].iter_mut().zip(bytes.get(start..place)?) {
        *value = byte.is_ascii_digit().then(|| byte - b'0')?;
    }
    let place = place + usize::from(bytes.get(place) == Some(&b'-'));
    let letter = *bytes.get(place)?;
    let is_whole = letter.is_ascii_alphabetic() && end_of(bytes, place) == place + 1;
    (is_whole && checks::is_es_dni(&values, letter)).then_some(place + 1)
}

/// What tokens begin with, and how many letters, digits, `-`, `_` and (where it says so) points follow at least.
const TOKENS: [(&[u8], usize, bool); 29] = [
    (b"sk-", 20, false),
    (b"sk_live_", 16, false),
    (b"sk_test_", 16, false),
    (b"rk_live_", 16, false),
    (b"whsec_", 24, false),
    (b"AKIA", 16, false),
    (b"ASIA", 16, false),
    (b"AIza", 35, false),
    (b"ya29.", 20, true),
    (b"ghp_", 36, false),
    (b"gho_", 36, false),
    (b"ghu_", 36, false),
    (b"ghs_", 36, false),
    (b"ghr_", 36, false),
    (b"github_pat_", 22, false),
    (b"glpat-", 20, false),
    (b"xoxa-", 10, false),
    (b"xoxb-", 10, false),
    (b"xoxp-", 10, false),
    (b"xoxr-", 10, false),
    (b"xoxs-", 10, false),
    (b"npm_", 36, false),
    (b"pypi-", 50, false),
    (b"hf_", 30, false),
    (b"gsk_", 40, false),
    (b"SG.", 60, true),
    (b"dop_v1_", 64, false),
    (b"shpat_", 32, false),
    (b"eyJ", 50, true),
];

pub(super) fn api_token(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && matches!(bytes[at - 1], b'-' | b'_') {
        return None;
    }
    let text = &bytes[at..];
    let (prefix, least, has_points) = TOKENS.iter().find(|(prefix, ..)| text.starts_with(prefix))?;
    let is_part =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_') || (*has_points && **byte == b'.');
    let rest = &text[prefix.len()..];
    let rest = &rest[..rest.iter().take_while(is_part).count()];
    let is_mixed = rest.iter().any(u8::is_ascii_digit) && rest.iter().any(u8::is_ascii_alphabetic);
    // A web token has three parts, of which the second is JSON as well.
    let is_shaped = *prefix != b"eyJ"
        || rest
            .split(|byte| *byte == b'.')
            .nth(1)
            .is_some_and(|part| part.starts_with(b"eyJ"));
    (rest.len() >= *least && is_mixed && is_shaped).then(|| at + prefix.len() + rest.len())
}

/// The line that stands before a private key (RFC 7468, and OpenPGP's).
pub(super) fn private_key(bytes: &[u8], at: usize) -> Option<usize> {
    let label = bytes[at..].strip_prefix(b"-----BEGIN ")?;
    let label = &label[..label.len().min(48)];
    let length = label.windows(5).position(|dashes| dashes == b"-----")?;
    let is_private = [&b"PRIVATE KEY"[..], b"PRIVATE KEY BLOCK"]
        .iter()
        .any(|end| label[..length].ends_with(end));
    is_private.then_some(at + 11 + length + 5)
}

/// So many letters and digits, with a space or a dash after every so many of them or nowhere, and nothing of a word behind them.
fn grouped(bytes: &[u8], at: usize, length: usize, group: usize) -> Option<([u8; 34], usize)> {
    let mut characters = [0; 34];
    let (mut place, mut sign) = (at, None);
    for (index, character) in characters.iter_mut().enumerate().take(length) {
        if index > 0 && index % group == 0 {
            let between = bytes.get(place).copied().filter(|byte| matches!(byte, b' ' | b'-'));
            if *sign.get_or_insert(between) != between {
                return None;
            }
            place += usize::from(between.is_some());
        }
        *character = bytes.get(place).copied().filter(u8::is_ascii_alphanumeric)?;
        place += 1;
    }
    let is_whole = !bytes.get(place).is_some_and(u8::is_ascii_alphanumeric);
    is_whole.then_some((characters, place))
}
