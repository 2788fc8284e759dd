//! The golden files, and what holds of every request: what was found stays unsaid, and no model serves that may not.

use pointsman_plugin::testing::{Case, TestHost, golden};
use serde_json::json;

use super::*;

fn policy(config: serde_json::Value) -> Compliance {
    pointsman_plugin::policy::load(&config.to_string()).unwrap()
}

#[test]
fn golden_files() {
    golden::<Compliance>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn what_was_found_is_in_no_label_reason_message_or_log() {
    let secret = "4111 1111 1111 1111";
    let refuse = json!({ "status": 451, "code": "no_cards", "message": "no cards, please" });
    for rule in [
        json!({ "name": "cards", "content": ["credit-card"], "require": ["pci"] }),
        json!({ "name": "cards", "content": ["credit-card"], "require": ["nobody-has-this"] }),
        json!({ "name": "cards", "content": ["credit-card"], "reject": refuse }),
    ] {
        let (host, policy) = (TestHost::new(), policy(json!({ "rules": [rule] })));
        let case = Case::json(json!({
            "request": { "messages": [{ "role": "user", "content": format!("my card is {secret}") }] },
            "candidates": [{ "id": "a" }, { "id": "b", "tags": ["pci"] }],
        }));
        let verdict = host.decide(&policy, &case);
        assert!(!matches!(verdict, Ok(Verdict::Pass) | Err(_)));
        let said = format!("{verdict:?} {:?}", host.log_lines());
        assert!(!said.contains("1111"), "{said}");
    }
}

#[test]
fn a_card_behind_what_is_read_is_assumed_to_be_there() {
    let rules = json!([{ "name": "cards", "content": ["credit-card"], "require": ["pci"] }]);
    let policy = policy(json!({ "rules": rules, "read_at_most": 100 }));
    let host = TestHost::new();
    for length in [90, 99, 100, 101, 110, 1000] {
        let case = Case::json(json!({
            "request": { "messages": [{ "role": "user", "content": "é".repeat(length / 2) + &"x".repeat(length % 2) }] },
            "candidates": [{ "id": "a" }, { "id": "b", "tags": ["pci"] }],
        }));
        let verdict = host.decide(&policy, &case).unwrap();
        assert_eq!(verdict == Verdict::Pass, length <= 100, "{length} bytes: {verdict:?}");
    }
}

#[test]
fn a_label_holds_as_many_names_as_fit() {
    let rules: Vec<_> = (0..40)
        .map(|number| json!({ "name": format!("rule-{number:050}"), "forbid": ["x"] }))
        .collect();
    let policy = policy(json!({ "rules": rules }));
    let case = Case::json(json!({ "candidates": [{ "id": "a" }] }));
    let Ok(Verdict::Plan(plan)) = TestHost::new().decide(&policy, &case) else {
        panic!("no plan")
    };
    assert!(
        plan.labels.iter().all(|(_, value)| value.len() <= limits::LABEL_BYTES),
        "{:?}",
        plan.labels
    );
}
