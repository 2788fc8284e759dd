//! What goes wrong with plugins: a [`LoadError`] keeps a plugin from being served at all, a [`Fault`] costs one call.
//! Which of them wasmtime's errors mean is decided here and nowhere else.

use std::any::Any;

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::limits::Exceeded;

/// Why one call of a plugin brought nothing. The instance is gone; the next call gets a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest panicked, exited or did what WebAssembly forbids.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The call did not end in its time.
    #[error("the plugin did not answer within {0} ms")]
    Deadline(u64),
    /// The guest asked for more memory or larger tables than its limits allow.
    #[error("the plugin ran out of memory: {0}")]
    Memory(String),
    /// The guest recursed too deeply.
    #[error("the plugin overflowed its stack")]
    Stack,
    /// The guest handed over more than the host copies in one call.
    #[error("the plugin handed over more than {0} bytes in one call")]
    CopiedTooMuch(usize),
    /// The plugin says of itself that it failed.
    #[error("the plugin failed: {0}")]
    Guest(String),
    /// What the plugin returned cannot be used.
    #[error("the plugin's output is invalid: {0}")]
    InvalidOutput(String),
    /// All instances are taken.
    #[error("no instance of the plugin is free")]
    Busy,
    /// The guest could not be set up for the call.
    #[error("the plugin could not be configured: {0}")]
    NotConfigured(String),
    /// The host's own code failed under the call; the process goes on.
    #[error("the host failed while the plugin ran: {0}")]
    Host(String),
}

impl Fault {
    /// Every kind, in the order in which they are counted.
    pub const KINDS: [&'static str; 10] = [
        "trap",
        "deadline",
        "memory",
        "stack",
        "copied_too_much",
        "guest",
        "invalid_output",
        "busy",
        "not_configured",
        "host",
    ];

    /// A stable word for metrics.
    pub fn kind(&self) -> &'static str {
        Self::KINDS[self.index()]
    }

    pub(super) fn index(&self) -> usize {
        match self {
            Fault::Trap(_) => 0,
            Fault::Deadline(_) => 1,
            Fault::Memory(_) => 2,
            Fault::Stack => 3,
            Fault::CopiedTooMuch(_) => 4,
            Fault::Guest(_) => 5,
            Fault::InvalidOutput(_) => 6,
            Fault::Busy => 7,
            Fault::NotConfigured(_) => 8,
            Fault::Host(_) => 9,
        }
    }

    /// What wasmtime's error means for a call that was given so much time and room.
    pub(super) fn of(error: wasmtime::Error, deadline_ms: u64, copied_bytes: usize) -> Fault {
        if error.is::<PoolConcurrencyLimitError>() {
            return Fault::Busy;
        }
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return Fault::Memory(exceeded.to_string());
        }
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return Fault::Trap(format!("it exited with status {}", exit.0));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return match trap {
                Trap::Interrupt => Fault::Deadline(deadline_ms),
                Trap::StackOverflow => Fault::Stack,
                Trap::UnreachableCodeReached => Fault::Trap("it panicked or aborted (unreachable)".into()),
                other => Fault::Trap(other.to_string().trim_start_matches("wasm trap: ").to_owned()),
            };
        }
        let cause = error.root_cause().to_string();
        // The type of this error is private to wasmtime; its text is held by a test.
        if cause.contains("fuel allocated for hostcalls") {
            return Fault::CopiedTooMuch(copied_bytes);
        }
        match error.is::<wasmtime::WasmBacktrace>() {
            // Raised by a host function that the guest called wrongly.
            true => Fault::Trap(cause),
            // Raised outside of the guest: what it returned is not what its types say.
            false => Fault::InvalidOutput(cause),
        }
    }

    /// What a panic under a call says.
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Fault {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".into());
        Fault::Host(text)
    }
}

/// Why a plugin is not served. The last good version stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than the limit.
    #[error("the component has {size} bytes; the limit is {limit} (limits.component_bytes)")]
    TooLarge {
        /// Bytes that there are.
        size: usize,
        /// Bytes that may be.
        limit: usize,
    },
    /// Native code, which would run outside of the sandbox.
    #[error(
        "this is precompiled native code (.cwasm), which is never loaded: give the .wasm component that it was made from"
    )]
    Precompiled,
    /// A module where a component is needed.
    #[error(
        "this is a core WebAssembly module, not a component: build for wasm32-wasip2, or turn it into a component with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Anything else.
    #[error("this is not a WebAssembly component: it begins with {0}")]
    NotWasm(String),
    /// Cut short, damaged, or using what this host does not have.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// Its exports are not those of the world that is needed.
    #[error("{0}")]
    WrongWorld(String),
    /// It imports what nobody granted, or what there is not.
    #[error("{0}")]
    Import(String),
    /// It needs more than its limits from the start.
    #[error("{0}")]
    Resources(String),
    /// Its own complaint about its configuration.
    #[error("the plugin refuses its configuration: {0}")]
    Configuration(String),
    /// It failed while it was being set up.
    #[error("while it was being loaded: {0}")]
    Fault(#[from] Fault),
    /// What an adapter says of itself cannot be used.
    #[error("the adapter's profile is invalid: {0}")]
    Profile(String),
}
