//! What the writer is told, in order. It is woken for what somebody waits for; the rest it finds when it looks next, so that
//! a call that ends costs no switch of threads.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::Message;

/// More than this is not left lying until somebody waits.
const MANY: usize = 512;

/// While the writer waits for a disk that does not answer, no more than this is left for it.
const MOST: usize = 100_000;

/// Where so many wait, the writer goes first for as long as it takes to hand them to the disk: whoever serves on the same processor
/// goes on while they are being written, and need not stand still when everybody waits for the same piece of writing.
const ENOUGH: usize = 32;

/// How often at most the writer lets others go first before it looks what has come.
const STEPS: u32 = 6;

/// Where messages wait for the writer.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    writer: OnceLock<Thread>,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<Message>,
    /// Those of them that somebody waits for.
    waited_for: usize,
    /// The writer will not look by itself before long.
    is_asleep: bool,
    /// The writer has nothing to do, nor had it much before.
    is_idle: bool,
    is_closed: bool,
}

/// How the writer waits for something to come.
pub(super) struct Rest {
    pub(super) at_most: Duration,
    /// What nobody waits for need not end it.
    pub(super) looks_soon: bool,
    /// One call comes after another, not many at a time.
    pub(super) is_quiet: bool,
}

impl Inbox {
    /// Never blocks for long: a hold that is dropped must be able to say so.
    pub(super) fn post(&self, message: Message) {
        let is_waited_for = message.is_waited_for();
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        waiting.messages.push(message);
        waiting.waited_for += usize::from(is_waited_for);
        let is_asleep = std::mem::take(&mut waiting.is_asleep);
        let wakes = is_waited_for || is_asleep || waiting.messages.len() == MANY;
        // Of one that comes alone, the writer begins at once: what is left to do here is done while the disk is busy.
        let is_alone = is_waited_for && std::mem::take(&mut waiting.is_idle);
        let gives_way = is_alone || is_waited_for && waiting.waited_for.is_multiple_of(ENOUGH);
        drop(waiting);
        if wakes && let Some(writer) = self.writer.get() {
            writer.unpark();
        }
        if gives_way {
            std::thread::yield_now();
        }
    }

    /// Whether more may be left here by those who do not wait.
    pub(super) fn has_room(&self) -> bool {
        self.lock().messages.len() < MOST
    }

    /// The thread that calls this is the one that is woken from now on.
    pub(super) fn listen(&self) {
        let _ = self.writer.set(std::thread::current());
    }

    /// Everything that has come; waits for something to come where nothing has.
    pub(super) fn take(&self, rest: &Rest) -> Vec<Message> {
        let mut waiting = self.lock();
        if waiting.messages.is_empty() {
            waiting.is_asleep = !rest.looks_soon;
            waiting.is_idle = rest.is_quiet;
            drop(waiting);
            // A message that came in between has left a token, and this returns at once.
            std::thread::park_timeout(rest.at_most);
            waiting = self.lock();
        }
        (waiting.is_asleep, waiting.is_idle) = (false, false);
        waiting.waited_for = 0;
        let room = Vec::with_capacity(waiting.messages.len());
        std::mem::replace(&mut waiting.messages, room)
    }

    /// Lets whoever serves on this processor go first, as long as more comes of it that somebody waits for: at most [`STEPS`]
    /// times, and no longer than there are enough. On a processor of its own, the writer goes on at once.
    pub(super) fn gather(&self) {
        let mut before = self.lock().waited_for;
        for _ in 0..STEPS {
            std::thread::yield_now();
            let now = self.lock().waited_for;
            if now == before || now >= ENOUGH {
                return;
            }
            before = now;
        }
    }

    /// Nothing is taken any more; who waits for an answer hears that there is none.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        let left = std::mem::take(&mut waiting.messages);
        drop(waiting);
        // A hold among them says that it was dropped, which takes the lock.
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Message {
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Reserve(..)
            | Self::Empty(..)
            | Self::Balances(_)
            | Self::Flush(_)
            | Self::Close(_)
            | Self::Lent(_) => true,
            Self::Keep(_, reply) => reply.is_some(),
            Self::Note(_, reply) => reply.is_some(),
            Self::Settle(..) | Self::Release(_) | Self::GiveUp(_) | Self::Bound(..) => false,
        }
    }
}
