//! Who is let in next. Of several callers it is the one who has least, so that one who floods the gateway waits for itself;
//! of one caller's requests it is the oldest while all can be served, and else the newest, since the oldest may be of no use any more
//! when its turn comes.

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
    /// How long turns were in which as much was begun as may be, and others, since that was looked at last.
    full: Duration,
    slack: Duration,
    pace: Pace,
    /// Until then not all who wait can be served.
    crowded_until: Option<Instant>,
    callers: HashMap<Arc<str>, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: usize,
    waiting: VecDeque<(Instant, Waiter)>,
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
            full: Duration::ZERO,
            slack: Duration::ZERO,
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
        if self.has_room() && !self.is_reserved(own) {
            // Those who have gone meanwhile stand in nobody's way.
            if self.waiting > 0 {
                self.sweep(now);
            }
            if self.waiting == 0 {
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

    /// Whether what is left of this turn is for callers who have less: where no line is, none of them could be let in first.
    fn is_reserved(&self, own: usize) -> bool {
        self.is_standing && self.pace.is_nearly_full() && own * self.callers.len() > self.in_flight
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
        if !self.is_over && self.beginning >= FLOOR && self.pace.is_too_fast(took) {
            self.is_over = true;
        }
        let counted = if self.pace.is_nearly_full() {
            &mut self.full
        } else {
            &mut self.slack
        };
        *counted += took;
        self.pace.turned(took, beginning.unwrap_or(took));
        self.is_over
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
        for counts in self.callers.values_mut() {
            let is_gone = |(until, waiter): &(Instant, Waiter)| *until <= now || waiter.is_closed();
            while counts.waiting.front().is_some_and(is_gone) {
                counts.waiting.pop_front();
                self.waiting -= 1;
            }
        }
    }

    /// Forgets who waits no more.
    fn sweep(&mut self, now: Instant) {
        let mut gone = 0;
        for counts in self.callers.values_mut() {
            let before = counts.waiting.len();
            counts
                .waiting
                .retain(|(until, waiter)| *until > now && !waiter.is_closed());
            gone += before - counts.waiting.len();
        }
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
            if counts.in_flight == 0 && counts.waiting.is_empty() {
                self.callers.remove(caller);
            }
        }
    }

    /// A fifth less while tasks run late, and a little more while they do not; gives the new limit.
    pub(super) fn adapt(&mut self, is_late: bool) -> usize {
        // Nobody had to wait since this was asked last.
        self.is_over &= self.pace.was_short();
        self.is_standing = self.is_over && self.full > self.slack * 4;
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

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    fn caller(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn who_has_least_is_next_and_of_its_own_the_newest() {
        let mut queue = Queue::new(4, 4, 8);
        let (many, one) = (caller("many"), caller("one"));
        for _ in 0..3 {
            assert!(matches!(queue.ask(&many, WAIT), Granted::Now));
        }
        assert!(matches!(queue.ask(&one, WAIT), Granted::Now));
        let mut waiting = Vec::new();
        for who in [&many, &many, &one, &one] {
            match queue.ask(who, WAIT) {
                Granted::Later(place, _) => waiting.push(place),
                _ => panic!("there is no room, and a queue"),
            }
        }
        assert!(queue.next(Instant::now()).is_none());
        queue.left(&many, true);
        let (who, waiter) = queue.next(Instant::now()).unwrap();
        drop(waiter);
        assert_eq!(who, one);
        // Its newer one has had its turn, all others still wait.
        let has_ended = |place: &mut oneshot::Receiver<Place>| {
            matches!(place.try_recv(), Err(oneshot::error::TryRecvError::Closed))
        };
        assert_eq!(
            waiting.iter_mut().map(has_ended).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }

    #[test]
    fn who_waits_for_a_turn_is_served_in_order_while_all_can_be_and_else_the_newest_is() {
        let mut queue = Queue::new(10_000, 10_000, 2);
        queue.is_over = true;
        let one = caller("one");
        while let Granted::Now = queue.ask(&one, WAIT) {}
        let mut waiting = Vec::new();
        for is_crowded in [false, true] {
            // One waits since the loop before this.
            queue.sweep(Instant::now());
            while let Granted::Later(place, until) = queue.ask(&one, WAIT) {
                assert!(until <= Instant::now() + BRIEF);
                waiting.push(place);
                if !is_crowded && waiting.len() == 2 {
                    break;
                }
            }
            assert!(queue.next(Instant::now()).is_none(), "before the turn is over");
            queue.turned(Duration::from_millis(1), None);
            drop(queue.next(Instant::now()).expect("there is room again"));
            let has_ended = |place: &mut oneshot::Receiver<Place>| {
                matches!(place.try_recv(), Err(oneshot::error::TryRecvError::Closed))
            };
            let served = waiting.iter_mut().position(has_ended);
            assert_eq!(served, Some(if is_crowded { waiting.len() - 1 } else { 0 }));
            waiting.remove(served.unwrap());
            // What is left of the turn.
            while queue.has_room() {
                queue.enter(&one);
            }
        }
    }

    #[test]
    fn the_pace_is_kept_to_only_where_what_is_begun_makes_turns_long() {
        const LONG: Duration = Duration::from_millis(50);
        let mut queue = Queue::new(10_000, 10_000, 1_000);
        let one = caller("one");
        let begin = |queue: &mut Queue, count: usize| {
            let begun = (0..count).take_while(|_| matches!(queue.ask(&one, WAIT), Granted::Now));
            begun.count()
        };
        assert_eq!(begin(&mut queue, 1_000), 1_000);
        queue.turned(Duration::from_millis(1), None);
        assert_eq!(begin(&mut queue, 10), 10);
        queue.turned(LONG, None);
        assert_eq!(begin(&mut queue, 100), 100, "it was not the doing of ten");
        queue.turned(LONG, None);
        let paced = begin(&mut queue, 1_000);
        assert!(paced < 100, "{paced}");
        // Until nobody has to wait any more.
        queue.adapt(false);
        queue.turned(Duration::ZERO, None);
        queue.adapt(false);
        assert_eq!(begin(&mut queue, 500), 500);
    }

    /// Where too much has come for a while, in turns of this length.
    fn standing(turn: Duration) -> Queue {
        let mut queue = Queue::new(10_000, 10_000, 1_000);
        queue.is_over = true;
        for _ in 0..100 {
            while queue.pace.has_room() {
                queue.pace.begin();
            }
            queue.pace.wait();
            queue.turned(turn, Some(Duration::from_millis(3)));
        }
        queue.adapt(false);
        assert!(queue.is_standing);
        queue
    }

    #[test]
    fn where_too_much_comes_all_the_time_nobody_waits_for_a_long_turn() {
        let mut queue = standing(Duration::from_millis(30));
        let one = caller("one");
        let begun = (0..)
            .take_while(|_| matches!(queue.ask(&one, WAIT), Granted::Now))
            .count();
        assert_eq!(begun, queue.pace.most());
        assert!(matches!(queue.ask(&one, WAIT), Granted::Never("beginning")));
        // The turns after it are not full.
        for _ in 0..3 {
            queue.turned(Duration::from_millis(30), Some(Duration::from_millis(3)));
        }
        queue.adapt(false);
        while let Granted::Now = queue.ask(&one, WAIT) {}
        assert!(matches!(queue.ask(&one, WAIT), Granted::Later(..)));
    }

    #[test]
    fn where_turns_are_short_a_few_of_them_are_waited_for() {
        let mut queue = standing(Duration::from_millis(4));
        let one = caller("one");
        while let Granted::Now = queue.ask(&one, WAIT) {}
        let waiting = (0..).map_while(|_| match queue.ask(&one, WAIT) {
            Granted::Later(place, until) => Some((place, until)),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        assert!(waiting.iter().all(|(_, until)| *until <= Instant::now() + SHORT));
        assert_eq!(waiting.len(), queue.pace.most() * 2);
    }

    #[test]
    fn what_is_left_of_a_turn_is_for_who_has_less() {
        let mut queue = standing(Duration::from_millis(30));
        let (flood, other) = (caller("flood"), caller("other"));
        assert!(matches!(queue.ask(&other, WAIT), Granted::Now));
        while let Granted::Now = queue.ask(&flood, WAIT) {}
        assert!(matches!(queue.ask(&flood, WAIT), Granted::Never("beginning")));
        assert!(matches!(queue.ask(&other, WAIT), Granted::Now));
    }

    #[test]
    fn a_full_queue_takes_from_who_has_most_in_it() {
        let mut queue = Queue::new(1, 1_000, 4);
        let (flood, other) = (caller("flood"), caller("other"));
        assert!(matches!(queue.ask(&flood, WAIT), Granted::Now));
        let waiting: Vec<Granted> = (0..4).map(|_| queue.ask(&flood, WAIT)).collect();
        assert!(waiting.iter().all(|granted| matches!(granted, Granted::Later(..))));
        assert!(matches!(queue.ask(&flood, WAIT), Granted::Never("in_flight")));
        let place = queue.ask(&other, WAIT);
        assert!(matches!(place, Granted::Later(..)));
        assert_eq!(queue.shown(), (1, 1, 4, 1));
    }

    #[test]
    fn nobody_holds_more_than_a_share() {
        let mut queue = Queue::new(4, 3, 8);
        for _ in 0..3 {
            assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Now));
        }
        assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Never("key")));
        assert!(matches!(queue.ask(&caller("b"), WAIT), Granted::Now));
    }

    #[test]
    fn the_limit_falls_while_tasks_are_late_and_comes_back() {
        let mut queue = Queue::new(1_000, 1_000, 8);
        for _ in 0..500 {
            queue.ask(&caller("a"), WAIT);
        }
        assert_eq!(queue.adapt(true), 400);
        assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Later(..)));
        for _ in 0..500 {
            queue.left(&caller("a"), true);
        }
        assert_eq!(queue.adapt(true), FLOOR);
        let steps = (0..).take_while(|_| queue.adapt(false) < 1_000).count();
        assert!(steps < 60, "{steps}");
    }
}
