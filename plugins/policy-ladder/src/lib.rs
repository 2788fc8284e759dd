//! Walks up the prices: of the models that are good enough for a request the cheapest answers, and the next one is asked if
//! that fails, or if its answer does not pass the checks.

mod quality;

use std::{cmp::Ordering, fmt};

use pointsman_plugin::{
    Candidate, Opinion, Plan, Policy, Rejection, Request, Review, Reviewed, Verdict,
    checks::Checks,
    export_policy,
    standing::{Percent, Standing},
};
use schemars::JsonSchema;
use serde::Deserialize;

use quality::{Below, ByLabel, Levels, Need, WhenNone};

/// Which models are good enough, and which answers are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How good models are, by id or `tag:NAME`, in any unit of which more is better. A tag `quality:N` in the catalog says
    /// it too. What is said of an id counts before the tag, and the tag before what is said of other tags. Models of which
    /// nothing is said are below every minimum.
    #[serde(default)]
    quality: Levels,
    /// How good a model has to be. Without it, all are good enough.
    minimum: Option<f64>,
    /// How good it has to be for requests with a label, by the label's name and value. Of several that fit the highest
    /// counts, in place of `minimum`.
    #[serde(default)]
    minimum_by_label: ByLabel,
    /// What happens to models below the minimum: `out`, or `fallback`, which keeps them behind the others.
    #[serde(default)]
    below: Below,
    /// What happens where no model reaches the minimum: `best`, which lets all serve with the best first, or `reject`.
    #[serde(default)]
    when_none: WhenNone,
    /// Which answers do not do, so that the next model is asked. Without any, answers are not looked at.
    #[serde(default)]
    checks: Checks,
    /// Candidates of which more attempts failed lately come behind those that are well, whatever they cost.
    #[serde(default = "most_errors")]
    max_error_percent: Percent,
}

fn most_errors() -> Percent {
    Percent::whole(50)
}

struct Ladder(Config);

/// A candidate with what decides about its place.
struct Rung<'a> {
    candidate: &'a Candidate,
    level: Option<f64>,
    standing: Standing,
}

impl Policy for Ladder {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (label, values) in &config.minimum_by_label {
            if values.is_empty() {
                return Err(format!(
                    "`minimum_by_label.{label}` is empty, expected a minimum for one of its values"
                ));
            }
        }
        Ok(Ladder(config))
    }

    fn warnings(&self) -> Vec<String> {
        let Ladder(config) = self;
        let mut warnings = config.checks.warnings();
        let has_minimum = config.minimum.is_some() || !config.minimum_by_label.is_empty();
        if !has_minimum && !config.quality.is_empty() {
            warnings.push("`quality` does nothing without `minimum` or `minimum_by_label`".into());
        }
        warnings
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let Ladder(config) = self;
        let rung = |candidate| self.rung(request, candidate);
        let mut rungs: Vec<Rung> = candidates.iter().map(rung).collect();
        let Some(need) = quality::need(request, config.minimum, &config.minimum_by_label) else {
            rungs.sort_by_key(Rung::cost);
            return self.plan(request, &rungs, Plan::of(steps(&rungs)).reason("cheapest first"));
        };
        let (mut good, mut poor): (Vec<Rung>, Vec<Rung>) = rungs.into_iter().partition(|rung| rung.reaches(&need));
        good.sort_by_key(Rung::cost);
        poor.sort_by(Rung::best_first);
        let is_met = !good.is_empty();
        if !is_met && config.when_none == WhenNone::Reject {
            return Ok(need.rejection().into());
        }
        if !is_met || config.below == Below::Fallback {
            good.append(&mut poor);
        }
        let (label, reason) = if is_met {
            ("met", format!("cheapest first from {need}"))
        } else {
            ("unmet", format!("best first, none reaches {need}"))
        };
        let plan = Plan::of(steps(&good)).label("ladder", label).reason(reason);
        self.plan(request, &good, plan)
    }
}

impl Review for Ladder {
    fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
        let complaint = self.0.checks.complaint(request, answer);
        Ok(complaint.map_or(Opinion::Accept, |complaint| {
            Opinion::Next(format!("{}: {complaint}", answer.candidate))
        }))
    }
}

impl Ladder {
    fn rung<'a>(&self, request: &Request, candidate: &'a Candidate) -> Rung<'a> {
        Rung {
            candidate,
            level: quality::level_of(candidate, &self.0.quality),
            standing: candidate.standing(request, self.0.max_error_percent),
        }
    }

    /// The plan, with the checks where a second model could follow the first.
    fn plan(&self, request: &Request, rungs: &[Rung], plan: Plan) -> Result<Verdict, String> {
        if rungs.len() < 2 {
            return Ok(plan.into());
        }
        self.0.checks.prepare(request, plan).map(Verdict::from)
    }
}

impl Rung<'_> {
    fn reaches(&self, need: &Need) -> bool {
        self.level.is_some_and(|level| level >= need.level)
    }

    /// Cheapest first, then those whose price nobody knows; behind both in the same order those that are not well.
    fn cost(&self) -> (Standing, u64) {
        (self.standing, self.candidate.estimated_cost.unwrap_or(u64::MAX))
    }

    /// The best first of those that are well; of equals, and of those of which nothing is said, the cheapest.
    fn best_first(&self, other: &Self) -> Ordering {
        let level = |rung: &Self| rung.level.unwrap_or(f64::NEG_INFINITY);
        let by_standing = self.standing.cmp(&other.standing);
        by_standing
            .then_with(|| level(other).total_cmp(&level(self)))
            .then_with(|| self.cost().cmp(&other.cost()))
    }
}

fn steps<'a>(rungs: &[Rung<'a>]) -> impl Iterator<Item = &'a Candidate> {
    rungs.iter().map(|rung| rung.candidate)
}

impl Need {
    fn rejection(&self) -> Rejection {
        Rejection::new(
            403,
            "no_candidate",
            format!("no model that may serve this request reaches {self}"),
        )
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quality {}", self.level)?;
        match &self.by {
            Some(label) => write!(f, " for {label}"),
            None => Ok(()),
        }
    }
}

export_policy!(Ladder, review);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::{Case, TestHost, golden, review_golden};
    use serde_json::{Value, json};

    use super::*;

    fn policy(config: Value) -> Ladder {
        pointsman_plugin::policy::load(&config.to_string()).unwrap()
    }

    fn verdict(policy: &Ladder, case: Value) -> Verdict {
        TestHost::new().decide(policy, &Case::json(case)).unwrap()
    }

    /// The ladder's rungs, and whether answers are looked at.
    fn plan(policy: &Ladder, case: Value) -> (Vec<String>, bool) {
        match verdict(policy, case) {
            Verdict::Plan(plan) => (plan.steps.into_iter().map(|step| step.candidate).collect(), plan.review),
            other => panic!("no plan but {other:?}"),
        }
    }

    /// Four models: the better, the dearer; and one of which nobody has said anything.
    fn four() -> Value {
        json!([
            { "id": "large", "tags": ["quality:9"], "estimated_cost_usd": 0.09 },
            { "id": "medium", "tags": ["quality:6.5"], "estimated_cost_usd": 0.03 },
            { "id": "new", "tags": ["quality:soon"] },
            { "id": "small", "tags": ["quality:3"], "estimated_cost_usd": 0.01 },
        ])
    }

    #[test]
    fn golden_files() {
        golden::<Ladder>(env!("CARGO_MANIFEST_DIR"));
        review_golden::<Ladder>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn nobody_who_is_not_good_enough_is_ever_on_the_ladder() {
        for minimum in [-1.0, 0.0, 3.0, 3.1, 6.5, 8.0, 9.0] {
            let policy = policy(json!({ "minimum": minimum }));
            let (steps, _) = plan(&policy, json!({ "candidates": four() }));
            let expected = [("small", 3.0), ("medium", 6.5), ("large", 9.0)];
            let expected: Vec<&str> = expected
                .iter()
                .filter(|(_, level)| *level >= minimum)
                .map(|(id, _)| *id)
                .collect();
            assert_eq!(steps, expected, "from {minimum}");
        }
    }

    #[test]
    fn a_model_that_is_not_well_is_tried_after_the_others_of_its_kind() {
        let ladder = |health: Value| {
            let mut candidates = four();
            candidates[1]["health"] = health;
            let policy = policy(json!({ "minimum": 6, "below": "fallback", "max_error_percent": 20 }));
            plan(&policy, json!({ "candidates": candidates })).0
        };
        assert_eq!(
            ladder(json!({ "cooling_ms": 500 })),
            ["large", "medium", "small", "new"]
        );
        assert_eq!(
            ladder(json!({ "error_permille": 201 })),
            ["large", "medium", "small", "new"]
        );
        assert_eq!(
            ladder(json!({ "error_permille": 200 })),
            ["medium", "large", "small", "new"]
        );
    }

    #[test]
    fn an_answer_is_looked_at_only_where_another_could_follow() {
        let policy = policy(json!({ "minimum": 6, "checks": { "empty": true } }));
        assert!(plan(&policy, json!({ "candidates": four() })).1);
        let one = json!([{ "id": "large", "tags": ["quality:9"] }]);
        assert!(!plan(&policy, json!({ "candidates": one })).1);
    }

    #[test]
    fn what_is_said_of_a_model_counts_before_what_is_said_of_its_tags() {
        let quality = json!({ "large": 1, "tag:cheap": 5, "tag:old": 2 });
        let policy = policy(json!({ "quality": quality, "minimum": 4, "below": "fallback" }));
        let candidates = json!([
            { "id": "large", "tags": ["quality:9", "cheap"] },
            { "id": "rated", "tags": ["old", "quality:8"] },
            { "id": "cheap", "tags": ["cheap"] },
            { "id": "both", "tags": ["cheap", "old"] },
        ]);
        let (steps, _) = plan(&policy, json!({ "candidates": candidates }));
        assert_eq!(steps, ["rated", "cheap", "both", "large"]);
    }
}
