//! Decimal numbers as JSON writes them, to nano-dollars: exactly, and without a float in between.

use crate::money::Nanodollars;

/// US dollars for so many tokens, 10 to the power given, as nano-dollars per million. What is finer than a nano-dollar is
/// rounded to the nearest, halves up: lists have numbers such as 0.049999999999999996. Nothing where there is no such
/// number, where it is negative, or too large.
pub(super) fn per_million(text: &str, tokens_power: i32) -> Option<Nanodollars> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let digits: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let power = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(9 + 6 - tokens_power)?;
    let ten = |power: u32| 10_u128.checked_pow(power);
    let nano = if digits == 0 {
        0
    } else if power >= 0 {
        digits.checked_mul(ten(power.unsigned_abs())?)?
    } else {
        // Whatever is divided by more than fits is nothing.
        ten(power.unsigned_abs()).map_or(0, |unit| (digits + unit / 2) / unit)
    };
    u64::try_from(nano).ok().map(Nanodollars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_json_are_read_exactly() {
        let nano = |text, power| per_million(text, power).map(|nano| nano.0);
        for (text, power, expected) in [
            ("1.25", 6, Some(1_250_000_000)),
            ("10", 6, Some(10_000_000_000)),
            ("0", 6, Some(0)),
            ("0.0", 0, Some(0)),
            ("0.049999999999999996", 6, Some(50_000_000)),
            ("0.0000000005", 6, Some(1)),
            ("0.0000000004", 6, Some(0)),
            ("1.25e-06", 0, Some(1_250_000_000)),
            ("5E-8", 0, Some(50_000_000)),
            ("3e+0", 6, Some(3_000_000_000)),
            ("1e-400", 6, Some(0)),
            ("1e400", 6, None),
            ("1e99999999999", 6, None),
            ("-1", 6, None),
            ("\"1\"", 6, None),
            ("null", 6, None),
            ("", 6, None),
            (".", 6, None),
        ] {
            assert_eq!(nano(text, power), expected, "{text}");
        }
    }
}
