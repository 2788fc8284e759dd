//! The composition root: what lives as long as the process, and the one value that is swapped.

pub mod kept;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::cache::{Cache, Room};
use crate::documents::Documents;
use crate::generation::Generation;
use crate::handover::Books;
use crate::idempotency::Idempotency;
use crate::keys::{Keys, Vault};
use crate::ledger::Ledger;
use crate::load::Gate;
use crate::pipeline::record;
use crate::plugins::{Engine, StateStore};
use crate::reports::{Handle, Status};
use crate::surfaces::responses;
use crate::telemetry::Meter;
use crate::upstream::health::Registry;

/// Everything that outlives a generation.
#[derive(Debug)]
pub struct App {
    current: ArcSwapOption<Generation>,
    /// Compiles and runs plugins.
    pub engine: Engine,
    /// What plugins keep over reloads.
    pub state: StateStore,
    /// What was seen of models.
    pub health: Registry,
    /// Who may call.
    pub keys: Arc<Keys>,
    /// The keys of the store, where there is one.
    pub vault: OnceLock<Arc<Vault>>,
    /// Metrics.
    pub meter: Meter,
    /// Answers that were kept.
    pub cache: Arc<Cache>,
    /// Where money is reserved and booked.
    pub ledger: Books,
    /// How much is done at one time, in a process that serves.
    pub gate: OnceLock<Arc<Gate>>,
    /// What else the store keeps.
    pub documents: Documents,
    /// Requests that named themselves.
    pub idempotency: Arc<Idempotency>,
    /// Generations that are not freed.
    pub alive: Arc<AtomicI64>,
    /// How the last reload went.
    pub reloads: Status,
    /// Asks the reloader to look.
    pub reloader: OnceLock<Handle>,
    /// Told when streams that are still under way are cut off.
    pub cut: watch::Sender<bool>,
    draining: AtomicBool,
}

impl App {
    /// An app without a generation: nothing is served before the first one is there.
    pub fn new(engine: Engine, meter: Meter, ledger: Ledger) -> Arc<Self> {
        let ledger = Books::from(ledger);
        let documents = Documents::new(ledger.clone());
        Arc::new(Self {
            idempotency: Idempotency::new(documents.clone()),
            cache: Cache::new(meter.cache.clone(), documents.clone()),
            documents,
            current: ArcSwapOption::empty(),
            engine,
            state: StateStore::default(),
            health: Registry::default(),
            keys: Arc::default(),
            vault: OnceLock::new(),
            gate: OnceLock::new(),
            meter,
            ledger,
            alive: Arc::default(),
            reloads: Status::default(),
            reloader: OnceLock::new(),
            cut: watch::Sender::new(false),
            draining: AtomicBool::new(false),
        })
    }

    /// The generation that a request which begins now is served with.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Puts a generation in service. Requests under way keep the one they have.
    pub fn swap(&self, generation: Generation) {
        // Tokens first: whoever sees that there is a key must need a token already.
        self.keys.declare_tokens(&generation.config.admin.tokens);
        self.keys.declare(&generation.config.keys);
        let cache = &generation.config.cache;
        self.cache.bound(Room {
            memory_bytes: cache.memory_bytes,
            disk_bytes: cache.disk_bytes,
        });
        if let Some(decisions) = &generation.config.decisions {
            self.ledger.bound(record::KIND, decisions.bytes);
        }
        if let Some(responses) = &generation.config.responses {
            self.ledger.bound(responses::KIND, responses.disk_bytes);
        }
        self.current.store(Some(Arc::new(generation)));
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins to drain: readiness goes first.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
