//! Routes by what a request needs: its length, tools, images, the form of its answer; and by whose context window it fits
//! into. The host has removed those that are known to be unable to serve it; here it is about who serves it best.
//! What can be configured is in `config.rs`.

mod config;

use std::cmp::Reverse;

use config::{Checked, Config, Order, TooSmall};
use pointsman_plugin::{
    Candidate, Plan, Policy, Rejection, Request, Verdict,
    action::{Action, Mode, Outcome},
    export_policy,
};

struct Context {
    rules: Vec<Checked>,
    mode: Mode,
    default: Option<Action>,
    order: Order,
    fill_per_million: u32,
    headroom_tokens: u32,
    too_small: TooSmall,
    warnings: Vec<String>,
}

impl Policy for Context {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.fill_percent.per_million() == 0 {
            return Err("`fill_percent`: nothing fits into 0 % of a window, expected more".into());
        }
        if let Some(default) = &config.default {
            default.check().map_err(|error| format!("`default.{error}"))?;
        }
        let rules = config.rules.into_iter().enumerate();
        let rules: Vec<Checked> = rules.map(|(index, rule)| rule.check(index)).collect::<Result<_, _>>()?;
        config.mode.check(rules.iter().map(|rule| &rule.action), 0)?;
        let idle = rules.iter().enumerate().filter(|(_, rule)| rule.action.is_idle());
        let warnings = idle.map(|(index, _)| format!("`rules[{index}]` changes nothing where it matches"));
        Ok(Context {
            warnings: warnings.collect(),
            rules,
            mode: config.mode,
            default: config.default,
            order: config.order,
            fill_per_million: config.fill_percent.per_million(),
            headroom_tokens: config.headroom_tokens,
            too_small: config.too_small,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let mut outcome = Outcome::new(self.ordered(candidates));
        let mut reasons = match self.rule(request, &mut outcome) {
            Ok(reasons) => reasons,
            Err(rejection) => return Ok(rejection.into()),
        };
        let needed = self.needed(request);
        let (large, small): (Vec<&Candidate>, Vec<&Candidate>) = outcome
            .ladder()
            .into_iter()
            .partition(|candidate| self.fits(candidate, needed));
        if large.is_empty() && self.too_small == TooSmall::Out {
            return Ok(too_long(needed, &small).into());
        }
        if !small.is_empty() {
            reasons.push(format!(
                "about {needed} tokens are too many for {} of them",
                small.len()
            ));
        }
        let behind = if self.too_small == TooSmall::Out {
            Vec::new()
        } else {
            small
        };
        let ladder: Vec<&Candidate> = large.into_iter().chain(behind).collect();
        let is_unchanged =
            ladder.len() == candidates.len() && ladder.iter().zip(candidates).all(|(one, other)| one.id == other.id);
        if !is_unchanged && reasons.is_empty() {
            reasons.push(self.order.name().into());
        }
        let plan = Plan {
            steps: if is_unchanged {
                Vec::new()
            } else {
                Plan::of(ladder).steps
            },
            ..outcome.plan()
        };
        Ok(plan.reason(reasons.join(", ")).into())
    }
}

impl Context {
    /// All candidates, in the order in which they follow where no rule prefers any.
    fn ordered<'a>(&self, candidates: &'a [Candidate]) -> Vec<&'a Candidate> {
        let mut ordered: Vec<&Candidate> = candidates.iter().collect();
        // 0 is a window that nobody has stated.
        match self.order {
            Order::Keep => {}
            Order::SmallestWindow => {
                ordered.sort_by_key(|candidate| (candidate.context_window == 0, candidate.context_window));
            }
            Order::LargestWindow => ordered.sort_by_key(|candidate| Reverse(candidate.context_window)),
        }
        ordered
    }

    /// Adds what the rules say; the answer is which of them matched.
    fn rule<'a>(&'a self, request: &Request, outcome: &mut Outcome<'a>) -> Result<Vec<String>, Rejection> {
        let mut reasons = Vec::new();
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(request));
        for (index, rule) in matching.take(self.mode.enough()) {
            outcome.add(&rule.action)?;
            reasons.push(format!("rule {}", index + 1));
        }
        if let (true, Some(default)) = (reasons.is_empty(), &self.default) {
            outcome.add(default)?;
            reasons.push("no rule matches".into());
        }
        Ok(reasons)
    }

    /// Tokens of input and output together, by the host's estimate.
    fn needed(&self, request: &Request) -> u64 {
        let output = request.max_output_tokens.unwrap_or(self.headroom_tokens);
        u64::from(request.estimated_input_tokens) + u64::from(output)
    }

    /// What nobody has stated rules nothing out.
    fn fits(&self, candidate: &Candidate, needed: u64) -> bool {
        let window = u64::from(candidate.context_window);
        window == 0 || needed * 1_000_000 <= window * u64::from(self.fill_per_million)
    }
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Order::Keep => "as they came",
            Order::SmallestWindow => "the smallest window that fits first",
            Order::LargestWindow => "the largest window first",
        }
    }
}

fn too_long(needed: u64, small: &[&Candidate]) -> Rejection {
    let largest = small.iter().map(|candidate| candidate.context_window).max();
    let message = format!(
        "this request needs about {needed} tokens of input and output, too many for the largest context window, {}",
        largest.unwrap_or_default()
    );
    Rejection::new(400, "context_length_exceeded", message)
}

export_policy!(Context);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::golden;

    use super::*;

    #[test]
    fn golden_files() {
        golden::<Context>(env!("CARGO_MANIFEST_DIR"));
    }
}
