//! A verdict as the host goes on with it: what the guest returned, and what it said of times beside it, as one value.

use super::bindings::exports::pointsman::plugin::route::{self, Edit, Rejection};
use super::timeouts::Timeouts;

/// What a policy decided, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// An order of candidates, or labels, or edits.
    Plan(Plan),
    /// The request ends.
    Reject(Rejection),
}

/// See the contract's `plan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In order of preference; empty leaves the candidates as they were.
    pub steps: Vec<Step>,
    /// Changes of the request.
    pub edits: Vec<Edit>,
    /// Added to the request's labels.
    pub labels: Vec<(String, String)>,
    /// For people.
    pub reason: String,
    /// Whether the policy wants to see the answer first.
    pub review: bool,
}

/// See the contract's `step` and `timeouts`. Times that are absent are the settings'.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub candidate: String,
    /// Up to the connection.
    pub connect_timeout_ms: Option<u32>,
    /// Up to the first event of a stream.
    pub first_token_timeout_ms: Option<u32>,
    /// Between two events of a stream.
    pub gap_timeout_ms: Option<u32>,
    /// Up to the whole answer.
    pub timeout_ms: Option<u32>,
    /// When the next step is started beside this one.
    pub hedge_after_ms: Option<u32>,
}

impl Plan {
    /// A plan without steps whose policy said times has all candidates as its steps, as they were.
    pub(super) fn new(plan: route::Plan, timeouts: Option<&Timeouts>) -> Self {
        let timeouts = timeouts.filter(|timeouts| !timeouts.is_empty());
        let mut steps: Vec<Step> = plan.steps.into_iter().map(Step::from).collect();
        if let Some(timeouts) = timeouts {
            if steps.is_empty() {
                let step = |candidate: &str| Step {
                    candidate: candidate.to_owned(),
                    ..Step::default()
                };
                steps = timeouts.candidates().map(step).collect();
            }
            for step in &mut steps {
                (step.connect_timeout_ms, step.gap_timeout_ms) = timeouts.said_of(&step.candidate);
            }
        }
        Self {
            steps,
            edits: plan.edits,
            labels: plan.labels,
            reason: plan.reason,
            review: plan.review,
        }
    }
}

impl Step {
    /// What it says of times, by the names that people know them by.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let times = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("first_token_timeout_ms", self.first_token_timeout_ms),
            ("gap_timeout_ms", self.gap_timeout_ms),
            ("timeout_ms", self.timeout_ms),
            ("hedge_after_ms", self.hedge_after_ms),
        ];
        times.into_iter().filter_map(|(name, time)| Some((name, time?)))
    }
}

impl From<route::Step> for Step {
    fn from(step: route::Step) -> Self {
        Self {
            candidate: step.candidate,
            first_token_timeout_ms: step.first_token_timeout_ms,
            timeout_ms: step.timeout_ms,
            hedge_after_ms: step.hedge_after_ms,
            ..Self::default()
        }
    }
}
