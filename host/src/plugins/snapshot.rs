//! A configured plugin as a component: the memory that it has after `configure.load` becomes the memory that every
//! instance starts with, so that a call pays for nothing but itself. Made once per component and configuration by
//! wasmtime-wizer, kept on disk as plain WebAssembly, which is validated and compiled like any other.

use std::fs;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tracing::debug;
use wasmtime::component::{Lift, WasmList};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::digest::Digest;
use super::engine;
use super::instance::Instance;

/// Part of every key; change it when snapshots are made differently.
const FORMAT: &[u8] = b"1";
/// Files that are kept; the oldest go first.
const KEPT: usize = 256;

/// A component with the accessors that taking a snapshot needs.
pub(super) struct Instrumented<'a> {
    wizer: Wizer,
    context: ComponentContext<'a>,
    /// To be compiled and instantiated in place of the component.
    pub(super) bytes: Vec<u8>,
}

/// Prepares a component for a snapshot; an error says what in it cannot be restored.
pub(super) fn instrument(component: &[u8]) -> Result<Instrumented<'_>, String> {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let instrumented = unpanicked(|| wizer.instrument_component(component))?;
    let (context, bytes) = instrumented.map_err(|error| format!("{error:#}"))?;
    Ok(Instrumented { wizer, context, bytes })
}

impl Instrumented<'_> {
    /// The component that starts where this instance is now.
    pub(super) fn take(&self, instance: &mut Instance) -> Result<Vec<u8>, String> {
        if instance.host().wasi.as_ref().is_some_and(|wasi| wasi.has_handles()) {
            return Err("it holds handles of the host, which a copy of its memory would not have".into());
        }
        let (store, _) = instance.parts();
        store.set_hostcall_fuel(usize::MAX);
        store.set_epoch_deadline(10_000);
        let mut state = State { instance, error: None };
        let bytes = unpanicked(|| at_once(self.wizer.snapshot_component(&self.context, &mut state)))?
            .ok_or("its state could not be read at once")?
            .map_err(|error| format!("{error:#}"))?;
        match state.error {
            Some(error) => Err(error),
            None => Ok(bytes),
        }
    }
}

/// Reads an instance's memories and globals through the accessors. An error is kept until all is read, since the trait
/// has no place for one.
struct State<'a> {
    instance: &'a mut Instance,
    error: Option<String>,
}

impl State<'_> {
    fn read<R: Lift + Send + Sync + 'static, T: Default>(
        &mut self,
        interface: &str,
        function: &str,
        then: impl FnOnce(&wasmtime::Store<super::imports::Host>, R) -> T,
    ) -> T {
        let read = self.instance.run(|store, instance| {
            let interface = instance.get_export_index(&mut *store, None, interface);
            let function = interface.and_then(|index| instance.get_export_index(&mut *store, Some(&index), function));
            let function = function.ok_or_else(|| wasmtime::Error::msg("an accessor is missing"))?;
            let function = instance.get_typed_func::<(), (R,)>(&mut *store, function)?;
            let (value,) = function.call(&mut *store, ())?;
            Ok(then(store, value))
        });
        read.unwrap_or_else(|fault| {
            self.error.get_or_insert(fault.to_string());
            T::default()
        })
    }
}

impl ComponentInstanceState for State<'_> {
    async fn call_func_ret_list_u8(&mut self, interface: &str, function: &str, contents: impl FnOnce(&[u8]) + Send) {
        self.read(interface, function, |store, list: WasmList<u8>| {
            contents(list.as_le_slice(store))
        });
    }

    async fn call_func_ret_s32(&mut self, interface: &str, function: &str) -> i32 {
        self.read(interface, function, |_, value: i32| value)
    }

    async fn call_func_ret_s64(&mut self, interface: &str, function: &str) -> i64 {
        self.read(interface, function, |_, value: i64| value)
    }

    async fn call_func_ret_f32(&mut self, interface: &str, function: &str) -> u32 {
        self.read(interface, function, |_, value: f32| value.to_bits())
    }

    async fn call_func_ret_f64(&mut self, interface: &str, function: &str) -> u64 {
        self.read(interface, function, |_, value: f64| value.to_bits())
    }
}

/// Everything above answers without waiting, so that a single poll is enough.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Wizer panics at what it does not know; that must cost the snapshot alone.
fn unpanicked<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "wizer does not know what to do with it".to_owned())
}

/// Where one snapshot is kept.
pub(super) struct Slot(PathBuf);

/// A snapshot, and what the plugin said when it was configured.
pub(super) struct Kept {
    pub(super) component: Vec<u8>,
    pub(super) warnings: Vec<String>,
}

impl Slot {
    /// The place for what this component becomes under this configuration.
    pub(super) fn new(dir: &Path, wasm: &wasmtime::Engine, component: &Digest, configuration: &[u8]) -> Slot {
        let key = Digest::of_parts(&[
            FORMAT,
            &engine::key(wasm),
            component.to_string().as_bytes(),
            configuration,
        ]);
        Slot(dir.join(key.to_string()))
    }

    pub(super) fn read(&self) -> Option<Kept> {
        let bytes = fs::read(&self.0).ok()?;
        let end = memchr::memchr(b'\n', &bytes)?;
        let warnings = serde_json::from_slice(&bytes[..end]).ok()?;
        Some(Kept {
            component: bytes[end + 1..].to_vec(),
            warnings,
        })
    }

    /// Keeps a snapshot. That it cannot be kept costs the next start some time and nothing else.
    pub(super) fn write(&self, kept: &Kept) {
        if let Err(error) = self.try_write(kept) {
            debug!("a configured plugin cannot be kept in `{}`: {error}", self.0.display());
        }
    }

    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.0);
    }

    fn try_write(&self, kept: &Kept) -> io::Result<()> {
        let dir = self.0.parent().unwrap_or(Path::new("."));
        engine::create_private(dir)?;
        let mut bytes = serde_json::to_vec(&kept.warnings)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&kept.component);
        engine::replace(&self.0, &bytes)?;
        engine::prune(dir, KEPT)
    }
}
