//! What chance decides, over many seeds; what is decided without it is in the golden files.

use pointsman_plugin::testing::{Case, TestHost, golden};
use serde_json::{Value, json};

use super::*;

fn policy(config: Value) -> Latency {
    pointsman_plugin::policy::load(&config.to_string()).unwrap()
}

/// `a` takes 100 ms to its first token, `b` 110, `c` 300; of `d` nothing is known.
fn plan(policy: &Latency, seed: u64, candidates: &Value) -> Plan {
    let case = json!({
        "request": { "messages": [{ "role": "user", "content": "hi" }], "stream": true },
        "seed": seed,
        "candidates": candidates,
    });
    match TestHost::new().decide(policy, &Case::json(case)) {
        Ok(Verdict::Plan(plan)) => plan,
        other => panic!("no plan but {other:?}"),
    }
}

fn four() -> Value {
    json!([
        { "id": "c", "health": { "first_token_ms": 300 } },
        { "id": "a", "health": { "first_token_ms": 100 }, "weight": 3 },
        { "id": "d" },
        { "id": "b", "health": { "first_token_ms": 110 } },
    ])
}

/// How many of 2000 seeds are led by the candidate.
fn led(policy: &Latency, candidates: &Value, id: &str) -> usize {
    (0..2000)
        .filter(|seed| plan(policy, *seed, candidates).steps[0].candidate == id)
        .count()
}

#[test]
fn golden_files() {
    golden::<Latency>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_share_of_requests_measures_what_is_new_and_another_what_was_slow() {
    let policy = policy(json!({ "explore_percent": 10, "remeasure_percent": 2 }));
    let new = led(&policy, &four(), "d");
    assert!((150..250).contains(&new), "{new} of 2000 are no tenth");
    let again = led(&policy, &four(), "b") + led(&policy, &four(), "c");
    assert!((15..70).contains(&again), "{again} of 2000 are no fiftieth");
}

#[test]
fn nothing_is_explored_where_nobody_allows_it() {
    let policy = policy(json!({ "explore_percent": 0, "remeasure_percent": 0 }));
    assert_eq!(led(&policy, &four(), "a"), 2000);
}

#[test]
fn what_is_new_but_cooling_is_not_explored() {
    let candidates = json!([
        { "id": "a", "health": { "first_token_ms": 100 } },
        { "id": "new", "health": { "cooling_ms": 5000 } },
        { "id": "broken", "health": { "error_permille": 900, "cooling_ms": 5000 } },
    ]);
    let policy = policy(json!({ "explore_percent": 100, "remeasure_percent": 100 }));
    assert_eq!(led(&policy, &candidates, "a"), 2000);
}

#[test]
fn what_fails_is_tried_again_now_and_then() {
    let candidates = json!([
        { "id": "a", "health": { "first_token_ms": 100 } },
        { "id": "failing", "health": { "first_token_ms": 10, "error_permille": 900 } },
    ]);
    let policy = policy(json!({ "remeasure_percent": 5 }));
    let again = led(&policy, &candidates, "failing");
    assert!((60..140).contains(&again), "{again} of 2000 are no twentieth");
}

#[test]
fn a_target_that_puts_the_slow_out_does_not_lose_them_for_ever() {
    let policy =
        policy(json!({ "target_ms": 200, "over_target": "out", "remeasure_percent": 50, "explore_percent": 0 }));
    let plans: Vec<Plan> = (0..200).map(|seed| plan(&policy, seed, &four())).collect();
    let again = plans.iter().filter(|plan| plan.steps[0].candidate == "c").count();
    assert!((60..140).contains(&again), "{again} of 200 are no half");
    assert!(
        plans
            .iter()
            .all(|plan| plan.steps[1..].iter().all(|step| step.candidate != "c"))
    );
}

#[test]
fn those_near_the_fastest_share_by_chance_or_by_weight() {
    let quiet = |mut config: Value| {
        config["explore_percent"] = json!(0);
        config["remeasure_percent"] = json!(0);
        policy(config)
    };
    let even = led(&quiet(json!({ "within_percent": 20 })), &four(), "a");
    assert!((900..1100).contains(&even), "{even} of 2000 are no half");
    let weighted = quiet(json!({ "within_percent": 20, "pick": "weight" }));
    let heavy = led(&weighted, &four(), "a");
    assert!((1400..1600).contains(&heavy), "{heavy} of 2000 are no three quarters");
    assert_eq!(led(&weighted, &four(), "c"), 0);
}

#[test]
fn a_wait_has_its_bounds() {
    let wait = |json: &str| serde_json::from_str::<config::Wait>(json).unwrap();
    let of_own = wait(r#"{ "factor": 1.5, "ms": 900, "at_least_ms": 100, "at_most_ms": 1000 }"#);
    let waits = [Some(200), Some(10), Some(u32::MAX), None].map(|usual| of_own.of(usual));
    assert_eq!(waits, [Some(300), Some(100), Some(1000), Some(900)]);
    assert_eq!(wait(r#"{ "factor": 2 }"#).of(None), None);
    assert_eq!(wait(r#"{ "ms": 50 }"#).of(Some(7)), Some(50));
}

/// Candidates with any health there can be, the odd ones included.
fn any(draw: &mut Draw) -> Value {
    let one = |id: u64, draw: &mut Draw| {
        let times = [json!(null), json!(1), json!(500), json!(u32::MAX)];
        let mut time = || times[draw.below(4) as usize].clone();
        let (first, total, cooling) = (time(), time(), time());
        json!({
            "id": id.to_string(),
            "weight": draw.below(3),
            "health": {
                "first_token_ms": first, "total_ms": total, "cooling_ms": if id == 0 { cooling } else { json!(null) },
                "error_permille": draw.below(1001), "requests_left": draw.below(2),
            },
        })
    };
    (0..draw.below(6) + 1).map(|id| one(id, draw)).collect()
}

#[test]
fn nobody_comes_twice_and_nobody_is_lost_but_for_the_target() {
    let configs = [
        json!({}),
        json!({ "target_ms": 400 }),
        json!({ "target_ms": 400, "over_target": "out", "within_percent": 10, "pick": "weight" }),
        json!({ "within_percent": u32::MAX, "pick": "price", "explore_percent": 50, "remeasure_percent": 50 }),
        json!({ "hedge_after": { "factor": 1000 }, "first_token_timeout": { "factor": 0.0001 }, "max_error_percent": 0 }),
    ];
    for config in configs {
        let is_out = config["over_target"] == "out";
        let policy = policy(config);
        for seed in 0..400 {
            let candidates = any(&mut Draw::new(seed, "candidates"));
            let plan = plan(&policy, seed, &candidates);
            let mut ids: Vec<&str> = plan.steps.iter().map(|step| step.candidate.as_str()).collect();
            ids.sort_unstable();
            let named = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), named, "{candidates}: {plan:?}");
            let offered = candidates.as_array().map_or(0, Vec::len);
            assert!(named == offered || (is_out && named > 0), "{candidates}: {plan:?}");
            assert!(
                plan.steps
                    .iter()
                    .all(|step| step.hedge_after_ms != Some(0) && step.first_token_timeout_ms != Some(0))
            );
        }
    }
}
