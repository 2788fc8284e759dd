//! Money: whole nano-US-dollars; `usage` is what was used, `price` what it costs. No floating point anywhere.

mod price;
mod service;
mod usage;

use std::fmt;

pub use price::{Most, Parts, Price, PriceList, PriceVersion, Rates, StatedRates, Tier};
pub use service::{Service, Shares};
pub use usage::Usage;

/// Nano-US-dollars: 1 USD is 1_000_000_000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanodollars(pub u64);

impl Nanodollars {
    /// Reads a decimal amount of US dollars, exactly. At most nine decimals; digits beyond them must be zeros.
    pub fn from_usd(text: &str) -> Result<Self, String> {
        let plain = text.replace('_', "");
        let invalid = || format!("`{text}` is not an amount in US dollars such as 0.25");
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(invalid());
        }
        if fraction.len() > 9 && fraction[9..].bytes().any(|byte| byte != b'0') {
            return Err(format!("`{text}` is finer than a nano-dollar (nine decimals)"));
        }
        let nano = format!("{fraction:0<9}");
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| invalid())?
        };
        let nano: u64 = nano[..9].parse().map_err(|_| invalid())?;
        whole
            .checked_mul(1_000_000_000)
            .and_then(|value| value.checked_add(nano))
            .map(Self)
            .ok_or_else(invalid)
    }
}

impl fmt::Display for Nanodollars {
    /// US dollars with as many decimals as it takes, two at least.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let shown = text.trim_end_matches('0');
        let decimals = shown.len() - shown.find('.').unwrap_or_default() - 1;
        write!(formatter, "{shown}{}", &"00"[decimals.min(2)..])
    }
}

/// As [`Nanodollars`] are shown, of sums that corrections can bring below nothing.
pub fn usd(nano: i128) -> String {
    let amount = nano.unsigned_abs();
    let sign = if nano < 0 { "-" } else { "" };
    let whole = amount / 1_000_000_000;
    let part = Nanodollars((amount % 1_000_000_000) as u64).to_string();
    format!("{sign}{whole}{}", &part[1..])
}

/// A million US dollars.
const MOST_CHANGE: i64 = 1_000_000_000_000_000;

/// Reads an amount that may be negative; see [`Nanodollars::from_usd`].
pub fn signed_from_usd(text: &str) -> Result<i64, String> {
    let (amount, is_negative) = match text.strip_prefix('-') {
        Some(amount) => (amount, true),
        None => (text, false),
    };
    let Nanodollars(nano) = Nanodollars::from_usd(amount)?;
    // Sums of such amounts have to fit.
    let nano = i64::try_from(nano).ok().filter(|nano| *nano <= MOST_CHANGE);
    let nano = nano.ok_or_else(|| format!("`{text}` is too much: 1000000 USD at most"))?;
    Ok(if is_negative { -nano } else { nano })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, nano) in [
            ("0.0375", 37_500_000),
            ("10", 10_000_000_000),
            (".5", 500_000_000),
            ("0.000000001", 1),
            ("1_0.0", 10_000_000_000),
        ] {
            assert_eq!(Nanodollars::from_usd(text), Ok(Nanodollars(nano)), "{text}");
        }
        for text in ["", ".", "-1", "1e3", "0.0000000001", "99999999999999", "1.2.3", "∞"] {
            assert!(Nanodollars::from_usd(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_without_noise() {
        assert_eq!(Nanodollars(0).to_string(), "0.00");
        assert_eq!(Nanodollars(1).to_string(), "0.000000001");
        assert_eq!(Nanodollars(2_500_000_000).to_string(), "2.50");
        assert_eq!(Nanodollars(37_500_000).to_string(), "0.0375");
    }

    #[test]
    fn amounts_below_nothing_are_read_and_shown() {
        for (text, nano) in [("-0.50", -500_000_000), ("12.000000001", 12_000_000_001), ("0.00", 0)] {
            assert_eq!(signed_from_usd(text), Ok(nano), "{text}");
            assert_eq!(usd(nano.into()), text);
        }
        for text in ["--1", "-", "- 1", "1-", "9223372037"] {
            assert!(signed_from_usd(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn money_survives_being_shown_and_read(nano in any::<u64>()) {
            prop_assert_eq!(Nanodollars::from_usd(&Nanodollars(nano).to_string()), Ok(Nanodollars(nano)));
        }
    }
}
