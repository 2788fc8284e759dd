//! What a policy says of times while it decides, since the contract's `step` has no room for them. Only what is said of
//! candidates that were offered is kept, so that however often a guest calls, there is no more than a time of each kind for
//! each of them.

use super::words::Candidate;

/// The times that were said in one call of `decide`.
#[derive(Debug)]
pub(super) struct Timeouts {
    /// All that were offered, in their order.
    steps: Vec<Times>,
    /// The first name of which a time was said and that was not offered, or its beginning.
    stranger: Option<String>,
}

/// What was said of one candidate.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) candidate: String,
    pub(super) connect_ms: Option<u32>,
    pub(super) gap_ms: Option<u32>,
}

/// Of a stranger's name so much is kept.
const NAME_BYTES: usize = 256;

impl Timeouts {
    /// Nothing yet, of any of these.
    pub(super) fn of(candidates: &[Candidate]) -> Self {
        let times = |candidate: &Candidate| Times {
            candidate: candidate.id.clone(),
            connect_ms: None,
            gap_ms: None,
        };
        Self {
            steps: candidates.iter().map(times).collect(),
            stranger: None,
        }
    }

    pub(super) fn say(&mut self, candidate: &str, say: impl FnOnce(&mut Times)) {
        match self.steps.iter_mut().find(|step| step.candidate == candidate) {
            Some(step) => say(step),
            None if self.stranger.is_none() => {
                let name = &candidate[..candidate.floor_char_boundary(NAME_BYTES)];
                self.stranger = Some(name.to_owned());
            }
            None => {}
        }
    }

    /// A name that is no candidate's.
    pub(super) fn stranger(&self) -> Option<&str> {
        self.stranger.as_deref()
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.connect_ms.is_none() && step.gap_ms.is_none())
    }

    /// All candidates, in the order in which they were offered.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.candidate.as_str())
    }

    /// What was said of one of them, up to the connection and between two tokens.
    pub(super) fn said_of(&self, candidate: &str) -> (Option<u32>, Option<u32>) {
        let step = self.steps.iter().find(|step| step.candidate == candidate);
        step.map_or((None, None), |step| (step.connect_ms, step.gap_ms))
    }
}
