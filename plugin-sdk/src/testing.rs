//! Runs plugins natively: a host for one thread, the cases that it is asked, and the runners of golden files.
//! Golden files are plain data, so that the same files can be put to the built component as well.
//!
//! # A policy's golden file
//! `golden/*.json` holds a configuration and what is decided under it:
//! ```json
//! { "config": { "rules": [{ "any": ["python"], "label": "coding", "prefer": ["a/big"] }] },
//!   "cases": [{
//!     "name": "code goes to the big model",
//!     "request": { "messages": [{ "role": "user", "content": "fix my python" }] },
//!     "candidates": [{ "id": "a/small" }, { "id": "a/big", "tags": ["strong"] }],
//!     "verdict": { "plan": { "steps": ["a/big", "a/small"], "labels": { "class": "coding" } } } }] }
//! ```
//! * Besides `request` (an OpenAI chat body) a case may give `route`, `key_id`, `team`, `session`, `labels`, `headers`,
//!   `now_ms`, `seed`, `grants` (all where none are named) and `state` (by key; a number is a counter, a string is bytes).
//! * A candidate has an `id` and may have `provider`, `tags`, `weight`, `price` (US dollars per million tokens: `input`,
//!   `cached_input`, `cache_write`, `output`), `estimated_cost_usd`, `ceiling_cost_usd`, `context_window`, `abilities` and `health`.
//! * The `verdict` is `{"pass": true}`, `{"plan": …}`, `{"reject": {"status", "code", "message"?, "retry_after_ms"?}}` or
//!   `{"fault": "text that it contains"}`. A plan's `steps` are ids or objects with the contract's fields, and with `connect_timeout_ms` and
//!   `gap_timeout_ms` where [`timeouts`](crate::timeouts) were said; `steps`, `edits` and `labels` that are not given are expected to be empty, a `reason` or `message` that is not given may be anything.
//! * `state_after` gives what keys hold afterwards. The store has the gateway's [limits](crate::limits); beyond them a run panics, where
//!   the gateway would trap the plugin.
//! * `replies` are what models say that the policy asks: `{"model", "contains"?, "text", "failure"?, "cost_usd"?, …}`; the first with
//!   the ask's model whose `contains` is in its question is the one, and a model without any is `refused`. A `failure` is
//!   `timed-out`, `refused`, `upstream` or `other`. `asked` gives the models that have to be asked, in order.
//!
//! A policy that reviews answers has `reviews` beside its `cases`, run by [`review_golden`]: a case with an `answer`
//! (`candidate`, `text`, `refusal`, `finish_reason`, `tool_calls`, `mean_logprob`, …) and the `opinion` of it, `"accept"`,
//! `{"next": "text that the reason contains"}` or `{"fault": …}`.
//!
//! A file may instead hold a configuration that is refused: `{"config": …, "error": "text that it contains"}`; one that is
//! accepted may list its `warnings`. The adapters' files are described at [`adapter_golden`].

mod adapter_files;
mod case;
pub(crate) mod imports;
mod policy_files;
mod recordings;
mod robustness;
mod rules;
#[cfg(test)]
mod tests;
mod verdict;

pub use adapter_files::adapter_golden;
pub use case::Case;
pub use policy_files::{golden, review_golden};
pub use recordings::{Recording, events, run, target};
pub use robustness::{check_bodies, check_streams, check_unended};

use self::imports::Times;
use crate::models::Ask;
use crate::{Ended, Observe, Opinion, Policy, Request, Review, Verdict, log::Level};

/// Serves the imports of the plugins on this thread until it is dropped. There is one for a thread at a time.
#[derive(Debug)]
pub struct TestHost {
    // Its functions reach a thread's own state, so it stays where it was made.
    _stays: std::marker::PhantomData<*const ()>,
}

impl TestHost {
    /// A host with an empty store and an empty log.
    #[allow(
        clippy::new_without_default,
        reason = "a host takes over the thread, which a default should not"
    )]
    pub fn new() -> Self {
        imports::reset();
        TestHost {
            _stays: std::marker::PhantomData,
        }
    }

    /// What the policy decides for the case. The store keeps what earlier cases left, and gets what the case brings. A verdict
    /// that the gateway would not take is a fault here too.
    pub fn decide<P: Policy>(&self, policy: &P, case: &Case) -> Result<Verdict, String> {
        self.timed(policy, case).map(|(verdict, _)| verdict)
    }

    /// The same, with what was said of times beside it.
    fn timed<P: Policy>(&self, policy: &P, case: &Case) -> Result<(Verdict, Times), String> {
        let request = self.show(case);
        let candidates = case.candidates();
        let verdict = policy.decide(&request, &candidates);
        let times = imports::take_times();
        let verdict = rules::check(verdict?, &times, &candidates)?;
        Ok((verdict, times))
    }

    /// What the policy thinks of the case's answer.
    #[track_caller]
    pub fn review<P: Review>(&self, policy: &P, case: &Case) -> Result<Opinion, String> {
        let request = self.show(case);
        imports::take_times();
        policy.review(&request, &case.answer())
    }

    /// Every ask since the host was made, in order.
    pub fn asks(&self) -> Vec<Ask> {
        imports::asks()
    }

    /// Tells the policy how a request ended.
    pub fn observe<P: Observe>(&self, policy: &P, ended: &Ended) {
        imports::set_now(ended.now_ms);
        policy.observe(ended);
    }

    /// Makes the case's request the one that the imports speak of.
    pub fn show(&self, case: &Case) -> Request {
        imports::show(case);
        Request::new(case.summary())
    }

    /// What `key` holds; a counter is its decimal digits.
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        imports::state::get(key)
    }

    /// All keys of the store, in order.
    pub fn keys(&self) -> Vec<String> {
        imports::keys()
    }

    /// The lines that were logged since the host was made.
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        imports::log_lines()
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        imports::reset();
    }
}

/// Every `.json` below `golden/`, by name, so that runs and their complaints come in the same order everywhere.
fn files(plugin: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(plugin).join("golden");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| {
            entry
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .path()
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(
        !paths.is_empty(),
        "{}: no golden file, and a plugin needs at least one",
        folder.display()
    );
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (
                path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                text,
            )
        })
        .collect()
}

/// Fails with every complaint at once.
fn settle(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{} golden cases went wrong:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
