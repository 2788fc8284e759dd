//! Wasmtime as this gateway uses it: synchronous components, a pool of instances, a deadline on every call, and caches
//! of what compiling and configuring brought. One engine serves the whole process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tracing::{info, warn};
use wasmtime::{Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::deadlines::Deadlines;
use super::fault::Fault;
use super::functions::Functions;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where compiled and configured plugins are kept. Whoever can write there can run code in this process, so it is
    /// made readable by its owner alone. Without it nothing is kept, and a start compiles everything.
    pub cache_dir: Option<PathBuf>,
    /// Instances that may live at once: calls under way, streams under way and warm instances together.
    pub slots: u32,
    /// Calls of policies that may ask models, at one time: each keeps a thread while it waits.
    pub asking: u32,
    /// Outcomes that may wait to be heard by policies: each keeps about a kilobyte.
    pub outcomes: u32,
    /// How deep a guest's own stack may get. Calls run on the worker's stack, which has 2 MiB.
    pub stack_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            cache_dir: None,
            slots: 1000,
            asking: 128,
            outcomes: 8192,
            stack_bytes: 512 << 10,
        }
    }
}

/// Compiles and runs all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    deadlines: Arc<Deadlines>,
    /// Streams and warm instances hold a slot across calls and may hold three quarters of them, so that a call always
    /// finds one.
    held: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    outcomes: Arc<Semaphore>,
    hearing: Arc<Semaphore>,
    cache_dir: Option<Arc<Path>>,
    is_pooling: bool,
}

impl Engine {
    /// Sets wasmtime up. Where the pool's address space is not to be had, instances are allocated one by one instead.
    pub fn new(config: &EngineConfig) -> anyhow::Result<Engine> {
        let cache_dir = config.cache_dir.as_deref();
        if let Some(dir) = cache_dir {
            create_private(dir).with_context(|| format!("cannot use the plugin cache `{}`", dir.display()))?;
        }
        let pooling = wasmtime::Engine::new(settings(config)?.allocation_strategy(pool(config.slots)));
        let is_pooling = pooling.is_ok();
        let wasm = match pooling {
            Ok(engine) => engine,
            Err(error) => {
                warn!("plugins run without a pool of instances, which is slower: {error:#}");
                wasmtime::Engine::new(&settings(config)?)
                    .map_err(|error| anyhow!("cannot set up the plugin engine: {error:#}"))?
            }
        };
        let deadlines =
            Deadlines::start(wasm.weak()).context("cannot start the thread that keeps plugins' deadlines")?;
        let resident = has_resident_slots();
        info!(
            slots = config.slots,
            pool = is_pooling,
            resident,
            "the plugin engine is up"
        );
        Ok(Engine {
            wasm,
            deadlines,
            held: Arc::new(Semaphore::new((config.slots - config.slots / 4) as usize)),
            asking: Arc::new(Semaphore::new(config.asking as usize)),
            outcomes: Arc::new(Semaphore::new(config.outcomes as usize)),
            hearing: Arc::new(Semaphore::new(HEARING)),
            cache_dir: cache_dir.map(Arc::from),
            is_pooling,
        })
    }

    /// Whether instances come from a pool.
    pub fn is_pooling(&self) -> bool {
        self.is_pooling
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// What its calls' time is kept by.
    pub(super) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.deadlines
    }

    /// The directory of the cache's files of one kind, if there is a cache.
    pub(super) fn cache(&self, kind: &str) -> Option<PathBuf> {
        self.cache_dir.as_deref().map(|dir| dir.join(kind))
    }

    /// A slot to keep across calls.
    pub(super) fn hold(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.held.clone().try_acquire_owned().map_err(|_| Fault::Busy)
    }

    /// A place for an outcome that waits to be heard.
    pub(super) fn outcome(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.outcomes.clone().try_acquire_owned().map_err(|_| Fault::Busy)
    }

    /// The turn of an outcome that has waited.
    pub(super) async fn hear(&self) -> Result<SemaphorePermit<'_>, Fault> {
        self.hearing.acquire().await.map_err(|_| Fault::Busy)
    }

    /// Leave to keep a thread for a call that may wait for models.
    pub(super) fn ask(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.asking.clone().try_acquire_owned().map_err(|_| Fault::Busy)
    }
}

/// Outcomes that are heard at one time, a small part of the runtime's threads for blocking work: those that decide come first.
const HEARING: usize = 64;

fn settings(engine: &EngineConfig) -> anyhow::Result<Config> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(engine.stack_bytes);
    // The contract is synchronous; the machinery for asynchronous components costs every call.
    config.concurrency_support(false);
    // Results must not depend on the processor: decisions are replayed elsewhere.
    config.wasm_relaxed_simd(false);
    config
        .enable_incremental_compilation(Arc::new(Functions))
        .map_err(|error| anyhow!("cannot keep compiled functions: {error:#}"))?;
    if let Some(dir) = &engine.cache_dir {
        let mut cache = CacheConfig::new();
        cache.with_directory(dir.join("compiled"));
        let cache =
            Cache::new(cache).map_err(|error| anyhow!("cannot open the cache of compiled plugins: {error:#}"))?;
        config.cache(Some(cache));
    }
    Ok(config)
}

fn pool(slots: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    // Components of compiled languages take one memory, up to four core instances and two tables; interpreters take
    // more. All of it is address space until it is used.
    pool.total_component_instances(slots)
        .total_memories(slots.saturating_mul(2))
        .total_core_instances(slots.saturating_mul(4))
        .total_tables(slots.saturating_mul(2))
        // Stacks are for asynchronous calls, of which there are none.
        .total_stacks(0)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        .max_memories_per_module(8)
        .max_tables_per_module(16)
        .max_core_instances_per_component(64)
        .max_memory_size(1 << 30)
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_unused_warm_slots(64)
        .table_keep_resident(64 << 10);
    if has_resident_slots() {
        pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(1 << 20);
    }
    InstanceAllocationStrategy::Pooling(pool)
}

/// Whether a slot may keep its pages and have the kernel say which of them the last guest wrote. Pages that were swapped
/// out are not reported, and one guest would then see what another left behind: only where there is no swap.
fn has_resident_slots() -> bool {
    let has_swap = fs::read_to_string("/proc/swaps").map_or(true, |swaps| swaps.lines().count() > 1);
    !has_swap && PoolingAllocationConfig::is_pagemap_scan_available()
}

/// Makes a directory that only its owner can read or write, and takes those rights from others if it was there.
pub(crate) fn create_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// What was compiled for an engine that is set up in the same way.
pub(super) fn key(wasm: &wasmtime::Engine) -> [u8; 8] {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    wasm.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// Writes a file of the cache: whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{}", std::process::id()));
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}

/// Keeps so many files of a directory, the newest.
pub(super) fn prune(dir: &Path, kept: usize) -> io::Result<()> {
    let mut files = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    files.sort_by_key(|file| {
        file.metadata()
            .and_then(|data| data.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    });
    let excess = files.len().saturating_sub(kept);
    files
        .iter()
        .take(excess)
        .try_for_each(|file| fs::remove_file(file.path()))
}
