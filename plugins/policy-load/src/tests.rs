//! What chance, turns and counts decide over many requests; what one request decides is in the golden files.

use pointsman_plugin::{
    Attempt,
    testing::{Case, TestHost, golden},
};
use serde_json::{Value, json};

use super::*;

fn policy(config: Value) -> Load {
    pointsman_plugin::policy::load(&config.to_string()).unwrap()
}

fn leader(host: &TestHost, policy: &Load, seed: u64, candidates: &Value) -> String {
    let case = json!({ "seed": seed, "now_ms": 60_000, "candidates": candidates });
    match host.decide(policy, &Case::json(case)) {
        Ok(Verdict::Plan(plan)) => plan.steps[0].candidate.clone(),
        other => panic!("no plan but {other:?}"),
    }
}

/// How many of 2000 seeds are led by the candidate.
fn led(config: Value, candidates: &Value, id: &str) -> usize {
    let (host, policy) = (TestHost::new(), policy(config));
    (0..2000)
        .filter(|seed| leader(&host, &policy, *seed, candidates) == id)
        .count()
}

fn turns(weights: &[u64], count: u64) -> Vec<usize> {
    (0..count).map(|turn| whose(turn, weights)).collect()
}

#[test]
fn golden_files() {
    golden::<Load>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn idle_candidates_share_by_chance() {
    let idle = json!([{ "id": "a" }, { "id": "b" }, { "id": "c", "health": { "in_flight": 1 } }]);
    let first = led(json!({}), &idle, "a");
    assert!((900..1100).contains(&first), "{first} of 2000 are no half");
    assert_eq!(led(json!({}), &idle, "c"), 0);
}

#[test]
fn of_two_that_are_drawn_the_less_busy_leads() {
    let busy = json!([
        { "id": "idle" }, { "id": "some", "health": { "in_flight": 2 } },
        { "id": "more", "health": { "in_flight": 5 } }, { "id": "most", "health": { "in_flight": 9 } },
    ]);
    let config = || json!({ "pick": "power-of-two" });
    // Of the six pairs three have the first, two the second without the first, and one neither.
    let [idle, some, more, most] = ["idle", "some", "more", "most"].map(|id| led(config(), &busy, id));
    assert!((900..1100).contains(&idle), "{idle} of 2000 are no half");
    assert!((570..770).contains(&some), "{some} of 2000 are no third");
    assert!((250..420).contains(&more), "{more} of 2000 are no sixth");
    assert_eq!(most, 0);
    assert_eq!(led(config(), &json!([{ "id": "alone" }]), "alone"), 2000);
}

#[test]
fn chance_follows_the_weights() {
    let candidates = json!([{ "id": "a", "weight": 3 }, { "id": "b" }, { "id": "never", "weight": 0 }]);
    let heavy = led(json!({ "pick": "random" }), &candidates, "a");
    assert!((1400..1600).contains(&heavy), "{heavy} of 2000 are no three quarters");
    assert_eq!(led(json!({ "pick": "random" }), &candidates, "never"), 0);
}

#[test]
fn turns_go_round_and_a_weight_is_so_many_turns_of_a_round() {
    assert_eq!(turns(&[1, 1, 1], 6), [0, 1, 2, 0, 1, 2]);
    assert_eq!(turns(&[5, 5], 4), [0, 1, 0, 1]);
    assert_eq!(turns(&[7], 3), [0, 0, 0]);
    let round = turns(&[6, 3, 1], 10);
    for (index, weight) in [6, 3, 1].into_iter().enumerate() {
        assert_eq!(
            round.iter().filter(|whose| **whose == index).count(),
            weight,
            "{round:?}"
        );
    }
    let longest = round.chunk_by(|one, other| one == other).map(<[usize]>::len).max();
    assert!(longest.is_some_and(|longest| longest <= 2), "{round:?} comes in bursts");
    assert_eq!(turns(&[u64::from(u32::MAX), 1], 2), [0, 0]);
}

#[test]
fn every_route_has_turns_of_its_own() {
    let (host, policy) = (TestHost::new(), policy(json!({ "pick": "round-robin" })));
    let on = |route: &str| {
        let case = json!({ "route": route, "candidates": [{ "id": "a" }, { "id": "b" }] });
        match host.decide(&policy, &Case::json(case)) {
            Ok(Verdict::Plan(plan)) => plan.steps[0].candidate.clone(),
            other => panic!("no plan but {other:?}"),
        }
    };
    assert_eq!(["x", "x", "y", "x", "y"].map(on), ["a", "b", "a", "a", "b"]);
}

#[test]
fn what_an_answer_used_counts_until_the_window_ends() {
    let attempt = |candidate: &str, error: Option<&str>, cost| Attempt {
        candidate: candidate.into(),
        status: 200,
        error: error.map(str::to_owned),
        first_token_ms: None,
        total_ms: 5,
        cost,
    };
    let ended = |attempts| Ended {
        request_id: "test".into(),
        key_id: "anonymous".into(),
        route: "auto".into(),
        now_ms: 60_500,
        labels: Vec::new(),
        attempts,
        input_tokens: 30,
        output_tokens: 7,
        score: None,
        extras: Vec::new(),
    };
    for (usage, a, b) in [
        ("tokens", "", "37"),
        ("input-tokens", "", "30"),
        ("output-tokens", "", "7"),
        ("requests", "1", "1"),
        ("cost", "2", "5"),
    ] {
        let host = TestHost::new();
        let policy = policy(json!({ "pick": "lowest-usage", "usage": usage }));
        host.observe(
            &policy,
            &ended(vec![
                attempt("a", Some("server_error"), Some(2)),
                attempt("b", None, Some(5)),
            ]),
        );
        let held = |key| {
            host.state(key)
                .map_or(String::new(), |held| String::from_utf8(held).unwrap())
        };
        assert_eq!(
            (held("used/1/a").as_str(), held("used/1/b").as_str()),
            (a, b),
            "{usage}"
        );
        let candidates = json!([{ "id": "b" }, { "id": "c" }]);
        assert_eq!(leader(&host, &policy, 1, &candidates), "c", "{usage}");
    }
}

#[test]
fn nothing_is_counted_where_nothing_is_asked_of_it() {
    let host = TestHost::new();
    host.observe(
        &policy(json!({})),
        &Ended {
            request_id: "test".into(),
            key_id: "anonymous".into(),
            route: "auto".into(),
            now_ms: 1,
            labels: Vec::new(),
            attempts: Vec::new(),
            input_tokens: 1,
            output_tokens: 1,
            score: None,
            extras: Vec::new(),
        },
    );
    assert!(host.keys().is_empty());
}

#[test]
fn what_counts_needs_the_grant_and_the_rest_does_not() {
    let host = TestHost::new();
    host.show(&Case::json(json!({ "grants": [] })));
    let load = |pick: &str| pointsman_plugin::policy::load::<Load>(&json!({ "pick": pick }).to_string()).err();
    let expected = "`pick = \"round-robin\"` counts, add grants = [\"state\"] to the policy";
    assert_eq!(load("round-robin").as_deref(), Some(expected));
    assert!(load("lowest-usage").is_some());
    assert_eq!(load("least-busy"), None);
}

#[test]
fn nobody_comes_twice_and_nobody_is_lost() {
    let picks = [
        "least-busy",
        "power-of-two",
        "random",
        "round-robin",
        "lowest-usage",
        "most-tokens-left",
        "most-requests-left",
    ];
    let host = TestHost::new();
    for pick in picks {
        let policy = policy(json!({ "pick": pick, "tiers": [["0", "1"], ["tag:x"]], "max_in_flight": 5 }));
        for seed in 0..300 {
            let mut draw = Draw::new(seed, "candidates");
            let count = draw.below(6) + 1;
            let candidates: Vec<Value> = (0..count)
                .map(|id| {
                    let weights = [0, 1, 7, u64::from(u32::MAX)];
                    json!({
                        "id": id.to_string(),
                        "tags": if draw.happens(500_000) { vec!["x"] } else { vec![] },
                        "weight": weights[draw.below(4) as usize],
                        "health": {
                            "in_flight": draw.below(9), "error_permille": draw.below(1001),
                            "requests_left": draw.below(3), "tokens_left": draw.number(),
                        },
                    })
                })
                .collect();
            let case = json!({ "seed": seed, "candidates": candidates });
            let Ok(Verdict::Plan(plan)) = host.decide(&policy, &Case::json(case)) else {
                panic!("no plan for {candidates:?}")
            };
            let mut ids: Vec<&str> = plan.steps.iter().map(|step| step.candidate.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(
                (ids.len() as u64, plan.steps.len() as u64),
                (count, count),
                "{pick}: {plan:?}"
            );
        }
    }
}
