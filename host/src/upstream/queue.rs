//! Requests that wait for room at a model: a bounded number, those of a higher priority first, and among equals each caller's
//! first before anybody's second. Only the first of them looks for room, so nobody is passed by.

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
    is_first: Arc<Notify>,
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    rank: Rank,
    is_first: Arc<Notify>,
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

    /// A place, unless so many wait already. The lowest priority comes first.
    pub fn join(self: &Arc<Self>, priority: u8, caller: &Arc<str>, most: usize) -> Option<Ticket> {
        let mut line = self.line();
        if line.waiting.len() >= most {
            return None;
        }
        line.number += 1;
        let equals = line.waiting.iter().filter(|(rank, _)| rank.priority == priority);
        let rank = Rank {
            priority,
            round: equals.filter(|(_, waiter)| waiter.caller == *caller).count() as u64,
            number: line.number,
        };
        let is_first = Arc::new(Notify::new());
        let waiter = Waiter {
            caller: caller.clone(),
            is_first: is_first.clone(),
        };
        line.waiting.insert(rank, waiter);
        Some(Ticket {
            queue: self.clone(),
            rank,
            is_first,
        })
    }

    /// Held for a few instructions only.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Whether it is next. Somebody of a higher rank may still come before it.
    pub fn is_first(&self) -> bool {
        let line = self.queue.line();
        line.waiting.keys().next() == Some(&self.rank)
    }

    /// Returns when somebody before it has left.
    pub async fn moved(&self) {
        self.is_first.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.waiting.remove(&self.rank);
        if let Some((_, first)) = line.waiting.first_key_value() {
            first.is_first.notify_one();
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
        assert!(queue.join(0, &"d".into(), 6).is_none());
        let mut order = Vec::new();
        while let Some(place) = tickets.iter().position(|(_, ticket)| ticket.is_first()) {
            order.push(tickets.remove(place).0);
        }
        assert_eq!(order, ["high", "a1", "b1", "a2", "a3", "low"]);
        assert!(queue.is_empty());
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
