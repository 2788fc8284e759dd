//! Routes by price: the cheapest that fits, or one drawn so that cheap ones serve most. What can be configured is in
//! `config.rs`. Costs are the host's: its estimate of this request at each candidate, and the most that it can cost.
//!
//! The draw weighs each candidate by 1 / cost², which is how OpenRouter documents that it balances load over providers.

mod config;

use config::{Config, Figure, MaxPrice, OverCap, Pick, Unpriced};
use pointsman_plugin::{
    Candidate, Plan, Policy, Price, Rejection, Request, Verdict, draw::Draw, export_policy, money::Usd,
    standing::Standing,
};

struct Cost(Config);

impl Policy for Cost {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Cost(config))
    }

    fn warnings(&self) -> Vec<String> {
        if self.0.is_limited() && self.0.unpriced == Some(Unpriced::Last) {
            vec![
                "with `unpriced = \"last\"` models without a price may serve at any cost, whatever the limits say"
                    .into(),
            ]
        } else {
            Vec::new()
        }
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let fit = match self.fitting(candidates) {
            Ok(fit) => fit,
            Err(rejection) => return Ok(rejection.into()),
        };
        let (mut ladder, is_over) = match self.within_cap(fit) {
            Ok(within) => within,
            Err(rejection) => return Ok(rejection.into()),
        };
        let standing = |candidate: &Candidate| candidate.standing(request, self.0.max_error_percent);
        ladder.sort_by_cached_key(|candidate| (standing(candidate), candidate.estimated_cost.unwrap_or(u64::MAX)));
        if self.0.pick == Pick::InverseSquare {
            let is_drawn =
                |candidate: &&&Candidate| standing(candidate) == Standing::Well && candidate.estimated_cost.is_some();
            let well = ladder.iter().take_while(is_drawn).count();
            draw_one(&mut ladder[..well], &mut Draw::new(request.seed, "cost"));
        }
        let reason = self.reason(&ladder, is_over);
        let plan = Plan::of(ladder).reason(reason);
        Ok(if is_over { plan.label("cost", "over-cap") } else { plan }.into())
    }
}

impl Cost {
    /// Those with the tags that are required, with a price where one is, and with none that is too high.
    fn fitting<'a>(&self, candidates: &'a [Candidate]) -> Result<Vec<&'a Candidate>, Rejection> {
        let Config { require_tags, .. } = &self.0;
        let mut fit: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| require_tags.iter().all(|tag| candidate.tags.contains(tag)))
            .collect();
        if fit.is_empty() {
            let message = format!(
                "no model that can serve this request has the tags {}",
                require_tags.join(", ")
            );
            return Err(Rejection::new(403, "no_candidate", message));
        }
        if self.0.unpriced() == Unpriced::Out {
            fit.retain(|candidate| candidate.estimated_cost.is_some());
            if fit.is_empty() {
                let message = "nobody has stated what any of the models costs, so none is known to be cheap enough";
                return Err(Rejection::new(403, "model_not_priced", message));
            }
        }
        if let Some(most) = self.0.max_price {
            fit.retain(|candidate| candidate.price.is_none_or(|price| most.allows(price)));
            if fit.is_empty() {
                let message = "every model's price per token is higher than this route allows";
                return Err(Rejection::new(403, "no_candidate", message));
            }
        }
        Ok(fit)
    }

    /// Those that one call may cost, and whether the one that is left costs more nevertheless.
    fn within_cap<'a>(&self, fit: Vec<&'a Candidate>) -> Result<(Vec<&'a Candidate>, bool), Rejection> {
        let Some(most) = self.0.max_call_usd else {
            return Ok((fit, false));
        };
        let is_within = |candidate: &Candidate| self.capped(candidate).is_none_or(|cost| cost <= most.nanos);
        if fit.iter().any(|candidate| is_within(candidate)) {
            return Ok((
                fit.into_iter().filter(|candidate| is_within(candidate)).collect(),
                false,
            ));
        }
        let cheapest = fit.into_iter().min_by_key(|candidate| self.capped(candidate));
        match (self.0.over_cap, cheapest) {
            (OverCap::Cheapest, Some(cheapest)) => Ok((vec![cheapest], true)),
            _ => {
                let could = if self.0.cap_on == Figure::Ceiling {
                    "could cost"
                } else {
                    "costs"
                };
                let message = format!("every model {could} more than {most}, the most that one call may cost");
                Err(Rejection::new(429, "budget_exceeded", message))
            }
        }
    }

    /// The cost that the cap is held against.
    fn capped(&self, candidate: &Candidate) -> Option<u64> {
        match self.0.cap_on {
            Figure::Estimate => candidate.estimated_cost,
            Figure::Ceiling => candidate.ceiling_cost,
        }
    }

    fn reason(&self, ladder: &[&Candidate], is_over: bool) -> String {
        let how = match self.0.pick {
            _ if is_over => "the cheapest alone, over the cap:",
            Pick::Cheapest => "cheapest first:",
            Pick::InverseSquare => "drawn by 1/cost²:",
        };
        let Some(first) = ladder.first() else {
            return how.into();
        };
        match first.estimated_cost {
            Some(nanos) => format!("{how} {}, about {}", first.id, Usd { nanos }),
            None => format!("{how} {}, its price is unknown", first.id),
        }
    }
}

impl MaxPrice {
    /// Both are in nano-dollars for a million tokens.
    fn allows(self, price: Price) -> bool {
        self.input.is_none_or(|most| price.input <= most.nanos)
            && self.output.is_none_or(|most| price.output <= most.nanos)
    }
}

/// The weight of the cheapest.
const HEAVIEST: f64 = 1e9;

/// Puts the one that is drawn first. They stand by their costs, the cheapest first; what is free leaves nothing to others.
fn draw_one(ladder: &mut [&Candidate], draw: &mut Draw) {
    let cost = |candidate: &Candidate| candidate.estimated_cost.unwrap_or(u64::MAX) as f64;
    let Some(least) = ladder.first().map(|cheapest| cost(cheapest)) else {
        return;
    };
    let weights: Vec<u64> = ladder
        .iter()
        .map(|candidate| {
            let cost = cost(candidate);
            let share = if cost == least { 1.0 } else { least / cost };
            (share * share * HEAVIEST).round() as u64
        })
        .collect();
    if let Some(drawn) = draw.weighted(weights.into_iter()) {
        ladder[..=drawn].rotate_right(1);
    }
}

export_policy!(Cost);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::{Case, TestHost, golden};
    use serde_json::{Value, json};

    use super::*;

    /// How many of 4000 seeds are led by each of the candidates, and whether the others always follow by cost.
    fn led(candidates: &Value, ids: &[&str]) -> Vec<usize> {
        let policy = pointsman_plugin::policy::load::<Cost>(r#"{ "pick": "inverse-square" }"#).unwrap();
        let leaders: Vec<String> = (0..4000)
            .map(|seed| {
                let case = json!({ "seed": seed, "candidates": candidates });
                match TestHost::new().decide(&policy, &Case::json(case)) {
                    Ok(Verdict::Plan(plan)) => plan.steps[0].candidate.clone(),
                    other => panic!("no plan but {other:?}"),
                }
            })
            .collect();
        ids.iter()
            .map(|id| leaders.iter().filter(|leader| leader == id).count())
            .collect()
    }

    #[test]
    fn golden_files() {
        golden::<Cost>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn half_the_cost_is_four_times_the_share() {
        let candidates = json!([
            { "id": "dear", "estimated_cost_usd": 0.02, "ceiling_cost_usd": 0.1 },
            { "id": "cheap", "estimated_cost_usd": 0.01, "ceiling_cost_usd": 0.1 },
            { "id": "unknown" },
            { "id": "failing", "estimated_cost_usd": 0.001, "ceiling_cost_usd": 0.1, "health": { "error_permille": 800 } },
        ]);
        let [cheap, dear, unknown, failing] = led(&candidates, &["cheap", "dear", "unknown", "failing"])[..] else {
            panic!("four were counted")
        };
        assert!((3100..3300).contains(&cheap), "{cheap} of 4000 are no four fifths");
        assert_eq!((cheap + dear, unknown, failing), (4000, 0, 0));
    }

    #[test]
    fn what_is_free_leaves_nothing_to_others() {
        let candidates = json!([
            { "id": "priced", "estimated_cost_usd": 0.000000001, "ceiling_cost_usd": 0.1 },
            { "id": "free", "estimated_cost_usd": 0, "ceiling_cost_usd": 0 },
            { "id": "gratis", "estimated_cost_usd": 0, "ceiling_cost_usd": 0 },
        ]);
        let shares = led(&candidates, &["priced", "free", "gratis"]);
        assert_eq!(shares[0], 0);
        assert!((1850..2150).contains(&shares[1]), "{shares:?} are no halves");
    }
}
