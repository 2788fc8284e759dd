//! Wants to end the process that it runs in. Built for WASI.

use pointsman_plugin::{Candidate, Empty, Policy, Request, Verdict, export_policy};

struct Exits;

impl Policy for Exits {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Exits)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        #[expect(clippy::disallowed_methods, reason = "that is what this guest is for")]
        std::process::exit(0)
    }
}

export_policy!(Exits);
