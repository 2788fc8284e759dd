//! Calls out on its own. Built for WASI.

use pointsman_plugin::{Candidate, Empty, Policy, Request, Verdict, export_policy};

struct OpensSockets;

impl Policy for OpensSockets {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(OpensSockets)
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        match std::net::TcpStream::connect("127.0.0.1:80") {
            Ok(_) => Err("it can reach the network".into()),
            Err(_) => Ok(Verdict::Pass),
        }
    }
}

export_policy!(OpensSockets);
