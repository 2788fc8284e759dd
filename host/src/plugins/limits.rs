//! How much a plugin may use. [`Limits`] are settings, `Quota` holds one instance to them: every figure is a total over
//! the instance, so that many small memories are no way around the limit on a large one.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// What one plugin may use; each has a default that suits a policy or an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest component that is loaded.
    pub component_bytes: usize,
    /// Linear memory of one instance, all memories together.
    pub memory_bytes: usize,
    /// Linear memories of one instance; interpreters in components have three.
    pub memories: usize,
    /// Tables of one instance.
    pub tables: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Core instances of one component instance; Python components have some forty.
    pub instances: usize,
    /// Resource handles that are alive at once.
    pub handles: usize,
    /// Bytes that the host copies out of the guest in one call.
    pub copied_bytes: usize,
    /// Log lines of one call; one more says how it was cut.
    pub log_lines: u32,
    /// Bytes of one log line.
    pub log_line_bytes: usize,
    /// Time for `configure.load` or `describe`, and for what the guest does when it starts.
    pub configure_ms: u64,
    /// What one call may compute, instantiation included. Waiting for models that were asked does not count.
    pub call_ms: u64,
    /// Time that one call may wait for models that it asks, all together.
    pub ask_ms: u64,
    /// Models that one call may ask, the same one twice counted as two.
    pub asks: u32,
}

impl Default for Limits {
    /// What suits a policy.
    fn default() -> Limits {
        Limits {
            component_bytes: 64 << 20,
            memory_bytes: 64 << 20,
            memories: 8,
            tables: 16,
            table_elements: 100_000,
            instances: 64,
            handles: 1000,
            copied_bytes: 8 << 20,
            log_lines: 64,
            log_line_bytes: 1 << 10,
            configure_ms: 2000,
            call_ms: 100,
            ask_ms: 30_000,
            asks: 8,
        }
    }
}

impl Limits {
    /// What suits an adapter: it turns whole bodies over, which may be as large as the gateway accepts them.
    pub fn adapter() -> Limits {
        Limits {
            memory_bytes: 256 << 20,
            copied_bytes: 64 << 20,
            call_ms: 500,
            ..Limits::default()
        }
    }

    pub(super) fn call_time(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }
}

/// A limit that an instance ran into.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} would grow to {wanted}; the limit is {limit} (limits.{key})")]
pub(super) struct Exceeded {
    key: &'static str,
    what: &'static str,
    wanted: usize,
    limit: usize,
}

/// Counts what one instance has. Growing past a limit traps instead of failing softly: a guest that cannot allocate
/// aborts anyhow, and this way the fault says why.
#[derive(Debug)]
pub(super) struct Quota {
    memory_bytes: Count,
    table_elements: Count,
    memories: usize,
    tables: usize,
    instances: usize,
}

#[derive(Debug)]
struct Count {
    key: &'static str,
    what: &'static str,
    used: usize,
    limit: usize,
}

impl Count {
    fn grow(&mut self, current: usize, desired: usize) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(Exceeded {
                key: self.key,
                what: self.what,
                wanted,
                limit: self.limit,
            }
            .into());
        }
        self.used = wanted;
        Ok(true)
    }
}

impl Quota {
    pub(super) fn new(limits: &Limits) -> Quota {
        Quota {
            memory_bytes: Count {
                key: "memory_bytes",
                what: "memory (bytes)",
                used: 0,
                limit: limits.memory_bytes,
            },
            table_elements: Count {
                key: "table_elements",
                what: "tables (elements)",
                used: 0,
                limit: limits.table_elements,
            },
            memories: limits.memories,
            tables: limits.tables,
            instances: limits.instances,
        }
    }
}

impl ResourceLimiter for Quota {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory_bytes.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements.grow(current, desired)
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn instances(&self) -> usize {
        self.instances
    }
}
