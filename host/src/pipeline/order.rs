//! Which step is taken next: those that may be asked, in the plan's order; then those that failed lately, since a late answer
//! is better than none; then, after a pause, those again whose provider said that it did nothing. What its provider limits is
//! not asked before its time.

use std::time::{Duration, Instant};

use super::attempt::{After, Failure};
use super::decide::{Decision, Step};
use crate::generation::{Model, Standing};
use crate::upstream::breaker::Trial;

/// Beside a model that is tried again after failures, the next one is started after this at the latest.
const TRIAL: Duration = Duration::from_secs(1);
/// No pause is longer.
const MOST: Duration = Duration::from_secs(60);

/// The steps of one request.
#[derive(Debug)]
pub(super) struct Order<'s> {
    steps: &'s [Step],
    places: Vec<Place>,
    /// Attempts that may still be begun.
    left: usize,
    has_begun: bool,
    /// Pauses so far.
    pauses: u32,
    backoff: Duration,
    passes_content: bool,
    /// What the pauses' lengths are drawn with.
    seed: u64,
    /// The budget of retries had no room for one that was due.
    is_refused: bool,
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
    /// When the next one is to start beside it.
    pub(super) hedge_after: Option<Duration>,
    /// Held while it is under way.
    pub(super) trial: Option<Trial>,
}

impl<'s> Order<'s> {
    pub(super) fn new(decision: &'s Decision, seed: u64) -> Self {
        let steps = &decision.steps;
        let left = (decision.retries as usize).saturating_add(1);
        // Those that could be reached; several of one provider count once.
        for (index, step) in steps.iter().enumerate().take(left) {
            let is_same = |other: &Step| std::ptr::eq(&*other.model.provider, &*step.model.provider);
            if !steps[..index].iter().any(is_same) {
                step.model.provider.retries.own.request();
            }
        }
        if let Some(first) = steps.first() {
            first.model.provider.retries.all.request();
        }
        Self {
            steps,
            places: vec![Place::Open; steps.len()],
            left,
            has_begun: false,
            pauses: 0,
            backoff: decision.backoff,
            passes_content: decision.passes_content,
            seed,
            is_refused: false,
        }
    }

    /// The next step, after a pause where it has been taken before.
    pub(super) async fn next(&mut self) -> Option<Turn<'s>> {
        if let Some(turn) = self.beside(true) {
            return Some(turn);
        }
        let index = self.again()?;
        if !self.may_begin(&self.steps[index].model) {
            return None;
        }
        tokio::time::sleep(self.pause()).await;
        self.begin(index, None)
    }

    /// The next step that has not been taken; with `last_resort`, even one that had better not be.
    pub(super) fn beside(&mut self, last_resort: bool) -> Option<Turn<'s>> {
        if self.left == 0 {
            return None;
        }
        let now = Instant::now();
        let kept_in = self.kept_in();
        let mut spare = None;
        for (index, step) in self.steps.iter().enumerate() {
            if self.places[index] != Place::Open {
                continue;
            }
            match step.model.standing() {
                Standing::Ready => return self.begin_paid(index, None),
                Standing::Failing(left) if kept_in.is_some_and(|most| now + left <= most) => {
                    return self.begin_paid(index, None);
                }
                Standing::Due => {
                    // Somebody else may have been faster.
                    if let Some(trial) = Trial::of(&step.model.health) {
                        return self.begin_paid(index, Some(trial));
                    }
                    spare = spare.or(Some(index));
                }
                Standing::Failing(_) | Standing::Full(_) | Standing::Refused => spare = spare.or(Some(index)),
                Standing::Limited(_) => {}
            }
        }
        let spare = spare.filter(|_| last_resort)?;
        self.begin_paid(spare, None)
    }

    /// At most half of a request's candidates are left alone for their failures, so never the only one: of more than that, those
    /// serve that are due by then.
    fn kept_in(&self) -> Option<Instant> {
        let now = Instant::now();
        let failing = self.steps.iter().filter_map(|step| match step.model.standing() {
            Standing::Failing(left) => Some(now + left),
            _ => None,
        });
        let mut until: Vec<Instant> = failing.collect();
        let too_many = until.len().checked_sub(self.steps.len() / 2 + 1)?;
        until.sort_unstable();
        until.get(too_many).copied()
    }

    fn begin_paid(&mut self, index: usize, trial: Option<Trial>) -> Option<Turn<'s>> {
        if self.may_begin(&self.steps[index].model) {
            self.begin(index, trial)
        } else {
            None
        }
    }

    fn begin(&mut self, index: usize, trial: Option<Trial>) -> Option<Turn<'s>> {
        let step = &self.steps[index];
        self.places[index] = Place::Done;
        self.left -= 1;
        self.has_begun = true;
        let hedge_after = match &trial {
            Some(_) => Some(step.hedge_after.map_or(TRIAL, |after| after.min(TRIAL))),
            None => step.hedge_after,
        };
        Some(Turn {
            step,
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
        let whole = self.backoff.saturating_mul(1 << self.pauses.min(16)).min(MOST);
        self.pauses += 1;
        let chance = super::hash(&[&self.seed.to_le_bytes(), &self.pauses.to_le_bytes()]) % 1000;
        whole.mul_f64(0.5 + chance as f64 / 2000.0)
    }

    /// What a failure means for the steps that are left; `false` where none can mend it.
    pub(super) fn failed(&mut self, step: &Step, failure: &Failure) -> bool {
        let index = self.steps.iter().position(|own| std::ptr::eq(own, step));
        match failure.after() {
            After::Nothing => return false,
            After::OtherContent => return self.passes_content,
            After::Larger => {
                let Some(known) = step.model.context else { return true };
                for (place, other) in self.places.iter_mut().zip(self.steps) {
                    if other.model.context.is_some_and(|context| context <= known) {
                        *place = Place::Done;
                    }
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

    /// Steps that could still be taken, where those under way fail.
    pub(super) fn left(&self) -> usize {
        let open = self.places.iter().filter(|place| **place != Place::Done).count();
        open.min(self.left)
    }

    /// Whether an attempt was not made because there had been too many.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// When it makes sense to come back, where all that could serve are limited.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let limited = |step: &Step| match step.model.standing() {
            Standing::Limited(left) => Some(left),
            _ => None,
        };
        let all: Option<Vec<Duration>> = self.steps.iter().map(limited).collect();
        all?.into_iter().min()
    }
}
