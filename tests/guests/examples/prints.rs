//! Prints, as people do when they look for a bug. Built for WASI.

use pointsman_plugin::{Candidate, Empty, Policy, Request, Verdict, export_policy};

struct Prints;

impl Policy for Prints {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Prints)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        println!("printed by a guest");
        eprintln!("complained by a guest");
        Ok(Verdict::Pass)
    }
}

export_policy!(Prints);
