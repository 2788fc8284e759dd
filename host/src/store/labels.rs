//! Labels as text: a JSON object, its members sorted, so that the same labels are the same text.

use std::collections::BTreeMap;

/// Where a label has two values, the one that was set last counts.
pub(super) fn text(labels: &[(String, String)]) -> String {
    let sorted: BTreeMap<&str, &str> = labels.iter().map(|(label, value)| (&**label, &**value)).collect();
    serde_json::json!(sorted).to_string()
}

/// What [`text`] wrote.
pub(super) fn parse(text: &str) -> Option<Vec<(String, String)>> {
    let sorted: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(sorted.into_iter().collect())
}
