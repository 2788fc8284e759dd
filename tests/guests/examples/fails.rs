//! Answers with an error of its own: a fault that is reported, not one that is caught.

use pointsman_plugin::{Candidate, Empty, Policy, Request, Verdict, export_policy};

struct Fails;

impl Policy for Fails {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Fails)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        Err("the stars are not right".into())
    }
}

export_policy!(Fails);
