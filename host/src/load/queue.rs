//! Who is let in next. Of several callers it is the one who has least, so that one who floods the gateway waits for itself;
//! of one caller's requests it is the oldest while all can be served, and else the newest, since the oldest may be of no use any more
//! when its turn comes. Where too much comes all the time and turns are long, nobody waits: callers divide what can be begun.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::pace::{Pace, SHORT};
use super::{Place, Waiter};

/// Tasks that run later than this say that there is more to do than can be done.
pub(super) const LATE: Duration = Duration::from_millis(20);
/// So many are begun however late tasks run: with fewer the machine would have pauses.
const FLOOR: usize = 256;
/// Whoever waits for the gateway's own work waits no longer: after that, somebody else is served sooner.
const BRIEF: Duration = Duration::from_millis(50);

/// Counts, and requests that wait.
#[derive(Debug)]
pub(super) struct Queue {
    beginning: usize,
    in_flight: usize,
    waiting: usize,
    /// Of those that are being begun; adapted.
    limit: usize,
    most: usize,
    most_of_one: usize,
    most_waiting: usize,
    /// There is more to begin than can be begun, so that the pace is kept to.
    is_over: bool,
    /// It has been so for a while, and hardly a turn was not full: a longer line would serve nobody more.
    is_standing: bool,
    /// It was so when that was looked at last.
    was_over: bool,
    /// Since then: how long turns were in which as much was begun as may be; how long others were, and the time between turns.
    full: Duration,
    slack: Duration,
    turned: Instant,
    /// So many of one caller are begun in a turn, where there is no line in which those with less could go first.
    share: usize,
    pace: Pace,
    /// Until then not all who wait can be served.
    crowded_until: Option<Instant>,
    callers: HashMap<Arc<str>, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: usize,
    waiting: VecDeque<(Instant, Waiter)>,
    /// In this turn, where there is no line.
    asked: usize,
    begun: usize,
}

impl Counts {
    fn is_nobody(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }
}

/// What becomes of a request.
pub(super) enum Granted {
    Now,
    /// Up to then.
    Later(oneshot::Receiver<Place>, Instant),
    /// For this reason.
    Never(&'static str),
}

impl Queue {
    pub(super) fn new(most: usize, most_of_one: usize, most_waiting: usize) -> Self {
        Self {
            beginning: 0,
            in_flight: 0,
            waiting: 0,
            limit: most,
            most,
            most_of_one,
            most_waiting,
            is_over: false,
            is_standing: false,
            was_over: false,
            full: Duration::ZERO,
            slack: Duration::ZERO,
            turned: Instant::now(),
            share: usize::MAX,
            pace: Pace::default(),
            crowded_until: None,
            callers: HashMap::new(),
        }
    }

    pub(super) fn ask(&mut self, caller: &Arc<str>, wait: Duration) -> Granted {
        let counts = self.callers.get(caller);
        let (own, own_waiting) = counts.map_or((0, 0), |counts| (counts.in_flight, counts.waiting.len()));
        if own >= self.most_of_one {
            return Granted::Never("key");
        }
        let now = Instant::now();
        let has_share = !self.has_no_line() || self.takes_of_its_share(caller);
        if has_share && self.has_room() {
            // Those who have gone meanwhile stand in nobody's way, nor do those who wait for calls of their own.
            if self.waiting > 0 {
                self.sweep(now);
            }
            if !self.waits_for_room() {
                self.enter(caller);
                return Granted::Now;
            }
        }
        self.pace.wait();
        let is_paced = self.is_over && self.in_flight < self.most && self.beginning < self.limit;
        let (most_waiting, wait) = match is_paced {
            true if self.is_standing => (self.most_waiting.min(self.pace.short_line()), wait.min(SHORT)),
            true => (self.most_waiting.min(self.pace.line()), wait.min(BRIEF)),
            false => (self.most_waiting, wait),
        };
        if self.waiting >= most_waiting {
            self.sweep_oldest(now);
        }
        let is_crowded = self.waiting >= most_waiting;
        if is_crowded || !is_paced {
            self.crowded_until = Some(now + wait);
        }
        if is_crowded && !self.make_room(own_waiting) {
            return Granted::Never(if self.in_flight >= self.most {
                "in_flight"
            } else {
                "beginning"
            });
        }
        let (sender, receiver) = oneshot::channel();
        let until = now + wait;
        let counts = self.callers.entry(caller.clone()).or_default();
        counts.waiting.push_back((until, sender));
        self.waiting += 1;
        Granted::Later(receiver, until)
    }

    /// Whoever has the most requests waiting gives up the oldest, if that is more than one more than these.
    fn make_room(&mut self, own: usize) -> bool {
        let most = self.callers.values_mut().max_by_key(|counts| counts.waiting.len());
        let Some(most) = most.filter(|most| most.waiting.len() > own + 1) else {
            return false;
        };
        most.waiting.pop_front();
        self.waiting -= 1;
        true
    }

    fn has_room(&self) -> bool {
        let is_in_pace = !self.is_over || self.pace.has_room();
        self.beginning < self.limit && self.in_flight < self.most && is_in_pace
    }

    fn enter(&mut self, caller: &Arc<str>) {
        self.pace.begin();
        self.beginning += 1;
        self.in_flight += 1;
        self.callers.entry(caller.clone()).or_default().in_flight += 1;
    }

    /// Whether nobody waits for a turn: too much has come for a while, and turns are long.
    fn has_no_line(&self) -> bool {
        self.is_standing && self.pace.short_line() == 0
    }

    /// Whether this caller has not had its share of the turn.
    fn takes_of_its_share(&mut self, caller: &Arc<str>) -> bool {
        let share = self.share;
        let counts = self.callers.entry(caller.clone()).or_default();
        counts.asked += 1;
        let takes = counts.begun < share;
        counts.begun += usize::from(takes);
        takes
    }

    /// Whether somebody waits who could be let in.
    fn waits_for_room(&self) -> bool {
        let could_be = |counts: &Counts| !counts.waiting.is_empty() && counts.in_flight < self.most_of_one;
        self.waiting > 0 && self.callers.values().any(could_be)
    }

    /// Who gets a place, if there is one.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Arc<str>, Waiter)> {
        while self.waiting > 0 && self.has_room() {
            let waiting = self.callers.iter_mut().filter(|(_, counts)| !counts.waiting.is_empty());
            let waiting = waiting.filter(|(_, counts)| counts.in_flight < self.most_of_one);
            let (caller, counts) = waiting.min_by_key(|(_, counts)| counts.in_flight)?;
            let is_crowded = self.crowded_until.is_some_and(|until| now < until);
            let next = match is_crowded {
                true => counts.waiting.pop_back(),
                false => counts.waiting.pop_front(),
            };
            let (until, waiter) = next?;
            let caller = caller.clone();
            self.waiting -= 1;
            if until > now && !waiter.is_closed() {
                self.enter(&caller);
                return Some((caller, waiter));
            }
        }
        None
    }

    /// Everything that was ready when the turn began has run; so much of the time was taken by requests that begin, as far as that was
    /// counted. Gives whether it is to be.
    pub(super) fn turned(&mut self, took: Duration, beginning: Option<Duration>) -> bool {
        let now = Instant::now();
        if self.is_over {
            let is_full = self.pace.is_nearly_full();
            let counted = if is_full { &mut self.full } else { &mut self.slack };
            *counted += took;
            self.slack += now.duration_since(self.turned).saturating_sub(took);
        } else if self.beginning >= FLOOR && self.pace.is_too_fast(took) {
            self.is_over = true;
        }
        self.turned = now;
        self.pace.turned(took, beginning.unwrap_or(took));
        if self.is_standing {
            self.divide();
        }
        self.is_over
    }

    /// Divides the next turn among those who asked in this one.
    fn divide(&mut self) {
        let mut asked = Vec::new();
        self.callers.retain(|_, counts| {
            counts.begun = 0;
            asked.extend(Some(std::mem::take(&mut counts.asked)).filter(|asked| *asked > 0));
            !counts.is_nobody()
        });
        self.share = share(asked, self.pace.most());
    }

    /// How many are begun in a turn.
    pub(super) fn pace(&self) -> usize {
        self.pace.most()
    }

    /// Whether somebody waits for nothing but the next turn.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.is_over && self.waiting > 0 && !self.pace.has_room()
    }

    /// Forgets the oldest, where they wait no more: cheaply, since there may be many to ask.
    fn sweep_oldest(&mut self, now: Instant) {
        let mut gone = 0;
        self.callers.retain(|_, counts| {
            let is_gone = |(until, waiter): &(Instant, Waiter)| *until <= now || waiter.is_closed();
            while counts.waiting.front().is_some_and(is_gone) {
                counts.waiting.pop_front();
                gone += 1;
            }
            counts.asked > 0 || !counts.is_nobody()
        });
        self.waiting -= gone;
    }

    /// Forgets who waits no more.
    fn sweep(&mut self, now: Instant) {
        let mut gone = 0;
        self.callers.retain(|_, counts| {
            let before = counts.waiting.len();
            counts
                .waiting
                .retain(|(until, waiter)| *until > now && !waiter.is_closed());
            gone += before - counts.waiting.len();
            counts.asked > 0 || !counts.is_nobody()
        });
        self.waiting -= gone;
    }

    pub(super) fn begun(&mut self) {
        self.beginning -= 1;
    }

    pub(super) fn left(&mut self, caller: &Arc<str>, is_beginning: bool) {
        self.in_flight -= 1;
        self.beginning -= usize::from(is_beginning);
        if let Some(counts) = self.callers.get_mut(caller) {
            counts.in_flight -= 1;
            if counts.asked == 0 && counts.is_nobody() {
                self.callers.remove(caller);
            }
        }
    }

    /// A fifth less while tasks run late, and a little more while they do not; gives the new limit.
    pub(super) fn adapt(&mut self, is_late: bool) -> usize {
        // Nobody had to wait since this was asked last.
        self.is_over &= self.pace.was_short();
        let is_standing = self.is_over && self.was_over && self.full > self.slack * 4;
        if is_standing != self.is_standing {
            self.divide();
            self.share = usize::MAX;
        }
        (self.is_standing, self.was_over) = (is_standing, self.is_over);
        (self.full, self.slack) = (Duration::ZERO, Duration::ZERO);
        let floor = FLOOR.min(self.most);
        self.limit = match is_late {
            true => (self.beginning.min(self.limit) * 4 / 5).max(floor),
            false => (self.limit + (self.limit / 20).max(1)).min(self.most),
        };
        self.limit
    }

    /// Being begun, in flight, waiting, and the limit of those being begun.
    pub(super) fn shown(&mut self) -> (usize, usize, usize, usize) {
        self.sweep(Instant::now());
        (self.beginning, self.in_flight, self.waiting, self.limit)
    }
}

/// The most that each of these may have, so that all of them together have so much: who wants less leaves the rest to the others.
fn share(mut wishes: Vec<usize>, all: usize) -> usize {
    wishes.sort_unstable();
    let (mut left, mut others) = (all, wishes.len());
    for wish in wishes {
        let share = left.div_ceil(others);
        if wish > share {
            return share.max(1);
        }
        (left, others) = (left - wish, others - 1);
    }
    usize::MAX
}

#[cfg(test)]
mod tests;
