//! What staying and switching cost, in whole nano-dollars times a million, so that nothing is rounded.
//!
//! One turn on a model of which `cached` tokens of the input are in its prompt cache costs
//! `cached · cached_input + (input − cached) · cache_write + output · output_price`. Of `turns` turns of the same length, the
//! first finds in the cache what is there now, and the others what the one before has left.

use pointsman_plugin::{Price, money::Usd};

/// One turn of a conversation, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) input: u64,
    /// The part of the input that the conversation's model has seen before.
    pub(crate) prefix: u64,
    pub(crate) output: u64,
}

/// What a model charges, and whether a prompt of this length is cached there at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) price: &'a Price,
    pub(crate) is_cached: bool,
}

/// A sum of money in nano-dollars times a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sum(u128);

impl Sum {
    pub(crate) fn usd(self) -> Usd {
        Usd {
            nanos: u64::try_from(self.0 / 1_000_000).unwrap_or(u64::MAX),
        }
    }
}

/// The price of so many turns on a model that has so many tokens of the first one in its cache.
pub(crate) fn turns_on(place: Place<'_>, turn: Turn, turns: u32, cached: u64) -> Sum {
    let later = u128::from(turns.saturating_sub(1));
    Sum(place.cost(turn, cached) + later * place.cost(turn, turn.prefix))
}

impl Place<'_> {
    // Tokens are cut at 2^32, so that a thousand turns at the highest price fit in 128 bits.
    fn cost(self, turn: Turn, prefix: u64) -> u128 {
        let times = |tokens: u64, price: u64| u128::from(tokens.min(u64::from(u32::MAX))) * u128::from(price);
        let output = times(turn.output, self.price.output);
        if !self.is_cached {
            return times(turn.input, self.price.input) + output;
        }
        let cached = prefix.min(turn.input);
        times(cached, self.price.cached_input) + times(turn.input - cached, self.price.cache_write) + output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dollars per million tokens, in nano-dollars.
    fn price(input: u64, cached_input: u64, cache_write: u64, output: u64) -> Price {
        let [input, cached_input, cache_write, output] =
            [input, cached_input, cache_write, output].map(|dollars| dollars * 1_000_000_000);
        Price {
            input,
            cached_input,
            cache_write,
            output,
        }
    }

    fn cached(price: &Price) -> Place<'_> {
        Place { price, is_cached: true }
    }

    const TURN: Turn = Turn {
        input: 100_000,
        prefix: 90_000,
        output: 1_000,
    };

    #[test]
    fn staying_reads_the_prefix_from_the_cache_at_every_turn() {
        // 90 000 at $1, 10 000 at $10, 1 000 at $20 a million: 0.09 + 0.1 + 0.02 dollars, twice.
        let price = price(10, 1, 10, 20);
        assert_eq!(
            turns_on(cached(&price), TURN, 2, TURN.prefix).usd().to_string(),
            "$0.42"
        );
    }

    #[test]
    fn switching_pays_for_the_whole_input_once() {
        // The first turn writes 100 000 at $12: 1.22 dollars; the second writes 10 000 and reads the rest: 0.23.
        let price = price(10, 1, 12, 20);
        assert_eq!(turns_on(cached(&price), TURN, 2, 0).usd().to_string(), "$1.45");
    }

    #[test]
    fn the_price_of_switching_between_equals_is_the_prefix_at_the_caches_discount() {
        let price = price(10, 1, 10, 20);
        for turns in 1..5 {
            let on = |tokens| turns_on(cached(&price), TURN, turns, tokens).0;
            let loss = on(0) - on(TURN.prefix);
            assert_eq!(loss, u128::from(TURN.prefix) * 9_000_000_000);
        }
    }

    #[test]
    fn where_nothing_is_cached_every_turn_costs_the_same() {
        let price = price(10, 1, 12, 20);
        let uncached = Place {
            price: &price,
            is_cached: false,
        };
        assert_eq!(turns_on(uncached, TURN, 3, TURN.prefix), turns_on(uncached, TURN, 3, 0));
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let price = Price {
            input: u64::MAX,
            cached_input: u64::MAX,
            cache_write: u64::MAX,
            output: u64::MAX,
        };
        let turn = Turn {
            input: u64::MAX,
            prefix: 0,
            output: u64::MAX,
        };
        assert_eq!(turns_on(cached(&price), turn, 1000, 0).usd().nanos, u64::MAX);
    }
}
