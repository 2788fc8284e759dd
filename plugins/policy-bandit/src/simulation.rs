//! The whole policy in a world whose best arms are known: it decides, the world answers by chance, the policy observes.

use pointsman_plugin::testing::{Case, TestHost};
use pointsman_plugin::{Attempt, Ended, Verdict, policy::load};
use serde_json::{Value, json};

use super::{Bandit, random::Random};

const ROUNDS: u64 = 3000;
const START_MS: u64 = 1_750_000_000_000;
/// Between two requests.
const STEP_MS: u64 = 60_000;
const ARMS: [&str; 3] = ["a/small", "b/medium", "c/large"];

/// How often each arm succeeds, by the class of the request and by time.
type World = fn(class: &str, round: u64) -> [f64; 3];

/// What became of one request.
struct Round {
    class: &'static str,
    arm: usize,
    /// How much more often the best arm succeeds.
    regret: f64,
}

fn run(config: Value, seed: u64, world: World) -> Vec<Round> {
    let (host, policy) = (TestHost::new(), load::<Bandit>(&config.to_string()).unwrap());
    let mut chance = Random::new(seed, "world");
    (0..ROUNDS)
        .map(|round| play(&host, &policy, &mut chance, round, world))
        .collect()
}

fn play(host: &TestHost, policy: &Bandit, chance: &mut Random, round: u64, world: World) -> Round {
    let class = if chance.unit() < 0.5 { "coding" } else { "chat" };
    let now_ms = START_MS + round * STEP_MS;
    let case = json!({
        "seed": (chance.unit() * 1e15) as u64, "now_ms": now_ms, "labels": { "class": class },
        "candidates": ARMS.map(|id| json!({ "id": id })),
    });
    let Ok(Verdict::Plan(plan)) = host.decide(policy, &Case::json(case)) else {
        panic!("no plan in round {round}");
    };
    let arm = ARMS.iter().position(|id| *id == plan.steps[0].candidate).unwrap();
    let odds = world(class, round);
    let error = (chance.unit() >= odds[arm]).then(|| "upstream".to_owned());
    let attempt = Attempt {
        candidate: ARMS[arm].into(),
        status: if error.is_some() { 500 } else { 200 },
        error,
        first_token_ms: Some(100),
        total_ms: 1000,
        cost: None,
    };
    let ended = Ended {
        request_id: round.to_string(),
        key_id: "anonymous".into(),
        route: "auto".into(),
        now_ms: now_ms + 1000,
        labels: plan.labels,
        attempts: vec![attempt],
        input_tokens: 1,
        output_tokens: 1,
        score: None,
        extras: Vec::new(),
    };
    host.observe(policy, &ended);
    let best = odds.into_iter().fold(0.0, f64::max);
    Round {
        class,
        arm,
        regret: best - odds[arm],
    }
}

fn regret(rounds: &[Round]) -> f64 {
    rounds.iter().map(|round| round.regret).sum::<f64>() / rounds.len() as f64
}

/// The share of a class's requests that went to an arm.
fn share(rounds: &[Round], class: &str, arm: usize) -> f64 {
    let of_class: Vec<&Round> = rounds.iter().filter(|round| round.class == class).collect();
    of_class.iter().filter(|round| round.arm == arm).count() as f64 / of_class.len() as f64
}

fn by_class(class: &str, _: u64) -> [f64; 3] {
    match class {
        "coding" => [0.3, 0.5, 0.8],
        _ => [0.9, 0.6, 0.7],
    }
}

/// Half-way the best arm becomes the worst.
fn turning(_: &str, round: u64) -> [f64; 3] {
    match round < ROUNDS / 2 {
        true => [0.9, 0.6, 0.3],
        false => [0.2, 0.6, 0.3],
    }
}

#[test]
fn regret_shrinks_and_each_class_finds_its_own_best_arm() {
    for seed in 0..3 {
        let rounds = run(json!({ "context": ["class"] }), seed, by_class);
        let (first, last) = (regret(&rounds[..500]), regret(&rounds[2500..]));
        assert!(
            last < 0.02 && last < first / 2.0,
            "seed {seed}: regret {first} at first, {last} at last"
        );
        let tail = &rounds[2000..];
        let (coding, chat) = (share(tail, "coding", 2), share(tail, "chat", 0));
        assert!(
            coding > 0.9 && chat > 0.9,
            "seed {seed}: {coding} of coding, {chat} of chat went to the best"
        );
    }
}

#[test]
fn without_a_context_one_arm_has_to_do_for_all() {
    let rounds = run(json!({}), 1, by_class);
    let tail = &rounds[2000..];
    // On average c/large succeeds three times of four, and a/small is better at chat alone.
    assert!(share(tail, "coding", 2) > 0.8 && share(tail, "chat", 2) > 0.8);
}

#[test]
fn what_fades_follows_a_change_and_what_does_not_clings_to_the_past() {
    for seed in 0..3 {
        let tail = |half_life_hours: f64| {
            let rounds = run(json!({ "half_life_hours": half_life_hours }), seed, turning);
            share(&rounds[2500..], "coding", 1)
        };
        let (fading, for_ever) = (tail(4.0), tail(0.0));
        assert!(
            fading > 0.7 && fading > for_ever,
            "seed {seed}: {fading} fading, {for_ever} for ever"
        );
    }
}
