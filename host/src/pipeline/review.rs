//! The policies whose plans asked to see the answer, in the order of the chain.

use std::fmt;

use crate::generation::LoadedPolicy;
use crate::plugins;
use crate::plugins::words::{Opinion, Reviewed};

/// Who reviews an answer, and what they know of its request.
pub struct Review {
    policies: Vec<LoadedPolicy>,
    question: plugins::Call,
}

impl Review {
    /// None where nobody wants to.
    pub(super) fn of(policies: Vec<LoadedPolicy>, question: &plugins::Call) -> Option<Self> {
        (!policies.is_empty()).then(|| Self {
            policies,
            question: plugins::Call {
                candidates: Vec::new(),
                ..question.clone()
            },
        })
    }

    /// Why the next step is to be tried, in the words of the first policy that wants it. A policy that fails has no opinion.
    pub(super) async fn next(&self, answer: &Reviewed) -> Option<String> {
        for policy in &self.policies {
            match policy.policy.review(&self.question, answer).await {
                Ok(Opinion::Accept) => {}
                Ok(Opinion::Next(reason)) => return Some(reason),
                Err(fault) => tracing::warn!(
                    request_id = self.question.summary.id, policy = policy.policy.name(), kind = fault.kind(), %fault,
                    "a policy failed to review an answer, which serves as far as this policy is concerned"
                ),
            }
        }
        None
    }
}

impl fmt::Debug for Review {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.policies).finish()
    }
}
