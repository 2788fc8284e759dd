//! Routes by how hard a prompt looks: a score, thresholds that make tiers of it, and models for each tier.
//!
//! The scores are known heuristics, offered by name; they look at words and lengths alone, and are guesses. What can be
//! configured is in `config.rs`, the scores are in `score.rs`, their terms in `lists.rs`.

mod config;
mod lists;
mod score;

use std::collections::BTreeMap;

use config::{Config, Place, Tier};
use pointsman_plugin::{Candidate, Plan, Policy, Request, Verdict, export_policy};
use score::Scorer;

struct Complexity {
    scorer: Scorer,
    tiers: BTreeMap<String, Tier>,
    look_in: Place,
    read_at_most: u32,
    warnings: Vec<String>,
}

impl Policy for Complexity {
    type Config = Config;

    fn new(mut config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Complexity {
            warnings: config.warnings(),
            tiers: std::mem::take(&mut config.tiers),
            look_in: config.look_in,
            read_at_most: config.read_at_most,
            scorer: Scorer::new(config)?,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let text = match self.look_in {
            Place::LastUser => request.last_user_text(),
            Place::All => request.all_text(self.read_at_most),
        };
        let measured = self.scorer.measure(&text);
        let plan = match self.tiers.get(measured.tier) {
            Some(tier) => Plan::prefer(&tier.prefer, candidates),
            None => Plan::keep(),
        };
        Ok(plan.label("complexity", measured.tier).reason(measured.shown).into())
    }
}

export_policy!(Complexity);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::golden;

    use super::*;

    #[test]
    fn golden_files() {
        golden::<Complexity>(env!("CARGO_MANIFEST_DIR"));
    }
}
