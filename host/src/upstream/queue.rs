//! Requests that wait for room at a model: a bounded number, those of a higher priority first, and among equals each caller's
//! first before anybody's second. Only the first of them looks for room, so nobody is passed by. Where there is no place left,
//! whoever is last gives up theirs to who comes before them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those who wait for one model. Kept over reloads.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Rank, Waiter>,
    number: u64,
}

/// Who is first: the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: u8,
    /// How many of the same caller were there before.
    round: u64,
    number: u64,
}

#[derive(Debug)]
struct Waiter {
    caller: Arc<str>,
    /// It is the first now, or has lost its place.
    is_moved: Arc<Notify>,
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    rank: Rank,
    is_moved: Arc<Notify>,
}

impl Queue {
    /// Whether somebody waits: who comes now must not pass them by.
    pub fn has_waiting(&self) -> bool {
        !self.line().waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.line().waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place, unless so many wait already and all of them come before. The lowest priority comes first.
    pub fn join(self: &Arc<Self>, priority: u8, caller: &Arc<str>, most: usize) -> Option<Ticket> {
        let mut line = self.line();
        line.number += 1;
        let equals = line.waiting.iter().filter(|(rank, _)| rank.priority == priority);
        let rank = Rank {
            priority,
            round: equals.filter(|(_, waiter)| waiter.caller == *caller).count() as u64,
            number: line.number,
        };
        if line.waiting.len() >= most {
            line.make_room(rank, caller).filter(|()| most > 0)?;
        }
        let is_moved = Arc::new(Notify::new());
        let waiter = Waiter {
            caller: caller.clone(),
            is_moved: is_moved.clone(),
        };
        line.waiting.insert(rank, waiter);
        Some(Ticket {
            queue: self.clone(),
            rank,
            is_moved,
        })
    }

    /// Held for a few instructions only.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The last one leaves, if it comes after this: it is the one of whoever has most in line, among those of the lowest
    /// priority. Nobody takes a place from their own requests of the same priority.
    fn make_room(&mut self, rank: Rank, caller: &Arc<str>) -> Option<()> {
        let last = self.waiting.last_entry()?;
        let is_own = last.get().caller == *caller && last.key().priority == rank.priority;
        if is_own || *last.key() < rank {
            return None;
        }
        last.remove().is_moved.notify_one();
        Some(())
    }
}

impl Ticket {
    /// Whether it is next. Somebody of a higher rank may still come before it.
    pub fn is_first(&self) -> bool {
        let line = self.queue.line();
        line.waiting.keys().next() == Some(&self.rank)
    }

    /// Whether it has lost its place to one that comes before it.
    pub fn is_out(&self) -> bool {
        !self.queue.line().waiting.contains_key(&self.rank)
    }

    /// Returns when everybody before it has left, or it has lost its place.
    pub async fn moved(&self) {
        self.is_moved.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.waiting.remove(&self.rank);
        if let Some((_, first)) = line.waiting.first_key_value() {
            first.is_moved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_important_come_first_and_each_callers_first_before_anybodys_second() {
        let queue = Arc::new(Queue::default());
        let mut tickets = Vec::new();
        for (name, priority, caller) in [
            ("a1", 1, "a"),
            ("a2", 1, "a"),
            ("a3", 1, "a"),
            ("b1", 1, "b"),
            ("low", 2, "c"),
            ("high", 0, "a"),
        ] {
            tickets.push((name, queue.join(priority, &caller.into(), 6).unwrap()));
        }
        assert!(queue.join(2, &"d".into(), 6).is_none());
        let mut order = Vec::new();
        while let Some(place) = tickets.iter().position(|(_, ticket)| ticket.is_first()) {
            order.push(tickets.remove(place).0);
        }
        assert_eq!(order, ["high", "a1", "b1", "a2", "a3", "low"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_line_gives_up_its_last_for_who_comes_before_and_nobodys_own() {
        let queue = Arc::new(Queue::default());
        let join = |priority, caller: &str| queue.join(priority, &caller.into(), 3);
        let flood: Vec<Ticket> = (0..3).map(|_| join(1, "flood").unwrap()).collect();
        assert!(join(1, "flood").is_none(), "its own");
        let other = join(1, "other").unwrap();
        assert_eq!(
            flood.iter().map(Ticket::is_out).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert!(join(1, "other").is_none(), "as many as the other has");
        assert!(join(2, "low").is_none());
        let high = join(0, "flood").unwrap();
        assert!(high.is_first() && flood[1].is_out() && !other.is_out());
        assert_eq!(queue.len(), 3);
        drop((flood, other, high));
        assert!(queue.is_empty());
        assert!(queue.join(0, &"none".into(), 0).is_none());
    }

    #[tokio::test]
    async fn who_becomes_the_first_is_told() {
        let queue = Arc::new(Queue::default());
        let first = queue.join(0, &"a".into(), 2).unwrap();
        let second = queue.join(0, &"b".into(), 2).unwrap();
        assert!(!second.is_first());
        drop(first);
        second.moved().await;
        assert!(second.is_first() && queue.has_waiting());
    }
}
