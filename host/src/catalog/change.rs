//! Prices that have moved further than prices move: more often a mistake in a list than a price.

use std::collections::BTreeMap;
use std::fmt;

use super::{Catalog, Entry};
use crate::money::{Nanodollars, Price, Rates};

/// A rate that would move more than tenfold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    provider: String,
    model: String,
    rate: &'static str,
    from: Nanodollars,
    to: Nanodollars,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            provider,
            model,
            rate,
            from,
            to,
        } = self;
        write!(formatter, "{provider}/{model}: `{rate}` from {from} to {to}")
    }
}

/// What of these models would move more than tenfold, against what is known now. A price that turns to nothing is such a move;
/// one that was nothing may become whatever it becomes.
pub fn changes(known: &Catalog, models: &BTreeMap<(String, String), Entry>) -> Vec<Change> {
    let mut found = Vec::new();
    for ((provider, model), entry) in models {
        let Some(price) = &entry.price else { continue };
        let Some(before) = known.find(provider, model).and_then(|entry| entry.price) else {
            continue;
        };
        let (before, after) = (Price::new(&before), Price::new(price));
        let mut compare =
            |before: &Rates, after: &Rates| {
                let pairs = before.named().into_iter().zip(after.named());
                found.extend(pairs.filter(|((_, from), (_, to))| is_large(*from, *to)).map(
                    |((rate, from), (_, to))| Change {
                        provider: provider.clone(),
                        model: model.clone(),
                        rate,
                        from,
                        to,
                    },
                ));
            };
        compare(before.base(), after.base());
        for tier in before.tiers() {
            if let Some(now) = after.tiers().iter().find(|now| now.above == tier.above) {
                compare(&tier.rates, &now.rates);
            }
        }
    }
    found
}

fn is_large(from: Nanodollars, to: Nanodollars) -> bool {
    let far = |low: Nanodollars, high: Nanodollars| u128::from(high.0) > 10 * u128::from(low.0);
    from.0 > 0 && (far(from, to) || far(to, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_large_beyond_ten_times_and_to_nothing() {
        for (from, to, expected) in [
            (10, 100, false),
            (10, 101, true),
            (100, 10, false),
            (101, 10, true),
            (5, 0, true),
            (0, 5, false),
            (0, 0, false),
            (1, u64::MAX, true),
        ] {
            assert_eq!(is_large(Nanodollars(from), Nanodollars(to)), expected, "{from} to {to}");
        }
    }
}
