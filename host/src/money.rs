//! Money: whole nano-US-dollars, and what a call costs. No floating point anywhere.

use std::fmt;

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

/// What a model costs, per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Input that was not cached.
    pub input: Nanodollars,
    /// Input read from the provider's cache.
    pub cached_input: Nanodollars,
    /// Input written to the provider's cache.
    pub cache_write: Nanodollars,
    /// Output, reasoning included.
    pub output: Nanodollars,
}

/// Tokens as billed: `input` excludes what the cache served or took in; `output` includes reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input that was not cached.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Its members by name, as the store and reports spell them.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("output", self.output),
            ("reasoning", self.reasoning),
        ]
    }

    /// Of members by name; nothing where a name is unknown.
    pub fn from_named<'n>(members: impl Iterator<Item = (&'n str, u64)>) -> Option<Self> {
        let mut usage = Self::default();
        for (name, tokens) in members {
            *match name {
                "input" => &mut usage.input,
                "cache_read" => &mut usage.cache_read,
                "cache_write" => &mut usage.cache_write,
                "output" => &mut usage.output,
                "reasoning" => &mut usage.reasoning,
                _ => return None,
            } = tokens;
        }
        Some(usage)
    }

    /// The sum of two.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }

    /// All input, however it was billed.
    pub fn all_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }
}

impl Price {
    /// What this many tokens cost. The parts are summed exactly and rounded once, to the nearest nano-dollar, halves up;
    /// a sum beyond what 64 bits hold is the most that they hold.
    pub fn cost(&self, usage: &Usage) -> Nanodollars {
        let part = |tokens: u64, price: Nanodollars| u128::from(tokens) * u128::from(price.0);
        let sum = part(usage.input, self.input)
            .saturating_add(part(usage.cache_read, self.cached_input))
            .saturating_add(part(usage.cache_write, self.cache_write))
            .saturating_add(part(usage.output, self.output));
        let rounded = sum.saturating_add(500_000) / 1_000_000;
        Nanodollars(u64::try_from(rounded).unwrap_or(u64::MAX))
    }
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
    fn a_cost_is_the_sum_of_its_parts_rounded_once() {
        let usd = |text| Nanodollars::from_usd(text).unwrap();
        let price = Price {
            input: usd("0.27"),
            cached_input: usd("0.07"),
            cache_write: usd("0.27"),
            output: usd("1.10"),
        };
        let usage = Usage {
            input: 1000,
            cache_read: 500,
            cache_write: 0,
            output: 200,
            reasoning: 150,
        };
        assert_eq!(price.cost(&usage), Nanodollars(270_000 + 35_000 + 220_000));
        let tiny = Price {
            input: Nanodollars(1),
            cached_input: Nanodollars(1),
            cache_write: Nanodollars(0),
            output: Nanodollars(0),
        };
        assert_eq!(
            tiny.cost(&Usage {
                input: 250_000,
                cache_read: 250_000,
                ..Usage::default()
            }),
            Nanodollars(1)
        );
    }

    proptest! {
        #[test]
        fn money_survives_being_shown_and_read(nano in any::<u64>()) {
            prop_assert_eq!(Nanodollars::from_usd(&Nanodollars(nano).to_string()), Ok(Nanodollars(nano)));
        }

        #[test]
        fn more_tokens_never_cost_less(a in any::<u64>(), b in any::<u64>(), price in any::<u64>()) {
            let price = Nanodollars(price);
            let price = Price { input: price, cached_input: price, cache_write: price, output: price };
            let cost = |tokens| price.cost(&Usage { input: tokens, ..Usage::default() });
            prop_assert!(cost(a.min(b)) <= cost(a.max(b)));
        }
    }
}
