//! Divides traffic by weight: an A/B test, a canary, or a plain split over a route's candidates.
//!
//! A choice is a pure function of the request: 64-bit FNV-1a over the salt, a zero byte and what the split sticks to (the
//! decision's seed where it sticks to nothing), stirred by MurmurHash3's 64-bit finaliser because FNV alone leaves the
//! high bits of short inputs poor. That number, as a fraction of 2^64, points at a place on the line of all weights.

use std::borrow::Cow;

use pointsman_plugin::{Candidate, Plan, Policy, Request, Verdict, export_policy, limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// How traffic is divided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The parts that traffic is divided into. Without any, the candidates themselves are the parts, by the weights that
    /// the route gives them.
    #[serde(default)]
    arms: Vec<Arm>,
    /// Who keeps the same arm: `none` (each request is drawn anew), `key`, `session`, `user` (the request's `user` field)
    /// or `header:NAME`. A request without the named thing is drawn anew.
    #[serde(default)]
    sticky: Sticky,
    /// Another salt makes another division of the same users: give each experiment its own.
    #[serde(default)]
    salt: String,
}

/// One part of the traffic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arm {
    /// The request's label `arm`.
    label: String,
    /// The arm's share of all weights.
    weight: u32,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    prefer: Vec<String>,
}

#[derive(Debug, Default)]
enum Sticky {
    #[default]
    None,
    Key,
    Session,
    User,
    Header(String),
}

struct Weighted(Config);

impl Policy for Weighted {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (index, arm) in config.arms.iter().enumerate() {
            if arm.prefer.is_empty() {
                return Err(format!(
                    "`arms[{index}].prefer` is empty, expected at least one candidate"
                ));
            }
            if arm.label.is_empty() || !limits::is_label(&arm.label) {
                return Err(format!(
                    "`arms[{index}].label`: expected 1 to {} bytes that can be printed",
                    limits::LABEL_BYTES
                ));
            }
            if config.arms[..index].iter().any(|other| other.label == arm.label) {
                return Err(format!(
                    "`arms[{index}].label`: there are two arms with the label `{}`",
                    arm.label
                ));
            }
        }
        if !config.arms.is_empty() && config.arms.iter().all(|arm| arm.weight == 0) {
            return Err("`arms`: all weights are 0, expected one that is not".into());
        }
        Ok(Weighted(config))
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let point = self.point(request);
        Ok(if self.0.arms.is_empty() {
            by_candidate(point, candidates)
        } else {
            self.by_arm(point, candidates)
        })
    }
}

impl Weighted {
    /// A number that is spread evenly, and the same for all requests that stick together.
    fn point(&self, request: &Request) -> u64 {
        let salt = self.0.salt.as_bytes();
        let sticky = match &self.0.sticky {
            Sticky::None => None,
            Sticky::Key => Some(Cow::Borrowed(&*request.key_id)),
            Sticky::Session => request.session.as_deref().map(Cow::Borrowed),
            Sticky::User => request.string("/user").map(Cow::Owned),
            Sticky::Header(name) => request.header(name).map(Cow::Owned),
        };
        match sticky {
            Some(value) => hash(salt, value.as_bytes()),
            None => hash(salt, &request.seed.to_le_bytes()),
        }
    }

    /// An arm without a candidate hands its requests, and no others, to the arms that have one.
    fn by_arm(&self, point: u64, candidates: &[Candidate]) -> Verdict {
        let arms = &self.0.arms;
        let can_serve = |arm: &Arm| {
            arm.prefer
                .iter()
                .any(|name| candidates.iter().any(|one| one.answers_to(name)))
        };
        let drawn = draw(point, arms.iter().map(|arm| arm.weight)).filter(|&arm| can_serve(&arms[arm]));
        let able = || {
            draw(
                point,
                arms.iter().map(|arm| if can_serve(arm) { arm.weight } else { 0 }),
            )
        };
        let Some(arm) = drawn.or_else(able).map(|index| &arms[index]) else {
            return Plan::keep().reason("no arm has a candidate").into();
        };
        let total: u64 = arms.iter().map(|arm| u64::from(arm.weight)).sum();
        Plan::prefer(&arm.prefer, candidates)
            .label("arm", &*arm.label)
            .reason(format!("arm {}, {} of {total}", arm.label, arm.weight))
            .into()
    }
}

fn by_candidate(point: u64, candidates: &[Candidate]) -> Verdict {
    let Some(index) = draw(point, candidates.iter().map(|candidate| candidate.weight)) else {
        return Plan::keep().reason("no candidate has a weight").into();
    };
    let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
    let Candidate { id, weight, .. } = &candidates[index];
    Plan::prefer(&[id], candidates)
        .label("arm", limits::printable(id, limits::LABEL_BYTES))
        .reason(format!("arm {id}, {weight} of {total}"))
        .into()
}

/// The index of the weight that the point falls on; none where there is no weight at all.
fn draw(point: u64, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    // The point as a fraction of 2^64, in whole numbers: less than the total, and without a modulo's slant.
    let mut rest = ((u128::from(point) * u128::from(total)) >> 64) as u64;
    for (index, weight) in weights.enumerate() {
        match rest.checked_sub(weight.into()) {
            Some(left) => rest = left,
            None => return Some(index),
        }
    }
    None
}

fn hash(salt: &[u8], value: &[u8]) -> u64 {
    let bytes = salt.iter().chain(&[0]).chain(value);
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

impl<'de> Deserialize<'de> for Sticky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "none" => Sticky::None,
            "key" => Sticky::Key,
            "session" => Sticky::Session,
            "user" => Sticky::User,
            _ => match text.strip_prefix("header:") {
                Some(name) if !name.is_empty() => Sticky::Header(name.to_owned()),
                _ => {
                    let expected = "expected `none`, `key`, `session`, `user` or `header:NAME`";
                    return Err(de::Error::custom(format!(
                        "nothing to stick to is called `{text}`, {expected}"
                    )));
                }
            },
        })
    }
}

impl JsonSchema for Sticky {
    fn schema_name() -> Cow<'static, str> {
        "Sticky".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(none|key|session|user|header:.+)$", "default": "none" })
    }
}

export_policy!(Weighted);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::{Case, TestHost, golden};
    use serde_json::json;

    use super::*;

    fn policy(config: serde_json::Value) -> Weighted {
        pointsman_plugin::policy::load(&config.to_string()).unwrap()
    }

    /// The label `arm` of a request with this seed, key and session.
    fn arm(policy: &Weighted, request: serde_json::Value) -> String {
        let mut case = json!({ "candidates": [{ "id": "a", "weight": 3 }, { "id": "b" }, { "id": "c", "weight": 0 }] });
        case.as_object_mut()
            .unwrap()
            .extend(request.as_object().unwrap().clone());
        match TestHost::new().decide(policy, &Case::json(case)) {
            Ok(Verdict::Plan(plan)) => plan.labels[0].1.clone(),
            other => panic!("no plan but {other:?}"),
        }
    }

    #[test]
    fn golden_files() {
        golden::<Weighted>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn the_split_follows_the_weights() {
        let policy = policy(json!({}));
        let arms: Vec<String> = (0..4000).map(|seed| arm(&policy, json!({ "seed": seed }))).collect();
        let share = arms.iter().filter(|arm| *arm == "a").count();
        assert!((2900..3100).contains(&share), "{share} of 4000 went to three quarters");
        assert!(!arms.contains(&"c".into()));
    }

    #[test]
    fn whoever_sticks_keeps_the_arm_whatever_the_seed() {
        let policy = policy(json!({ "sticky": "session" }));
        for session in ["one", "two", "three", "four"] {
            let of = |seed: u64| arm(&policy, json!({ "session": session, "seed": seed }));
            assert!((1..50).all(|seed| of(seed) == of(0)), "{session}");
        }
    }

    #[test]
    fn another_salt_is_another_division() {
        let [one, other] = ["one", "other"].map(|salt| policy(json!({ "sticky": "key", "salt": salt })));
        let differ = (0..100).filter(|key| {
            let request = json!({ "key_id": key.to_string() });
            arm(&one, request.clone()) != arm(&other, request)
        });
        assert!((20..60).contains(&differ.count()));
    }

    #[test]
    fn an_arm_without_candidates_moves_nobody_else() {
        let arms = json!([
            { "label": "x", "weight": 1, "prefer": ["a"] },
            { "label": "y", "weight": 1, "prefer": ["b"] },
            { "label": "z", "weight": 1, "prefer": ["gone"] },
        ]);
        let policy = policy(json!({ "arms": arms }));
        let whole = [("x", 1), ("y", 1), ("z", 1)];
        for seed in 0..300_u64 {
            let expected = whole[draw(hash(b"", &seed.to_le_bytes()), whole.iter().map(|arm| arm.1)).unwrap()].0;
            let actual = arm(&policy, json!({ "seed": seed }));
            assert!(
                if expected == "z" {
                    actual != "z"
                } else {
                    actual == expected
                },
                "seed {seed}: {expected}, {actual}"
            );
        }
    }
}
