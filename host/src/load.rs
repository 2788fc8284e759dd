//! How much is done at one time: connections, requests that are being begun, answers that are under way, memory. What is too
//! much is refused at once, and told when to come back; who waits, waits briefly, and callers take turns.
//!
//! What a request costs the gateway is in its beginning: reading, deciding, translating. So it is the requests which have no
//! answer yet whose number is adapted, to how late the gateway's own tasks run; streams under way are only counted. And where so
//! many are begun at once that everything else waits for them, only as many are as fit into a short time.

mod clock;
mod files;
mod machine;
mod pace;
mod queue;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::config::LoadConfig;
use crate::error::ApiError;
use crate::telemetry::LoadMeter;
use clock::Clock;
pub use files::OpenFile;
use queue::{Granted, LATE, Queue};

/// How often is looked how late they run, and after how many looks something is changed: only when all of them were late is
/// there a queue that stays.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 10;
/// A body from here on.
const LARGE: usize = 64 << 10;
/// Bodies that are kept may be this part of memory.
const BODIES: usize = 8;
/// How often is told how much was refused: each by itself would be one more thing to do when there is too much.
const TELL: Duration = Duration::from_secs(1);
/// When whoever is refused may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Decides who may begin.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    /// In tasks' hands for moments only.
    queue: Mutex<Queue>,
    /// Something was begun, or waits: the turn has to come to its end.
    turn: Notify,
    /// What beginning them takes.
    clock: Arc<Clock>,
    /// Of clients.
    connections: AtomicUsize,
    /// Of operators, which clients take nothing from.
    operators: AtomicUsize,
    /// Requests and connections, since that was last told.
    refused: AtomicUsize,
    memory: AtomicUsize,
    /// Bytes of requests' bodies that are kept while they are served.
    bodies: AtomicUsize,
    meter: LoadMeter,
}

/// What holds while the process lives.
#[derive(Debug, Clone, Copy)]
struct Limits {
    files: usize,
    /// Of those, for whatever is no connection of a client's or to a provider.
    kept: usize,
    connections: usize,
    operators: usize,
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
    room: Room,
}

/// What a request's body takes, for as long as its place is held.
#[derive(Debug, Clone)]
pub struct Room {
    gate: Arc<Gate>,
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// Takes so many bytes more, where all bodies together leave them. They come faster than memory is looked at, and what is made of a
    /// body takes several times as much; one that is alone is taken in any case. A body that becomes large while half of it all is
    /// taken is refused, so that those which have come far come to their end.
    pub fn take(&self, bytes: usize) -> Result<(), ApiError> {
        let own = self.taken.load(Ordering::Relaxed);
        let all = self.gate.limits.memory / BODIES;
        let becomes_large = own < LARGE && own + bytes >= LARGE;
        let most = if becomes_large { all / 2 } else { all };
        let before = self.gate.bodies.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > most && before > own {
            self.gate.bodies.fetch_sub(bytes, Ordering::Relaxed);
            return Err(self.gate.refuse("memory"));
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To be served by models.
    Clients,
    /// To look and to change.
    Operators,
}

/// A connection's place.
#[derive(Debug)]
pub struct Connected {
    gate: Arc<Gate>,
    side: Side,
    _file: Option<OpenFile>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.gate.connections_of(self.side).fetch_sub(1, Ordering::Relaxed);
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
    /// As the configuration says, and where it says nothing, as the machine allows; so many connections are kept for operators.
    pub fn new(config: &LoadConfig, operators: usize, meter: LoadMeter) -> Arc<Self> {
        let (files, kept) = (machine::open_files(), machine::OWN_FILES + operators);
        // Half of what is left for clients and half for providers: over HTTP/1.1 each call has a connection of its own.
        let left = files.saturating_sub(kept).max(2);
        let share = left / 2;
        let in_flight = config.in_flight.unwrap_or(share);
        let limits = Limits {
            files,
            kept,
            connections: config.connections.unwrap_or(share),
            operators,
            in_flight,
            of_one: config
                .of_one_key
                .unwrap_or(in_flight.saturating_sub(in_flight / 4))
                .max(1),
            waiting: config.queue,
            wait: config.queue_time,
            memory: config.memory.unwrap_or_else(machine::memory),
        };
        files::allow(left, limits.connections);
        meter.limit.set(limits.in_flight as i64);
        Arc::new(Self {
            queue: Mutex::new(Queue::new(limits.in_flight, limits.of_one, limits.waiting)),
            limits,
            turn: Notify::new(),
            clock: Arc::default(),
            connections: AtomicUsize::new(0),
            operators: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            meter,
        })
    }

    /// A connection's place, if there is one. Operators are let in while clients are not.
    pub fn connect(self: &Arc<Self>, side: Side) -> Option<Connected> {
        let before = self.connections_of(side).fetch_add(1, Ordering::Relaxed);
        let mut connected = Connected {
            gate: self.clone(),
            side,
            _file: None,
        };
        let reason = match side {
            Side::Operators if before < self.limits.operators => return Some(connected),
            Side::Operators => "admin_connections",
            Side::Clients if self.memory() == Memory::Out => "memory",
            Side::Clients if before >= self.limits.connections => "connections",
            Side::Clients => match OpenFile::of_client() {
                Some(file) => {
                    connected._file = Some(file);
                    return Some(connected);
                }
                None => "connections",
            },
        };
        self.count(reason);
        None
    }

    fn connections_of(&self, side: Side) -> &AtomicUsize {
        match side {
            Side::Clients => &self.connections,
            Side::Operators => &self.operators,
        }
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
        let granted = self.queue().ask(caller, self.limits.wait);
        if let Granted::Now | Granted::Later(..) = granted {
            self.turn.notify_one();
        }
        let (mut place, until) = match granted {
            Granted::Now => return Ok(self.place(caller.clone())),
            Granted::Later(place, until) => {
                // Those who wait before this one may have to, for reasons of their own.
                self.next();
                (place, until)
            }
            Granted::Never(reason) => return Err(self.refuse(reason)),
        };
        match tokio::time::timeout_at(until.into(), &mut place).await {
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
        self.count(reason);
        ApiError::shed(reason, RETRY_AFTER)
    }

    fn count(&self, reason: &'static str) {
        self.meter.refused(reason);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn place(self: &Arc<Self>, caller: Arc<str>) -> Place {
        Place {
            room: Room {
                gate: self.clone(),
                taken: Arc::default(),
            },
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
            self.turn.notify_one();
            // Whoever has left meanwhile gives it back.
            drop(waiter.send(self.place(caller)));
        }
    }

    /// Adapts to how late tasks run and how much memory there is, for as long as the process lives.
    pub async fn watch(self: Arc<Self>) {
        tokio::join!(self.clone().adapt(), self.turns());
    }

    /// Counts the turns of whatever is ready to run, while there is anything that they are counted for.
    async fn turns(self: Arc<Self>) {
        let workers = u32::try_from(tokio::runtime::Handle::current().metrics().num_workers()).unwrap_or(1);
        loop {
            self.turn.notified().await;
            loop {
                let began = Instant::now();
                let is_counted = self.clock.is_counting();
                // Comes back when all that was ready has run.
                tokio::task::yield_now().await;
                let beginning = self.clock.take() / workers;
                let is_over = self.queue().turned(began.elapsed(), is_counted.then_some(beginning));
                self.clock.count(is_over);
                self.next();
                if !self.queue().waits_for_turn() {
                    break;
                }
            }
        }
    }

    async fn adapt(self: Arc<Self>) {
        let mut told = Instant::now();
        loop {
            let mut least = Duration::MAX;
            for _ in 0..LOOKS {
                let began = Instant::now();
                tokio::time::sleep(LOOK).await;
                least = least.min(began.elapsed().saturating_sub(LOOK));
            }
            let limit = self.queue().adapt(least > LATE);
            self.meter.limit.set(limit as i64);
            self.next();
            self.memory.store(machine::resident(), Ordering::Relaxed);
            if told.elapsed() >= TELL {
                told = Instant::now();
                let refused = self.refused.swap(0, Ordering::Relaxed);
                if refused > 0 {
                    tracing::warn!(
                        refused,
                        "there is more to do than can be done: what is too much is refused"
                    );
                }
            }
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
        let mut queue = self.queue();
        let (beginning, in_flight, waiting, limit) = queue.shown();
        let pace = queue.pace();
        drop(queue);
        let now = |side| self.connections_of(side).load(Ordering::Relaxed);
        let (to_providers, most_to_providers) = files::of_providers();
        json!({
            "open_files": {"limit": self.limits.files, "kept_for_the_gateway": self.limits.kept},
            "connections": {"now": now(Side::Clients), "limit": self.limits.connections},
            "connections_of_operators": {"now": now(Side::Operators), "limit": self.limits.operators},
            "connections_to_providers": {"now": to_providers, "limit": most_to_providers},
            "beginning": {"now": beginning, "limit": limit, "limit_at_most": self.limits.in_flight},
            "in_flight": {"now": in_flight, "limit": self.limits.in_flight, "limit_of_one_key": self.limits.of_one},
            "begun_in_a_turn": {"limit": pace},
            "queue": {"now": waiting, "limit": self.limits.waiting, "wait_ms": self.limits.wait.as_millis() as u64},
            "body_bytes": {"now": self.bodies.load(Ordering::Relaxed), "limit": self.limits.memory / BODIES},
            "memory_bytes": {"now": self.memory.load(Ordering::Relaxed), "limit": self.limits.memory},
        })
    }
}

impl Place {
    /// A request's beginning, whose time is counted where that is of interest.
    pub fn timed<F: Future + Unpin>(&self, beginning: F) -> impl Future<Output = F::Output> + Unpin + use<F> {
        self.gate.clock.timed(beginning)
    }

    /// Where the request's body is counted.
    pub fn room(&self) -> Room {
        self.room.clone()
    }

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
        let taken = self.room.taken.swap(0, Ordering::Relaxed);
        self.gate.bodies.fetch_sub(taken, Ordering::Relaxed);
        self.gate.queue().left(&self.caller, self.is_beginning);
        self.gate.next();
    }
}

/// Where a place comes out.
type Waiter = oneshot::Sender<Place>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Meter;

    fn gate() -> Arc<Gate> {
        let config = LoadConfig {
            connections: Some(100),
            in_flight: Some(100),
            of_one_key: None,
            queue: 0,
            queue_time: Duration::from_millis(1),
            memory: Some(10_000),
        };
        Gate::new(&config, 2, Meter::default().load.clone())
    }

    #[tokio::test]
    async fn the_nearer_memory_is_to_its_end_the_less_is_let_in() {
        let gate = gate();
        let caller: Arc<str> = Arc::from("somebody");
        // Whether connections are kept, calls are begun, and clients are let in.
        for (used, expected) in [
            (0, [true, true, true]),
            (8_499, [true, true, true]),
            (8_500, [false, true, true]),
            (9_199, [false, true, true]),
            (9_200, [false, false, true]),
            (9_499, [false, false, true]),
            (9_500, [false, false, false]),
            (20_000, [false, false, false]),
            (8_499, [true, true, true]),
        ] {
            gate.memory.store(used, Ordering::Relaxed);
            let seen = [
                !gate.is_memory_scarce(),
                gate.enter(&caller).await.is_ok(),
                gate.connect(Side::Clients).is_some(),
            ];
            assert_eq!(seen, expected, "{used} of 10,000");
            assert!(gate.connect(Side::Operators).is_some(), "{used} of 10,000");
        }
    }

    #[test]
    fn operators_and_clients_have_places_of_their_own() {
        let gate = gate();
        let operators = [0, 1].map(|_| gate.connect(Side::Operators).unwrap());
        assert!(gate.connect(Side::Operators).is_none());
        let clients: Vec<_> = (0..100).map(|_| gate.connect(Side::Clients).unwrap()).collect();
        assert!(gate.connect(Side::Clients).is_none());
        drop(operators);
        assert!(gate.connect(Side::Operators).is_some());
        drop(clients);
        assert!(gate.connect(Side::Clients).is_some());
    }
}
