//! How those who wait for a batch hear of it: the writer wakes one of them, who wakes the others.
//!
//! A task that is woken by another thread costs that thread a call to the kernel, and where both share a processor, two switches:
//! it runs at once, finds nothing else to do, and gives way again. Woken by a task beside it, it is put into a queue.

use std::mem;

use tokio::sync::oneshot;

use super::{Hold, Refused};

/// Who waits for a reservation.
pub(crate) type Waiter = oneshot::Sender<Reply>;

type Reserved = Result<Hold, Refused>;

/// An answer, and with it those of others.
pub(crate) struct Reply {
    reserved: Reserved,
    others: Others,
}

/// Answered when this is dropped, whoever drops it: also where the one that it was given to had left.
#[derive(Default)]
struct Others(Vec<(Waiter, Reserved)>);

/// Answers all of these. Where nobody waits any more, the hold is released by being dropped.
pub(super) fn answer(mut all: Vec<(Waiter, Reserved)>) {
    while !all.is_empty() {
        let (first, reserved) = all.swap_remove(0);
        let others = Others(mem::take(&mut all));
        let Err(mut left) = first.send(Reply { reserved, others }) else {
            return;
        };
        all = mem::take(&mut left.others.0);
    }
}

impl Reply {
    /// What was asked for; the others are answered now.
    pub(super) fn open(self) -> Reserved {
        self.reserved
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for (waiter, reserved) in mem::take(&mut self.0) {
            let others = Self::default();
            let _ = waiter.send(Reply { reserved, others });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(many: usize) -> (Vec<(Waiter, Reserved)>, Vec<oneshot::Receiver<Reply>>) {
        let reserved = |number: usize| Err(Refused::Unavailable(number.to_string()));
        let pair = |number| {
            let (waiter, receiver) = oneshot::channel();
            ((waiter, reserved(number)), receiver)
        };
        (0..many).map(pair).unzip()
    }

    /// What somebody was answered, who is told apart by the reason.
    fn heard(receiver: &mut oneshot::Receiver<Reply>) -> Option<String> {
        match receiver.try_recv().ok()?.open() {
            Err(Refused::Unavailable(reason)) => Some(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_answers_the_others() {
        let (waiters, mut receivers) = all(3);
        answer(waiters);
        assert!(receivers[1].try_recv().is_err(), "nobody has answered it yet");
        for (number, receiver) in receivers.iter_mut().enumerate() {
            assert_eq!(heard(receiver), Some(number.to_string()));
        }
    }

    #[test]
    fn nobody_waits_for_one_that_left() {
        let (waiters, mut receivers) = all(4);
        // One has left before it was answered, and another leaves when the answers are with it.
        drop(receivers.remove(0));
        answer(waiters);
        let carrier = receivers.iter_mut().position(|receiver| !receiver.is_empty());
        drop(receivers.remove(carrier.expect("one of them has the answers")));
        assert_eq!(receivers.len(), 2);
        for receiver in &mut receivers {
            assert!(heard(receiver).is_some());
        }
        answer(Vec::new());
    }
}
