//! Writes all that it can see into the request, where the test can read it: every fact, every text, the whole body, and
//! every header that a secret could be in.

use pointsman_plugin::{Candidate, Empty, Plan, Policy, Request, Verdict, export_policy};

const HEADERS: &[&str] = &[
    "authorization",
    "Authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "x-secret",
    "user-agent",
];

struct TellsAll;

impl Policy for TellsAll {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(TellsAll)
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let headers: Vec<_> = HEADERS.iter().map(|name| request.header(name)).collect();
        let texts: Vec<_> = (0..8).map(|index| (request.role(index), request.text(index))).collect();
        let seen = format!(
            "{:?} {candidates:?} {headers:?} {texts:?} {} {} {:?}",
            **request,
            request.all_text(1 << 20),
            request.system_text(),
            request.get(""),
        );
        Ok(Plan::keep().edit("/seen", &seen)?.into())
    }
}

export_policy!(TellsAll);
