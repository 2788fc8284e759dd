//! Numbers: cards, telephones, and national ids that are digits alone. Each function looks whether its number begins at a
//! place and returns where it ends.

use crate::checks;

/// The most digits that any of the numbers has.
const MOST: usize = 19;

/// Up to `MOST` digits as values.
struct Digits {
    values: [u8; MOST],
    count: usize,
}

impl Digits {
    fn as_slice(&self) -> &[u8] {
        &self.values[..self.count]
    }
}

/// Whether a number may begin here: not inside a word, not behind a point or a dash that belongs to a number before it.
pub(super) fn is_start(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|place| bytes[place]) else {
        return true;
    };
    let joins = matches!(before, b'.' | b',' | b'-' | b'/' | b':' | b'_');
    let is_joined = joins && at >= 2 && bytes[at - 2].is_ascii_digit();
    !before.is_ascii_alphanumeric() && !is_joined
}

pub(super) fn credit_card(bytes: &[u8], at: usize) -> Option<usize> {
    let groupings: [&[usize]; 6] = [
        &[4, 4, 4, 4],
        &[4, 6, 5],
        &[4, 6, 4],
        &[4, 4, 4, 4, 3],
        &[4, 4, 4, 1],
        &[4, 4, 4, 5],
    ];
    let grouped = groupings
        .into_iter()
        .filter_map(|grouping| digits(bytes, at, grouping, b" -"));
    let plain = run(bytes, at);
    let found = plain
        .into_iter()
        .chain(grouped)
        .find(|(digits, _)| checks::is_card(digits.as_slice()));
    found.map(|(_, end)| end)
}

pub(super) fn us_ssn(bytes: &[u8], at: usize) -> Option<usize> {
    one_of(bytes, at, &[(&[3, 2, 4], b"- ")], checks::is_us_ssn)
}

pub(super) fn de_tax_id(bytes: &[u8], at: usize) -> Option<usize> {
    one_of(bytes, at, &[(&[11], b""), (&[2, 3, 3, 3], b" ")], checks::is_de_tax_id)
}

pub(super) fn fr_nir(bytes: &[u8], at: usize) -> Option<usize> {
    let shapes: [(&[usize], &[u8]); 3] = [(&[15], b""), (&[1, 2, 2, 2, 3, 3, 2], b" "), (&[13, 2], b" ")];
    one_of(bytes, at, &shapes, checks::is_fr_nir)
}

pub(super) fn pl_pesel(bytes: &[u8], at: usize) -> Option<usize> {
    one_of(bytes, at, &[(&[11], b"")], checks::is_pl_pesel)
}

pub(super) fn br_cpf(bytes: &[u8], at: usize) -> Option<usize> {
    // Three points and a dash are of different kinds: the points are looked at here, the dash by what is left.
    let pointed = || {
        let (head, end) = digits_open(bytes, at, &[3, 3, 3], b".")?;
        let (tail, end) = (*bytes.get(end)? == b'-').then(|| digits(bytes, end + 1, &[2], b""))??;
        let mut values = head.values;
        values[9..11].copy_from_slice(tail.as_slice());
        checks::is_br_cpf(&values[..11]).then_some(end)
    };
    one_of(bytes, at, &[(&[11], b"")], checks::is_br_cpf).or_else(pointed)
}

/// With spaces or dashes only: of plain numbers with twelve digits every tenth would do.
pub(super) fn in_aadhaar(bytes: &[u8], at: usize) -> Option<usize> {
    one_of(bytes, at, &[(&[4, 4, 4], b" -")], checks::is_in_aadhaar)
}

/// An international number with `+` or `00`, or one of North America with dashes, points or brackets.
pub(super) fn phone(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes[at] {
        b'+' if is_start(bytes, at) => international(bytes, at + 1, 8),
        b'(' => {
            let (area, end) = digits(bytes, at + 1, &[3], b"")?;
            let rest = end + 1 + usize::from(bytes.get(end + 1) == Some(&b' '));
            let (local, end) = (*bytes.get(end)? == b')').then(|| digits(bytes, rest, &[3, 4], b"-. "))??;
            (area.values[0] > 1 && local.values[0] > 1).then_some(end)
        }
        b'0' if bytes.get(at + 1) == Some(&b'0') => {
            // Without a space or a dash in it, a number with two zeros before it may be any number.
            let end = international(bytes, at + 2, 9)?;
            bytes[at..end].iter().any(|byte| !byte.is_ascii_digit()).then_some(end)
        }
        _ => {
            let (digits, end) = digits(bytes, at, &[3, 3, 4], b"-.")?;
            (digits.values[0] > 1 && digits.values[3] > 1).then_some(end)
        }
    }
}

/// From a country's code on: so many digits at least and fifteen at most (ITU-T E.164), with two signs in a row between them at
/// most.
fn international(bytes: &[u8], at: usize, least: usize) -> Option<usize> {
    if !matches!(bytes.get(at), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut count, mut end, mut signs) = (0, at, 0);
    for (place, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'0'..=b'9' => (count, end, signs) = (count + 1, place + 1, 0),
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' if signs < 2 => signs += 1,
            _ => break,
        }
        if count > 15 {
            return None;
        }
    }
    let is_whole = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (count >= least && is_whole).then_some(end)
}

fn one_of(bytes: &[u8], at: usize, shapes: &[(&[usize], &[u8])], check: fn(&[u8]) -> bool) -> Option<usize> {
    let found = shapes
        .iter()
        .filter_map(|(groups, signs)| digits(bytes, at, groups, signs));
    found
        .filter(|(digits, _)| check(digits.as_slice()))
        .map(|(_, end)| end)
        .next()
}

/// All digits from here on, where they are 13 to 19 and nothing of a word follows.
fn run(bytes: &[u8], at: usize) -> Option<(Digits, usize)> {
    let count = bytes[at..]
        .iter()
        .take(MOST + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (13..=MOST).contains(&count).then(|| digits(bytes, at, &[count], b""))?
}

/// Groups of so many digits each, with the same one of the signs between all of them, and nothing behind them that would make
/// them part of something longer.
fn digits(bytes: &[u8], at: usize, groups: &[usize], signs: &[u8]) -> Option<(Digits, usize)> {
    let (digits, end) = digits_open(bytes, at, groups, signs)?;
    let after = |place| bytes.get(place).copied().unwrap_or(b' ');
    let goes_on = matches!(after(end), b'-' | b'.' | b',' | b'/' | b'_') && after(end + 1).is_ascii_digit();
    (!after(end).is_ascii_alphanumeric() && !goes_on).then_some((digits, end))
}

fn digits_open(bytes: &[u8], at: usize, groups: &[usize], signs: &[u8]) -> Option<(Digits, usize)> {
    let mut found = Digits {
        values: [0; MOST],
        count: 0,
    };
    let (mut place, mut sign) = (at, None);
    for (index, &length) in groups.iter().enumerate() {
        if index > 0 {
            let between = bytes.get(place).copied().filter(|byte| signs.contains(byte))?;
            if *sign.get_or_insert(between) != between {
                return None;
            }
            place += 1;
        }
        for byte in bytes.get(place..place + length)? {
            found.values[found.count] = byte.is_ascii_digit().then(|| byte - b'0')?;
            found.count += 1;
        }
        place += length;
    }
    Some((found, place))
}
