//! Money is whole nano-US-dollars; only a configuration speaks of dollars.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Nano-dollars in a dollar.
pub const DOLLAR: u64 = 1_000_000_000;

/// An amount that a configuration gives in US dollars, `0.25` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd {
    /// The amount in nano-dollars.
    pub nanos: u64,
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        let nanos = (dollars * DOLLAR as f64).round();
        // Counters are signed, so that is where the amounts end.
        if !(0.0..i64::MAX as f64).contains(&nanos) {
            return Err(de::Error::custom(format!(
                "{dollars} is no amount in US dollars, expected 0 or more"
            )));
        }
        Ok(Usd { nanos: nanos as u64 })
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "description": "US dollars" })
    }
}

impl fmt::Display for Usd {
    /// Dollars with as many decimals as the amount has, two at least.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.nanos % DOLLAR);
        let decimals = decimals.trim_end_matches('0');
        write!(f, "${}.{decimals:0<2}", self.nanos / DOLLAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_to_the_nano_and_shown_as_they_are() {
        for (text, nanos, shown) in [
            ("0", 0, "$0.00"),
            ("0.1", 100_000_000, "$0.10"),
            ("12.5", 12_500_000_000, "$12.50"),
            ("0.000000001", 1, "$0.000000001"),
            ("100", 100 * DOLLAR, "$100.00"),
        ] {
            let amount: Usd = serde_json::from_str(text).unwrap();
            assert_eq!((amount.nanos, amount.to_string().as_str()), (nanos, shown));
        }
    }

    #[test]
    fn less_than_nothing_is_refused() {
        let error = serde_json::from_str::<Usd>("-1").unwrap_err().to_string();
        assert!(
            error.starts_with("-1 is no amount in US dollars, expected 0 or more"),
            "{error}"
        );
    }
}
