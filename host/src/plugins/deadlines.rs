//! The clock that calls' deadlines are counted by: a thread that advances the engine's epoch each millisecond, for as long as
//! some call's time may still be running, and sleeps when none is. A gateway that only forwards wakes nobody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use wasmtime::{EngineWeak, Store};

/// Deadlines are counted in these.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// The clock goes on so long after the last deadline, so that calls that follow each other need not wake it.
const LINGER_MS: u64 = 200;

/// One engine's clock.
#[derive(Debug)]
pub(super) struct Deadlines {
    began: Instant,
    /// When the last call's time is over, in milliseconds from `began`.
    until_ms: AtomicU64,
    is_asleep: AtomicBool,
    thread: Thread,
}

impl Deadlines {
    /// Starts the thread; it ends with the engine.
    pub(super) fn start(engine: EngineWeak) -> io::Result<Arc<Deadlines>> {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Arc<Deadlines>>(1);
        let thread = thread::Builder::new().name("plugin-deadlines".into()).spawn(move || {
            if let Ok(deadlines) = receiver.recv() {
                deadlines.run(&engine);
            }
        })?;
        let deadlines = Arc::new(Deadlines {
            began: Instant::now(),
            until_ms: AtomicU64::new(0),
            is_asleep: AtomicBool::new(false),
            thread: thread.thread().clone(),
        });
        // The thread waits for nothing else.
        let _ = sender.send(deadlines.clone());
        Ok(deadlines)
    }

    /// Gives a store so much time from now. The tick under way is not a whole one, so one is added.
    pub(super) fn set<T>(&self, store: &mut Store<T>, milliseconds: u64) {
        store.set_epoch_deadline(milliseconds + 1);
        self.keep(milliseconds);
    }

    /// Goes on for so much time from now.
    pub(super) fn keep(&self, milliseconds: u64) {
        self.until_ms
            .fetch_max(self.now_ms().saturating_add(milliseconds + 1), SeqCst);
        // Read after the time above was written, and the thread looks at the time after it has written this: one of the
        // two sees the other.
        if self.is_asleep.load(SeqCst) {
            self.thread.unpark();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_needed(&self) -> bool {
        self.now_ms() <= self.until_ms.load(SeqCst).saturating_add(LINGER_MS)
    }

    /// Advances the epoch by the time that has passed: sleeping takes longer than asked, on a busy machine much longer, and
    /// a deadline is a time all the same. Time without any deadline is not made up for. A call that begins while a tick is
    /// late is interrupted too early by as much; whoever is interrupted looks at the clock before giving up.
    fn run(&self, engine: &EngineWeak) {
        let mut ticked = self.now_ms();
        while let Some(engine) = engine.upgrade() {
            let now = self.now_ms();
            for _ in ticked..now {
                engine.increment_epoch();
            }
            ticked = now;
            drop(engine);
            if self.is_needed() {
                thread::sleep(TICK);
                continue;
            }
            self.is_asleep.store(true, SeqCst);
            if !self.is_needed() {
                // Now and then it looks whether the engine is still there.
                thread::park_timeout(Duration::from_secs(5));
            }
            self.is_asleep.store(false, SeqCst);
            ticked = self.now_ms();
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Instance, Module, Trap};

    use super::*;

    #[test]
    fn a_deadline_holds_after_the_clock_has_slept() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        let deadlines = Deadlines::start(engine.weak()).unwrap();
        let text = "(module (func (export \"loop\") (loop $again (br $again))))";
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        for _ in 0..2 {
            while !deadlines.is_asleep.load(SeqCst) {
                thread::sleep(TICK);
            }
            let mut store = Store::new(&engine, ());
            deadlines.set(&mut store, 20);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let endless = instance.get_typed_func::<(), ()>(&mut store, "loop").unwrap();
            let error = endless.call(&mut store, ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
        }
    }
}
