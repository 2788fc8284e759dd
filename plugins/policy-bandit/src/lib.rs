//! Learns which candidate serves best, for each value of some labels: Thompson sampling over what became of earlier answers.
//!
//! Each candidate has a Beta distribution of how good it probably is, from the rewards of its answers so far. For a request
//! one value is drawn from each, and the highest is asked first: what is good is asked often, what is little known is asked
//! now and then, and what is known to be bad hardly ever. (Thompson, 1933; the analysis for rewards between 0 and 1 is that
//! of Agrawal and Goyal, "Analysis of Thompson Sampling for the Multi-armed Bandit Problem", 2012.)
//!
//! What can be configured is in `config.rs`, what an answer is worth in `reward.rs`, what is remembered and how it fades in
//! `evidence.rs`, and how it is drawn in `random.rs`.

mod config;
mod evidence;
mod random;
mod reward;
#[cfg(test)]
mod simulation;

use config::{Config, Prior};
use evidence::{Evidence, Record, bounded};
use pointsman_plugin::{
    Candidate, Ended, Observe, Plan, Policy, Request, Verdict, export_policy, limits, standing::Standing,
};
use random::Random;
use reward::Reward;

struct Bandit {
    config: Config,
    evidence: Evidence,
    /// The label that tells an outcome what its context was.
    context_label: String,
}

/// One candidate with what was drawn for it.
struct Arm<'a> {
    candidate: &'a Candidate,
    record: Record,
    drawn: f64,
}

impl Policy for Bandit {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Bandit {
            evidence: Evidence::new(config.half_life_hours),
            context_label: format!("{}-context", config.label),
            config,
        })
    }

    fn warnings(&self) -> Vec<String> {
        let Reward { success, score, .. } = self.config.reward;
        let has_targets = self.config.reward.targets().any(|target| target.weight > 0.0);
        let mut warnings = Vec::new();
        if score > 0.0 {
            let what = match success > 0.0 || has_targets {
                true => "it does not count",
                false => "nothing is learned but from failures",
            };
            warnings.push(format!(
                "`reward.score` has a weight, and in this version nobody judges answers: {what}"
            ));
        }
        if success > 0.0 && !has_targets {
            warnings.push(
                "`reward` knows success alone, so models that do not fail are all the same to it: add `first_token`, `total` or `cost`"
                    .into(),
            );
        }
        warnings
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let context = self.context(request);
        let (mut arms, others): (Vec<&Candidate>, Vec<&Candidate>) =
            candidates.iter().partition(|candidate| self.config.is_arm(candidate));
        if arms.is_empty() {
            return Ok(Plan::keep().reason("no candidate is an arm").into());
        }
        let (well, unwell) = arms.drain(..).partition(|arm| self.is_well(request, arm));
        let mut well = self.drawn(request, &context, well);
        let unwell = self.drawn(request, &context, unwell);
        let explored = self.explore(request, well.len());
        if let Some(index) = explored {
            well[..=index].rotate_right(1);
        }
        let leader = well.first();
        let ladder = well.iter().map(|arm| arm.candidate).chain(others);
        let ladder: Vec<&Candidate> = ladder.chain(unwell.iter().map(|arm| arm.candidate)).collect();
        let mut plan = Plan::of(ladder.iter().copied()).label(
            &*self.config.label,
            limits::printable(&ladder[0].id, limits::LABEL_BYTES),
        );
        if !self.config.context.is_empty() {
            plan = plan.label(&*self.context_label, &*context);
        }
        Ok(plan.reason(reason(leader, explored.is_some(), &context)).into())
    }
}

impl Observe for Bandit {
    /// Fallbacks teach as well: an attempt is a trial of its model, whoever was asked before it.
    fn observe(&self, ended: &Ended) {
        let context = match self.config.context.is_empty() {
            true => String::new(),
            false => match ended.labels.iter().rev().find(|(key, _)| *key == self.context_label) {
                Some((_, context)) => context.clone(),
                // This policy had no say in the request.
                None => return,
            },
        };
        for attempt in &ended.attempts {
            if let Some(reward) = self.config.reward.of(attempt, ended.score) {
                self.evidence.note(&context, &attempt.candidate, ended.now_ms, reward);
            }
        }
    }
}

impl Bandit {
    /// `class=coding,complexity=simple`; a label that is not there has no value. Fit for a label, and for a key of the store.
    fn context(&self, request: &Request) -> String {
        let value = |key: &String| format!("{key}={}", request.label(key).unwrap_or_default());
        let values: Vec<String> = self.config.context.iter().map(value).collect();
        bounded(&values.join(","))
    }

    fn is_well(&self, request: &Request, arm: &Candidate) -> bool {
        arm.standing(request, self.config.max_error_percent) == Standing::Well
    }

    /// The highest draw first. An arm's draw follows from the request's seed and its own name, so it does not depend on who
    /// else is there.
    fn drawn<'a>(&self, request: &Request, context: &str, arms: Vec<&'a Candidate>) -> Vec<Arm<'a>> {
        let draw = |candidate: &'a Candidate| {
            let record = self.evidence.of(context, &candidate.id, request.now_ms);
            let Prior { good, bad } = self.config.prior_of(candidate);
            let mut random = Random::new(request.seed, &candidate.id);
            Arm {
                candidate,
                record,
                drawn: random.beta(good + record.good, bad + record.bad),
            }
        };
        let mut arms: Vec<Arm<'_>> = arms.into_iter().map(draw).collect();
        arms.sort_by(|one, other| other.drawn.total_cmp(&one.drawn));
        arms
    }

    /// For the share of requests that explores: which of so many arms it tries.
    fn explore(&self, request: &Request, arms: usize) -> Option<usize> {
        let mut random = Random::new(request.seed, "explore");
        let is_exploring = arms > 0 && random.unit() < self.config.explore;
        is_exploring.then(|| ((random.unit() * arms as f64) as usize).min(arms - 1))
    }
}

fn reason(leader: Option<&Arm<'_>>, is_explored: bool, context: &str) -> String {
    let Some(Arm {
        candidate,
        record,
        drawn,
    }) = leader
    else {
        return "no arm is well".into();
    };
    let place = match context {
        "" => String::new(),
        context => format!(" for {context}"),
    };
    let known = match record.mean() {
        Some(mean) => format!("{mean:.2} over {:.0}", record.weight()),
        None => "nothing known".into(),
    };
    match is_explored {
        true => format!("arm {} explored{place} ({known})", candidate.id),
        false => format!("arm {} drew {drawn:.2}{place} ({known})", candidate.id),
    }
}

export_policy!(Bandit, outcome);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::{Case, TestHost, golden};
    use pointsman_plugin::{Attempt, policy::load};
    use serde_json::{Value, json};

    use super::*;

    fn bandit(config: Value) -> Bandit {
        load(&config.to_string()).unwrap()
    }

    fn ended(labels: &[(String, String)], attempts: &[(&str, Option<&str>)]) -> Ended {
        let attempt = |(candidate, error): &(&str, Option<&str>)| Attempt {
            candidate: candidate.to_string(),
            status: 200,
            error: error.map(str::to_owned),
            first_token_ms: None,
            total_ms: 5,
            cost: None,
        };
        Ended {
            request_id: "test".into(),
            key_id: "anonymous".into(),
            route: "auto".into(),
            now_ms: 1_750_000_000_000,
            labels: labels.to_vec(),
            attempts: attempts.iter().map(attempt).collect(),
            input_tokens: 1,
            output_tokens: 1,
            score: None,
            extras: Vec::new(),
        }
    }

    fn plan(host: &TestHost, policy: &Bandit, case: Value) -> Plan {
        match host.decide(policy, &Case::json(case)).unwrap() {
            Verdict::Plan(plan) => plan,
            other => panic!("no plan but {other:?}"),
        }
    }

    #[test]
    fn golden_files() {
        golden::<Bandit>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn the_outcome_finds_the_context_that_the_decision_had_whatever_became_of_its_labels() {
        let (host, policy) = (
            TestHost::new(),
            bandit(json!({ "context": ["class"], "half_life_hours": 0 })),
        );
        let case = json!({ "labels": { "class": "coding" }, "candidates": [{ "id": "a" }, { "id": "b" }] });
        let mut labels = plan(&host, &policy, case).labels;
        labels.push(("class".into(), "changed by a later policy".into()));
        host.observe(&policy, &ended(&labels, &[("a", None)]));
        assert_eq!(host.keys(), ["0/class=coding/a/good"]);
        host.observe(&policy, &ended(&[], &[("b", None)]));
        assert_eq!(host.keys(), ["0/class=coding/a/good"], "it had no say in this one");
    }

    #[test]
    fn an_attempt_that_failed_and_the_fallback_that_served_both_teach() {
        let (host, policy) = (TestHost::new(), bandit(json!({ "half_life_hours": 0 })));
        let attempts = [
            ("a", Some("overloaded")),
            ("b", None),
            ("c", Some("invalid_request")),
            ("d", Some("passed_over")),
        ];
        host.observe(&policy, &ended(&[], &attempts));
        assert_eq!(host.keys(), ["0//a/bad", "0//b/good", "0//d/bad"]);
    }

    #[test]
    fn the_same_request_draws_the_same_whoever_else_is_there() {
        let (host, policy) = (TestHost::new(), bandit(json!({})));
        for seed in 0..50 {
            let of = |candidates: Value| plan(&host, &policy, json!({ "seed": seed, "candidates": candidates })).steps;
            let three = of(json!([{ "id": "a" }, { "id": "b" }, { "id": "c" }]));
            let two = of(json!([{ "id": "c" }, { "id": "a" }]));
            let without_b: Vec<_> = three.into_iter().filter(|step| step.candidate != "b").collect();
            assert_eq!(without_b, two, "seed {seed}");
        }
    }

    #[test]
    fn a_share_of_the_requests_explores_whatever_is_known() {
        let (host, policy) = (TestHost::new(), bandit(json!({ "explore": 0.2, "half_life_hours": 0 })));
        let is_b = |seed: u64| {
            let case = json!({ "seed": seed, "candidates": [{ "id": "a" }, { "id": "b" }],
                "state": { "0//a/good": 1_000_000, "0//b/bad": 1_000_000 } });
            let seed = plan(&host, &policy, case);
            assert!(
                seed.steps[0].candidate == "a" || seed.reason.contains("explored"),
                "{}",
                seed.reason
            );
            seed.steps[0].candidate == "b"
        };
        let explored = (0..2000_u64)
            .filter(|seed| is_b(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .count();
        assert!(
            (150..250).contains(&explored),
            "{explored} of 2000 went to the worse arm, expected a tenth"
        );
    }
}
