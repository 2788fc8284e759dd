//! Which step is taken next: those that may be asked, in the plan's order; then those that failed lately, since a late answer
//! is better than none; then, after a pause, those again whose provider said that it did nothing. What is at its limits is waited
//! for, if that does not take too long.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::attempt::{After, Failure};
use super::decide::{Decision, Step};
use super::{Call, facts};
use crate::generation::{Model, Standing};
use crate::plugins::words::Kind;
use crate::upstream::breaker::Trial;
use crate::upstream::limits::Pass;

/// Beside a model that is tried again after failures, the next one is started after this at the latest.
const TRIAL: Duration = Duration::from_secs(1);
/// No pause is longer.
const MOST: Duration = Duration::from_secs(60);
/// How often who is first in line looks for room.
const LOOK: Duration = Duration::from_millis(1);
const LOOK_MOST: Duration = Duration::from_millis(25);
/// Nobody is told to come back sooner.
const LEAST: Duration = Duration::from_secs(1);

/// What has been tried for a request so far, under all of its names.
#[derive(Debug, Default)]
pub struct Tried {
    begun: AtomicU32,
    /// The providers at which it is counted, once.
    counted: Mutex<Vec<Arc<str>>>,
}

impl Tried {
    /// Attempts that were begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Relaxed) as usize
    }

    /// Counts the request at a model's provider and, the first time, at all of them.
    fn count(&self, model: &Model) {
        let provider = &model.provider;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.contains(&provider.counted_as) {
            return;
        }
        if counted.is_empty() {
            provider.retries.all.request();
        }
        provider.retries.own.request();
        counted.push(provider.counted_as.clone());
    }
}

/// The steps of one request.
#[derive(Debug)]
pub(super) struct Order<'s> {
    steps: &'s [Step],
    places: Vec<Place>,
    /// Attempts that may still be begun.
    left: usize,
    has_begun: bool,
    tried: Arc<Tried>,
    /// Other keys of a model that were asked beyond the attempts that there are.
    keys: usize,
    /// Pauses so far.
    pauses: u32,
    decision: &'s Decision,
    caller: Arc<str>,
    /// What the request is counted as towards limits.
    tokens: u64,
    /// When it makes sense to look again, where what could serve is at its limits.
    wait: Option<Duration>,
    /// What the pauses' lengths are drawn with.
    seed: u64,
    /// The budget of retries had no room for one that was due.
    is_refused: bool,
    /// Nobody waits for anything any more.
    is_impatient: bool,
}

/// What has become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    /// Taken, and not to be taken again.
    Done,
    /// It may be taken again after a pause.
    Again,
}

/// A step that is to be taken now.
#[derive(Debug)]
pub(super) struct Turn<'s> {
    pub(super) step: &'s Step,
    /// Its place within the limits.
    pub(super) pass: Pass,
    /// When the next one is to start beside it.
    pub(super) hedge_after: Option<Duration>,
    /// Held while it is under way.
    pub(super) trial: Option<Trial>,
}

impl<'s> Order<'s> {
    pub(super) fn new(decision: &'s Decision, call: &Call) -> Self {
        let steps = &decision.steps;
        let left = (decision.retries as usize).saturating_add(1);
        // Those that could be reached; several of one provider count once.
        // The rest of a request is none of its own.
        let counted = if decision.is_resumed { &[] } else { &steps[..] };
        counted.iter().take(left).for_each(|step| call.tried.count(&step.model));
        Self {
            steps,
            places: vec![Place::Open; steps.len()],
            left,
            // Nor is an attempt under its next name the first.
            has_begun: decision.is_resumed || call.tried.begun() > 0,
            tried: call.tried.clone(),
            keys: 0,
            pauses: 0,
            decision,
            caller: call.caller.id.clone(),
            seed: call.seed,
            tokens: facts::expected_tokens(&call.ask),
            wait: None,
            is_refused: false,
            is_impatient: false,
        }
    }

    /// The next step, after a pause where it has been taken before, and after a wait where all are at their limits.
    pub(super) async fn next(&mut self) -> Option<Turn<'s>> {
        if let Some(turn) = self.beside(true) {
            return Some(turn);
        }
        if self.is_impatient {
            return None;
        }
        if let Some(index) = self.again() {
            tokio::time::sleep(self.pause()).await;
            if let Some(turn) = self.begin(index, None) {
                return Some(turn);
            }
        }
        self.queued().await
    }

    /// The next step that has not been taken; with `last_resort`, even one that had better not be.
    pub(super) fn beside(&mut self, last_resort: bool) -> Option<Turn<'s>> {
        self.find(last_resort, false)
    }

    fn find(&mut self, last_resort: bool, is_first: bool) -> Option<Turn<'s>> {
        self.wait = None;
        let kept_in = self.kept_in();
        let mut spare = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            // Who waits for room takes what it waited for, also where that was tried before.
            let is_open = self.places[index] == Place::Open || is_first && self.places[index] == Place::Again;
            if !is_open || self.left == 0 {
                continue;
            }
            if !is_first && step.model.seen.queue.has_waiting() {
                self.waits(Duration::ZERO);
                continue;
            }
            let turn = match step.model.standing() {
                Standing::Ready => self.begin(index, None),
                Standing::Failing(left) if kept_in.is_some_and(|most| left <= most) => self.begin(index, None),
                // Somebody else may have been faster.
                Standing::Due => match Trial::of(&step.model.seen.health) {
                    Some(trial) => self.begin(index, Some(trial)),
                    None => {
                        spare.push(index);
                        None
                    }
                },
                Standing::Failing(_) | Standing::Full(_) | Standing::Refused => {
                    spare.push(index);
                    None
                }
                Standing::Limited(left) => {
                    self.waits(left);
                    None
                }
            };
            if turn.is_some() {
                return turn;
            }
        }
        spare.retain(|_| last_resort);
        spare.into_iter().find_map(|index| self.begin(index, None))
    }

    /// The soonest that room is expected.
    fn waits(&mut self, wait: Duration) {
        self.wait = Some(self.wait.map_or(wait, |known| known.min(wait)));
    }

    /// Waits in line for the first that is at its limits, if room is expected in time.
    async fn queued(&mut self) -> Option<Turn<'s>> {
        let deadline = Instant::now() + self.decision.queue;
        let is_limited = |index: &usize| {
            let is_out = self.places[*index] == Place::Done;
            let model = &self.steps[*index].model;
            !is_out && (model.seen.queue.has_waiting() || model.admit_later(self.tokens).is_some())
        };
        let index = (0..self.steps.len()).find(is_limited).filter(|_| self.left > 0)?;
        let model = &self.steps[index].model;
        let (caller, most) = (&self.caller, model.provider.queue);
        let ticket = model.seen.queue.join(self.decision.priority, caller, most)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if ticket.is_first() {
                if let Some(turn) = self.find(true, true) {
                    return Some(turn);
                }
                // Nobody waits for what cannot come in time, or what there were too many attempts for.
                let wait = self
                    .wait
                    .filter(|wait| *wait <= left && !left.is_zero() && !self.is_refused)?;
                tokio::time::sleep(wait.clamp(LOOK, LOOK_MOST)).await;
            } else if ticket.is_out() {
                return None;
            } else {
                let is_late = tokio::time::timeout(left, ticket.moved()).await.is_err();
                if is_late {
                    self.waits(model.admit_later(self.tokens).unwrap_or_default());
                    return None;
                }
            }
        }
    }

    /// At most half of a request's candidates are left alone for their failures, so never the only one: of more than that, those
    /// serve that are due within this time.
    fn kept_in(&self) -> Option<Duration> {
        let failing = self.steps.iter().filter_map(|step| match step.model.standing() {
            Standing::Failing(left) => Some(left),
            _ => None,
        });
        let mut left: Vec<Duration> = failing.collect();
        let too_many = left.len().checked_sub(self.steps.len() / 2 + 1)?;
        left.sort_unstable();
        left.get(too_many).copied()
    }

    /// Takes a step, where there is room for it in its limits and among the retries.
    fn begin(&mut self, index: usize, trial: Option<Trial>) -> Option<Turn<'s>> {
        let step = &self.steps[index];
        let mut pass = match step.model.admit(self.tokens) {
            Ok(pass) => pass,
            Err(wait) => {
                self.waits(wait);
                return None;
            }
        };
        if !self.may_begin(&step.model) {
            pass.give_back();
            return None;
        }
        self.places[index] = Place::Done;
        self.left -= 1;
        self.has_begun = true;
        self.tried.begun.fetch_add(1, Relaxed);
        let hedge_after = match &trial {
            Some(_) => Some(step.hedge_after.map_or(TRIAL, |after| after.min(TRIAL))),
            None => step.hedge_after,
        };
        Some(Turn {
            step,
            pass,
            hedge_after: hedge_after.filter(|_| self.left > 0 && self.places.contains(&Place::Open)),
            trial,
        })
    }

    /// The first attempt of a request is always paid for; each further one is taken from what there is for retries.
    fn may_begin(&mut self, model: &Model) -> bool {
        if !self.has_begun || model.provider.retries.take() {
            return true;
        }
        model.meter.retry_refused();
        tracing::warn!(
            model = model.id,
            "an attempt was not made: there have been too many retries"
        );
        self.is_refused = true;
        self.left = 0;
        false
    }

    /// The step that has waited longest to be taken again.
    fn again(&self) -> Option<usize> {
        let may = |index: &usize| {
            let standing = self.steps[*index].model.standing();
            self.places[*index] == Place::Again && !matches!(standing, Standing::Limited(_) | Standing::Refused)
        };
        (0..self.steps.len()).find(may).filter(|_| self.left > 0)
    }

    /// Twice as long each time, and a part of it by chance, so that those who failed together do not come back together.
    fn pause(&mut self) -> Duration {
        let whole = self.decision.backoff.saturating_mul(1 << self.pauses.min(16)).min(MOST);
        self.pauses += 1;
        let chance = super::hash(&[&self.seed.to_le_bytes(), &self.pauses.to_le_bytes()]) % 1000;
        whole.mul_f64(0.5 + chance as f64 / 2000.0)
    }

    /// What a failure means for the steps that are left; `false` where none can mend it.
    pub(super) fn failed(&mut self, step: &Step, failure: &Failure) -> bool {
        let index = self.steps.iter().position(|own| std::ptr::eq(own, step));
        match failure.after() {
            After::Nothing => return false,
            After::OtherContent => return self.decision.passes_content,
            After::Larger => {
                let Some(known) = step.model.context else { return true };
                for (place, other) in self.places.iter_mut().zip(self.steps) {
                    if other.model.context.is_some_and(|context| context <= known) {
                        *place = Place::Done;
                    }
                }
            }
            After::Next { .. } if self.has_another_credential(step, failure) => {
                // A key that was turned away has cost nobody anything: where no more attempts are wanted, the next key may
                // still be asked, each once.
                if self.left == 0
                    && failure.has_done_nothing()
                    && self.keys + 1 < step.model.provider.credentials.count()
                {
                    self.keys += 1;
                    self.left = 1;
                }
                if let Some(place) = index.and_then(|index| self.places.get_mut(index)) {
                    *place = Place::Open;
                }
            }
            After::Next { again: true } => {
                if let Some(place) = index.and_then(|index| self.places.get_mut(index)) {
                    *place = Place::Again;
                }
            }
            After::Next { again: false } => {}
        }
        true
    }

    /// What one credential was refused or had no room for, another of the same provider may do.
    fn has_another_credential(&self, step: &Step, failure: &Failure) -> bool {
        let is_the_credentials = matches!(
            failure.kind,
            Kind::RateLimited | Kind::Authentication | Kind::QuotaExhausted
        );
        is_the_credentials
            && step.model.provider.credentials.count() > 1
            && matches!(step.model.standing(), Standing::Ready | Standing::Due)
    }

    /// Steps that could still be taken, where those under way fail.
    pub(super) fn left(&self) -> usize {
        let open = self.places.iter().filter(|place| **place != Place::Done).count();
        open.min(self.left)
    }

    /// Steps that nobody has taken, and how many more may be.
    pub(super) fn untried(&self) -> (Vec<&'s Step>, usize) {
        let open = self.steps.iter().zip(&self.places);
        let open = open.filter(|(_, place)| **place == Place::Open);
        (open.map(|(step, _)| step).collect(), self.left)
    }

    /// There is an answer that may serve after all: it is not kept back for pauses and waits.
    pub(super) fn hurry(&mut self) {
        self.is_impatient = true;
    }

    /// Whether an attempt was not made because there had been too many.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// When it makes sense to come back, where all that could serve are limited.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let wait = |step: &Step| {
            let (room, line) = (step.model.admit_later(self.tokens), step.model.line());
            room.max(line)
        };
        let all: Option<Vec<Duration>> = self.steps.iter().map(wait).collect();
        all?.into_iter().min().map(|soonest| soonest.max(LEAST))
    }
}
