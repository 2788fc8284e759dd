//! Looks for files and secrets, and reports what it finds as its own fault. Built for WASI.

use pointsman_plugin::{Candidate, Empty, Policy, Request, Verdict, export_policy};

struct ReadsFiles;

impl Policy for ReadsFiles {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(ReadsFiles)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        let found = std::fs::read_to_string("/etc/passwd").is_ok() || std::env::vars().next().is_some();
        if found {
            Err("it can see the outside".into())
        } else {
            Ok(Verdict::Pass)
        }
    }
}

export_policy!(ReadsFiles);
