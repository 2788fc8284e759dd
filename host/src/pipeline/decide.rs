//! The policies of a route, one after the other: each sees the candidates as the one before left them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::review::Review;
use super::{Call, facts, prefix};
use crate::config::{Hedge, Timeouts};
use crate::error::ApiError;
use crate::generation::{LoadedPolicy, Model, Route};
use crate::json::{Document, Edit, Limits};
use crate::operation::Operation;
use crate::plugins::words::{self, Plan, Verdict};
use crate::plugins::{self, Fault, Models, OnFault};

/// What was decided and by whom.
#[derive(Debug)]
pub struct Decided {
    /// What each policy said, in order.
    pub trace: Vec<Trace>,
    /// Where the request goes, or why nowhere.
    pub outcome: Result<Decision, ApiError>,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Decision {
    /// In order of preference; at least one.
    pub steps: Vec<Step>,
    /// What all policies added.
    pub labels: Vec<(String, String)>,
    /// The request after the policies' edits; `None` where they made none.
    pub edited: Option<Document>,
    /// The policies that were asked: `name@digest`, comma-separated.
    pub policies: String,
    /// Why, in the policies' words.
    pub reason: String,
    /// Attempts after the first.
    pub retries: u32,
    /// The pause before a candidate is asked again.
    pub backoff: Duration,
    /// How long it waits while all that could serve are at their limits.
    pub queue: Duration,
    /// Who waits first: the smaller.
    pub priority: u8,
    /// Whether another candidate is tried where one refuses what the request is about.
    pub passes_content: bool,
    /// Whether another candidate follows a stream that breaks before it has shown anything.
    pub restarts: bool,
    /// Whether an attempt of the same request has begun to answer, and broke off.
    pub(super) is_resumed: bool,
    /// The conversation, where policies were asked.
    pub(super) conversation: Option<u64>,
    /// Who wants to see the answer first.
    pub review: Option<Review>,
}

/// One rung of the ladder.
#[derive(Debug, Clone)]
pub struct Step {
    /// Who is asked.
    pub model: Arc<Model>,
    weight: u32,
    /// Up to the connection.
    pub connect_timeout: Duration,
    /// Up to the first event of a stream.
    pub first_token_timeout: Duration,
    /// Up to the whole answer.
    pub timeout: Duration,
    /// Between two events of a stream.
    pub gap_timeout: Duration,
    /// As the settings have the times, whatever callers and policies wish.
    usual: Usual,
    /// When the next step is started beside this one.
    pub hedge_after: Option<Duration>,
}

/// The times that settings give a step.
#[derive(Debug, Clone, Copy)]
struct Usual {
    connect: Duration,
    first_token: Duration,
    total: Duration,
    gap: Duration,
}

/// What one policy said.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its name.
    pub policy: String,
    /// Its version.
    pub digest: String,
    /// What came of it.
    pub said: Said,
}

/// One policy's say.
#[derive(Debug, Clone)]
pub enum Said {
    /// Nothing.
    Pass,
    /// An order of candidates, or labels, or edits.
    Plan {
        /// As it left them.
        candidates: Vec<String>,
        /// The steps of which it said times.
        timed: Vec<words::Step>,
        /// Why.
        reason: String,
        /// Whether it wants to see the answer first.
        reviews: bool,
    },
    /// No.
    Reject,
    /// It failed, and was skipped or not.
    Fault(String),
}

impl Step {
    /// An attempt at one model that nothing follows.
    pub(super) fn alone(model: Arc<Model>, timeout: Duration) -> Self {
        let usual = Usual {
            connect: model.timeouts.connect.unwrap_or(Timeouts::CONNECT),
            first_token: timeout,
            total: timeout,
            gap: timeout,
        };
        Self::with(usual, model, 1, None)
    }

    fn with(usual: Usual, model: Arc<Model>, weight: u32, hedge_after: Option<Duration>) -> Self {
        Self {
            model,
            weight,
            connect_timeout: usual.connect,
            first_token_timeout: usual.first_token,
            timeout: usual.total,
            gap_timeout: usual.gap,
            usual,
            hedge_after,
        }
    }

    /// With the times that a plan says.
    fn wished(&self, wish: &words::Step) -> Self {
        let or = |ms: Option<u32>, time: Duration| ms.map_or(time, |ms| Duration::from_millis(ms.into()));
        let hedge_after = wish.hedge_after_ms.map(|ms| Duration::from_millis(ms.into()));
        Self {
            connect_timeout: or(wish.connect_timeout_ms, self.connect_timeout),
            first_token_timeout: or(wish.first_token_timeout_ms, self.first_token_timeout),
            timeout: or(wish.timeout_ms, self.timeout),
            gap_timeout: or(wish.gap_timeout_ms, self.gap_timeout),
            hedge_after: hedge_after.or(self.hedge_after),
            ..self.clone()
        }
    }

    /// Whether a provider that brought nothing, or no beginning of a stream, within this time is too slow: by its settings, or
    /// by far, as its streams usually begin.
    pub(super) fn is_fair(&self, within: Duration, is_stream: bool) -> bool {
        let Usual { first_token, total, .. } = self.usual;
        if !is_stream {
            return within >= total;
        }
        let usually = || self.model.seen.health.p95(true);
        within >= first_token.min(total) || usually().is_some_and(|usually| within >= usually.saturating_mul(2))
    }

    /// Whether the time for the whole answer is at least what the settings give.
    pub(super) fn has_its_time(&self) -> bool {
        self.timeout >= self.usual.total
    }

    /// The same of the time between two events of a stream.
    pub(super) fn has_its_gap(&self) -> bool {
        self.gap_timeout >= self.usual.gap
    }

    /// The same of the time up to the connection.
    pub(super) fn has_time_to_connect(&self) -> bool {
        self.connect_timeout >= self.usual.connect
    }
}

impl Decision {
    /// The request as it goes out.
    pub fn document<'a>(&'a self, call: &'a Call) -> &'a Document {
        self.edited.as_ref().unwrap_or(&call.document)
    }

    /// The request in the client's own words, where they may go out: what policies change they change in the canonical form,
    /// and what they review they read in it. So is what follows an answer that broke off in the client's stream.
    pub fn own<'a>(&self, call: &'a Call) -> Option<&'a Document> {
        let is_untouched = self.edited.is_none() && self.review.is_none() && !self.is_resumed;
        call.wording.own.as_ref().filter(|_| is_untouched)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.policy, self.digest)
    }
}

/// Asks every policy of the route. Costs nothing where there is none. Where nobody asks models for them, as when a decision
/// is only tried, they hear that.
pub async fn chain(
    route: &Route,
    call: &Arc<Call>,
    offer: Vec<(Arc<Model>, u32)>,
    models: Option<Arc<dyn Models>>,
) -> Decided {
    let steps = offer
        .into_iter()
        .map(|(model, weight)| step(route, model, weight, call.ask.is_stream))
        .collect();
    let decision = Decision {
        steps,
        labels: Vec::new(),
        edited: None,
        policies: String::new(),
        reason: String::new(),
        retries: route.config.retries,
        backoff: route.config.backoff,
        queue: route.config.queue,
        priority: route.config.priority,
        passes_content: route.config.passes_content,
        restarts: route.config.restarts,
        is_resumed: false,
        conversation: None,
        review: None,
    };
    if route.policies.is_empty() {
        return Decided {
            trace: Vec::new(),
            outcome: Ok(decision),
        };
    }
    let mut chain = Chain::new(route, call, decision, models);
    for policy in &route.policies {
        if let Err(error) = chain.ask(policy).await {
            return Decided {
                trace: chain.trace,
                outcome: Err(error),
            };
        }
    }
    chain.finish()
}

fn step(route: &Route, model: Arc<Model>, weight: u32, is_stream: bool) -> Step {
    let timeouts = route.config.timeouts.or(model.timeouts);
    let hedge_after = match route.config.hedge {
        Some(Hedge::After(after)) => Some(after),
        Some(Hedge::P95) => model.seen.health.p95(is_stream),
        None => None,
    };
    let usual = Usual {
        connect: timeouts.connect.unwrap_or(Timeouts::CONNECT),
        first_token: timeouts.first_token.unwrap_or(Timeouts::FIRST_TOKEN),
        total: timeouts.total.unwrap_or(Timeouts::TOTAL),
        gap: timeouts.gap.unwrap_or(Timeouts::GAP),
    };
    Step::with(usual, model, weight, hedge_after)
}

/// A chain under way.
struct Chain<'a> {
    call: &'a Arc<Call>,
    /// The question: its candidates stand in the order of the decision's steps.
    question: plugins::Call,
    decision: Decision,
    /// Of all plans so far; the decision has the request that they make.
    edits: Vec<(String, String)>,
    reviewers: Vec<LoadedPolicy>,
    trace: Vec<Trace>,
}

impl<'a> Chain<'a> {
    fn new(route: &Route, call: &'a Arc<Call>, decision: Decision, models: Option<Arc<dyn Models>>) -> Self {
        let summary = facts::summary(call, route);
        let conversation = prefix::conversation(&summary.key_id, summary.session.as_deref().unwrap_or_default());
        let candidate = |step: &Step| facts::candidate(&step.model, step.weight, &call.ask, conversation);
        let question = plugins::Call {
            summary,
            candidates: decision.steps.iter().map(candidate).collect(),
            prompt: facts::View::new(call.clone()),
            models,
        };
        Self {
            call,
            question,
            decision: Decision {
                conversation: Some(conversation),
                ..decision
            },
            edits: Vec::new(),
            reviewers: Vec::new(),
            trace: Vec::new(),
        }
    }

    async fn ask(&mut self, policy: &LoadedPolicy) -> Result<(), ApiError> {
        let verdict = match policy.policy.decide(&self.question).await {
            Ok(Verdict::Plan(mut plan)) => match self.edit(std::mem::take(&mut plan.edits)) {
                Ok(()) => Ok(Verdict::Plan(plan)),
                Err(why) => Err(policy.policy.refuse(why)),
            },
            other => other,
        };
        let (said, outcome) = match verdict {
            Ok(Verdict::Pass) => (Said::Pass, Ok(())),
            Ok(Verdict::Plan(plan)) => {
                if plan.review {
                    self.reviewers.push(policy.clone());
                }
                (self.follow(plan), Ok(()))
            }
            Ok(Verdict::Reject(no)) => {
                let retry_after = no.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                (
                    Said::Reject,
                    Err(ApiError::rejected(no.status, no.code, no.message, retry_after)),
                )
            }
            Err(fault) => (Said::Fault(fault.to_string()), failed(policy, &fault)),
        };
        let digest = policy.policy.digest().short();
        self.trace.push(Trace {
            policy: policy.policy.name().to_owned(),
            digest,
            said,
        });
        outcome
    }

    /// Makes a plan's edits, and those before it, of the request as it came. Where that cannot be, nothing is changed.
    fn edit(&mut self, edits: Vec<words::Edit>) -> Result<(), String> {
        if edits.is_empty() {
            return Ok(());
        }
        let before = self.edits.len();
        self.edits
            .extend(edits.into_iter().map(|edit| (edit.pointer, edit.value)));
        let made = edited(&self.call.document, &self.edits).inspect_err(|_| self.edits.truncate(before))?;
        self.decision.edited = Some(made);
        Ok(())
    }

    /// Puts steps and candidates in the plan's order. The plugin boundary has seen to it that all were offered.
    fn follow(&mut self, plan: Plan) -> Said {
        if !plan.steps.is_empty() {
            let (mut steps, mut candidates) = (Vec::new(), Vec::new());
            for wish in &plan.steps {
                let found = self
                    .question
                    .candidates
                    .iter()
                    .position(|candidate| candidate.id == wish.candidate);
                let Some(index) = found else { continue };
                steps.push(self.decision.steps[index].wished(wish));
                candidates.push(self.question.candidates[index].clone());
            }
            self.decision.steps = steps;
            self.question.candidates = candidates;
        }
        self.label(plan.labels);
        if !plan.reason.is_empty() {
            let separator = if self.decision.reason.is_empty() { "" } else { "; " };
            self.decision.reason.push_str(separator);
            self.decision.reason.push_str(&plan.reason);
        }
        let candidates = self
            .question
            .candidates
            .iter()
            .map(|candidate| candidate.id.clone())
            .collect();
        let timed = |step: &words::Step| step.times().next().is_some();
        Said::Plan {
            candidates,
            timed: plan.steps.into_iter().filter(timed).collect(),
            reason: plan.reason,
            reviews: plan.review,
        }
    }

    /// A label that is set again has the later value.
    fn label(&mut self, labels: Vec<(String, String)>) {
        for (key, value) in labels {
            let known = self.question.summary.labels.iter_mut().find(|(known, _)| *known == key);
            match known {
                Some((_, old)) => *old = value,
                None => self.question.summary.labels.push((key, value)),
            }
        }
    }

    fn finish(mut self) -> Decided {
        // Answers that are no text have nothing to be reviewed.
        if self.call.ask.operation == Operation::Chat {
            self.decision.review = Review::of(std::mem::take(&mut self.reviewers), &self.question);
        }
        self.decision.labels = std::mem::take(&mut self.question.summary.labels);
        let asked: Vec<String> = self.trace.iter().map(Trace::to_string).collect();
        self.decision.policies = asked.join(",");
        Decided {
            trace: self.trace,
            outcome: Ok(self.decision),
        }
    }
}

/// What a policy's own failure means for the request.
fn failed(policy: &LoadedPolicy, fault: &Fault) -> Result<(), ApiError> {
    let name = policy.policy.name();
    match policy.on_fault {
        OnFault::Skip => {
            tracing::warn!(policy = name, kind = fault.kind(), %fault, "a policy failed and was skipped");
            Ok(())
        }
        OnFault::Deny if *fault == Fault::Busy => {
            Err(ApiError::overloaded().with_detail(format!("policy `{name}`: {fault}")))
        }
        OnFault::Deny => Err(ApiError::policy_unavailable(name, fault)),
    }
}

/// As deep as a request may be configured to be: what was accepted must not be refused because of an edit.
const EDITED: Limits = Limits { depth: 512 };

/// All edits at once, each against the request as it came; what is there twice, the last one decides.
pub(super) fn edited(document: &Document, edits: &[(String, String)]) -> Result<Document, String> {
    let mut last: Vec<Edit<'_>> = Vec::new();
    for (pointer, value) in edits {
        let edit = Edit {
            pointer,
            value: (!value.is_empty()).then_some(value),
        };
        match last
            .iter_mut()
            .find(|known| known.pointer == pointer && !pointer.ends_with("/-"))
        {
            Some(known) => *known = edit,
            None => last.push(edit),
        }
    }
    let refused = |reason: String| format!("an edit cannot be made: {reason}");
    let text = document.with(&last).map_err(|error| refused(error.to_string()))?;
    Document::parse(Bytes::from(text), EDITED).map_err(|error| refused(error.to_string()))
}
