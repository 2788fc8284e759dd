//! What policies want to know of a request that has ended.

use crate::policy::{Attempt, Ended};

/// How attempts end that were serving when they ended: the client went away, or was too slow to read on.
const LEFT: [&str; 2] = ["client_disconnected", "client_slow"];

impl Ended {
    /// The place of the attempt whose answer the client was given, among all; none where all failed. An answer that a review
    /// put aside (`passed_over`) was given to nobody.
    pub fn served(&self) -> Option<usize> {
        self.attempts.iter().rposition(Attempt::has_served)
    }
}

impl Attempt {
    fn has_served(&self) -> bool {
        self.error.as_deref().is_none_or(|error| LEFT.contains(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(errors: &[Option<&str>]) -> Option<usize> {
        let attempt = |error: &Option<&str>| Attempt {
            candidate: "a".into(),
            status: 200,
            error: error.map(str::to_owned),
            first_token_ms: None,
            total_ms: 1,
            cost: None,
        };
        let ended = Ended {
            request_id: "test".into(),
            key_id: "anonymous".into(),
            route: "auto".into(),
            now_ms: 0,
            labels: Vec::new(),
            attempts: errors.iter().map(attempt).collect(),
            input_tokens: 0,
            output_tokens: 0,
            score: None,
            extras: Vec::new(),
        };
        ended.served()
    }

    #[test]
    fn the_last_that_did_not_fail_has_served() {
        assert_eq!(served(&[Some("upstream"), None]), Some(1));
        assert_eq!(served(&[None, Some("hedge_lost")]), Some(0));
        assert_eq!(served(&[Some("passed_over"), Some("client_disconnected")]), Some(1));
        assert_eq!(served(&[Some("passed_over"), Some("timed_out")]), None);
        assert_eq!(served(&[]), None);
    }
}
