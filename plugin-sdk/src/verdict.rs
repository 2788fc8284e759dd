//! Conveniences that make a policy short: the contract's records know how to put themselves together.

use serde::Serialize;

use crate::policy::{Candidate, Edit, Plan, Rejection, Step, Verdict};
use crate::timeouts;

impl Candidate {
    /// How many tokens of the request's input its provider is believed to have in its cache; none where nobody knows.
    pub fn cached_tokens(&self) -> Option<u64> {
        let (_, tokens) = self.extras.iter().find(|(name, _)| name == "cached_tokens")?;
        tokens.parse().ok()
    }

    /// Whether a name in a configuration means this candidate: its id, or `tag:` and one of its tags.
    pub fn answers_to(&self, name: &str) -> bool {
        self.id == name
            || name
                .strip_prefix("tag:")
                .is_some_and(|tag| self.tags.iter().any(|own| own == tag))
    }
}

impl Step {
    /// A step with the route's own timeouts.
    pub fn new(candidate: impl Into<String>) -> Self {
        Step {
            candidate: candidate.into(),
            first_token_timeout_ms: None,
            timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}

/// The other two times, for which the contract's `step` has no room: they are said to the host at once, and count if the step is
/// in the plan that `decide` returns. To be called while it runs; see [`timeouts`].
impl Step {
    /// Gives up on this step if no connection stands by then.
    #[must_use]
    pub fn connect_timeout_ms(self, milliseconds: u32) -> Self {
        timeouts::connect(&self.candidate, milliseconds);
        self
    }

    /// Gives up on its answer, once it has begun, if nothing more of it has come for so long.
    #[must_use]
    pub fn gap_timeout_ms(self, milliseconds: u32) -> Self {
        timeouts::gap(&self.candidate, milliseconds);
        self
    }
}

impl Plan {
    /// Leaves the candidates as they were: for labels, edits or a reason alone.
    pub fn keep() -> Self {
        Plan {
            steps: Vec::new(),
            edits: Vec::new(),
            labels: Vec::new(),
            reason: String::new(),
            review: false,
        }
    }

    /// These candidates in this order; the others are out. None at all leaves the candidates as they were.
    pub fn of<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let steps = candidates
            .into_iter()
            .map(|candidate| Step::new(&*candidate.id))
            .collect();
        Plan { steps, ..Plan::keep() }
    }

    /// Those that the names mean, in the order of the names; the others are out. See [`Candidate::answers_to`].
    /// Mind that none at all leaves the candidates as they were.
    pub fn only<'a, N: AsRef<str>>(names: &[N], candidates: impl IntoIterator<Item = &'a Candidate> + Clone) -> Self {
        Plan::of(named(names, candidates))
    }

    /// Those that the names mean first, in the order of the names; after them the others, in their order.
    pub fn prefer<'a, N: AsRef<str>>(names: &[N], candidates: impl IntoIterator<Item = &'a Candidate> + Clone) -> Self {
        let mut ladder = named(names, candidates.clone());
        let preferred = ladder.len();
        for candidate in candidates {
            if !ladder[..preferred].iter().any(|taken| taken.id == candidate.id) {
                ladder.push(candidate);
            }
        }
        Plan::of(ladder)
    }

    /// Adds a label to the request's.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Says why, for people.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Has the answer shown to this policy's [`Review`](crate::Review) before the client sees any of it.
    #[must_use]
    pub fn review(mut self) -> Self {
        self.review = true;
        self
    }

    /// Sets what an RFC 6901 pointer names in the request. The error names a value that has no JSON form.
    pub fn edit(mut self, pointer: impl Into<String>, value: &impl Serialize) -> Result<Self, String> {
        let pointer = pointer.into();
        let value = serde_json::to_string(value).map_err(|error| format!("edit `{pointer}`: {error}"))?;
        self.edits.push(Edit { pointer, value });
        Ok(self)
    }

    /// Removes what an RFC 6901 pointer names from the request.
    #[must_use]
    pub fn remove(mut self, pointer: impl Into<String>) -> Self {
        self.edits.push(Edit {
            pointer: pointer.into(),
            value: String::new(),
        });
        self
    }
}

impl Rejection {
    /// Ends the request with this status (400 to 599), a stable code for programs and a message for people.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Rejection {
            status,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u32) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

impl From<Plan> for Verdict {
    /// A plan that changes nothing and says nothing is a pass.
    fn from(plan: Plan) -> Self {
        if plan == Plan::keep() {
            Verdict::Pass
        } else {
            Verdict::Plan(plan)
        }
    }
}

impl From<Rejection> for Verdict {
    fn from(rejection: Rejection) -> Self {
        Verdict::Reject(rejection)
    }
}

/// The candidates that the names mean, in the order of the names, each once.
pub fn named<'a, N: AsRef<str>>(
    names: &[N],
    candidates: impl IntoIterator<Item = &'a Candidate> + Clone,
) -> Vec<&'a Candidate> {
    let mut found: Vec<&Candidate> = Vec::new();
    for name in names {
        for candidate in candidates
            .clone()
            .into_iter()
            .filter(|candidate| candidate.answers_to(name.as_ref()))
        {
            if !found.iter().any(|taken| taken.id == candidate.id) {
                found.push(candidate);
            }
        }
    }
    found
}
