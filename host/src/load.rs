//! How much is done at one time: connections, requests that are being begun, answers that are under way, memory. What is too
//! much is refused at once, and told when to come back; who waits, waits briefly, and callers take turns.
//!
//! What a request costs the gateway is in its beginning: reading, deciding, translating. So it is the requests which have no
//! answer yet whose number is adapted, to how late the gateway's own tasks run; streams under way are only counted.

mod machine;
mod queue;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::config::LoadConfig;
use crate::error::ApiError;
use crate::telemetry::LoadMeter;
use queue::{Granted, Queue};

/// Tasks that run later than this say that there is more to do than can be done.
const LATE: Duration = Duration::from_millis(20);
/// How often is looked how late they run, and after how many looks something is changed: only when all of them were late is
/// there a queue that stays.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 10;
/// So many are begun however late tasks run: with fewer the machine would have pauses.
const FLOOR: usize = 256;
/// When whoever is refused may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Decides who may begin.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    /// In tasks' hands for moments only.
    queue: Mutex<Queue>,
    connections: AtomicUsize,
    memory: AtomicUsize,
    meter: LoadMeter,
}

/// What holds while the process lives.
#[derive(Debug, Clone, Copy)]
struct Limits {
    files: usize,
    connections: usize,
    in_flight: usize,
    of_one: usize,
    waiting: usize,
    wait: Duration,
    memory: usize,
}

/// A request's place. It is given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    caller: Arc<str>,
    is_beginning: bool,
}

/// A connection's place.
#[derive(Debug)]
pub struct Connected(Arc<Gate>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How near memory is to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Enough,
    /// From 85 %: connections are not kept.
    Scarce,
    /// From 92 %: nothing is begun.
    Short,
    /// From 95 %: nobody is let in.
    Out,
}

impl Gate {
    /// As the configuration says, and where it says nothing, as the machine allows.
    pub fn new(config: &LoadConfig, meter: LoadMeter) -> Arc<Self> {
        let files = machine::open_files();
        // Half of what is left for clients and half for providers: over HTTP/1.1 each call has a connection of its own.
        let share = files.saturating_sub(machine::KEPT_FILES).max(2) / 2;
        let in_flight = config.in_flight.unwrap_or(share);
        let limits = Limits {
            files,
            connections: config.connections.unwrap_or(share),
            in_flight,
            of_one: config
                .of_one_key
                .unwrap_or(in_flight.saturating_sub(in_flight / 4))
                .max(1),
            waiting: config.queue,
            wait: config.queue_time,
            memory: config.memory.unwrap_or_else(machine::memory),
        };
        meter.limit.set(limits.in_flight as i64);
        Arc::new(Self {
            queue: Mutex::new(Queue::new(limits.in_flight, limits.of_one, limits.waiting)),
            limits,
            connections: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            meter,
        })
    }

    /// A connection's place, if there is one.
    pub fn connect(self: &Arc<Self>) -> Option<Connected> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let connected = Connected(self.clone());
        let reason = match self.memory() {
            Memory::Out => "memory",
            _ if before >= self.limits.connections => "connections",
            _ => return Some(connected),
        };
        self.meter.refused(reason);
        None
    }

    /// Whether connections had better not be kept.
    pub fn is_memory_scarce(&self) -> bool {
        self.memory() >= Memory::Scarce
    }

    /// A place for a request of this caller: at once, after a short while, or not.
    pub async fn enter(self: &Arc<Self>, caller: &Arc<str>) -> Result<Place, ApiError> {
        if self.memory() >= Memory::Short {
            return Err(self.refuse("memory"));
        }
        let mut place = match self.queue().ask(caller, self.limits.wait) {
            Granted::Now => return Ok(self.place(caller.clone())),
            Granted::Later(place) => place,
            Granted::Never(reason) => return Err(self.refuse(reason)),
        };
        match tokio::time::timeout(self.limits.wait, &mut place).await {
            Ok(Ok(place)) => Ok(place),
            // Somebody who has less took the place in the queue.
            Ok(Err(_)) => Err(self.refuse("queue")),
            Err(_) => {
                place.close();
                place.try_recv().map_err(|_| self.refuse("queue"))
            }
        }
    }

    fn refuse(&self, reason: &'static str) -> ApiError {
        self.meter.refused(reason);
        ApiError::overloaded()
            .with_retry_after(Some(RETRY_AFTER))
            .with_detail(format!("at the limit: {reason}"))
    }

    fn place(self: &Arc<Self>, caller: Arc<str>) -> Place {
        Place {
            gate: self.clone(),
            caller,
            is_beginning: true,
        }
    }

    /// Lets in who waits, as long as there is room.
    fn next(self: &Arc<Self>) {
        loop {
            // Not in the loop's head, which would hold the lock while a place is given back.
            let next = self.queue().next(Instant::now());
            let Some((caller, waiter)) = next else { return };
            // Whoever has left meanwhile gives it back.
            drop(waiter.send(self.place(caller)));
        }
    }

    /// Adapts to how late tasks run and how much memory there is, for as long as the process lives.
    pub async fn watch(self: Arc<Self>) {
        loop {
            let mut least = Duration::MAX;
            for _ in 0..LOOKS {
                let began = Instant::now();
                tokio::time::sleep(LOOK).await;
                least = least.min(began.elapsed().saturating_sub(LOOK));
            }
            let limit = self.queue().adapt(least > LATE, FLOOR);
            self.meter.limit.set(limit as i64);
            self.next();
            self.memory.store(machine::resident(), Ordering::Relaxed);
        }
    }

    fn memory(&self) -> Memory {
        let used = self.memory.load(Ordering::Relaxed) as u128 * 100;
        let of = |percent: u128| used >= self.limits.memory as u128 * percent;
        match () {
            () if of(95) => Memory::Out,
            () if of(92) => Memory::Short,
            () if of(85) => Memory::Scarce,
            () => Memory::Enough,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests have no answer yet, those that wait for their turn among them.
    pub fn beginning(&self) -> usize {
        let (beginning, _, waiting, _) = self.queue().shown();
        beginning + waiting
    }

    /// For operators.
    pub fn shown(&self) -> Value {
        let (beginning, in_flight, waiting, limit) = self.queue().shown();
        json!({
            "open_files": {"limit": self.limits.files, "kept_for_the_gateway": machine::KEPT_FILES},
            "connections": {"now": self.connections.load(Ordering::Relaxed), "limit": self.limits.connections},
            "beginning": {"now": beginning, "limit": limit, "limit_at_most": self.limits.in_flight},
            "in_flight": {"now": in_flight, "limit": self.limits.in_flight, "limit_of_one_key": self.limits.of_one},
            "queue": {"now": waiting, "limit": self.limits.waiting, "wait_ms": self.limits.wait.as_millis() as u64},
            "memory_bytes": {"now": self.memory.load(Ordering::Relaxed), "limit": self.limits.memory},
        })
    }
}

impl Place {
    /// The answer has begun: what is left costs little.
    pub fn begun(&mut self) {
        if std::mem::take(&mut self.is_beginning) {
            self.gate.queue().begun();
            self.gate.next();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.queue().left(&self.caller, self.is_beginning);
        self.gate.next();
    }
}

/// Where a place comes out.
type Waiter = oneshot::Sender<Place>;
