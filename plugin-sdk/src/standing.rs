//! What a candidate's health comes to, in one word that policies sort by; and the share that says when it is failing.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::policy::{Candidate, Summary};

/// How far a candidate can be relied on just now, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing speaks against it.
    Well,
    /// The provider's own limits leave no room for the request, as far as they are known.
    Full,
    /// More of its last attempts failed than may.
    Failing,
    /// It has been taken out after failures.
    Cooling,
}

impl Candidate {
    /// What its health comes to for this request, where so many of its last attempts may have failed.
    pub fn standing(&self, request: &Summary, most_errors: Percent) -> Standing {
        let health = &self.health;
        if health.cooling_ms.is_some() {
            return Standing::Cooling;
        }
        if u64::from(health.error_permille) * 1000 > u64::from(most_errors.per_million()) {
            return Standing::Failing;
        }
        let needed = u64::from(request.estimated_input_tokens);
        let is_full = health.requests_left == Some(0) || health.tokens_left.is_some_and(|left| left < needed);
        if is_full { Standing::Full } else { Standing::Well }
    }
}

/// A share that a configuration gives in per cent, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    /// So many per cent; everything where it is more than all.
    pub const fn whole(percent: u32) -> Self {
        Percent(if percent > 100 { 1_000_000 } else { percent * 10_000 })
    }

    /// The share in millionths.
    pub fn per_million(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(de::Error::custom(format!("{percent} is no share, expected 0 to 100")));
        }
        Ok(Percent((percent * 10_000.0).round() as u32))
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 100, "description": "Per cent" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Case;

    fn standing(health: serde_json::Value, most_errors: u32) -> Standing {
        let case = Case::json(json!({
            "request": { "messages": [{ "role": "user", "content": "four words of text" }] },
            "candidates": [{ "id": "a", "health": health }],
        }));
        case.candidates()[0].standing(&case.summary(), Percent::whole(most_errors))
    }

    #[test]
    fn the_worst_that_is_known_counts() {
        assert_eq!(standing(json!({}), 0), Standing::Well);
        assert_eq!(standing(json!({ "error_permille": 500 }), 50), Standing::Well);
        assert_eq!(standing(json!({ "error_permille": 501 }), 50), Standing::Failing);
        assert_eq!(standing(json!({ "error_permille": 1000 }), 100), Standing::Well);
        assert_eq!(standing(json!({ "requests_left": 0 }), 50), Standing::Full);
        assert_eq!(standing(json!({ "tokens_left": 8 }), 50), Standing::Full);
        assert_eq!(
            standing(json!({ "tokens_left": 9, "requests_left": 1 }), 50),
            Standing::Well
        );
        let all = json!({ "requests_left": 0, "error_permille": 900, "cooling_ms": 1 });
        assert_eq!(standing(all, 50), Standing::Cooling);
    }

    #[test]
    fn a_share_has_its_fractions_and_its_ends() {
        let read = |text| serde_json::from_str::<Percent>(text).map(Percent::per_million);
        assert_eq!(read("0.5").unwrap(), 5_000);
        assert_eq!(read("100").unwrap(), 1_000_000);
        let error = read("100.1").unwrap_err().to_string();
        assert!(error.starts_with("100.1 is no share, expected 0 to 100"), "{error}");
        assert!(read("-1").is_err());
    }
}
