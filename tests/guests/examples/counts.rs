//! Counts the requests that it has seen, in its state.

use pointsman_plugin::{Candidate, Empty, Plan, Policy, Request, Verdict, export_policy, state};

struct Counts;

impl Policy for Counts {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Counts)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        let seen = state::add("requests", 1, None);
        Ok(Plan::keep().reason(format!("request {seen}")).into())
    }
}

export_policy!(Counts);
