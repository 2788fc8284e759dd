//! Who is let in next. Of several callers it is the one who has least, so that one who floods the gateway waits for itself;
//! of one caller's requests it is the newest, since the oldest may be of no use any more when its turn comes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Place, Waiter};

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
    Later(oneshot::Receiver<Place>),
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
            callers: HashMap::new(),
        }
    }

    pub(super) fn ask(&mut self, caller: &Arc<str>, wait: Duration) -> Granted {
        let counts = self.callers.get(caller);
        let (own, own_waiting) = counts.map_or((0, 0), |counts| (counts.in_flight, counts.waiting.len()));
        if own >= self.most_of_one {
            return Granted::Never("key");
        }
        if self.has_room() && self.waiting == 0 {
            self.enter(caller);
            return Granted::Now;
        }
        if self.waiting >= self.most_waiting {
            self.sweep(Instant::now());
        }
        if self.waiting >= self.most_waiting && !self.make_room(own_waiting) {
            return Granted::Never(if self.in_flight >= self.most {
                "in_flight"
            } else {
                "beginning"
            });
        }
        let (sender, receiver) = oneshot::channel();
        let counts = self.callers.entry(caller.clone()).or_default();
        counts.waiting.push_back((Instant::now() + wait, sender));
        self.waiting += 1;
        Granted::Later(receiver)
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
        self.beginning < self.limit && self.in_flight < self.most
    }

    fn enter(&mut self, caller: &Arc<str>) {
        self.beginning += 1;
        self.in_flight += 1;
        self.callers.entry(caller.clone()).or_default().in_flight += 1;
    }

    /// Who gets a place, if there is one.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Arc<str>, Waiter)> {
        if self.waiting == 0 {
            return None;
        }
        self.sweep(now);
        if !self.has_room() {
            return None;
        }
        let waiting = self.callers.iter_mut().filter(|(_, counts)| !counts.waiting.is_empty());
        let waiting = waiting.filter(|(_, counts)| counts.in_flight < self.most_of_one);
        let (caller, counts) = waiting.min_by_key(|(_, counts)| counts.in_flight)?;
        let (_, waiter) = counts.waiting.pop_back()?;
        let caller = caller.clone();
        self.waiting -= 1;
        self.enter(&caller);
        Some((caller, waiter))
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
    pub(super) fn adapt(&mut self, is_late: bool, floor: usize) -> usize {
        let floor = floor.min(self.most);
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
                Granted::Later(place) => waiting.push(place),
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
    fn a_full_queue_takes_from_who_has_most_in_it() {
        let mut queue = Queue::new(1, 1_000, 4);
        let (flood, other) = (caller("flood"), caller("other"));
        assert!(matches!(queue.ask(&flood, WAIT), Granted::Now));
        let waiting: Vec<Granted> = (0..4).map(|_| queue.ask(&flood, WAIT)).collect();
        assert!(waiting.iter().all(|granted| matches!(granted, Granted::Later(_))));
        assert!(matches!(queue.ask(&flood, WAIT), Granted::Never("in_flight")));
        let place = queue.ask(&other, WAIT);
        assert!(matches!(place, Granted::Later(_)));
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
        assert_eq!(queue.adapt(true, 100), 400);
        assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Later(_)));
        for _ in 0..500 {
            queue.left(&caller("a"), true);
        }
        assert_eq!(queue.adapt(true, 100), 100);
        let steps = (0..).take_while(|_| queue.adapt(false, 100) < 1_000).count();
        assert!(steps < 60, "{steps}");
    }
}
