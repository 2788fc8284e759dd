//! How good a model is said to be, and how good it has to be for a request.

use std::collections::BTreeMap;

use pointsman_plugin::{Candidate, Request};
use schemars::JsonSchema;
use serde::Deserialize;

/// The tag by which the catalog says how good a model is: `quality:7`.
const TAG: &str = "quality:";

/// Levels by name: a model's id, or `tag:NAME`.
pub(crate) type Levels = BTreeMap<String, f64>;

/// Levels by a label's name and its value.
pub(crate) type ByLabel = BTreeMap<String, BTreeMap<String, f64>>;

/// What happens to models below the minimum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Below {
    /// They do not serve.
    #[default]
    Out,
    /// They stay behind the others, the best first.
    Fallback,
}

/// What happens where no model reaches the minimum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenNone {
    /// All serve, the best first.
    #[default]
    Best,
    /// The request is refused with status 403 and code `no_candidate`.
    Reject,
}

/// The level that a request needs, and what demands it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Need {
    pub(crate) level: f64,
    /// The label, where one demands it: `complexity=complex`.
    pub(crate) by: Option<String>,
}

/// A model's level: what `levels` says of its id, else what its own tag says, else the lowest of what `levels` says of its
/// tags. None where nobody has said anything.
pub(crate) fn level_of(candidate: &Candidate, levels: &Levels) -> Option<f64> {
    let by_id = || levels.get(&candidate.id).copied();
    let by_own_tag = || candidate.tags.iter().find_map(|tag| own_level(tag));
    let by_tags = || {
        let named = levels.iter().filter(|(name, _)| candidate.answers_to(name));
        named.map(|(_, level)| *level).min_by(f64::total_cmp)
    };
    by_id().or_else(by_own_tag).or_else(by_tags)
}

fn own_level(tag: &str) -> Option<f64> {
    let level: f64 = tag.strip_prefix(TAG)?.trim().parse().ok()?;
    level.is_finite().then_some(level)
}

/// The highest of what the request's labels demand; what is demanded of all requests where they demand nothing.
pub(crate) fn need(request: &Request, minimum: Option<f64>, by_label: &ByLabel) -> Option<Need> {
    let by_labels = by_label.iter().filter_map(|(name, values)| {
        let value = request.label(name)?;
        Some(Need {
            level: *values.get(value)?,
            by: Some(format!("{name}={value}")),
        })
    });
    let highest = by_labels.max_by(|one, other| one.level.total_cmp(&other.level));
    highest.or_else(|| minimum.map(|level| Need { level, by: None }))
}
