//! A bug as anybody writes it: it takes for granted that there is a third candidate.

use pointsman_plugin::{Candidate, Empty, Plan, Policy, Request, Verdict, export_policy};

struct Panics;

impl Policy for Panics {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Panics)
    }

    fn decide(&self, _: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        Ok(Plan::of([&candidates[2]]).into())
    }
}

export_policy!(Panics);
