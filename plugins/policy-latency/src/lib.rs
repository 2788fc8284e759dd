//! Routes by how fast the candidates answer: those that meet a target first, or those near the fastest. A share of requests
//! goes to candidates that would not lead, so that what is new gets measured and what was slow is measured again.
//! What can be configured is in `config.rs`, how candidates are ranked in `field.rs`.

mod config;
mod field;

use config::{Config, Measure};
use field::{Field, Lead};
use pointsman_plugin::{
    Candidate, Plan, Policy, Request, Step, Verdict, draw::Draw, export_policy, standing::Standing, timeouts,
};

struct Latency(Config);

impl Policy for Latency {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Latency(config))
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let mut draw = Draw::new(request.seed, "latency");
        let field = Field::of(&self.0, request, candidates);
        let (ladder, lead) = field.ladder(&self.0, &mut draw);
        let steps = self.steps(request, &ladder, lead);
        let plan = Plan { steps, ..Plan::keep() };
        Ok(plan
            .label("latency", lead.label(&self.0))
            .reason(field.reason(&self.0, &ladder, lead))
            .into())
    }
}

impl Latency {
    /// Only the first step is hedged, so that never more than two run, and not where it is measured: the one that loses is
    /// cancelled, so that a slow one would never be known. The last step has all of its time, since nothing could follow.
    fn steps(&self, request: &Request, ladder: &[&Candidate], lead: Lead) -> Vec<Step> {
        let config = &self.0;
        let last = ladder.len().saturating_sub(1);
        let mut steps: Vec<Step> = ladder.iter().map(|candidate| Step::new(&*candidate.id)).collect();
        let is_measured = matches!(lead, Lead::Explore | Lead::Remeasure);
        if let (Some(wait), Some(second)) = (config.hedge_after, ladder.get(1))
            && !is_measured
            && second.standing(request, config.max_error_percent) == Standing::Well
        {
            steps[0].hedge_after_ms = wait.of(begins_after(request, ladder[0]));
        }
        if let Some(wait) = config.first_token_timeout.filter(|_| request.is_stream) {
            for (step, candidate) in steps[..last].iter_mut().zip(ladder) {
                step.first_token_timeout_ms = wait.of(candidate.health.first_token_ms);
            }
        }
        for step in &steps[..last] {
            if let Some(ms) = config.connect_timeout_ms {
                timeouts::connect(&step.candidate, ms);
            }
            if let Some(ms) = config.gap_timeout_ms.filter(|_| request.is_stream) {
                timeouts::gap(&step.candidate, ms);
            }
        }
        steps
    }
}

/// How long a candidate usually needs until the host sees that it answers.
fn begins_after(request: &Request, candidate: &Candidate) -> Option<u32> {
    time(request, candidate, Measure::Auto)
}

/// The time that counts, as far as it is known.
fn time(request: &Request, candidate: &Candidate, measure: Measure) -> Option<u32> {
    match (measure, request.is_stream) {
        (Measure::FirstToken, _) | (Measure::Auto, true) => candidate.health.first_token_ms,
        (Measure::Total, _) | (Measure::Auto, false) => candidate.health.total_ms,
    }
}

impl Lead {
    fn label(self, config: &Config) -> &'static str {
        match self {
            Lead::Fast if config.target_ms.is_some() => "met",
            Lead::Fast => "fastest",
            Lead::Slow => "missed",
            Lead::Explore => "explore",
            Lead::Remeasure => "remeasure",
            Lead::Unmeasured => "unmeasured",
            Lead::Unwell => "unwell",
        }
    }
}

export_policy!(Latency);

#[cfg(test)]
mod tests;
